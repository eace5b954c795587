package upstream

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ostiary/ostiary/proxy/routing"
)

// metrics of all upstreams. Labels are bounded by the number of ServiceEndpoints.
type metrics struct {
	connectFailures *prometheus.CounterVec
	retries         *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	labels := []string{"namespace", "serviceendpoint"}
	m := &metrics{
		connectFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ostiary_upstream_connect_failures_total",
			Help: "Connections to endpoints that could not be made, TLS handshakes included.",
		}, labels),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ostiary_upstream_retries_total",
			Help: "Requests that were tried again: on another endpoint where one could not be connected to, or on a new connection where an idle one had ended.",
		}, labels),
	}
	if registerer != nil {
		registerer.MustRegister(m.connectFailures, m.retries)
	}
	return m
}

func (m *metrics) of(key routing.ObjectKey) upstreamMetrics {
	return upstreamMetrics{
		connectFailures: m.connectFailures.WithLabelValues(key.Namespace, key.Name),
		retries:         m.retries.WithLabelValues(key.Namespace, key.Name),
	}
}

// forget drops the series of an upstream that is no more.
func (m *metrics) forget(key routing.ObjectKey) {
	m.connectFailures.DeleteLabelValues(key.Namespace, key.Name)
	m.retries.DeleteLabelValues(key.Namespace, key.Name)
}

type upstreamMetrics struct {
	connectFailures prometheus.Counter
	retries         prometheus.Counter
}
