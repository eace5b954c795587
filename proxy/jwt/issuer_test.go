package jwt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	josev4 "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// provider publishes a JWK Set over HTTPS.
type provider struct {
	source  routing.RemoteKeys
	sets    *jwks.Registry
	fetches atomic.Int64
	fails   atomic.Bool
}

// newProvider publishes public keys by kid and waits until they are fetched, or can't be.
func newProvider(t *testing.T, fails bool, keys map[string]any) *provider {
	t.Helper()
	p := &provider{}
	p.fails.Store(fails)
	var set josev4.JSONWebKeySet
	for kid, key := range keys {
		set.Keys = append(set.Keys, josev4.JSONWebKey{Key: key, KeyID: kid})
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.fetches.Add(1)
		if p.fails.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(set)
	}))
	t.Cleanup(server.Close)
	changed := make(chan struct{}, 10)
	p.sets = jwks.NewRegistry(jwks.Options{
		Loopback: jwks.AddressesAllow,
		Changed:  func(routing.RemoteKeys) { changed <- struct{}{} },
	})
	t.Cleanup(p.sets.Close)
	p.source = routing.RemoteKeys{
		URI:     server.URL,
		RootCAs: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})),
	}
	p.sets.Apply([]routing.RemoteKeys{p.source})
	<-changed
	return p
}

const (
	testIssuer  = "https://idp.example.com/"
	buildIssuer = "build-farm"
)

// issuedWorld is a world with two identity providers beside the credentials.
type issuedWorld struct {
	*world
	*provider
	ec    *ecdsa.PrivateKey // of testIssuer, kid "ec"
	build ed25519.PrivateKey
}

func newIssuedWorld(t *testing.T, fails bool) *issuedWorld {
	t.Helper()
	w := &issuedWorld{world: newWorld(t)}
	var err error
	if w.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if _, w.build, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.provider = newProvider(t, fails, map[string]any{"ec": w.ec.Public(), "rsa": w.newKey.Public()})
	w.ring.SetIdentities([]keyring.Identity{
		{Namespace: "shop", Issuer: testIssuer, Claim: "azp", Value: "app", Consumer: &w.acmeConsumer},
		{Namespace: "shop", Issuer: testIssuer, Claim: "azp", Value: "broken"},
		{Namespace: "shop", Issuer: testIssuer, Claim: "sub", Value: "asleep", Consumer: &keyring.Consumer{
			Username: "asleep", State: keyring.StateSuspended,
		}},
		{Namespace: "other", Issuer: testIssuer, Claim: "azp", Value: "foreign", Consumer: &w.acmeConsumer},
		{Namespace: "shop", Issuer: buildIssuer, Claim: "sub", Value: "robot", Consumer: &keyring.Consumer{
			Key: routing.ObjectKey{Namespace: "shop", Name: "robot"}, Username: "robot", State: keyring.StateActive,
			Scopes: []string{"push"},
		}},
	})
	return w
}

func (w *issuedWorld) policy(t *testing.T, change func(*routing.JWT)) *Policy {
	t.Helper()
	cfg := basePolicy()
	cfg.Issuers = []routing.Issuer{
		{Issuer: buildIssuer, Algorithms: []string{"EdDSA"}, Audiences: []string{"builds"}, Keys: spki(t, w.build.Public())},
		{Issuer: testIssuer, Algorithms: []string{"ES256", "RS256"}, Remote: w.source, Consumer: routing.ConsumerOptional},
	}
	if change != nil {
		change(&cfg)
	}
	p, err := NewPolicy(cfg, Deps{Keyring: w.ring, KeySets: w.sets, Cache: w.cache})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestIssuers(t *testing.T) {
	w := newIssuedWorld(t, false)
	p := w.policy(t, nil)
	ec := func(header, payload map[string]any) string { return mint(t, "ES256", w.ec, header, payload) }
	from := func(issuer string, changes map[string]any) map[string]any {
		c := claims(map[string]any{"iss": issuer, "sub": "user-7"})
		for name, value := range changes {
			if value == nil {
				delete(c, name)
			} else {
				c[name] = value
			}
		}
		return c
	}
	build := func(changes map[string]any) string {
		c := from(buildIssuer, map[string]any{"sub": "robot", "aud": []string{"orders-api", "builds"}})
		maps.Copy(c, changes)
		return mint(t, "EdDSA", w.build, nil, c)
	}
	kid := map[string]any{"kid": "ec"}
	tests := map[string]struct {
		token    string
		want     refusal.Reason
		consumer string
		scopes   []string
	}{
		"a consumer by azp":           {token: ec(kid, from(testIssuer, map[string]any{"azp": "app"})), want: accepted, consumer: "acme"},
		"no kid":                      {token: ec(nil, from(testIssuer, map[string]any{"azp": "app"})), want: accepted, consumer: "acme"},
		"another key of the set":      {token: mint(t, "RS256", w.newKey, map[string]any{"kid": "rsa"}, from(testIssuer, nil)), want: accepted},
		"nobody's token":              {token: ec(kid, from(testIssuer, map[string]any{"scope": "a b"})), want: accepted, scopes: []string{"a", "b"}},
		"an identity of elsewhere":    {token: ec(kid, from(testIssuer, map[string]any{"azp": "foreign"})), want: accepted},
		"azp that is no string":       {token: ec(kid, from(testIssuer, map[string]any{"azp": []string{"app"}})), want: accepted},
		"a token of a Secret's keys":  {token: build(nil), want: accepted, consumer: "robot", scopes: []string{"push"}},
		"scopes beyond the consumer":  {token: build(map[string]any{"scope": "push delete"}), want: accepted, consumer: "robot", scopes: []string{"push"}},
		"a credential, as ever":       {token: mint(t, "RS256", w.newKey, nil, claims(nil)), want: accepted, consumer: "acme"},
		"a credential, another's iss": {token: mint(t, "RS256", w.newKey, nil, claims(map[string]any{"iss": "https://else.example"})), want: accepted, consumer: "acme"},

		"a suspended consumer":              {token: ec(kid, from(testIssuer, map[string]any{"sub": "asleep"})), want: refusal.ConsumerSuspended},
		"a consumer that is not accepted":   {token: ec(kid, from(testIssuer, map[string]any{"azp": "broken"})), want: refusal.ConsumerUnknown},
		"nobody's token, consumer required": {token: build(map[string]any{"sub": "stranger"}), want: refusal.ConsumerUnknown},
		"expired":                           {token: ec(kid, from(testIssuer, map[string]any{"exp": 1})), want: refusal.TokenExpired},
		"expired, of a suspended consumer":  {token: ec(kid, from(testIssuer, map[string]any{"exp": 1, "sub": "asleep"})), want: refusal.TokenExpired},
		"without exp":                       {token: ec(kid, from(testIssuer, map[string]any{"exp": nil})), want: refusal.ClaimMissing},
		"the policy's audience missing":     {token: build(map[string]any{"aud": "builds"}), want: refusal.AudienceMismatch},
		"the issuer's audience missing":     {token: build(map[string]any{"aud": "orders-api"}), want: refusal.AudienceMismatch},
		"a malformed claim":                 {token: ec(kid, from(testIssuer, map[string]any{"nbf": "soon"})), want: refusal.TokenMalformed},
		"a forged signature":                {token: tamper(ec(kid, from(testIssuer, nil))), want: refusal.SignatureInvalid},
		"another's key by kid":              {token: mint(t, "ES256", stranger(t), kid, from(testIssuer, nil)), want: refusal.SignatureInvalid},
		"another's key without kid":         {token: mint(t, "ES256", stranger(t), nil, from(testIssuer, nil)), want: refusal.SignatureInvalid},
		"an unknown kid":                    {token: ec(map[string]any{"kid": "next"}, from(testIssuer, nil)), want: refusal.KeyUnknown},
		"an empty kid":                      {token: ec(map[string]any{"kid": ""}, from(testIssuer, nil)), want: refusal.KeyUnknown},
		"an algorithm that is not listed":   {token: mint(t, "PS256", w.newKey, map[string]any{"kid": "rsa"}, from(testIssuer, nil)), want: refusal.AlgorithmNotAllowed},
		"the algorithm of another key":      {token: mint(t, "RS256", w.newKey, kid, from(testIssuer, nil)), want: refusal.AlgorithmNotAllowed},
		"a public key as a shared secret":   {token: mint(t, "HS256", spki(t, w.ec.Public()), kid, from(testIssuer, nil)), want: refusal.AlgorithmNotAllowed},
		// There is no second try: an issuer's name is judged by the issuer, whatever credential the token fits.
		"Q28 a credential's key, an issuer's name": {token: mint(t, "RS256", w.old, nil, claims(map[string]any{"iss": buildIssuer})), want: refusal.AlgorithmNotAllowed},
		"Q28 one issuer's key, another's name":     {token: mint(t, "ES256", w.ec, kid, from(buildIssuer, nil)), want: refusal.AlgorithmNotAllowed},
		"Q28 an issuer's key, a credential's name": {token: ec(kid, claims(nil)), want: refusal.KeyUnknown},
		"almost the issuer's name":                 {token: ec(kid, from("https://idp.example.com", nil)), want: refusal.CredentialUnknown},
		"the issuer's name in an array":            {token: ec(kid, claims(map[string]any{"iss": []string{testIssuer}})), want: refusal.KeyUnknown},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, allowed := judge(t, p, bearer(tc.token))
			if got != tc.want {
				t.Fatalf("got %s, want %s", word(got), word(tc.want))
			}
			consumer := ""
			if c := allowed.Identity().Consumer; c != nil {
				consumer = c.Username
			}
			if consumer != tc.consumer {
				t.Errorf("consumer %q, want %q", consumer, tc.consumer)
			}
			if diff := cmp.Diff(tc.scopes, allowed.Identity().Scopes); diff != "" {
				t.Errorf("scopes (-want +got):\n%s", diff)
			}
		})
	}
	if got := w.fetches.Load(); got > 2 {
		t.Errorf("%d fetches: only the unknown kid may cause one", got)
	}
}

func stranger(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// tamper changes the first character of the signature.
func tamper(compact string) string {
	b := []byte(compact)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i-1] == '.' {
			if b[i] == 'A' {
				b[i] = 'B'
			} else {
				b[i] = 'A'
			}
			break
		}
	}
	return string(b)
}

// TestIssuersTokensMeetThePolicysRules: whoever verified a token, the policy asks for the same.
func TestIssuersTokensMeetThePolicysRules(t *testing.T) {
	w := newIssuedWorld(t, false)
	good := claims(map[string]any{"iss": testIssuer, "jti": "1", "tenant": "a"})
	for name, tc := range map[string]struct {
		change func(*routing.JWT)
		want   refusal.Reason
	}{
		"a lifetime":        {func(cfg *routing.JWT) { cfg.MaxLifetime = time.Second }, refusal.LifetimeTooLong},
		"a type":            {func(cfg *routing.JWT) { cfg.TokenTypes = []string{"application/at+jwt"} }, refusal.TypeNotAllowed},
		"a claim":           {func(cfg *routing.JWT) { cfg.RequiredClaims = []string{"nonce"} }, refusal.ClaimMissing},
		"a rule":            {func(cfg *routing.JWT) { cfg.ClaimRules = []routing.ClaimRule{{Expression: "claims.tenant == 'b'"}} }, refusal.ClaimMismatch},
		"a rule that holds": {func(cfg *routing.JWT) { cfg.ClaimRules = []routing.ClaimRule{{Expression: "claims.tenant == 'a'"}} }, accepted},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.policy(t, tc.change)
			if got, _ := judge(t, p, bearer(mint(t, "ES256", w.ec, map[string]any{"kid": "ec"}, good))); got != tc.want {
				t.Errorf("got %s, want %s", word(got), word(tc.want))
			}
		})
	}
}

func TestIssuersAlone(t *testing.T) {
	w := newIssuedWorld(t, false)
	p := w.policy(t, func(cfg *routing.JWT) { cfg.Credentials = routing.CredentialsRefused })
	for name, tc := range map[string]struct {
		token string
		want  refusal.Reason
	}{
		"a credential's token": {mint(t, "RS256", w.newKey, nil, claims(nil)), refusal.IssuerUnknown},
		"another's iss":        {mint(t, "RS256", w.newKey, nil, claims(map[string]any{"iss": "https://else.example"})), refusal.IssuerUnknown},
		"an issuer's token":    {mint(t, "ES256", w.ec, nil, claims(map[string]any{"iss": testIssuer})), accepted},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := judge(t, p, bearer(tc.token)); got != tc.want {
				t.Errorf("got %s, want %s", word(got), word(tc.want))
			}
		})
	}
}

// TestKeysThatCannotBeFetched: it is no fault of the token, and no other issuer's or credential's tokens are concerned.
func TestKeysThatCannotBeFetched(t *testing.T) {
	w := newIssuedWorld(t, true)
	p := w.policy(t, nil)
	remote := w.acme
	remote.Key.Name, remote.KeyID, remote.Keys = "remote", "remote", nil
	remote.Remote = &keyring.Remote{Source: w.source}
	w.set(&remote)
	for name, tc := range map[string]struct {
		token string
		want  refusal.Reason
	}{
		"by kid":                          {mint(t, "ES256", w.ec, map[string]any{"kid": "ec"}, claims(map[string]any{"iss": testIssuer})), refusal.KeysUnavailable},
		"without kid":                     {mint(t, "ES256", w.ec, nil, claims(map[string]any{"iss": testIssuer})), refusal.KeysUnavailable},
		"an algorithm that is not listed": {mint(t, "PS256", w.newKey, nil, claims(map[string]any{"iss": testIssuer})), refusal.AlgorithmNotAllowed},
		"another issuer's":                {mint(t, "EdDSA", w.build, nil, claims(map[string]any{"iss": buildIssuer, "sub": "robot", "aud": []string{"builds", "orders-api"}})), accepted},
		"a credential's":                  {mint(t, "RS256", w.newKey, nil, claims(nil)), accepted},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := judge(t, p, bearer(tc.token)); got != tc.want {
				t.Errorf("got %s, want %s", word(got), word(tc.want))
			}
		})
	}
}

func TestCredentialWithRemoteKeys(t *testing.T) {
	w := newIssuedWorld(t, false)
	set, _ := w.sets.Lookup(w.source)
	entry := w.acme
	entry.Keys = nil
	entry.Remote = &keyring.Remote{Source: w.source, Algorithms: []jose.Algorithm{"ES256"}, Set: set}
	w.set(&entry)
	p := w.policy(t, nil)
	tests := map[string]struct {
		token string
		want  refusal.Reason
	}{
		"its key":                          {mint(t, "ES256", w.ec, map[string]any{"kid": "ec"}, claims(nil)), accepted},
		"its key without kid":              {mint(t, "ES256", w.ec, nil, claims(nil)), accepted},
		"an algorithm that is not its":     {mint(t, "RS256", w.newKey, map[string]any{"kid": "rsa"}, claims(nil)), refusal.AlgorithmNotAllowed},
		"a kid that the set does not have": {mint(t, "ES256", w.ec, map[string]any{"kid": "new"}, claims(nil)), refusal.KeyUnknown},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, _ := judge(t, p, bearer(tc.token)); got != tc.want {
				t.Errorf("got %s, want %s", word(got), word(tc.want))
			}
		})
	}
	entry.Remote.Set = nil
	w.set(&entry)
	if got, _ := judge(t, p, bearer(mint(t, "ES256", w.ec, nil, claims(nil)))); got != refusal.KeysUnavailable {
		t.Errorf("a set that nobody fetches: %s, want keys_unavailable", word(got))
	}
}

// remoteCredential is a credential whose keys are the provider's.
func (w *issuedWorld) remoteCredential(t *testing.T, name string) *keyring.Entry {
	t.Helper()
	set, ok := w.sets.Lookup(w.source)
	if !ok {
		t.Fatal("the set is not there")
	}
	entry := w.acme
	entry.Key.Name, entry.KeyID, entry.Keys = name, name, nil
	entry.Remote = &keyring.Remote{Source: w.source, Algorithms: []jose.Algorithm{jose.ES256}, Set: set}
	w.set(&entry)
	return &entry
}

// TestRemoteCredentialsByKID: the header's kid finds the credential whose set has the key, also one that is not fetched
// yet. Nobody's published key takes the name of one that is in a Secret.
func TestRemoteCredentialsByKID(t *testing.T) {
	byKID := func(cfg *routing.JWT) { cfg.Lookup = routing.Lookup{Type: routing.LookupKID} }
	tokenOf := func(t *testing.T, w *issuedWorld, kid string) string {
		return mint(t, "ES256", w.ec, map[string]any{"kid": kid}, claims(map[string]any{"sub": "nobody"}))
	}
	for name, tc := range map[string]struct {
		fails      bool
		change     func(t *testing.T, w *issuedWorld)
		policy     func(*routing.JWT)
		kid        string
		want       refusal.Reason
		credential string
	}{
		"a key of the set":        {kid: "ec", want: accepted, credential: "remote"},
		"a key that no set has":   {kid: "absent", want: refusal.CredentialUnknown},
		"an empty kid":            {kid: "", want: refusal.CredentialUnknown},
		"a set that can't be had": {fails: true, kid: "ec", want: refusal.KeysUnavailable},
		"a set that nobody fetches": {change: func(t *testing.T, w *issuedWorld) {
			w.remoteCredential(t, "remote").Remote.Set = nil
		}, kid: "ec", want: refusal.KeysUnavailable},
		"labels that are not selected": {policy: func(cfg *routing.JWT) {
			cfg.Selector = []routing.LabelRequirement{{Key: "tier", Operator: routing.LabelIn, Values: []string{"gold"}}}
		}, kid: "ec", want: refusal.CredentialUnknown},
		"the older of two": {change: func(t *testing.T, w *issuedWorld) {
			older := *w.remoteCredential(t, "older")
			older.Created = older.Created.Add(-time.Hour)
			w.set(&older)
		}, kid: "ec", want: accepted, credential: "older"},
		"a younger one with the key in a Secret": {change: func(t *testing.T, w *issuedWorld) {
			own := w.acme
			own.Key.Name, own.KeyID, own.Created = "own", "own", own.Created.Add(time.Hour)
			own.Keys = keyring.Keys(parseKey(t, spki(t, w.ec.Public()), "ec", jose.ES256))
			w.set(&own)
		}, kid: "ec", want: accepted, credential: "own"},
		"more sets than are asked": {fails: true, change: func(t *testing.T, w *issuedWorld) {
			for i := range maxAsked {
				w.remoteCredential(t, fmt.Sprintf("remote-%d", i))
			}
		}, kid: "absent", want: refusal.CredentialUnknown},
		"one of more sets than are asked": {change: func(t *testing.T, w *issuedWorld) {
			for i := range maxAsked {
				w.remoteCredential(t, fmt.Sprintf("remote-%d", i))
			}
		}, kid: "ec", want: accepted, credential: "remote"},
		"one of another namespace": {change: func(t *testing.T, w *issuedWorld) {
			elsewhere := *w.remoteCredential(t, "remote")
			w.ring.Delete(elsewhere.Key)
			elsewhere.Key.Namespace = "identity"
			w.set(&elsewhere)
		}, policy: func(cfg *routing.JWT) { cfg.FromNamespaces = []string{"identity"} }, kid: "ec", want: accepted, credential: "remote"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newIssuedWorld(t, tc.fails)
			w.remoteCredential(t, "remote")
			if tc.change != nil {
				tc.change(t, w)
			}
			p := w.policy(t, func(cfg *routing.JWT) {
				byKID(cfg)
				if tc.policy != nil {
					tc.policy(cfg)
				}
			})
			got, allowed := judge(t, p, bearer(tokenOf(t, w, tc.kid)))
			if got != tc.want || got == accepted && allowed.Identity().Credential.Name != tc.credential {
				t.Errorf("got %s of %q, want %s of %q", word(got), allowed.Identity().Credential.Name, word(tc.want), tc.credential)
			}
		})
	}
}

func TestIssuersThatCannotProtect(t *testing.T) {
	w := newIssuedWorld(t, false)
	good := routing.Issuer{Issuer: "a", Algorithms: []string{"ES256"}, Remote: w.source}
	tests := map[string]func(cfg *routing.JWT){
		"no name":                  func(cfg *routing.JWT) { cfg.Issuers[0].Issuer = "" },
		"no algorithm":             func(cfg *routing.JWT) { cfg.Issuers[0].Algorithms = nil },
		"HMAC":                     func(cfg *routing.JWT) { cfg.Issuers[0].Algorithms = []string{"HS256"} },
		"an unknown algorithm":     func(cfg *routing.JWT) { cfg.Issuers[0].Algorithms = []string{"none"} },
		"no keys":                  func(cfg *routing.JWT) { cfg.Issuers[0].Remote = routing.RemoteKeys{} },
		"keys twice":               func(cfg *routing.JWT) { cfg.Issuers[0].Keys = spki(t, w.ec.Public()) },
		"keys that are none":       func(cfg *routing.JWT) { cfg.Issuers[0].Remote, cfg.Issuers[0].Keys = routing.RemoteKeys{}, []byte("x") },
		"keys that nobody fetches": func(cfg *routing.JWT) { cfg.Issuers[0].Remote.URI += "/else" },
		"an unknown mapping":       func(cfg *routing.JWT) { cfg.Issuers[0].Consumer = 7 },
		"an issuer twice":          func(cfg *routing.JWT) { cfg.Issuers = append(cfg.Issuers, good) },
		"an unknown use":           func(cfg *routing.JWT) { cfg.Credentials = 7 },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := basePolicy()
			cfg.Issuers = []routing.Issuer{good}
			if _, err := NewPolicy(cfg, Deps{Keyring: w.ring, KeySets: w.sets, Cache: w.cache}); err != nil {
				t.Fatalf("before it was spoiled: %v", err)
			}
			spoil(&cfg)
			if p, err := NewPolicy(cfg, Deps{Keyring: w.ring, KeySets: w.sets, Cache: w.cache}); p != nil || err == nil {
				t.Error("a policy was built")
			}
		})
	}
	cfg := basePolicy()
	cfg.Issuers = []routing.Issuer{good}
	if p, err := NewPolicy(cfg, Deps{Keyring: w.ring, Cache: w.cache}); p != nil || err == nil {
		t.Error("a policy was built without anyone who fetches keys")
	}
}

// TestRevokedRemoteKeys: a key that a credential revokes, by its kid or its thumbprint, verifies none of its tokens.
func TestRevokedRemoteKeys(t *testing.T) {
	w := newIssuedWorld(t, false)
	set, ok := w.sets.Lookup(w.source)
	if !ok {
		t.Fatal("the set is not there")
	}
	thumbprint := parseKey(t, spki(t, w.ec.Public()), "", jose.ES256).Thumbprint()
	named := mint(t, "ES256", w.ec, map[string]any{"kid": "ec"}, claims(nil))
	unnamed := mint(t, "ES256", w.ec, nil, claims(nil))
	for name, tc := range map[string]struct {
		revoked        string
		named, unnamed refusal.Reason
	}{
		"another key":    {"rsa", accepted, accepted},
		"the kid":        {"ec", refusal.TokenRevoked, refusal.AlgorithmNotAllowed},
		"the thumbprint": {thumbprint, refusal.TokenRevoked, refusal.AlgorithmNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			entry := w.acme
			entry.Keys = nil
			entry.Remote = &keyring.Remote{Source: w.source, Algorithms: []jose.Algorithm{jose.ES256}, Set: set}
			entry.Revocation.KeyIDs = keyring.NewNames(tc.revoked)
			w.set(&entry)
			p := w.policy(t, nil)
			if got, _ := judge(t, p, bearer(named)); got != tc.named {
				t.Errorf("a token that names its key: %s, want %s", word(got), word(tc.named))
			}
			if got, _ := judge(t, p, bearer(unnamed)); got != tc.unnamed {
				t.Errorf("a token that names none: %s, want %s", word(got), word(tc.unnamed))
			}
		})
	}
}
