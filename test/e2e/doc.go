// Package e2e tests Ostiary as people run it: installed by its Helm chart into a real cluster (test/bed), configured with
// kubectl, called through its load balancer.
//
// The tests share one cluster and run side by side. Each has a namespace and host names of its own, and an upstream in
// the test process that remembers what reached it.
package e2e
