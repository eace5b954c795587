package controllers

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/mint"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestRotationRows holds what is promised of a credential's own keys, by the numbers of the catalogue, from the objects to
// the answers. How long that takes in a cluster is measured in test/e2e.
func TestRotationRows(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]func(*testing.T){
		"Q01 a replaced key is accepted for the overlap, beside the new one":  overlapOfADay,
		"Q02 overlap 0s: a replaced key is refused at once":                   noOverlap,
		"Q02 state Revoked: the key is refused at once, and what it replaced": stateRevoked,
		"Q02 a lower overlap cuts what is retained":                           lowerOverlap,
		"Q03 a rotation every second for ten minutes":                         rotationEverySecond,
		"Q08 a replica that starts in an overlap ends it when it was to end":  restartInAnOverlap,
		"Q10 windows of the API's objects":                                    windowsOfKeys,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row(t)
		})
	}
}

func overlapOfADay(t *testing.T) {
	d := newDoor(t, nil)
	d.accepts("at first", "a")
	d.pass(time.Hour)
	d.put(octets("b"))
	d.accepts("once it is replaced", "ab")
	for _, step := range []time.Duration{time.Second, time.Hour, 23*time.Hour - time.Second - 1} {
		d.pass(step)
		d.accepts("in the overlap", "ab")
	}
	d.pass(1) // nothing has to happen for it to end
	d.accepts("as the overlap ends", "b")
	d.reconcile()
	d.accepts("after the overlap", "b")
}

func noOverlap(t *testing.T) {
	d := newDoor(t, func(c *v1alpha1.JWTCredential, _ *corev1.Secret) { cutting(c) })
	d.accepts("at first", "a")
	d.put(octets("b"))
	d.accepts("once it is replaced", "b")
}

func stateRevoked(t *testing.T) {
	d := newDoor(t, nil)
	d.put(octets("b"))
	d.accepts("once it is replaced", "ab")
	d.acme.Spec.Keys[0].State = v1alpha1.KeyStateRevoked
	d.write(d.acme)
	d.accepts("revoked", "")
	d.put(octets("c"))
	d.accepts("whatever takes its place", "")
}

func lowerOverlap(t *testing.T) {
	d := newDoor(t, nil)
	d.put(octets("b"))
	d.pass(time.Hour)
	d.acme.Spec.Rotation = &v1alpha1.Rotation{Overlap: &metav1.Duration{Duration: 2 * time.Hour}}
	d.write(d.acme)
	d.accepts("in the lower overlap", "ab")
	cutting(d.acme)
	d.write(d.acme)
	d.accepts("cut", "b")
	d.acme.Spec.Rotation = nil
	d.write(d.acme)
	d.accepts("raised again", "b")
}

// rotationEverySecond replaces the key 600 times under requests with the latest token: two keys are retained beside the
// present one, none is missing for a moment, and no more is remembered after ten minutes than after two.
func rotationEverySecond(t *testing.T) {
	d := newDoor(t, nil)
	seed := func(i int) string { return fmt.Sprint("key ", i) }
	d.put(octets(seed(0)))

	var latest sync.RWMutex // held for reading by each request, so that none is under way with a token of two keys ago
	token := d.token(hmacOf(seed(0)), map[string]any{"exp": d.now().Add(time.Hour).Unix()})
	var load sync.WaitGroup
	turns, sent := make(chan struct{}), 0
	load.Go(func() {
		for range turns {
			for range 5 {
				latest.RLock()
				if status := d.ask(t.Context(), token); status != http.StatusNoContent {
					t.Errorf("a token of the latest key is answered %d", status)
				}
				latest.RUnlock()
				sent++
			}
		}
	})

	const rotations = 600
	remembered := map[int]int{}
	for i := 1; i <= rotations && !t.Failed(); i++ {
		turns <- struct{}{}
		d.pass(time.Second)
		d.put(octets(seed(i)))
		latest.Lock()
		token = d.token(hmacOf(seed(i)), map[string]any{"exp": d.now().Add(time.Hour).Unix()})
		latest.Unlock()
		entry := d.entry()
		if want := min(i+2, 3); len(entry.Keys) != want {
			t.Errorf("after %d rotations %d keys verify, want %d", i, len(entry.Keys), want)
		}
		remembered[i] = len(d.shell.credential.history.Records(routing.ObjectKey{Namespace: "shop", Name: "acme"}))
		if i%100 != 0 {
			continue
		}
		for age := range 5 {
			want := http.StatusNoContent
			if age > 2 {
				want = http.StatusUnauthorized
			}
			if status := d.ask(t.Context(), d.token(hmacOf(seed(i-age)), nil)); status != want {
				t.Errorf("after %d rotations a token of %d keys ago is answered %d, want %d", i, age, status, want)
			}
		}
	}
	close(turns)
	load.Wait()
	if remembered[120] != remembered[rotations] {
		t.Errorf("%d values are remembered after two minutes, %d after ten", remembered[120], remembered[rotations])
	}
	t.Logf("%d requests in %d rotations; %d values remembered", sent, rotations, remembered[rotations])
}

// restartInAnOverlap: the second replica knows nothing but what the first one stored.
func restartInAnOverlap(t *testing.T) {
	d := newDoor(t, nil)
	d.put(octets("b"))
	d.pass(23 * time.Hour)
	d = d.again()
	d.accepts("after a restart", "ab")
	d.pass(time.Hour - 1)
	d.accepts("before the overlap ends", "ab")
	d = d.again()
	d.accepts("after another restart", "ab")
	d.pass(1)
	d.accepts("as the overlap ends", "b")
	d = d.again()
	d.accepts("after a restart then", "b")

	// What is replaced while no replica runs is retained from the moment that one sees it.
	d.secret.Data["secret"] = octets("c")
	if err := d.cache.Update(t.Context(), d.secret); err != nil {
		t.Fatal(err)
	}
	d.pass(48 * time.Hour)
	d = d.again()
	d.accepts("replaced while no replica ran", "bc")
	d.pass(24 * time.Hour)
	d.accepts("after the overlap", "c")
}

func windowsOfKeys(t *testing.T) {
	d := newDoor(t, nil)
	begin, end := d.now().Add(time.Hour), d.now().Add(2*time.Hour)
	d.acme.Spec.Keys[0].NotBefore, d.acme.Spec.Keys[0].NotAfter = ptr.To(metav1.NewTime(begin)), ptr.To(metav1.NewTime(end))
	d.write(d.acme)
	for _, step := range []struct {
		when string
		by   time.Duration
		want string
		bad  string
	}{
		{"long before", 0, "", "KeysReady=NoUsableKey"},
		{"before", time.Hour - 1, "", "KeysReady=NoUsableKey"},
		{"as it begins", 1, "a", "Degraded=ExpiringSoon"},
		{"before it ends", time.Hour - 1, "a", "Degraded=ExpiringSoon"},
		{"as it ends", 1, "", "KeysReady=NoUsableKey"},
	} {
		d.pass(step.by)
		d.accepts(step.when, step.want)
		if got := d.conditions(); got != step.bad {
			t.Errorf("%s: conditions %q, want %q", step.when, got, step.bad)
		}
	}
}

// TestValuesThatAreNoKeys puts what is no key in a key's place: what was there before serves on for the overlap and no longer,
// status and metric say so, and what is there instead opens nothing, least of all as a secret that everyone may know.
func TestValuesThatAreNoKeys(t *testing.T) {
	t.Parallel()
	const html = "<!DOCTYPE html><html><head><title>Sign in to continue</title></head><body>Your session has expired</body></html>\n"
	ec, other := newKeyOf(t, "ES256"), newKeyOf(t, "RS256")
	halved := ec.Verifier[:len(ec.Verifier)/2]
	elliptic := func(c *v1alpha1.JWTCredential, s *corev1.Secret) {
		c.Spec.Algorithms = []v1alpha1.Algorithm{v1alpha1.AlgorithmES256}
		c.Spec.Keys[0].Format = v1alpha1.KeyFormatAuto
		s.Data["secret"] = ec.Verifier
	}
	shared := func(format v1alpha1.KeyFormat) func(*v1alpha1.JWTCredential, *corev1.Secret) {
		return func(c *v1alpha1.JWTCredential, _ *corev1.Secret) { c.Spec.Keys[0].Format = format }
	}
	rs := func(c *v1alpha1.JWTCredential, s *corev1.Secret) {
		c.Spec.Algorithms = []v1alpha1.Algorithm{v1alpha1.AlgorithmRS256}
		c.Spec.Keys[0].Format = v1alpha1.KeyFormatPEM
		s.Data["secret"] = other.Verifier
	}
	ofEC, ofRSA := signer{"ES256", ec.Private}, signer{"RS256", other.Private}
	for name, tc := range map[string]struct {
		start func(*v1alpha1.JWTCredential, *corev1.Secret)
		good  signer
		value []byte
		why   v1alpha1.Reason // of KeysReady, in the end
	}{
		"Q04 empty":                             {elliptic, ofEC, []byte{}, v1alpha1.ReasonNoUsableKey},
		"Q04 garbage":                           {elliptic, ofEC, []byte("\x00\xff\x17 garbage, and more of it than a key has \x01"), v1alpha1.ReasonInvalidKey},
		"Q04 half a PEM":                        {elliptic, ofEC, halved, v1alpha1.ReasonInvalidKey},
		"Q04 a PEM without its end":             {elliptic, ofEC, bytes.Split(ec.Verifier, []byte("-----END"))[0], v1alpha1.ReasonInvalidKey},
		"Q04 a key of another type":             {elliptic, ofEC, other.Verifier, v1alpha1.ReasonAlgorithmMismatch},
		"Q04 a private key of another type":     {elliptic, ofEC, other.Private, v1alpha1.ReasonAlgorithmMismatch},
		"Q04 an error page":                     {elliptic, ofEC, []byte(html), v1alpha1.ReasonInvalidKey},
		"Q04 half a set":                        {elliptic, ofEC, []byte(`{"keys":[{"kty":"EC","crv":"P-256"`), v1alpha1.ReasonInvalidKey},
		"Q04 a weak RSA key":                    {rs, ofRSA, weakRSA(t), v1alpha1.ReasonWeakKey},
		"Q04 an EC key for RS256":               {rs, ofRSA, ec.Verifier, v1alpha1.ReasonAlgorithmMismatch},
		"Q04 an empty secret":                   {shared(v1alpha1.KeyFormatOctets), hmacOf("a"), []byte{}, v1alpha1.ReasonNoUsableKey},
		"Q04 a short secret":                    {shared(v1alpha1.KeyFormatOctets), hmacOf("a"), []byte("short"), v1alpha1.ReasonWeakKey},
		"Q04 zeros for a secret":                {shared(v1alpha1.KeyFormatOctets), hmacOf("a"), make([]byte, 64), v1alpha1.ReasonWeakKey},
		"Q04 a public key for a secret":         {shared(v1alpha1.KeyFormatAuto), hmacOf("a"), ec.Verifier, v1alpha1.ReasonAlgorithmMismatch},
		"Q04 half a public key for a secret":    {shared(v1alpha1.KeyFormatAuto), hmacOf("a"), halved, v1alpha1.ReasonInvalidKey},
		"Q04 an error page for a secret":        {shared(v1alpha1.KeyFormatAuto), hmacOf("a"), []byte(html), v1alpha1.ReasonInvalidKey},
		"Q04 half a set in place of the secret": {shared(v1alpha1.KeyFormatAuto), hmacOf("a"), []byte(`{"keys":[{"kty":"oct"`), v1alpha1.ReasonInvalidKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, tc.start)
			good := d.secret.Data["secret"]
			check := func(when string, want int, conditions string, metric float64) {
				t.Helper()
				if status := d.ask(t.Context(), d.token(tc.good, nil)); status != want {
					t.Errorf("%s: a token of the last good key is answered %d, want %d", when, status, want)
				}
				for _, secret := range [][]byte{tc.value, bytes.TrimSpace(tc.value), good} {
					if bytes.Equal(secret, tc.good.private) {
						continue // the good secret itself
					}
					forged := d.token(signer{"HS256", secret}, nil)
					if status := d.ask(t.Context(), forged); status != http.StatusUnauthorized {
						t.Errorf("%s: a token signed with the text of the Secret is answered %d", when, status)
					}
				}
				d.closed(when)
				if got := d.conditions(); got != conditions {
					t.Errorf("%s: conditions %q, want %q", when, got, conditions)
				}
				if got := d.servingLastGood(); got != metric {
					t.Errorf("%s: the metric says %v, want %v", when, got, metric)
				}
			}
			check("at first", http.StatusNoContent, "", 0)
			d.put(tc.value)
			empty := ""
			if len(tc.value) == 0 {
				empty = " ResolvedRefs=KeyNotFound"
			}
			check("in its place", http.StatusNoContent, "Degraded=ServingLastGood"+empty, 1)
			d.pass(24*time.Hour - 1)
			check("before the overlap ends", http.StatusNoContent, "Degraded=ServingLastGood"+empty, 1)
			d.pass(1)
			check("as the overlap ends", http.StatusUnauthorized, "KeysReady=NoUsableKey"+empty, 0)
			d.reconcile()
			check("after the overlap", http.StatusUnauthorized, "KeysReady="+string(tc.why)+empty, 0)
			d.put(good)
			check("corrected", http.StatusNoContent, "", 0)
		})
	}
}

// TestPrivateKeyInTheKeysPlace: by decision it is no fault that ends anything: its public half verifies, with a warning, and what
// was there before is retained as with any rotation.
func TestPrivateKeyInTheKeysPlace(t *testing.T) {
	t.Parallel()
	t.Run("Q04 a private key: its public half is used", func(t *testing.T) {
		t.Parallel()
		before, after := newKeyOf(t, "ES256"), newKeyOf(t, "ES256")
		d := newDoor(t, func(c *v1alpha1.JWTCredential, s *corev1.Secret) {
			c.Spec.Algorithms, c.Spec.Keys[0].Format = []v1alpha1.Algorithm{v1alpha1.AlgorithmES256}, v1alpha1.KeyFormatAuto
			s.Data["secret"] = before.Verifier
		})
		d.put(after.Private)
		for _, private := range [][]byte{before.Private, after.Private} {
			if status := d.ask(t.Context(), d.token(signer{"ES256", private}, nil)); status != http.StatusNoContent {
				t.Errorf("a token is answered %d, want 204", status)
			}
		}
		forged := d.token(signer{"HS256", after.Private}, nil)
		if status := d.ask(t.Context(), forged); status != http.StatusUnauthorized {
			t.Errorf("a token signed with the text of the Secret is answered %d", status)
		}
		d.closed("with a private key")
		if d.servingLastGood() != 0 {
			t.Error("the metric says that the last good key serves")
		}
	})
}

// TestRevocationRows takes away what a credential needs, under requests that have just been accepted with the same token, so that a
// verdict that is remembered would show.
func TestRevocationRows(t *testing.T) {
	t.Parallel()
	suspended := ptr.To(true)
	for name, tc := range map[string]struct {
		revoke     func(*door)
		conditions string
		// mend brings it back; nil where what is gone is gone.
		mend func(*door)
	}{
		"Q05 the Secret is deleted": {
			revoke: func(d *door) { d.remove(d.secret) }, conditions: "KeysReady=NoUsableKey ResolvedRefs=SecretNotFound",
			mend: func(d *door) {
				d.secret.ResourceVersion, d.secret.UID = "", "uid-2"
				if err := d.cache.Create(d.t.Context(), d.secret); err != nil {
					d.t.Fatal(err)
				}
				d.reconcile()
			},
		},
		"Q05 the entry is deleted": {
			revoke: func(d *door) {
				delete(d.secret.Data, "secret")
				d.secret.Data["other"] = octets("a")
				d.write(d.secret)
			},
			conditions: "KeysReady=NoUsableKey ResolvedRefs=KeyNotFound",
			mend:       func(d *door) { d.put(octets("a")) },
		},
		"Q07 the credential is deleted": {revoke: func(d *door) { d.remove(d.acme) }, conditions: "none"},
		"Q07 the credential is suspended": {
			revoke: func(d *door) { d.acme.Spec.Suspend = suspended; d.write(d.acme) },
			mend:   func(d *door) { d.acme.Spec.Suspend = nil; d.write(d.acme) },
		},
		"Q07 the consumer is suspended": {
			revoke: func(d *door) { d.consumer.Spec.Suspend = suspended; d.write(d.consumer) },
			mend:   func(d *door) { d.consumer.Spec.Suspend = nil; d.write(d.consumer) },
		},
		"Q07 the consumer is deleted": {
			revoke: func(d *door) { d.remove(d.consumer) }, conditions: "ResolvedRefs=ConsumerNotFound",
			mend: func(d *door) {
				d.consumer.ResourceVersion = ""
				if err := d.cache.Create(d.t.Context(), d.consumer); err != nil {
					d.t.Fatal(err)
				}
				d.reconcile()
			},
		},
		"Q30 revocation.issuedBefore": {
			revoke: func(d *door) {
				d.acme.Spec.Revocation = &v1alpha1.Revocation{IssuedBefore: ptr.To(metav1.NewTime(d.now().Add(time.Second)))}
				d.write(d.acme)
			},
			mend: func(d *door) { d.acme.Spec.Revocation = nil; d.write(d.acme) },
		},
		"Q30 revocation.tokenIDs": {
			revoke: func(d *door) {
				d.acme.Spec.Revocation = &v1alpha1.Revocation{TokenIDs: []string{"t-1"}}
				d.write(d.acme)
			},
			mend: func(d *door) { d.acme.Spec.Revocation = nil; d.write(d.acme) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, nil)
			token := d.token(hmacOf("a"), map[string]any{"jti": "t-1"})
			check := func(when string, want int) {
				t.Helper()
				for range 3 {
					if status := d.ask(t.Context(), token); status != want {
						t.Fatalf("%s: the token is answered %d, want %d", when, status, want)
					}
				}
				d.closed(when)
			}
			check("at first", http.StatusNoContent)
			tc.revoke(d)
			check("taken away", http.StatusUnauthorized)
			if got := d.conditions(); got != tc.conditions {
				t.Errorf("conditions %q, want %q", got, tc.conditions)
			}
			if tc.mend == nil {
				return
			}
			tc.mend(d)
			check("given back", http.StatusNoContent)
		})
	}
	t.Run("Q30 a token without iat, issuedBefore set", func(t *testing.T) {
		t.Parallel()
		d := newDoor(t, nil)
		token := d.token(hmacOf("a"), map[string]any{"iat": nil})
		if status := d.ask(t.Context(), token); status != http.StatusNoContent {
			t.Errorf("before: %d, want 204", status)
		}
		d.acme.Spec.Revocation = &v1alpha1.Revocation{IssuedBefore: ptr.To(metav1.NewTime(time.Unix(1, 0)))}
		d.write(d.acme)
		if status := d.ask(t.Context(), token); status != http.StatusUnauthorized {
			t.Errorf("without iat: %d, want 401", status)
		}
		if status := d.ask(t.Context(), d.token(hmacOf("a"), nil)); status != http.StatusNoContent {
			t.Errorf("issued since: %d, want 204", status)
		}
	})
}

func newKeyOf(t *testing.T, algorithm string) mint.Key {
	t.Helper()
	key, err := mint.NewKey(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// weakRSA is a public key of 1024 bits.
func weakRSA(t *testing.T) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}
