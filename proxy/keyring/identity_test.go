package keyring

import (
	"testing"
)

func TestIdentities(t *testing.T) {
	acme, bob, eve := &Consumer{Username: "acme"}, &Consumer{Username: "bob"}, &Consumer{Username: "eve"}
	ring := New()
	shop := ring.Namespace("shop")
	ring.SetIdentities([]Identity{
		{"shop", "idp", "sub", "7", acme},
		{"shop", "idp", "azp", "app", bob},
		{"shop", "idp", "azp", "app", eve},
		{"shop", "idp", "azp", "nobody", nil},
		{"shop", "other", "sub", "8", eve},
		{"shop", "third", "sub", "", eve},
		{"bank", "idp", "sub", "9", eve},
	})
	tests := map[string]struct {
		namespace, issuer string
		claims            map[string]string
		want              *Consumer
		known             bool
	}{
		"by one claim":                     {"shop", "idp", map[string]string{"sub": "7"}, acme, true},
		"the oldest of two with one":       {"shop", "idp", map[string]string{"azp": "app"}, bob, true},
		"the oldest of those a token has":  {"shop", "idp", map[string]string{"azp": "app", "sub": "7"}, acme, true},
		"one that is not accepted":         {"shop", "idp", map[string]string{"azp": "nobody"}, nil, true},
		"a value of another claim":         {"shop", "idp", map[string]string{"azp": "7"}, nil, false},
		"a value of another issuer":        {"shop", "idp", map[string]string{"sub": "8"}, nil, false},
		"a value of another namespace":     {"shop", "idp", map[string]string{"sub": "9"}, nil, false},
		"the other namespace":              {"bank", "idp", map[string]string{"sub": "9"}, eve, true},
		"a claim that is not there":        {"shop", "third", map[string]string{"azp": "app"}, nil, false},
		"an issuer without any":            {"bank", "other", map[string]string{"sub": "8"}, nil, false},
		"a namespace that nobody spoke of": {"desert", "idp", map[string]string{"sub": "7"}, nil, false},
	}
	look := func(namespace, issuer string, claims map[string]string) (*Consumer, bool) {
		identity, known := ring.Namespace(namespace).ByIdentity(issuer, func(name string) (string, bool) {
			value, ok := claims[name]
			return value, ok
		})
		if stands := ring.Namespace(namespace).Stands(issuer, identity.Claim, identity.Value); stands != identity.Consumer || claims[identity.Claim] != identity.Value {
			t.Errorf("by %q: %q, which stands for %+v", identity.Claim, identity.Value, stands)
		}
		return identity.Consumer, known
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, known := look(tc.namespace, tc.issuer, tc.claims); got != tc.want || known != tc.known {
				t.Errorf("got %+v, %t; want %+v, %t", got, known, tc.want, tc.known)
			}
		})
	}
	ring.SetIdentities([]Identity{{"bank", "idp", "sub", "7", bob}})
	if got, known := shop.ByIdentity("idp", func(string) (string, bool) { return "7", true }); got.Consumer != nil || known {
		t.Errorf("an identity that was taken away: %+v, %t", got, known)
	}
	if got, _ := look("bank", "idp", map[string]string{"sub": "7"}); got != bob {
		t.Errorf("a new identity: %+v", got)
	}
}
