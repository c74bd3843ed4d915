package offline

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// recorded is what was recorded at a moment.
type recorded struct {
	at   string  // as the series writes it
	unix float64 // seconds, from wherever the series counts
	rows []row
}

type row struct {
	pod     string
	value   float64
	missing bool
}

// readSeries reads a series into its moments, in order of time.
func readSeries(series io.Reader) ([]recorded, error) {
	r := csv.NewReader(series)
	r.TrimLeadingSpace, r.ReuseRecord = true, true
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the series is empty; its first line is time,pod,value")
	}
	if err != nil {
		return nil, fmt.Errorf("the series cannot be read: %w", err)
	}
	// Spreadsheets begin a file with a mark of its byte order.
	if got := strings.ToLower(strings.TrimPrefix(strings.Join(head, ","), "\ufeff")); got != "time,pod,value" {
		return nil, fmt.Errorf("the series begins with %q; its first line is time,pod,value", got)
	}
	moments := map[float64]*recorded{}
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return inOrder(moments)
		}
		if err != nil {
			return nil, fmt.Errorf("the series cannot be read: %w", err)
		}
		if err := addRow(moments, fields); err != nil {
			line, _ := r.FieldPos(0)
			return nil, fmt.Errorf("line %d of the series: %w", line, err)
		}
	}
}

func inOrder(moments map[float64]*recorded) ([]recorded, error) {
	if len(moments) == 0 {
		return nil, errors.New("the series has no rows")
	}
	out := make([]recorded, 0, len(moments))
	for _, m := range moments {
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b recorded) int { return cmp.Compare(a.unix, b.unix) })
	return out, nil
}

func addRow(moments map[float64]*recorded, fields []string) error {
	at, pod, text := strings.TrimSpace(fields[0]), strings.TrimSpace(fields[1]), strings.TrimSpace(fields[2])
	unix, err := seconds(at)
	if err != nil {
		return err
	}
	if pod == "" {
		return errors.New("the pod has no name")
	}
	one := row{pod: pod, missing: text == ""}
	if !one.missing {
		// NaN and infinities are values that are refused by the decision, not here.
		if one.value, err = strconv.ParseFloat(text, 64); err != nil {
			return fmt.Errorf("the value %q is no number; percent of the pod's request, or nothing for a missing sample", text)
		}
	}
	if moments[unix] == nil {
		moments[unix] = &recorded{at: at, unix: unix}
	}
	moments[unix].rows = append(moments[unix].rows, one)
	return nil
}

// seconds reads a number of seconds or a time of RFC 3339.
func seconds(text string) (float64, error) {
	if s, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(s) < 1e12 { // not NaN
		return s, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, fmt.Errorf("the time %q is neither a number of seconds nor like 2026-11-23T07:30:00Z", text)
	}
	return float64(t.UnixMilli()) / 1000, nil
}

// usualStep is the median time between two moments; 0 for a single one.
func usualStep(moments []recorded) float64 {
	var steps []float64
	for i := 1; i < len(moments); i++ {
		steps = append(steps, moments[i].unix-moments[i-1].unix)
	}
	if len(steps) == 0 {
		return 0
	}
	slices.Sort(steps)
	return steps[len(steps)/2]
}
