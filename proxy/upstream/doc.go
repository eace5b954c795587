// Package upstream forwards requests to backends. It owns what survives when the routing table is replaced: connection
// pools, in-flight counts and passive health, keyed by what they belong to, never by the table that uses them.
//
//	Registry ── Upstream (one per ServiceEndpoint, immutable; replaced by Apply)
//	   │            └─ target (one per backend or URL, weighted)
//	   │                  ├─ transport: connection pool; kept while its settings stay the same
//	   └──────────────────┴─ pool: endpoints of a Service port; SetEndpoints replaces the list, not the endpoints
//
// The package judges no request: it takes what the decision code let through.
package upstream
