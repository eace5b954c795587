// Package controllers is the Kubernetes shell around the pure core: it watches, builds Snapshots, publishes what
// compile makes of them and writes status.
//
//	                 every replica                                        leader only
//	Pipelines ...  -> compileReconciler ----> publish.Publisher
//	                     one key, 100 ms      '--> reports ---.
//	JWTCredentials -> credentialReconciler -> keyring         |--> statusReconciler[T], one per kind
//	                     per object           '--> reports ---'       ^
//	EndpointSlices -> endpointReconciler ---> upstream registry       |
//	                                                                  |
//	progress (what is live here) --> a Lease per replica --> fleet (what is live everywhere) --> Programmed
//
// Leader election gates status alone: a replica without the leader's Lease compiles and serves like any other, and one
// that loses it goes on serving. The API server may be away for any time: what is live stays live and ready.
//
// Secrets are watched by their metadata only; the data of those that something refers to is read from the API server
// when their resourceVersion changes (secretStore), so that neither memory nor a heap dump holds the cluster's Secrets.
package controllers
