// Package proxy runs requests through their Pipelines: it turns what an HTTP engine parsed into a head.Head, has the
// gate decide, and does what the gate says. Refusals become responses in one place, refusals.go, and so do metrics and
// the access log.
//
//	net/http ── Handler ── screen: refuse what is malformed, drop what belongs to one connection
//	               │   └── Live.Load, once per request → Program → gate.Decide → gate.Verdict
//	               ├── refuse     refusals.go: status, challenge, problem details, gRPC status
//	               ├── redirect   308 to https
//	               ├── terminate  the Pipeline's own answer
//	               └── forward    forward.go, upgrade.go: by the Verdict's Pass alone
package proxy
