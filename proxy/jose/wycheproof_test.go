//go:build !race

// The race detector makes the elliptic curves twenty times slower, and one goroutine has no race.

package jose

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestWycheproofSignatures runs Wycheproof's signatures with the keys in PEM and as JWK.
func TestWycheproofSignatures(t *testing.T) {
	for name, a := range map[string]Algorithm{
		"ecdsa_secp256r1_sha256_p1363_test.json": ES256,
		"ecdsa_secp384r1_sha384_p1363_test.json": ES384,
		"ecdsa_secp521r1_sha512_p1363_test.json": ES512,
		"ed25519_test.json":                      EdDSA,
		"rsa_pss_2048_sha256_mgf1_32_test.json":  PS256,
		"rsa_signature_2048_sha256_test.json":    RS256,
	} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", "wycheproof", name))
			if err != nil {
				t.Fatal(err)
			}
			var vectors struct {
				TestGroups []struct {
					PEM   string          `json:"publicKeyPem"`
					JWK   json.RawMessage `json:"publicKeyJwk"`
					Tests []struct {
						ID      int    `json:"tcId"`
						Comment string `json:"comment"`
						Message string `json:"msg"`
						Sig     string `json:"sig"`
						Result  string `json:"result"`
					} `json:"tests"`
				} `json:"testGroups"`
			}
			if err := json.Unmarshal(data, &vectors); err != nil {
				t.Fatal(err)
			}
			valid, invalid := 0, 0
			for _, g := range vectors.TestGroups {
				key := mustParse(t, g.PEM, algorithms(a))
				if g.JWK != nil {
					if same := mustParse(t, string(g.JWK), Options{KID: key.KID(), Algorithms: []Algorithm{a}}); !same.Equal(*key) {
						t.Error("the JWK is another key than the PEM")
					}
				}
				for _, tc := range g.Tests {
					err := key.Verify(a, string(unhex(t, tc.Message)), unhex(t, tc.Sig))
					switch {
					case tc.Result == "valid" && err == nil:
						valid++
					case tc.Result == "invalid" && err != nil:
						invalid++
					case tc.Result == "acceptable":
					default:
						t.Error(fmt.Sprint(tc.ID, " ", tc.Comment, ": ", err, ", want ", tc.Result))
					}
				}
			}
			if valid < 5 || invalid < 10 {
				t.Errorf("%d valid and %d invalid signatures ran", valid, invalid)
			}
		})
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
