package jwt

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// casesFile is the behaviour catalogue's format "ostiary-jwt-cases/1".
type casesFile struct {
	Format      string           `json:"format"`
	Credentials []caseCredential `json:"credentials"`
	Cases       []jwtCase        `json:"cases"`
}

type caseCredential struct {
	Name     string          `json:"Name"`
	Consumer string          `json:"Consumer"`
	Iss      string          `json:"Iss"`
	Alg      string          `json:"Alg"`
	JWK      json.RawMessage `json:"JWK"`
}

type jwtCase struct {
	ID    string `json:"ID"`
	Title string `json:"Title"`
	Route struct {
		Creds              []string `json:"creds"`
		Audiences          []string `json:"audiences"`
		LeewaySeconds      int      `json:"leewaySeconds"`
		RequireExp         bool     `json:"requireExp"`
		Locations          []string `json:"locations"`
		RequireTyp         string   `json:"requireTyp"`
		MaxLifetimeSeconds int      `json:"maxLifetimeSeconds"`
	} `json:"Route"`
	Req struct {
		Headers [][2]string `json:"headers"`
		Query   string      `json:"query"`
	} `json:"Req"`
	TokenGen *struct {
		Prefix, Repeat, Suffix string
		Count                  int
	} `json:"TokenGen"`
	Now    int64 `json:"Now"`
	Expect struct {
		Decision             string `json:"decision"`
		Status               int    `json:"status"`
		WWWAuthenticateError string `json:"wwwAuthenticateError"`
		Consumer             string `json:"consumer"`
	} `json:"Expect"`
}

// TestJWTCases runs the catalogue's tokens and those of the file that OSTIARY_JWT_CASES names, one subtest each.
func TestJWTCases(t *testing.T) {
	files := []string{filepath.Join("testdata", "jwt-cases.json")}
	if more := os.Getenv("OSTIARY_JWT_CASES"); more != "" {
		files = append(files, more)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var cases casesFile
			if err := json.Unmarshal(data, &cases); err != nil {
				t.Fatal(err)
			}
			if cases.Format != "ostiary-jwt-cases/1" || len(cases.Cases) == 0 {
				t.Fatalf("format %q with %d cases", cases.Format, len(cases.Cases))
			}
			for _, c := range cases.Cases {
				t.Run(c.ID, func(t *testing.T) { runCase(t, cases.Credentials, c) })
			}
		})
	}
}

func runCase(t *testing.T, credentials []caseCredential, c jwtCase) {
	t.Helper()
	policy, err := NewPolicy(casePolicy(t, c), caseRing(t, credentials, c.Route.Creds))
	if err != nil {
		t.Fatal(err)
	}
	h := &testHead{query: strings.TrimPrefix(c.Req.Query, "?"), fields: c.Req.Headers}
	if g := c.TokenGen; g != nil {
		h = bearer(g.Prefix + strings.Repeat(g.Repeat, g.Count) + g.Suffix)
	}
	allowed, refused := policy.Authenticate(h, time.Unix(c.Now, 0))
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

func checkRefusal(t *testing.T, c jwtCase, reason refusal.Reason) {
	t.Helper()
	statuses := []int{c.Expect.Status}
	if c.Expect.Status == 431 || reason == refusal.TokenTooLarge {
		// What is too long is refused before anything else is judged, and need not be refused for its length.
		statuses = []int{431, 400, 401}
	}
	if !slices.Contains(statuses, reason.Status()) {
		t.Errorf("%s: %v has status %d, want %d", c.Title, reason, reason.Status(), c.Expect.Status)
	}
	// Without a code the catalogue leaves it open whether there was a token.
	want := c.Expect.WWWAuthenticateError
	if want == "invalid_token" && reason == refusal.TokenMissing {
		t.Errorf("%s: %v, but there was a token", c.Title, reason)
	}
}

func casePolicy(t *testing.T, c jwtCase) routing.JWT {
	t.Helper()
	cfg := routing.JWT{
		Namespace:     "shop",
		Lookup:        routing.Lookup{Type: routing.LookupClaim, Name: "iss"},
		Audiences:     c.Route.Audiences,
		MaxTokenBytes: 16 << 10, // the default
		ClockSkew:     time.Duration(c.Route.LeewaySeconds) * time.Second,
		Expiration:    routing.ExpirationOptional,
		MaxLifetime:   time.Duration(c.Route.MaxLifetimeSeconds) * time.Second,
	}
	if typ := c.Route.RequireTyp; typ != "" {
		cfg.TokenTypes = []string{mediaType(typ)}
	}
	if len(c.Route.Audiences) == 0 {
		cfg.AudienceMatch = routing.AudienceIgnore
	}
	if c.Route.RequireExp {
		cfg.Expiration = routing.ExpirationRequired
	}
	for _, location := range c.Route.Locations {
		kind, name, _ := strings.Cut(location, ":")
		source := routing.TokenSource{Name: name}
		switch {
		case kind == "header" && strings.EqualFold(name, "Authorization"):
			source.Name = "Bearer"
		case kind == "header":
			source.Type = routing.SourceHeader
		case kind == "cookie":
			source.Type = routing.SourceCookie
		case kind == "query":
			source.Type = routing.SourceQuery
		default:
			t.Fatalf("location %q is not known", location)
		}
		cfg.TokenSources = append(cfg.TokenSources, source)
	}
	return cfg
}

// caseRing holds the credentials of the case's route.
func caseRing(t *testing.T, credentials []caseCredential, names []string) *keyring.Keyring {
	t.Helper()
	ring := keyring.New()
	for _, c := range credentials {
		if !slices.Contains(names, c.Name) {
			continue
		}
		keys, problems, _ := jose.Parse(c.JWK, jose.Options{Algorithms: []jose.Algorithm{jose.Algorithm(c.Alg)}})
		if len(keys) != 1 {
			t.Fatalf("credential %q: %d keys, %v", c.Name, len(keys), problems)
		}
		ring.Set(&keyring.Entry{
			Key:    routing.ObjectKey{Namespace: "shop", Name: c.Name},
			KeyID:  c.Iss,
			Issuer: c.Iss,
			State:  keyring.StateActive,
			Consumer: &keyring.Consumer{
				Key:      routing.ObjectKey{Namespace: "shop", Name: c.Consumer},
				Username: c.Consumer,
				State:    keyring.StateActive,
			},
			Keys: keyring.Keys(keys...),
		})
	}
	return ring
}
