package token

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ostiary/ostiary/proxy/jose"
)

// vectors is Wycheproof's format for JOSE.
type vectors struct {
	TestGroups []struct {
		Comment string          `json:"comment"`
		Public  json.RawMessage `json:"public"`
		Private json.RawMessage `json:"private"`
		Tests   []struct {
			ID      int    `json:"tcId"`
			Comment string `json:"comment"`
			JWS     string `json:"jws"`
			Result  string `json:"result"`
		} `json:"tests"`
	} `json:"testGroups"`
}

func readVectors(t *testing.T, name string) vectors {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "jose", "testdata", "wycheproof", name))
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// keysOf parses the keys of a group as those of a credential with the algorithms of its type, as its owner would.
func keysOf(raw json.RawMessage) []*jose.Key {
	for _, algorithms := range [][]jose.Algorithm{
		{jose.HS256, jose.HS384, jose.HS512},
		{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA},
	} {
		if keys, _, _ := jose.Parse(raw, jose.Options{Algorithms: algorithms}); len(keys) > 0 {
			return keys
		}
	}
	return nil
}

// verifies does what the policy does, but for the payload: those of the vectors are no JSON.
func verifies(compact string, keys []*jose.Key) bool {
	p, _, err := takeApart(compact)
	if err != nil {
		return false
	}
	u := Unverified{parts: p}
	kid, named := u.KID()
	for _, key := range keys {
		if named && key.KID() != kid {
			continue
		}
		if _, err := u.Verify(key); err == nil {
			return true
		}
	}
	return false
}

// TestWycheproofJWS runs Wycheproof's JSON Web Signatures.
func TestWycheproofJWS(t *testing.T) {
	// Vectors that are called valid and refused here, and why.
	stricter := map[int]string{
		346: "the JWK's alg is PS256, the token's PS384",
		347: "the JWK's alg is ES521, which does not exist",
		350: "the JWK's alg is PS256, the token's PS384",
		351: "the JWK's alg is ES521, which does not exist",
		372: "a character that is not base64url is in the header: a defect of the vectors",
		373: "a character that is not base64url is in the payload: a defect of the vectors",
	}
	for _, id := range []int{259, 264, 268, 272, 320, 325} {
		stricter[id] = "the payload is empty, which no JWT's is"
	}
	for _, id := range []int{357, 358, 359, 376, 377} {
		stricter[id] = "the secret is 32 zeros, which is no secret"
	}
	ran := 0
	for _, g := range readVectors(t, "json_web_signature_test.json").TestGroups {
		raw := g.Public
		if raw == nil {
			raw = g.Private
		}
		keys := keysOf(raw)
		for _, tc := range g.Tests {
			ran++
			t.Run(fmt.Sprint(tc.ID), func(t *testing.T) {
				want := tc.Result == "valid"
				if why, ok := stricter[tc.ID]; ok {
					t.Log(why)
					want = false
				}
				if got := verifies(tc.JWS, keys); got != want {
					t.Errorf("%s, %s: verifies %t, want %s\n%s", g.Comment, tc.Comment, got, tc.Result, tc.JWS)
				}
				if _, _, err := takeApart(tc.JWS); err != nil && len(keys) == 0 && tc.Result == "valid" && tc.ID != 372 && tc.ID != 373 {
					t.Errorf("%s, %s: not even taken apart: %v", g.Comment, tc.Comment, err)
				}
			})
		}
	}
	if ran < 400 {
		t.Errorf("%d vectors ran", ran)
	}
}

// TestWycheproofJWK runs Wycheproof's JSON Web Keys.
func TestWycheproofJWK(t *testing.T) {
	ran := 0
	for _, g := range readVectors(t, "json_web_key_test.json").TestGroups {
		raw := g.Public
		if raw == nil {
			raw = g.Private
		}
		keys := keysOf(raw)
		for _, tc := range g.Tests {
			ran++
			t.Run(fmt.Sprint(tc.ID), func(t *testing.T) {
				if got := verifies(tc.JWS, keys); got != (tc.Result == "valid") {
					t.Errorf("%s, %s: verifies %t, want %s\n%s", g.Comment, tc.Comment, got, tc.Result, tc.JWS)
				}
			})
		}
	}
	if ran < 26 {
		t.Errorf("%d vectors ran", ran)
	}
}
