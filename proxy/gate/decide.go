package gate

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/trace"
)

// Decide says what becomes of a request, and edits its head into what an upstream may see: the canonical path, no
// token unless the policy preserves it, and no identity but the one that was established. now is the time that tokens
// are judged by; ctx ends what the decision waits for.
func (g *Gate) Decide(ctx context.Context, h head.Head, now time.Time) Verdict {
	return g.decide(ctx, h, now, nil)
}

// decide notes in t, which is nil where requests are served, what it finds.
func (g *Gate) decide(ctx context.Context, h head.Head, now time.Time, t *trace.Trace) Verdict {
	g.identity.remove(h)
	host, err := routing.CanonicalHost(h.Authority())
	if err != nil {
		t.Add(trace.Fail, "host: is none")
		return refuse(refusal.RequestMalformed)
	}
	path, err := routing.ParsePath(h.Path())
	if err != nil {
		explainPath(t, err)
		v := refuse(pathReason(err))
		v.Host = host
		return v
	}
	v := Verdict{Host: host, Path: path.Forward}
	if h.Scheme() == "https" && g.table.Misdirected(h.ServerName(), host) {
		v.Refusal.Reason = refusal.Misdirected
		t.Add(trace.Fail, "host: is not one of the certificate that the TLS handshake asked for")
		return v
	}
	request := routing.Request{Host: host, Path: path.Match, Method: h.Method(), Fields: h}
	g.explainMatch(t, &request)
	switch result := g.table.Match(&request); {
	case result.Status == routing.Found && result.Route != nil:
		v.pipeline = result.Route.Pipeline + 1
		v.Endpoint = result.Route.Match.Endpoint
		h.SetPath(path.Forward)
		g.steps[result.Route.Pipeline].decide(ctx, &v, h, result.Route.Match, now, t)
	case result.Status == routing.MethodNotAllowed:
		v.Refusal = Refusal{Reason: refusal.MethodNotAllowed, Allow: result.Allow}
	default:
		v.Refusal.Reason = refusal.NoRoute
	}
	return v
}

// decide runs the steps of the Pipeline that takes the request. v refuses until the last line says otherwise.
func (s *steps) decide(ctx context.Context, v *Verdict, h head.Head, match *routing.Match, now time.Time, t *trace.Trace) {
	v.reserved = s.reserved
	s.reserved.remove(h)
	if !s.ready {
		s.explainBroken(t)
		v.Refusal.Reason = refusal.PipelineNotReady
		return
	}
	if h.Scheme() != "https" {
		switch s.pipeline.Insecure {
		case routing.InsecureServe:
		case routing.InsecureRedirect:
			t.Add(trace.Note, "clear text: redirected to https, before any policy")
			v.Outcome = Redirect
			return
		default:
			t.Add(trace.Fail, "clear text: the Pipeline takes https alone")
			v.Refusal.Reason = refusal.InsecureTransport
			return
		}
	}
	switch {
	case s.policy != nil:
		if !s.admit(ctx, v, h, match, now, t) {
			return
		}
	case len(match.Scopes) > 0: // scopes without a policy that could tell the caller's
		t.Add(trace.Fail, "scopes: there is no token policy that could tell the caller's")
		v.Refusal.Reason = refusal.PipelineNotReady
		return
	}
	s.explainEnd(t)
	if s.upstream == nil {
		v.Outcome, v.Answer = Terminate, s.pipeline.Terminate
		return
	}
	v.Outcome, v.Pass = Forward, Pass{to: s.upstream, host: s.pipeline.Proxy.Host}
}

// admit asks the token policy and the ACLs about the caller, and tells the upstream who it is. Where it reports false, v
// says why the request is refused.
func (s *steps) admit(ctx context.Context, v *Verdict, h head.Head, match *routing.Match, now time.Time, t *trace.Trace) bool {
	allowed, refused := s.authenticate(ctx, h, now, t)
	if refused == nil {
		v.Caller = allowed.Identity()
		refused = s.policy.Authorize(allowed, match.Scopes)
		s.explainScopes(t, match, refused)
	}
	for i := 0; refused == nil && i < len(s.acls); i++ {
		refused = s.acls[i].judge(allowed)
		s.explainACL(t, i, refused)
	}
	if refused != nil {
		v.Refusal = Refusal{
			Reason:           refused.Reason,
			Realm:            s.pipeline.JWT.Realm,
			Scopes:           refused.Scopes,
			Message:          refused.Message,
			Detail:           s.pipeline.JWT.Detail,
			Body:             s.pipeline.JWT.Body,
			ResourceMetadata: s.pipeline.JWT.ResourceMetadata,
		}
		if s.pipeline.JWT.Enforcement != routing.EnforcementDryRun || !sparable(refused.Reason) {
			return false
		}
		v.DryRun = true
		t.Add(trace.Pass, "enforcement is DryRun: %s is counted, and the request goes on as anonymous", refused.Reason)
	}
	if !v.DryRun {
		v.Lease = allowed.Lease()
	}
	s.policy.StripToken(h)
	switch {
	case v.DryRun, allowed.Anonymous():
		setAnonymous(h)
		return true // nor are claims told of someone whom nobody knows
	case v.Caller.Consumer == nil:
		// A token of an identity provider that stands for no Consumer: there is nobody to tell the upstream about.
	case !setIdentity(h, &v.Caller):
		v.Refusal.Reason = refusal.Internal
		return false
	}
	s.policy.SetClaims(h, allowed)
	return true
}

// sparable says whether a refusal is about the caller alone, so that a dry run may let its request go on. What is
// ambiguous or too large to be read is not, since the upstream could read it in another way, nor is a fault of ours.
func sparable(reason refusal.Reason) bool {
	switch reason.Status() {
	case http.StatusUnauthorized, http.StatusForbidden:
		return true
	default:
		return reason == refusal.TokenTooLarge || reason == refusal.KeysUnavailable
	}
}

func refuse(reason refusal.Reason) Verdict { return Verdict{Refusal: Refusal{Reason: reason}} }

func pathReason(err error) refusal.Reason {
	switch {
	case errors.Is(err, routing.ErrPathAmbiguous):
		return refusal.PathAmbiguous
	case errors.Is(err, routing.ErrTargetTooLarge):
		return refusal.TargetTooLarge
	default:
		return refusal.RequestMalformed
	}
}
