// Package upstream forwards requests to backends. It owns what survives when the routing table is replaced: connection
// pools, in-flight counts and passive health, keyed by what they belong to, never by the table that uses them.
//
//	Registry ── Upstream (one per ServiceEndpoint, immutable; replaced by Apply)
//	   │            └─ target (one per backend or URL, weighted)
//	   │                  ├─ transport: what connections have in common; kept while its settings stay the same
//	   │                  │     └─ link (one per endpoint): idle connections
//	   └──────────────────┴─ pool: endpoints of a Service port; SetEndpoints replaces the list, not the endpoints
//
// HTTP/1.1 is spoken on connections of this package's own. Connect lends them to an engine that reads and writes them
// itself; RoundTrip, for requests that are not on such an engine, does it here. HTTP/2 is net/http's.
//
// The package judges no request: it takes what the decision code let through.
package upstream
