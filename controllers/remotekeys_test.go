package controllers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	josev4 "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/internal/publish"
	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// TestRemoteKeysOfACredential: its set is fetched as long as it is there, and its status follows.
func TestRemoteKeysOfACredential(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var kid atomic.Value
	kid.Store("a")
	var clock atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(josev4.JSONWebKeySet{Keys: []josev4.JSONWebKey{{Key: key.Public(), KeyID: kid.Load().(string)}}})
	}))
	t.Cleanup(server.Close)
	consumer, credential, secret := acme()
	secret.Data = map[string][]byte{"ca.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})}
	credential.Spec.Keys, credential.Spec.Algorithms = nil, []v1alpha1.Algorithm{v1alpha1.AlgorithmES256}
	credential.Spec.RemoteJWKS = &v1alpha1.RemoteJWKS{
		URI: server.URL, CACertificateRef: &v1alpha1.SecretKeyReference{Name: secret.Name, Key: "ca.crt"},
	}
	s := newShell(t, consumer, credential, secret)
	sets := jwks.NewRegistry(jwks.Options{Loopback: jwks.AddressesAllow, Now: func() time.Time { return time.Unix(1_800_000_000, clock.Load()) }})
	t.Cleanup(sets.Close)
	fetched := make(chan []routing.ObjectKey, 8)
	sets.Observe(func(source routing.RemoteKeys) { fetched <- sets.Holders(source) })
	upstreams := upstream.NewRegistry(upstream.Options{})
	t.Cleanup(upstreams.Close)
	s.publisher = publish.New(publish.Options{
		Keyring: s.ring, Upstreams: upstreams, KeySets: sets, Live: &proxy.Live{}, Log: slog.New(slog.DiscardHandler),
	})
	s.credential.publisher = s.publisher

	if err := s.reconcileCredential(t); err != nil {
		t.Fatal(err)
	}
	if entry := s.entry(); entry == nil || entry.Remote == nil || entry.Remote.Set == nil {
		t.Fatalf("entry %+v", entry)
	}
	if holders := <-fetched; !slices.Equal(holders, []routing.ObjectKey{credentialKey("acme")}) {
		t.Errorf("the fetch concerns %v", holders)
	}
	if err := s.reconcileCredential(t); err != nil {
		t.Fatal(err)
	}
	told, _ := s.reports.get(objectRef{kindJWTCredential, credentialKey("acme")})
	verdict := told.verdict
	i := slices.IndexFunc(verdict.Conditions, func(c compile.Condition) bool { return c.Type == v1alpha1.ConditionKeysReady })
	if i < 0 || verdict.Conditions[i].Reason != v1alpha1.ReasonKeysReady {
		t.Errorf("conditions %+v", verdict.Conditions)
	}
	if conditions := observeKeys(&v1alpha1.JWTCredentialStatus{}, verdict, neverUsed, s.now).conditions; !slices.ContainsFunc(conditions, func(c compile.Condition) bool {
		return c.Type == v1alpha1.ConditionKeysReady && c.Reason == v1alpha1.ReasonKeysReady
	}) {
		t.Errorf("keys that have no phases are judged by them: %+v", conditions)
	}

	shown := func() []string {
		told, _ := s.reports.get(objectRef{kindJWTCredential, credentialKey("acme")})
		var lines []string
		for _, k := range observeKeys(&v1alpha1.JWTCredentialStatus{}, told.verdict, neverUsed, s.now).keys {
			lines = append(lines, fmt.Sprintf("%s %s %s %v", k.Name, k.KID, k.Phase, k.Algorithms))
		}
		return lines
	}
	if diff := cmp.Diff([]string{"remoteJWKS a Active [ES256]"}, shown()); diff != "" {
		t.Errorf("status.keys (-want +got):\n%s", diff)
	}

	// The set gets another key: whoever asks for it has it fetched, and the status follows.
	kid.Store("b")
	clock.Add(int64(jwks.CoolDown))
	if _, err := s.entry().Remote.Set.Key(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	<-fetched
	if err := s.reconcileCredential(t); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"remoteJWKS b Active [ES256]"}, shown()); diff != "" {
		t.Errorf("status.keys once the set is another (-want +got):\n%s", diff)
	}

	if err := s.cache.Delete(t.Context(), credential); err != nil {
		t.Fatal(err)
	}
	if err := s.reconcileCredential(t); err != nil {
		t.Fatal(err)
	}
	if _, _, held := sets.Held(credentialKey("acme")); held {
		t.Error("the set of a credential that is gone is still fetched")
	}
}
