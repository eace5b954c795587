package jwt

import (
	"testing"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestCredentialsOfOtherNamespaces: they are taken where they are asked for, and never instead of an own one.
func TestCredentialsOfOtherNamespaces(t *testing.T) {
	w := newWorld(t)
	add := func(namespace, name, keyID string) {
		w.set(&keyring.Entry{
			Key: routing.ObjectKey{Namespace: namespace, Name: name}, KeyID: keyID, State: keyring.StateActive,
			Labels:   map[string]string{"tier": namespace},
			Consumer: &keyring.Consumer{Key: routing.ObjectKey{Namespace: namespace, Name: name}, Username: name, State: keyring.StateActive},
			Keys:     keyring.Keys(parseKey(t, spki(t, w.old.Public()), "k", jose.RS256)),
		})
	}
	add("identity", "identity-acme", "foreign")
	add("bank", "bank-acme", "foreign")
	add("double", "double-acme", "acme")
	foreign := mint(t, "RS256", w.old, map[string]any{"kid": "k"}, claims(map[string]any{"sub": "foreign"}))
	byKID := routing.Lookup{Type: routing.LookupKID}
	tests := map[string]struct {
		change func(*routing.JWT)
		token  string
		want   string // the consumer; empty: credential_unknown
	}{
		"not asked for":          {func(*routing.JWT) {}, foreign, ""},
		"asked for":              {func(cfg *routing.JWT) { cfg.FromNamespaces = []string{"identity"} }, foreign, "identity-acme"},
		"in the order of asking": {func(cfg *routing.JWT) { cfg.FromNamespaces = []string{"bank", "identity"} }, foreign, "bank-acme"},
		"another is asked for":   {func(cfg *routing.JWT) { cfg.FromNamespaces = []string{"desert"} }, foreign, ""},
		"by kid":                 {func(cfg *routing.JWT) { cfg.FromNamespaces, cfg.Lookup = []string{"identity"}, byKID }, foreign, "identity-acme"},
		"by kid, not asked for":  {func(cfg *routing.JWT) { cfg.Lookup = byKID }, foreign, ""},
		"those that are selected": {func(cfg *routing.JWT) {
			cfg.FromNamespaces = []string{"bank", "identity"}
			cfg.Selector = []routing.LabelRequirement{{Key: "tier", Operator: routing.LabelIn, Values: []string{"identity"}}}
		}, foreign, "identity-acme"},
		"an own one comes first": {func(cfg *routing.JWT) { cfg.FromNamespaces = []string{"double"} }, mint(t, "RS256", w.newKey, nil, claims(nil)), "acme"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			reason, allowed := judge(t, w.policy(t, tc.change), bearer(tc.token))
			got := ""
			if reason == accepted {
				got = allowed.Identity().Consumer.Username
			} else if reason != refusal.CredentialUnknown {
				t.Fatalf("refused as %s", word(reason))
			}
			if got != tc.want {
				t.Errorf("consumer %q, want %q", got, tc.want)
			}
		})
	}
	cfg := basePolicy()
	cfg.FromNamespaces = []string{""}
	if p, err := NewPolicy(cfg, Deps{Keyring: w.ring, Cache: w.cache}); p != nil || err == nil {
		t.Error("a policy was built with a namespace without a name")
	}
}
