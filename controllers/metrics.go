package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/ostiary/ostiary/internal/compile"
)

// Gatherer returns the metrics of the controllers' machinery (controller_runtime_*, workqueue_*, rest_client_* and
// leader_election_*), to be shown beside those of the process's own registry. Metrics of the Go runtime and the process
// are left out, since that registry has them.
func Gatherer() prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		families, err := ctrlmetrics.Registry.Gather()
		if err != nil {
			return nil, fmt.Errorf("gather the controllers' metrics: %w", err)
		}
		return slices.DeleteFunc(families, func(family *dto.MetricFamily) bool {
			return strings.HasPrefix(family.GetName(), "go_") || strings.HasPrefix(family.GetName(), "process_")
		}), nil
	})
}

// credentialMetrics tell of credentials as this replica judges them.
type credentialMetrics struct {
	reports  *reports
	now      func() time.Time
	lastGood *prometheus.Desc
}

func newCredentialMetrics(all *reports, now func() time.Time) *credentialMetrics {
	return &credentialMetrics{reports: all, now: now, lastGood: prometheus.NewDesc(
		"ostiary_credentials_serving_last_good",
		"JWTCredentials with a Secret that holds no usable key any more, whose keys of before still verify tokens (Degraded, ServingLastGood).",
		nil, nil,
	)}
}

// Describe implements prometheus.Collector.
func (m *credentialMetrics) Describe(descs chan<- *prometheus.Desc) { descs <- m.lastGood }

// Collect implements prometheus.Collector.
func (m *credentialMetrics) Collect(metrics chan<- prometheus.Metric) {
	now, lastGood := m.now(), 0
	for _, verdict := range m.reports.verdicts(kindJWTCredential) {
		view := keyView{verdict: verdict, now: now}
		if verdict.Serving == compile.ServingAll && len(view.servingLastGood()) > 0 {
			lastGood++
		}
	}
	metrics <- prometheus.MustNewConstMetric(m.lastGood, prometheus.GaugeValue, float64(lastGood))
}
