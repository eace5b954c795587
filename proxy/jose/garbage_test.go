//go:build !race

package jose

import (
	"strings"
	"testing"
	"time"
)

// TestGarbageIsRefusedInNoTime: what is as large as is read at all, made to be read again and again from every boundary in it.
func TestGarbageIsRefusedInNoTime(t *testing.T) {
	const patience = 50 * time.Millisecond
	fill := func(unit string) string { return strings.Repeat(unit, maxBytes/len(unit)) }
	for name, data := range map[string]string{
		"Q15 1 MiB":                          strings.Repeat("-----BEGIN PUBLIC KEY-----\n", 1<<20/27),
		"Q15 14,000 boundaries that open":    fill("-----BEGIN X-----\n"),
		"Q15 boundaries that do not match":   fill("-----BEGIN A-----\n-----END B-----\n"),
		"Q15 keys that are cut":              fill("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQ\n"),
		"Q15 many blocks without anything":   fill("-----BEGIN X-----\n-----END X-----\n"),
		"Q15 a boundary that never ends":     fill("-"),
		"Q15 headers without end":            "-----BEGIN PUBLIC KEY-----\n" + fill("a: b\n")[:maxBytes-100],
		"Q15 arrays in a set":                `{"keys":` + fill("[")[:maxBytes-10],
		"Q15 members of a key":               `{"kty":"EC"` + fill(`,"a":1`)[:maxBytes-20] + `}`,
		"Q15 a number that is very long":     `{"kty":"RSA","n":"` + fill("A")[:maxBytes-50] + `","e":"AQAB"}`,
		"Q15 a certificate of nothing":       "-----BEGIN CERTIFICATE-----\n" + fill("AAAA")[:maxBytes-100] + "\n-----END CERTIFICATE-----\n",
		"Q15 a public key of zeros, encoded": "-----BEGIN PUBLIC KEY-----\n" + fill("AAAA")[:maxBytes-100] + "\n-----END PUBLIC KEY-----\n",
	} {
		t.Run(name, func(t *testing.T) {
			for _, format := range []Format{FormatAuto, FormatPEM, FormatJWK, FormatJWKS} {
				best := time.Hour // of a few: something else may run at the same time
				for range 20 {
					began := time.Now()
					keys, problems, _ := Parse([]byte(data), Options{Format: format, Algorithms: []Algorithm{ES256, RS256}})
					best = min(best, time.Since(began))
					if len(keys) > 0 || len(problems) == 0 {
						t.Fatalf("format %d: %d keys, %d problems", format, len(keys), len(problems))
					}
					if best < patience {
						break
					}
				}
				if best > patience {
					t.Errorf("format %d: refused after %v", format, best)
				}
			}
		})
	}
}
