package autoscale

import (
	"encoding/json"
	"math"
	"strconv"
)

// number is a float64 whose NaN and infinities survive JSON, as strings: stored inputs must replay
// with the very value that was refused (rule A1).
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return strconv.AppendQuote(nil, strconv.FormatFloat(f, 'g', -1, 64)), nil
	}
	return json.Marshal(f)
}

func (n *number) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		return json.Unmarshal(b, (*float64)(n))
	}
	f, err := strconv.ParseFloat(text, 64)
	*n = number(f)
	return err
}

// NewTotal is a total with any value.
func NewTotal(cluster string, value float64) Total {
	return Total{Cluster: cluster, Value: number(value)}
}

// sampleJSON is Sample with floats that survive JSON.
type sampleJSON struct {
	Pod        string `json:"pod"`
	Cluster    string `json:"cluster"`
	Percent    number `json:"percent"`
	AgeSeconds number `json:"age_seconds"`
	Missing    bool   `json:"missing,omitempty"`
}

// MarshalJSON writes NaN and infinities as the strings "NaN", "+Inf" and "-Inf".
func (s Sample) MarshalJSON() ([]byte, error) {
	return json.Marshal(sampleJSON{s.Pod, s.Cluster, number(s.Percent), number(s.AgeSeconds), s.Missing})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Sample) UnmarshalJSON(b []byte) error {
	var j sampleJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*s = Sample{j.Pod, j.Cluster, float64(j.Percent), float64(j.AgeSeconds), j.Missing}
	return nil
}
