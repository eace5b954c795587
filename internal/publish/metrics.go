package publish

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	published    *prometheus.CounterVec
	duration     prometheus.Histogram
	generation   prometheus.Gauge
	lastGood     prometheus.Gauge
	failingSince prometheus.Gauge
	pipelines    prometheus.Gauge
	broken       prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		published: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ostiary_config_publish_total", Help: "Configurations that were to be made live, by result (success, failure).",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ostiary_config_publish_duration_seconds", Help: "Time to build a configuration and make it live.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}),
		generation: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ostiary_config_generation", Help: "Number of configurations made live since the start.",
		}),
		lastGood: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ostiary_config_last_success_timestamp_seconds", Help: "When the live configuration was published; 0 before the first.",
		}),
		failingSince: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ostiary_config_failing_since_timestamp_seconds", Help: "Since when publishing fails and the last good configuration serves; 0 while it works.",
		}),
		pipelines: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ostiary_config_pipelines", Help: "Pipelines of the live configuration.",
		}),
		broken: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ostiary_config_pipelines_unbuildable", Help: "Pipelines of the live configuration that could not be built and answer 503.",
		}),
	}
	for _, result := range []string{"success", "failure"} {
		m.published.WithLabelValues(result)
	}
	if registerer != nil {
		registerer.MustRegister(m.published, m.duration, m.generation, m.lastGood, m.failingSince, m.pipelines, m.broken)
	}
	return m
}

func (m *metrics) succeeded(s Status, took time.Duration) {
	m.published.WithLabelValues("success").Inc()
	m.duration.Observe(took.Seconds())
	m.generation.Set(float64(s.Generation))
	m.lastGood.Set(seconds(s.LastGood))
	m.failingSince.Set(0)
	m.pipelines.Set(float64(s.Pipelines))
	m.broken.Set(float64(len(s.Problems)))
}

func (m *metrics) failed(since time.Time) {
	m.published.WithLabelValues("failure").Inc()
	m.failingSince.Set(seconds(since))
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
