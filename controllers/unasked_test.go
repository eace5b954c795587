package controllers

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/ostiary/ostiary/api/v1alpha1"
)

// countingQueue counts what is added for later.
type countingQueue struct {
	queue
	later int
}

func (q *countingQueue) AddAfter(reconcile.Request, time.Duration) { q.later++ }

// issuingPipeline takes JWTCredentials beside the tokens of an issuer.
func issuingPipeline(issuer string) *v1alpha1.Pipeline {
	b := &testbed{namespace: "shop"}
	pipeline := b.pipeline("orders", "/", v1alpha1.Policy{Name: "auth", Type: v1alpha1.PolicyJWT, JWT: &v1alpha1.JWTPolicy{
		Audiences: []string{"orders"},
		Issuers: []v1alpha1.JWTIssuer{{
			Issuer: issuer, Algorithms: []v1alpha1.Algorithm{"RS256"},
			Keys: v1alpha1.IssuerKeys{Type: v1alpha1.IssuerKeysSecret, Secret: &v1alpha1.SecretKeyReference{Name: "idp", Key: "jwks"}},
		}},
		Credentials: &v1alpha1.JWTCredentials{},
	}}, terminatePolicy())
	pipeline.UID, pipeline.Generation = "u", 1
	return pipeline
}

// TestCredentialsThatAreNeverAskedAreNamed: the Pipeline's verdict names them, and follows when they come, change and go.
func TestCredentialsThatAreNeverAskedAreNamed(t *testing.T) {
	t.Parallel()
	const issuer = "https://idp.example.com"
	_, credential, _ := acme()
	credential.Spec.Issuer, credential.Generation = issuer, 1
	s := newShell(t, issuingPipeline(issuer), credential, ingressClass("shop", DefaultControllerName))
	accepted := func() string {
		if _, err := s.compile.Reconcile(t.Context(), compileRequest()); err != nil {
			t.Fatal(err)
		}
		report, ok := s.reports.get(objectRef{kindPipeline, credentialKey("orders")})
		if !ok {
			t.Fatal("no verdict")
		}
		return report.verdict.Conditions[0].Message
	}
	if got := accepted(); !strings.Contains(got, `JWTCredential "shop/acme" is never asked here`) {
		t.Errorf("Accepted says %q", got)
	}

	watches := &compileWatches{reader: s.cache, progress: s.table, scope: &scope{}}
	asked := func(e change[*v1alpha1.JWTCredential]) bool {
		var q countingQueue
		watches.credentialChanged(t.Context(), e, &q)
		return q.later > 0
	}
	other := credential.DeepCopy()
	other.Spec.Issuer, other.Generation = "https://other.example.com", 2
	byKeyID := other.DeepCopy()
	byKeyID.Spec.KeyID = issuer
	labelled, touched := credential.DeepCopy(), credential.DeepCopy()
	labelled.Labels = map[string]string{"tier": "partner"}
	touched.Status.LastRotationTime = &metav1.Time{Time: time.Unix(1, 0)}
	for name, tc := range map[string]struct {
		change change[*v1alpha1.JWTCredential]
		want   bool
	}{
		"it comes":                     {change[*v1alpha1.JWTCredential]{new: credential, kind: created}, true},
		"it goes":                      {change[*v1alpha1.JWTCredential]{old: credential, kind: deleted}, true},
		"it gets another issuer":       {change[*v1alpha1.JWTCredential]{old: credential, new: other, kind: updated}, true},
		"it gets other labels":         {change[*v1alpha1.JWTCredential]{old: credential, new: labelled, kind: updated}, true},
		"one with such a keyID comes":  {change[*v1alpha1.JWTCredential]{new: byKeyID, kind: created}, true},
		"its status changes":           {change[*v1alpha1.JWTCredential]{old: credential, new: touched, kind: updated}, false},
		"one of another issuer comes":  {change[*v1alpha1.JWTCredential]{new: other, kind: created}, false},
		"one without an issuer leaves": {change[*v1alpha1.JWTCredential]{old: &v1alpha1.JWTCredential{}, kind: deleted}, false},
	} {
		if got := asked(tc.change); got != tc.want {
			t.Errorf("%s: a compile is asked for: %t", name, got)
		}
	}

	if err := s.cache.Delete(t.Context(), credential); err != nil {
		t.Fatal(err)
	}
	if got := accepted(); strings.Contains(got, "never asked") {
		t.Errorf("once it is gone, Accepted says %q", got)
	}
}
