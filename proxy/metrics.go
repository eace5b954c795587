package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Metrics of the data plane. Labels are bounded: Pipelines, upstreams, code classes and reasons; never a path, a host
// or a consumer. Requests that no Pipeline took have empty Pipeline labels.
type Metrics struct {
	requests       *prometheus.CounterVec
	refusals       *prometheus.CounterVec
	dryRunRefusals *prometheus.CounterVec
	duration       *prometheus.HistogramVec
	upstreamErrors *prometheus.CounterVec
	inFlight       prometheus.Gauge
	tunnels        prometheus.Gauge
	panics         prometheus.Counter

	// none counts for requests that no Pipeline took.
	none *pipelineMetrics
}

// codeClasses are 1xx to 5xx.
const codeClasses = 5

// pipelineMetrics are one Pipeline's, resolved once instead of at each request.
type pipelineMetrics struct {
	key      routing.ObjectKey
	requests [codeClasses]prometheus.Counter
	duration prometheus.Observer
}

// newMetrics makes the metrics and registers them, where there is something to register them with.
func newMetrics(registerer prometheus.Registerer) *Metrics {
	pipeline := []string{"namespace", "pipeline"}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ostiary_requests_total",
			Help: "Requests by Pipeline and class of the status code; those that gRPC clients see as 200 count as what they mean.",
		}, append(pipeline[:2:2], "code")),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ostiary_refusals_total",
			Help: "Requests that were refused, by Pipeline and reason.",
		}, append(pipeline[:2:2], "reason")),
		dryRunRefusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ostiary_dry_run_refusals_total",
			Help: "Requests that went on as anonymous and would have been refused, by Pipeline and reason.",
		}, append(pipeline[:2:2], "reason")),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "ostiary_request_duration_seconds",
			Help:    "Time from the request's head to the end of its response; tunnels are left out.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, pipeline),
		upstreamErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ostiary_upstream_errors_total",
			Help: "Requests that an upstream failed, by ServiceEndpoint and reason; response_cut is a body that ended early.",
		}, []string{"namespace", "serviceendpoint", "reason"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ostiary_requests_in_flight",
			Help: "Requests being served, tunnels included.",
		}),
		tunnels: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ostiary_tunnels",
			Help: "Connections that switched to another protocol, such as WebSocket.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ostiary_panics_total",
			Help: "Requests that ended in a fault of the program.",
		}),
	}
	if registerer != nil {
		registerer.MustRegister(m.requests, m.refusals, m.dryRunRefusals, m.duration, m.upstreamErrors, m.inFlight, m.tunnels, m.panics)
	}
	m.none = m.of(routing.ObjectKey{})
	return m
}

func (m *Metrics) of(key routing.ObjectKey) *pipelineMetrics {
	p := &pipelineMetrics{key: key, duration: m.duration.WithLabelValues(key.Namespace, key.Name)}
	for i, class := range [codeClasses]string{"1xx", "2xx", "3xx", "4xx", "5xx"} {
		p.requests[i] = m.requests.WithLabelValues(key.Namespace, key.Name, class)
	}
	return p
}

// resolve gives a Program the metrics of its Pipelines.
func (m *Metrics) resolve(p *Program) {
	if m == nil || p == nil {
		return
	}
	p.metrics = make([]*pipelineMetrics, len(p.pipelines))
	for i, key := range p.pipelines {
		p.metrics[i] = m.of(key)
	}
}

// forget drops the series of Pipelines that old had and now has not.
func (m *Metrics) forget(old, now *Program) {
	if m == nil || old == nil || now == nil {
		return
	}
	kept := make(map[routing.ObjectKey]struct{}, len(now.pipelines))
	for _, key := range now.pipelines {
		kept[key] = struct{}{}
	}
	for _, key := range old.pipelines {
		if _, ok := kept[key]; ok {
			continue
		}
		labels := prometheus.Labels{"namespace": key.Namespace, "pipeline": key.Name}
		m.requests.DeletePartialMatch(labels)
		m.refusals.DeletePartialMatch(labels)
		m.dryRunRefusals.DeletePartialMatch(labels)
		m.duration.DeletePartialMatch(labels)
	}
}

// pipeline returns the metrics of the Pipeline with that index; there may be none.
func (m *Metrics) pipeline(p *Program, index int) *pipelineMetrics {
	if p == nil || index < 0 || index >= len(p.metrics) {
		return m.none
	}
	return p.metrics[index]
}

// served counts one request.
func (m *Metrics) served(p *pipelineMetrics, status int, took time.Duration) {
	p.requests[min(max(status/100, 1), codeClasses)-1].Inc()
	p.duration.Observe(took.Seconds())
}

// refused counts one refusal.
func (m *Metrics) refused(p *pipelineMetrics, reason refusal.Reason) {
	m.refusals.WithLabelValues(p.key.Namespace, p.key.Name, reason.String()).Inc()
}

// spared counts one refusal that was not enforced.
func (m *Metrics) spared(p *pipelineMetrics, reason refusal.Reason) {
	m.dryRunRefusals.WithLabelValues(p.key.Namespace, p.key.Name, reason.String()).Inc()
}

// failed counts one failure of an upstream.
func (m *Metrics) failed(key routing.ObjectKey, reason string) {
	m.upstreamErrors.WithLabelValues(key.Namespace, key.Name, reason).Inc()
}
