package output

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"gantry.dev/pkg/names"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// column is one column of a kind's table.
type column struct {
	title string
	// wide columns appear with -o wide only.
	wide bool
	cell func(m proto.Message, now time.Time) string
}

// of adapts a cell of one type.
func of[T proto.Message](title string, cell func(T, time.Time) string) column {
	return column{title: title, cell: func(m proto.Message, now time.Time) string {
		t, ok := m.(T)
		if !ok {
			return ""
		}
		return cell(t, now)
	}}
}

func wideOf[T proto.Message](title string, cell func(T, time.Time) string) column {
	c := of(title, cell)
	c.wide = true
	return c
}

func (p *Printer) table(items []proto.Message) error {
	if len(items) == 0 {
		return nil
	}
	columns := p.columns(items[0])
	w := tabwriter.NewWriter(p.Out, 0, 0, 3, ' ', 0)
	if !p.headed {
		p.headed = true
		writeRow(w, columns, func(c column) string { return c.title })
	}
	for _, m := range items {
		writeRow(w, columns, func(c column) string { return c.cell(m, p.Now) })
	}
	return w.Flush()
}

func (p *Printer) columns(m proto.Message) []column {
	var out []column
	if p.AllProjects {
		out = append(out, column{title: "PROJECT", cell: func(m proto.Message, _ time.Time) string {
			if n, ok := m.(interface{ GetName() string }); ok {
				return names.Project(n.GetName())
			}
			return ""
		}})
	}
	for _, c := range columnsOf(m) {
		if !c.wide || p.Format == Wide {
			out = append(out, c)
		}
	}
	return out
}

func writeRow(w *tabwriter.Writer, columns []column, cell func(column) string) {
	cells := make([]string, len(columns))
	for i, c := range columns {
		if cells[i] = clean(cell(c)); cells[i] == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// clean keeps one row on one line and lets nothing steer the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// age is the time since t in kubectl's short form; "" for no time.
func age(t *timestamppb.Timestamp, now time.Time) string {
	if t == nil {
		return ""
	}
	return span(now.Sub(t.AsTime()))
}

func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + "s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	}
	return strconv.Itoa(int(d.Hours()/24)) + "d"
}
