package gate

import (
	"net/http"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestAbsentHeaderMatchesNothing, not even an expression that takes the empty text.
func TestAbsentHeaderMatchesNothing(t *testing.T) {
	p := pipeline("header", "/")
	p.Matches[0].Headers = []routing.HeaderMatch{{Name: "X-Tenant", Type: routing.HeaderRegularExpression, Value: ".*"}}
	g := newGate(t, p)
	if v := decide(t.Context(), g, get("/"), time.Time{}); v.Outcome != Refuse || v.Refusal.Reason != refusal.NoRoute {
		t.Errorf("without the field: %+v", v)
	}
	r := get("/")
	r.header = http.Header{"X-Tenant": {""}}
	if v := decide(t.Context(), g, r, time.Time{}); v.Outcome != Forward {
		t.Errorf("with the field empty: %+v", v)
	}
}
