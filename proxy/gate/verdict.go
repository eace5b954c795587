package gate

import (
	"context"
	"errors"
	"net/http"

	"github.com/ostiary/ostiary/proxy/jwt"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// Outcome is what becomes of a request.
type Outcome uint8

const (
	// Refuse is the zero value: Verdict.Refusal says why.
	Refuse Outcome = iota
	// Redirect sends the client to https: Verdict.Host, Path and Query.
	Redirect
	// Terminate answers with Verdict.Answer.
	Terminate
	// Forward sends the request on by Verdict.Pass.
	Forward
)

// NoPipeline is the Verdict.Pipeline of a request that no Pipeline took.
const NoPipeline = -1

// Verdict is the decision about one request. The zero value refuses it with a reason that is our own fault.
type Verdict struct {
	Outcome Outcome
	// pipeline is the index into Config.Pipelines plus one, so that the zero value is none.
	pipeline int
	// Endpoint is the name of the apiEndpoint that matched, empty where none did.
	Endpoint string
	// Host and Path are the canonical host and the path as it is forwarded; empty where these could not be read.
	Host string
	Path string
	// Refusal is set with Refuse, and with any Outcome where DryRun.
	Refusal Refusal
	// DryRun says that the Refusal was not enforced: the policy only tries what it would refuse, and the request went on as
	// that of an anonymous caller.
	DryRun bool
	// Answer is set with Terminate.
	Answer *routing.Terminate
	// Pass is set with Forward.
	Pass Pass
	// allowed is what the token policy said of the caller. It is known of a request that was refused for want of a scope or
	// group as well, and of one that went on as anonymous although it was.
	allowed  jwt.Allowed
	reserved *reserved
}

// Caller is who the request was authenticated as, zero where it was not. It is known of a request that was refused for want
// of a scope or group as well, and of one that went on as anonymous although it was.
func (v *Verdict) Caller() jwt.Identity { return v.allowed.Identity() }

// Lease is what an admitted caller was let through by, for as long as the exchange lasts; zero where nothing is to be judged
// again.
func (v *Verdict) Lease() jwt.Lease {
	if v.Outcome == Refuse || v.DryRun {
		return jwt.Lease{}
	}
	return v.allowed.Lease()
}

// Reserved says whether a field name is one that only the Pipelines of the namespace may set towards upstreams, in any
// spelling that a backend may take for it.
func (v *Verdict) Reserved(name string) bool { return v.reserved.has(name) }

// Pipeline is the index of the Pipeline that took the request, or NoPipeline.
func (v *Verdict) Pipeline() int { return v.pipeline - 1 }

// Refusal is everything a response to a refused request may say. What it does say is decided where it is rendered.
type Refusal struct {
	Reason refusal.Reason
	// Allow is the value of the Allow field of a 405 response (RFC 9110 section 10.2.1).
	Allow string
	// Realm is set where a token policy refused: the response carries a Bearer challenge (RFC 6750 section 3).
	Realm string
	// Scopes that the token should have had, with refusal.ScopeMissing.
	Scopes []string
	// Message is what the configuration says of the reason, printable ASCII for logs and, with routing.DetailReason, for
	// the client.
	Message string
	// ResourceMetadata is a URL for the challenge (RFC 9728 section 5.1), empty for none.
	ResourceMetadata string
	// Body is the content of the response.
	Body routing.ErrorBody
	// Detail says how much the client is told.
	Detail routing.Detail
}

// Pass is the permission to forward one request. Its zero value permits nothing.
type Pass struct {
	to   *upstream.Upstream
	host routing.HostPolicy
}

var errNoPass = errors.New("the request was not let through")

// RoundTrip sends the request to the upstream that it was let through to; see upstream.Upstream.RoundTrip.
func (p Pass) RoundTrip(req *http.Request) (resp *http.Response, endpoint string, err error) {
	if p.to == nil {
		return nil, "", &upstream.Error{Reason: refusal.Internal, Err: errNoPass}
	}
	return p.to.RoundTrip(req)
}

// Direct reports whether Idle, Connect, Renew and Again may be used: the upstream speaks HTTP/1.1 in clear text.
func (p Pass) Direct() bool { return p.to != nil && p.to.Direct() }

// Idle returns an idle connection to the upstream, nil where there is none; see upstream.Upstream.Idle.
func (p Pass) Idle(a *upstream.Attempt) *upstream.Conn {
	if p.to == nil {
		return nil
	}
	return p.to.Idle(a)
}

// Connect returns a connection to the upstream that the request was let through to; see upstream.Upstream.Connect.
func (p Pass) Connect(ctx context.Context, a *upstream.Attempt) (*upstream.Conn, error) {
	if p.to == nil {
		return nil, &upstream.Error{Reason: refusal.Internal, Err: errNoPass}
	}
	return p.to.Connect(ctx, a)
}

// Renew returns another connection in place of one that was not idle any more; see upstream.Upstream.Renew.
func (p Pass) Renew(ctx context.Context, a *upstream.Attempt) (*upstream.Conn, error) {
	if p.to == nil {
		return nil, &upstream.Error{Reason: refusal.Internal, Err: errNoPass}
	}
	return p.to.Renew(ctx, a)
}

// Again returns another connection; see upstream.Upstream.Again.
func (p Pass) Again(ctx context.Context, a *upstream.Attempt) (*upstream.Conn, error) {
	if p.to == nil {
		return nil, &upstream.Error{Reason: refusal.Internal, Err: errNoPass}
	}
	return p.to.Again(ctx, a)
}

// Host says which Host the upstream sees.
func (p Pass) Host() routing.HostPolicy { return p.host }

// Upstream identifies the upstream; the zero Pass has none.
func (p Pass) Upstream() routing.ObjectKey {
	if p.to == nil {
		return routing.ObjectKey{}
	}
	return p.to.Key()
}
