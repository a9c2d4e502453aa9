// Package metrics writes a report in Prometheus' text exposition format, for the
// textfile collector of node_exporter or for a push gateway; see
// prometheus.io/docs/instrumenting/exposition_formats. All values are those of one
// run of a builder, in base units, and gauges: the next run begins anew.
package metrics

import (
	"fmt"
	"io"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/dockerfactory/dockerfactory/plugins/docker-stickybuilder/internal/sticky"
)

// Write writes the metrics of one report. What it does not know is left out, and no
// sample has a time. Names of metrics and labels are stable.
func Write(w io.Writer, r *sticky.Report) error {
	for _, f := range families(r) {
		if len(f.Metric) == 0 {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return fmt.Errorf("writing metric %s: %w", f.GetName(), err)
		}
	}
	return nil
}

// labels are pairs of names and values.
type labels []string

// A set collects families in the order in which they are named first.
type set struct {
	base     labels // of every sample
	families []*dto.MetricFamily
}

const prefix = "stickybuilder_"

// gauge begins a family; each call of the function that it returns adds a sample.
func (s *set) gauge(name, help string) func(value float64, more ...string) {
	name, kind := prefix+name, dto.MetricType_GAUGE
	f := &dto.MetricFamily{Name: &name, Help: &help, Type: &kind}
	s.families = append(s.families, f)
	return func(value float64, more ...string) {
		m := &dto.Metric{Gauge: &dto.Gauge{Value: &value}}
		all := append(append(labels{}, s.base...), more...)
		for i := 0; i < len(all); i += 2 {
			text := valid(all[i+1])
			m.Label = append(m.Label, &dto.LabelPair{Name: &all[i], Value: &text})
		}
		f.Metric = append(f.Metric, m)
	}
}

// valid makes text fit for a label's value.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(milliseconds int64) float64 { return float64(milliseconds) / 1000 }
