package gate

import (
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// buffers are what the strings of a head are parts of.
type buffers [][]byte

func (b *buffers) alias(s string) string {
	if s == "" {
		return ""
	}
	buffer := []byte(s)
	*b = append(*b, buffer)
	return unsafe.String(&buffer[0], len(buffer))
}

// poison is the end of the request: another one's head is read into the buffer.
func (b *buffers) poison() {
	for _, buffer := range *b {
		for i := range buffer {
			buffer[i] = 0xff
		}
	}
}

// TestNothingOfTheHeadIsKept: what is decided does not depend on heads of requests that are over, nor does what outlives a
// request change with its head.
func TestNothingOfTheHeadIsKept(t *testing.T) {
	d := newDoor(t, func(cfg *routing.JWT) {
		cfg.ClaimHeaders = []routing.ClaimHeader{{Header: "X-Tenant", Claim: "/tenant"}}
		cfg.Detail = routing.DetailReason
	})
	cut := func(token string) string { return token[:strings.LastIndexByte(token, '.')+1] + "AAAA" }
	tests := map[string]struct {
		path, authorization string
		outcome             Outcome
		reason              refusal.Reason
	}{
		"a token":         {"/guarded/orders", "Bearer " + d.tokens["HS256"], Forward, 0},
		"another's token": {"/guarded/orders", "Bearer " + d.tokens["RS256"], Forward, 0},
		"a forged token":  {"/guarded/orders", "Bearer " + cut(d.tokens["HS256"]), Refuse, refusal.SignatureInvalid},
		"no token":        {"/guarded/orders", "", Refuse, refusal.TokenMissing},
		"two tokens":      {"/guarded/orders", "Bearer a, Bearer b", Refuse, refusal.TokenAmbiguous},
		"no policy":       {"/public/orders", "", Forward, 0},
		"no route":        {"/nowhere", "", Refuse, refusal.NoRoute},
		"an ill path":     {"/a%2fb", "", Refuse, refusal.PathAmbiguous},
	}
	var group sync.WaitGroup
	for range 2 {
		for name, tc := range tests {
			group.Go(func() {
				var first Verdict
				for i := range 5 {
					var b buffers
					h := &plainHead{
						method: b.alias("GET"), scheme: "http", authority: b.alias("app.test"), path: b.alias(tc.path), query: b.alias("a=b"),
						fields: []plainField{
							{b.alias("X-Consumer-ID"), b.alias("root")},
							{b.alias("x-consumer_groups"), b.alias("admins")},
							{b.alias("X-Tenant"), b.alias("other")},
							{b.alias("Accept"), b.alias("*/*")},
						},
					}
					if tc.authorization != "" {
						h.fields = append(h.fields, plainField{b.alias("Authorization"), b.alias(tc.authorization)})
					}
					v := decide(t.Context(), d.gate, h, clock())
					if v.Outcome != tc.outcome || v.Outcome == Refuse && v.Refusal.Reason != tc.reason {
						t.Errorf("%s: request %d: outcome %d, %s", name, i, v.Outcome, v.Refusal.Reason)
						return
					}
					for _, f := range h.fields {
						if f.value == "root" || f.value == "admins" || v.Outcome == Forward && f.value == "other" && v.Caller().Consumer != nil {
							t.Errorf("%s: request %d: %s: %s is left", name, i, f.name, f.value)
						}
					}
					b.poison()
					if i == 0 {
						first = v
					}
					if diff := cmp.Diff(first.Refusal, v.Refusal) + cmp.Diff(first.Caller().KeyID, v.Caller().KeyID) +
						cmp.Diff(first.Caller().Scopes, v.Caller().Scopes) + cmp.Diff(first.Endpoint, v.Endpoint); diff != "" {
						t.Errorf("%s: request %d (-first +now):\n%s", name, i, diff)
					}
					if strings.Contains(v.Caller().KeyID+strings.Join(v.Caller().Scopes, "")+v.Endpoint+v.Refusal.Message+v.Refusal.Allow, "\xff") {
						t.Errorf("%s: request %d: what is told of it was overwritten: %+v", name, i, v)
					}
				}
			})
		}
	}
	group.Wait()
}
