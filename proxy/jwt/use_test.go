package jwt

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/trace"
)

// TestUseIsNotedOfTheKeyThatLetsATokenThrough: a key that verifies what is refused anyway could be taken away unnoticed.
func TestUseIsNotedOfTheKeyThatLetsATokenThrough(t *testing.T) {
	w := newWorld(t)
	old := func(header, payload map[string]any) head.Head {
		return bearer(mint(t, "RS256", w.old, header, claims(payload)))
	}
	tests := map[string]struct {
		head    head.Head
		explain bool
		want    []string
	}{
		"named by the token":                 {head: old(map[string]any{"kid": "old"}, nil), want: []string{"old"}},
		"found among all":                    {head: old(nil, nil), want: []string{"old"}},
		"another key's name":                 {head: old(map[string]any{"kid": "new"}, nil)},
		"an expired token":                   {head: old(nil, map[string]any{"exp": now().Unix() - 300})},
		"a token for someone else":           {head: old(nil, map[string]any{"aud": "billing"})},
		"a token that is only talked about":  {head: old(nil, nil), explain: true},
		"a credential that does not know it": {head: old(nil, map[string]any{"sub": "bob"})},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			entry := w.acme
			entry.Keys = keyring.Keys(w.acme.Keys[0].Key, w.acme.Keys[1].Key)
			entry.NoteUses(nil)
			w.ring.Set(&entry)
			p := w.policy(t, nil)
			if tc.explain {
				var tr trace.Trace
				p.Explain(t.Context(), tc.head, now(), &tr)
			} else {
				p.Authenticate(t.Context(), tc.head, now())
			}
			var used []string
			for _, key := range entry.Keys {
				if last := key.Use().Last(); !last.IsZero() {
					used = append(used, key.KID())
					if !last.Equal(now().Truncate(time.Minute)) {
						t.Errorf("last used at %s", last)
					}
				}
			}
			if diff := cmp.Diff(tc.want, used); diff != "" {
				t.Errorf("used keys (-want +got):\n%s", diff)
			}
		})
	}
}
