// Package jwt is the token policy: from a request head to who the caller is, or a typed refusal.
//
//	head ── find one token ── take it apart ── credential ── key ── signature ── claims ── Allowed ── Authorize
//	        token_missing     token_malformed  credential_*  key_unknown         token_expired        scope_missing
//	        token_ambiguous   algorithm_not_   consumer_*    signature_invalid   audience_mismatch
//	        token_too_large   allowed                                            ...
//
// Nothing in a token decides how the token is judged. The policy says where a token may be and which claim names the
// credential; the credential says which keys, algorithms, issuer and audiences there are. Claims can't be read before a
// signature was verified, since internal/token does not give them out, and a request can't be forwarded without an
// Allowed, which Authenticate alone makes.
package jwt
