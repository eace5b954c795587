package jwks

import (
	"github.com/prometheus/client_golang/prometheus"
)

// collector shows the sets of a Registry. Labels are bounded by the number of sources in the configuration.
type collector struct{ registry *Registry }

func fetchesDesc() *prometheus.Desc {
	return prometheus.NewDesc("ostiary_jwks_fetches_total", "Fetches of a remote key set.", []string{"source", "ca", "result"}, nil)
}

func keysDesc() *prometheus.Desc {
	return prometheus.NewDesc("ostiary_jwks_keys", "Keys of a remote key set that verify tokens.", []string{"source", "ca"}, nil)
}

func lastSuccessDesc() *prometheus.Desc {
	return prometheus.NewDesc("ostiary_jwks_last_success_timestamp_seconds",
		"When a remote key set was last fetched, in seconds since 1970; 0 if never.", []string{"source", "ca"}, nil)
}

// Describe implements prometheus.Collector.
func (collector) Describe(descs chan<- *prometheus.Desc) {
	descs <- fetchesDesc()
	descs <- keysDesc()
	descs <- lastSuccessDesc()
}

// Collect implements prometheus.Collector.
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	for _, set := range c.registry.all() {
		state := set.State()
		labels := []string{Name(set.source), authority(set.source.RootCAs)}
		last := 0.0
		if !state.Fetched.IsZero() {
			last = float64(state.Fetched.Unix())
		}
		for _, m := range []struct {
			desc  *prometheus.Desc
			kind  prometheus.ValueType
			value float64
			more  []string
		}{
			{fetchesDesc(), prometheus.CounterValue, float64(set.fetches.Load()), []string{"success"}},
			{fetchesDesc(), prometheus.CounterValue, float64(set.failures.Load()), []string{"failure"}},
			{keysDesc(), prometheus.GaugeValue, float64(state.Keys), nil},
			{lastSuccessDesc(), prometheus.GaugeValue, last, nil},
		} {
			metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value, append(labels[:2:2], m.more...)...)
		}
	}
}
