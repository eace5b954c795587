//go:build !race

package jwks

import (
	"testing"
	"testing/synctest"
)

func TestKnownKeyAllocatesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		s := start(t, p, p.direct())
		ctx := t.Context()
		if allocs := testing.AllocsPerRun(1000, func() {
			if key, err := s.Key(ctx, "a"); key == nil || err != nil {
				t.Error(err)
			}
		}); allocs != 0 {
			t.Errorf("%v allocations, want 0", allocs)
		}
	})
}
