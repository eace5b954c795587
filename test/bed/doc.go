//go:build linux

// Package bed runs a small real cluster for tests and for trying things out: no
// container runtime, no images, no way out of the machine.
//
//	one network, mount and process namespace (EnterNamespace)
//	.--------------------------------------------------------------------.
//	| etcd <- kube-apiserver 10.244.0.1:6443 <- kube-controller-manager   |
//	|             ^        ^                                              |
//	|          podlet   service proxy 10.245.0.0/24 (load balancers),     |
//	|             |                   10.96.0.0/16 (cluster addresses)    |
//	|   bridge cni0 10.244.0.1/16                                         |
//	|     |                |                                              |
//	|   pod 10.244.0.10  pod 10.244.0.11 ...  own network, mount, process |
//	|                                         namespace and root folder   |
//	'--------------------------------------------------------------------'
//
// The control plane is the real one, built by hack/kubebed: RBAC, admission,
// Deployments, EndpointSlices, garbage collection and so on are not imitated.
// Three parts of a cluster are stood in for:
//
//   - the kubelet, by the podlet: every Pod is a process of this machine. An image
//     is a static binary that Options.Images names. Probes, restarts, preStop
//     hooks, the termination grace period, volumes and service account tokens
//     behave as the kubelet's do; only the first container of a Pod runs;
//   - the scheduler: every Pod is bound to the one Node at once;
//   - kube-proxy and the cloud's load balancer, by a TCP forwarder: the addresses
//     of Services answer, but backends do not see the client's address.
//
// There is no cluster DNS.
package bed
