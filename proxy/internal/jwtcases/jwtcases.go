// Package jwtcases reads files of the behaviour catalogue's format "ostiary-jwt-cases/1", for the tests that run them: each
// case is a request with a token, the policy and credentials it meets, and what must become of it.
package jwtcases

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	format = "ostiary-jwt-cases/1"
	// more is the environment variable that names another file.
	more = "OSTIARY_JWT_CASES"
)

// File is a file of cases.
type File struct {
	Format      string       `json:"format"`
	Credentials []Credential `json:"credentials"`
	Cases       []Case       `json:"cases"`
}

// Credential is a key under the issuer that names it.
type Credential struct {
	Name     string          `json:"Name"`
	Consumer string          `json:"Consumer"`
	Iss      string          `json:"Iss"`
	Alg      string          `json:"Alg"`
	JWK      json.RawMessage `json:"JWK"`
}

// Case is one request and what must become of it.
type Case struct {
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
		Prefix string `json:"Prefix"`
		Repeat string `json:"Repeat"`
		Suffix string `json:"Suffix"`
		Count  int    `json:"Count"`
	} `json:"TokenGen"`
	Now    int64 `json:"Now"`
	Expect struct {
		Decision             string `json:"decision"`
		Status               int    `json:"status"`
		WWWAuthenticateError string `json:"wwwAuthenticateError"`
		Consumer             string `json:"consumer"`
	} `json:"Expect"`
}

// Paths are the catalogue's file, which the caller has, and the one that OSTIARY_JWT_CASES names, if any.
func Paths(catalogue string) []string {
	if other := os.Getenv(more); other != "" {
		return []string{catalogue, other}
	}
	return []string{catalogue}
}

// Load reads a file.
func Load(path string) (File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("read cases: %w", err)
	}
	var f File
	if err := json.Unmarshal(data, &f); err != nil {
		return File{}, fmt.Errorf("read cases: %w", err)
	}
	if f.Format != format || len(f.Cases) == 0 {
		return File{}, fmt.Errorf("read cases: format %q with %d cases, want %q with some", f.Format, len(f.Cases), format)
	}
	return f, nil
}

// Query is the query of the request, without a question mark.
func (c *Case) Query() string { return strings.TrimPrefix(c.Req.Query, "?") }

// Headers are the header fields of the request.
func (c *Case) Headers() [][2]string {
	if g := c.TokenGen; g != nil {
		return [][2]string{{"Authorization", "Bearer " + g.Prefix + strings.Repeat(g.Repeat, g.Count) + g.Suffix}}
	}
	return c.Req.Headers
}

// Statuses are those that a refusal may have.
func (c *Case) Statuses(reason refusal.Reason) []int {
	if c.Expect.Status == 431 || reason == refusal.TokenTooLarge {
		// What is too long is refused before anything else is judged, and need not be refused for its length.
		return []int{431, 400, 401}
	}
	return []int{c.Expect.Status}
}

// Policy is the case's, over the credentials of a namespace.
func (c *Case) Policy(namespace string) (routing.JWT, error) {
	cfg := routing.JWT{
		Namespace:     namespace,
		Lookup:        routing.Lookup{Type: routing.LookupClaim, Name: "iss"},
		Audiences:     c.Route.Audiences,
		MaxTokenBytes: 16 << 10, // the default
		ClockSkew:     time.Duration(c.Route.LeewaySeconds) * time.Second,
		Expiration:    routing.ExpirationOptional,
		MaxLifetime:   time.Duration(c.Route.MaxLifetimeSeconds) * time.Second,
	}
	if typ := strings.ToLower(c.Route.RequireTyp); typ != "" {
		if !strings.Contains(typ, "/") {
			typ = "application/" + typ
		}
		cfg.TokenTypes = []string{typ}
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
			return routing.JWT{}, fmt.Errorf("case %s: location %q is not known", c.ID, location)
		}
		cfg.TokenSources = append(cfg.TokenSources, source)
	}
	return cfg, nil
}

// Enrol puts the credentials that the case's route knows into a namespace.
func (f *File) Enrol(ring *keyring.Keyring, namespace string, c *Case) error {
	for _, credential := range f.Credentials {
		if !slices.Contains(c.Route.Creds, credential.Name) {
			continue
		}
		keys, problems, _ := jose.Parse(credential.JWK, jose.Options{Algorithms: []jose.Algorithm{jose.Algorithm(credential.Alg)}})
		if len(keys) != 1 {
			return fmt.Errorf("credential %q: %d keys, %v", credential.Name, len(keys), problems)
		}
		ring.Set(&keyring.Entry{
			Key:    routing.ObjectKey{Namespace: namespace, Name: credential.Name},
			KeyID:  credential.Iss,
			Issuer: credential.Iss,
			State:  keyring.StateActive,
			Consumer: &keyring.Consumer{
				Key:      routing.ObjectKey{Namespace: namespace, Name: credential.Consumer},
				Username: credential.Consumer,
				State:    keyring.StateActive,
			},
			Keys: keyring.Keys(keys...),
		})
	}
	return nil
}
