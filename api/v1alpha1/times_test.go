package v1alpha1_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/ostiary/ostiary/api/v1alpha1"
)

// TestTimesThatPassCanBeRead: the format date-time takes times that Go can't read, and one object that can't be read keeps
// everyone's from being followed, revocations among them. So whatever the API server admits must be readable.
func TestTimesThatPassCanBeRead(t *testing.T) {
	t.Parallel()
	validator := newValidator(t)
	base := ruleFiles(t)["jwtcredential"].Base
	times := map[string]bool{
		"2026-12-31T23:59:59Z":                  true,
		"2026-12-31T23:59:59.123456789Z":        true,
		"2026-12-31T23:59:59+14:00":             true,
		"2026-12-31T23:59:59-00:00":             true,
		"2028-02-29T00:00:00Z":                  true,
		"2026-12-31t23:59:59Z":                  false,
		"2026-12-31T23:59:59z":                  false,
		"2026-12-31T23:59:59x5Z":                false,
		"2026-12-31T23:59:59.Z":                 false,
		"2026-12-31T23:59:59+24:00":             false,
		"2026-12-31T23:59:59+99:99":             false,
		"2026-12-31T23:59:59":                   false,
		"2026-12-31T24:00:00Z":                  false,
		"2026-12-31T23:59:59.1234567890123456Z": false,
		"2026-02-29T00:00:00Z":                  false,
		"2016-12-31T23:59:60Z":                  false, // a leap second, which no clock here tells
	}
	for field, change := range map[string]func(at string) map[string]any{
		"expirationTime": func(at string) map[string]any { return map[string]any{"expirationTime": at} },
		"issuedBefore": func(at string) map[string]any {
			return map[string]any{"revocation": map[string]any{"issuedBefore": at}}
		},
		"notBefore": func(at string) map[string]any { return map[string]any{"keys": []any{key("notBefore", at)}} },
		"notAfter":  func(at string) map[string]any { return map[string]any{"keys": []any{key("notAfter", at)}} },
	} {
		for at, want := range times {
			t.Run("Q10 "+field+" "+at, func(t *testing.T) {
				t.Parallel()
				o := object(t, base, map[string]any{"spec": change(at)})
				_, errs := validator.Validate(o)
				if (len(errs) == 0) != want {
					t.Errorf("admitted %t, want %t: %v", len(errs) == 0, want, errs)
				}
				err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &v1alpha1.JWTCredential{})
				if len(errs) == 0 && err != nil {
					t.Errorf("what is admitted can't be read: %v", err)
				}
			})
		}
	}
}

func key(field, at string) map[string]any {
	return map[string]any{"name": "current", "secretKeyRef": map[string]any{"name": "acme-jwt", "key": "tls.crt"}, field: at}
}
