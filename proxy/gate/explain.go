package gate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/jwt"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/trace"
)

// Explain is Decide for people: it decides the same by the same code, and notes in t what it finds.
func (g *Gate) Explain(ctx context.Context, h head.Head, now time.Time, t *trace.Trace) Verdict {
	var v Verdict
	g.decide(ctx, h, now, &v, t)
	return v
}

// maxCandidates bounds how many matches that came close are listed.
const maxCandidates = 20

func explainPath(t *trace.Trace, err error) {
	switch {
	case t == nil:
	case errors.Is(err, routing.ErrPathAmbiguous):
		t.Add(trace.Fail, "path: could mean another path to an upstream")
	case errors.Is(err, routing.ErrTargetTooLarge):
		t.Add(trace.Fail, "path: longer than %d bytes", routing.MaxTargetBytes)
	default:
		t.Add(trace.Fail, "path: is none")
	}
}

// explainMatch tells which match takes the request and why others don't: those of its path each, the rest in numbers.
func (g *Gate) explainMatch(t *trace.Trace, r *routing.Request) {
	if t != nil {
		g.tellMatch(t, r)
	}
}

func (g *Gate) tellMatch(t *trace.Trace, r *routing.Request) {
	var near []routing.Candidate
	var otherHosts, lessHosts, otherPaths int
	found := "none for this host"
	mark := trace.Fail
	for _, c := range g.table.Explain(r) {
		switch c.Fit {
		case routing.FitTaken:
			mark = trace.Pass
			found = g.candidate(c)
		case routing.FitHost:
			otherHosts++
		case routing.FitHostLess:
			lessHosts++
		case routing.FitPath:
			otherPaths++
		default:
			near = append(near, c)
		}
	}
	switch {
	case mark == trace.Pass:
	case len(near) > 0:
		found = "none for this method and these headers"
	case otherPaths > 0:
		found = "none for this path"
	}
	t.Add(mark, "route of %s %s%s: %s", r.Method, r.Host, r.Path, found)
	t.Within(func() {
		for i, c := range near {
			if i == maxCandidates {
				t.Add(trace.Note, "and %d more of this path", len(near)-i)
				break
			}
			t.Add(trace.Note, "not %s: %s", g.candidate(c), misfit(c))
		}
		for _, n := range []struct {
			count int
			what  string
		}{
			{otherPaths, "for other paths of this host"},
			{lessHosts, "for a less specific host, which is not looked at once a more specific one is named"},
			{otherHosts, "for other hosts"},
		} {
			if n.count > 0 {
				t.Add(trace.Note, "%d %s", n.count, n.what)
			}
		}
	})
}

// misfit is why a match of the path does not take the request.
func misfit(c routing.Candidate) string {
	switch c.Fit {
	case routing.FitMethod:
		return "it takes " + strings.Join(c.Match.Methods, ", ")
	case routing.FitHeaders:
		names := make([]string, len(c.Match.Headers))
		for i := range c.Match.Headers {
			names[i] = c.Match.Headers[i].Name
		}
		return "its headers don't all match: " + strings.Join(names, ", ")
	default:
		return "a more specific or older match comes first"
	}
}

// candidate names a match.
func (g *Gate) candidate(c routing.Candidate) string {
	kinds := map[routing.PathMatchType]string{
		routing.PathExact: "Exact", routing.PathRegularExpression: "RegularExpression", routing.PathPrefix: "PathPrefix",
	}
	host := c.Match.Host
	if host == "" {
		host = "any host"
	}
	return fmt.Sprintf("apiEndpoint %s of Pipeline %s (%s, %s %s)",
		c.Match.Endpoint, joined(g.table.Pipeline(c.Pipeline).Key), host, kinds[c.Match.Path.Type], c.Match.Path.Value)
}

func (s *steps) explainBroken(t *trace.Trace) {
	if t == nil {
		return
	}
	if s.pipeline == nil || s.pipeline.Broken == "" {
		t.Add(trace.Fail, "the Pipeline can't be built")
		return
	}
	t.Add(trace.Fail, "the Pipeline's protection can't be compiled: %s", s.pipeline.Broken)
}

// authenticate asks the token policy.
func (s *steps) authenticate(ctx context.Context, h head.Head, now time.Time, a *jwt.Allowed, t *trace.Trace) *jwt.Refused {
	if t == nil {
		return s.policy.Admit(ctx, h, now, a)
	}
	return s.explainAuthenticate(ctx, h, now, a, t)
}

func (s *steps) explainAuthenticate(ctx context.Context, h head.Head, now time.Time, a *jwt.Allowed, t *trace.Trace) (refused *jwt.Refused) {
	t.Add(trace.Note, "token policy")
	t.Within(func() { *a, refused = s.policy.Explain(ctx, h, now, t) })
	return refused
}

func (s *steps) explainScopes(t *trace.Trace, match *routing.Match, refused *jwt.Refused) {
	if t != nil {
		s.tellScopes(t, match, refused)
	}
}

func (s *steps) tellScopes(t *trace.Trace, match *routing.Match, refused *jwt.Refused) {
	needed := len(s.pipeline.JWT.RequiredScopes) + len(match.Scopes)
	switch {
	case refused == nil && needed == 0:
		t.Add(trace.Pass, "scopes: none asked for")
	case refused == nil:
		t.Add(trace.Pass, "scopes: the caller has those that are asked for")
	case refused.Reason == refusal.TokenMissing:
		t.Add(trace.Fail, "scopes: asked for, and an anonymous caller has none")
	default:
		t.Add(trace.Fail, "scopes: the caller's effective scopes lack some of %q", refused.Scopes)
	}
}

func (s *steps) explainACL(t *trace.Trace, i int, refused *jwt.Refused) {
	if t != nil {
		s.tellACL(t, i, refused)
	}
}

func (s *steps) tellACL(t *trace.Trace, i int, refused *jwt.Refused) {
	cfg := s.pipeline.ACLs[i]
	switch {
	case refused == nil:
		t.Add(trace.Pass, "ACL %d: lets the caller's groups through", i+1)
	case refused.Reason == refusal.TokenMissing:
		t.Add(trace.Fail, "ACL %d: an anonymous caller is in no group", i+1)
	default:
		t.Add(trace.Fail, "ACL %d: the Consumer's groups are not let through (allowGroups %q, denyGroups %q)", i+1, cfg.AllowGroups, cfg.DenyGroups)
	}
}

func (s *steps) explainEnd(t *trace.Trace) {
	if t != nil {
		s.tellEnd(t)
	}
}

func (s *steps) tellEnd(t *trace.Trace) {
	if s.upstream == nil {
		t.Add(trace.Pass, "answered by the Pipeline itself")
		return
	}
	t.Add(trace.Pass, "forwarded to ServiceEndpoint %s", joined(s.upstream.Key()))
}

func joined(key routing.ObjectKey) string { return key.Namespace + "/" + key.Name }
