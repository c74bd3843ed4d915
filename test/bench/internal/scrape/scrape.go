// Package scrape reads the metrics that servers give about themselves.
package scrape

import (
	"context"
	"fmt"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics is one answer, by family name.
type Metrics map[string]*dto.MetricFamily

// Get reads url, for example "http://127.0.0.1:2381/metrics".
func Get(ctx context.Context, client *http.Client, url string) (Metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", url, err)
	}
	return families, nil
}

// Labels of a series.
type Labels map[string]string

// Each calls f with every series of a family. The value is that of a counter
// or gauge.
func (m Metrics) Each(family string, f func(Labels, float64)) {
	for _, series := range m[family].GetMetric() {
		labels := Labels{}
		for _, l := range series.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		f(labels, series.GetCounter().GetValue()+series.GetGauge().GetValue()+series.GetUntyped().GetValue())
	}
}

// Value is the sum of a family's series; 0 when there is none.
func (m Metrics) Value(family string) float64 {
	sum := 0.0
	m.Each(family, func(_ Labels, v float64) { sum += v })
	return sum
}

// Histogram gives the sum and count of a histogram without labels; ok is
// false when there is none.
func (m Metrics) Histogram(family string) (sum float64, count uint64, ok bool) {
	for _, series := range m[family].GetMetric() {
		sum += series.GetHistogram().GetSampleSum()
		count += series.GetHistogram().GetSampleCount()
		ok = true
	}
	return sum, count, ok
}
