// Package compile turns the objects of a cluster (or of a directory) into what the proxy serves, and says per object
// what was made of it.
//
//	Snapshot ──Compile──> routing.Config   what the proxy serves
//	              │
//	              └─────> Report           per object: conditions, and whether it is served, broken or absent
//
//	CredentialInput ──Credential──> *keyring.Entry, Verdict     one JWTCredential at a time
//	Service, EndpointSlices ──Endpoints──> addresses per port   one Service at a time
//
// Everything here is a pure, total and deterministic function of its arguments: no context, client, clock, logger or
// environment, the order of the input is irrelevant, and no input object is changed. What a user got wrong is a verdict
// on the object with the field at fault, never an error.
//
// Compile works in this order:
//
//	class       which Pipelines are ours
//	draft       each Pipeline and ServiceEndpoint alone: matches, policies, upstreams
//	ownership   which namespace a host belongs to
//	conflicts   per match, between Pipelines: the older one wins
//	shadow      matches that can never win
//	tls         which certificate answers for which host
//	report      conditions with stable messages
//
// What can't be compiled closes: a Pipeline whose protection is in doubt keeps its matches and is marked Broken, so that
// its requests are answered 503 and never fall through to a broader, public Pipeline.
package compile
