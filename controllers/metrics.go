package controllers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
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
