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

// Decide says in v what becomes of a request, and edits its head into what an upstream may see: the canonical path, no
// token unless the policy preserves it, and no identity but the one that was established. now is the time that tokens are
// judged by; ctx ends what the decision waits for. Whatever was in v is overwritten.
func (g *Gate) Decide(ctx context.Context, h head.Head, now time.Time, v *Verdict) {
	g.decide(ctx, h, now, v, nil)
}

// decide notes in t, which is nil where requests are served, what it finds.
func (g *Gate) decide(ctx context.Context, h head.Head, now time.Time, v *Verdict, t *trace.Trace) {
	*v = Verdict{} // refuses until the last line says otherwise
	h.DeleteIdentity()
	host, err := routing.CanonicalHost(h.Authority())
	if err != nil {
		t.Add(trace.Fail, "host: is none")
		v.Refusal.Reason = refusal.RequestMalformed
		return
	}
	v.Host = host
	path, err := routing.ParsePath(h.Path())
	if err != nil {
		explainPath(t, err)
		v.Refusal.Reason = pathReason(err)
		return
	}
	v.Path = path.Forward
	if h.Scheme() == schemeHTTPS && g.table.Misdirected(h.ServerName(), host) {
		v.Refusal.Reason = refusal.Misdirected
		t.Add(trace.Fail, "host: is not one of the certificate that the TLS handshake asked for")
		return
	}
	request := routing.Request{Host: host, Path: path.Match, Method: h.Method(), Fields: h}
	g.explainMatch(t, &request)
	switch result := g.table.Match(&request); {
	case result.Status == routing.Found && result.Route != nil:
		v.pipeline = result.Route.Pipeline + 1
		v.Endpoint = result.Route.Match.Endpoint
		h.SetPath(path.Forward)
		g.steps[result.Route.Pipeline].decide(ctx, v, h, result.Route.Match, now, t)
	case result.Status == routing.MethodNotAllowed:
		v.Refusal = Refusal{Reason: refusal.MethodNotAllowed, Allow: result.Allow}
	default:
		v.Refusal.Reason = refusal.NoRoute
	}
}

const schemeHTTPS = "https"

// decide runs the steps of the Pipeline that takes the request. v refuses until the last line.
func (s *steps) decide(ctx context.Context, v *Verdict, h head.Head, match *routing.Match, now time.Time, t *trace.Trace) {
	v.reserved = s.reserved
	s.reserved.remove(h)
	if !s.ready {
		s.explainBroken(t)
		v.Refusal.Reason = refusal.PipelineNotReady
		return
	}
	if h.Scheme() != schemeHTTPS {
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
	allowed := &v.allowed
	refused := s.authenticate(ctx, h, now, allowed, t)
	if refused == nil {
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
	s.policy.StripToken(h, allowed)
	if v.DryRun || allowed.Anonymous() {
		h.Set(head.HeaderAnonymous, "true")
		return true // nor are claims told of someone whom nobody knows
	}
	if !allowed.SetIdentity(h) {
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
