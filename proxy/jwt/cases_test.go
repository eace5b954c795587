package jwt

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/internal/jwtcases"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
)

// TestJWTCases runs the catalogue's tokens and those of the file that OSTIARY_JWT_CASES names, one subtest each.
func TestJWTCases(t *testing.T) {
	for _, path := range jwtcases.Paths(filepath.Join("testdata", "jwt-cases.json")) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			file, err := jwtcases.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range file.Cases {
				t.Run(c.ID, func(t *testing.T) { runCase(t, &file, &c) })
			}
		})
	}
}

func runCase(t *testing.T, file *jwtcases.File, c *jwtcases.Case) {
	t.Helper()
	cfg, err := c.Policy("shop")
	if err != nil {
		t.Fatal(err)
	}
	ring := keyring.New()
	if err := file.Enrol(ring, "shop", c); err != nil {
		t.Fatal(err)
	}
	policy, err := NewPolicy(cfg, Deps{Keyring: ring, Cache: NewCache(CacheOptions{Bytes: 1})})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // when the token was seen before, too
		judgeCase(t, policy, c)
	}
}

func judgeCase(t *testing.T, policy *Policy, c *jwtcases.Case) {
	t.Helper()
	allowed, refused := policy.Authenticate(t.Context(), &testHead{query: c.Query(), fields: c.Headers()}, time.Unix(c.Now, 0))
	if allowed.Granted() == (refused != nil) {
		t.Fatalf("granted %t with refusal %v", allowed.Granted(), refused)
	}
	accepted := refused == nil
	switch c.Expect.Decision {
	case "accept":
		if !accepted {
			t.Fatalf("%s: refused as %v", c.Title, refused.Reason)
		}
	case "reject":
		if accepted {
			t.Fatalf("%s: accepted", c.Title)
		}
		checkRefusal(t, c, refused.Reason)
	}
	if accepted && c.Expect.Consumer != "" && allowed.Identity().Consumer.Username != c.Expect.Consumer {
		t.Errorf("%s: consumer %q, want %q", c.Title, allowed.Identity().Consumer.Username, c.Expect.Consumer)
	}
}

func checkRefusal(t *testing.T, c *jwtcases.Case, reason refusal.Reason) {
	t.Helper()
	if !slices.Contains(c.Statuses(reason), reason.Status()) {
		t.Errorf("%s: %v has status %d, want %d", c.Title, reason, reason.Status(), c.Expect.Status)
	}
	// Without a code the catalogue leaves it open whether there was a token.
	if c.Expect.WWWAuthenticateError == "invalid_token" && reason == refusal.TokenMissing {
		t.Errorf("%s: %v, but there was a token", c.Title, reason)
	}
}
