package token

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/proxy/jose"
)

// cookbook is the folder of the examples of RFC 7520, RFC 8037 and RFC 7797.
func cookbook(t *testing.T, pattern string) map[string][]byte {
	t.Helper()
	root := filepath.Join("..", "..", "..", "jose", "testdata", "cookbook")
	paths, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.ToSlash(name)] = data
	}
	return files
}

type example struct {
	Input struct {
		Key json.RawMessage `json:"key"`
	} `json:"input"`
	Output struct {
		Compact string          `json:"compact"`
		JSON    json.RawMessage `json:"json"`
		Flat    json.RawMessage `json:"json_flat"`
	} `json:"output"`
}

// publicHalf is a JWK without its private members, as an owner would publish it.
func publicHalf(t *testing.T, raw json.RawMessage) []byte {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi"} {
		delete(members, name)
	}
	data, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestCookbookJWS verifies the compact JWS of the cookbook and refuses what is no such thing.
func TestCookbookJWS(t *testing.T) {
	// Those that are refused, and why; all others verify.
	refused := map[string]string{
		"jws/4_5.signature_with_detached_content.json": "the payload is detached (RFC 7515 appendix F): a JWT carries its own",
		"rfc7797/hmac-sha2_b64_false.json":             "b64 is false and crit (RFC 7797): no JWT is unencoded (its section 7)",
	}
	// Those without a compact form, and why.
	noCompact := map[string]string{
		"jws/4_6.protecting_specific_header_fields.json": "the header is not all protected: only the JSON serialisation has that",
		"jws/4_7.protecting_content_only.json":           "no header is protected: only the JSON serialisation has that",
		"jws/4_8.multiple_signatures.json":               "several signatures: only the JSON serialisation has that",
		"rfc7797/4.2.hmac-sha2_b64_false.json":           "the unencoded payload has a full stop",
	}
	files := cookbook(t, "*/*.json")
	verified := 0
	for name, data := range files {
		if strings.HasPrefix(name, "jwk/") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			var e example
			if err := json.Unmarshal(data, &e); err != nil {
				t.Fatal(err)
			}
			for _, serialisation := range []json.RawMessage{e.Output.JSON, e.Output.Flat} {
				if serialisation == nil {
					continue
				}
				if _, _, err := takeApart(string(serialisation)); !errors.Is(err, ErrMalformed) {
					t.Errorf("the JSON serialisation: %v, want ErrMalformed", err)
				}
			}
			if why, ok := noCompact[name]; ok || e.Output.Compact == "" {
				if !ok || e.Output.Compact != "" {
					t.Errorf("compact form %q, listed as without one: %t", e.Output.Compact, ok)
				}
				t.Log(why)
				return
			}
			keys := keysOf(publicHalf(t, e.Input.Key))
			if len(keys) != 1 {
				t.Fatalf("%d keys", len(keys))
			}
			why, stricter := refused[name]
			if got := verifies(e.Output.Compact, keys); got == stricter {
				t.Errorf("verifies %t (%s)", got, why)
			}
			if stricter {
				if _, _, err := takeApart(e.Output.Compact); !errors.Is(err, ErrMalformed) {
					t.Errorf("%v, want ErrMalformed: %s", err, why)
				}
				return
			}
			verified++
			for i := 0; i < len(e.Output.Compact); i += 37 {
				twin := []byte(e.Output.Compact)
				if twin[i]++; verifies(string(twin), keys) {
					t.Fatalf("verifies with character %d changed", i)
				}
			}
		})
	}
	if verified != 5 {
		t.Errorf("%d examples verified, want 5: RS256, PS384, ES512, HS256 and EdDSA", verified)
	}
}

// TestCookbookJWK takes the keys for verifying and refuses the others.
func TestCookbookJWK(t *testing.T) {
	want := map[string]string{
		"jwk/3_1.ec_public_key.json":                 "",
		"jwk/3_2.ec_private_key.json":                "private key",
		"jwk/3_3.rsa_public_key.json":                "",
		"jwk/3_4.rsa_private_key.json":               "private key",
		"jwk/3_5.symmetric_key_mac_computation.json": "",
		"jwk/3_6.symmetric_key_encryption.json":      "use is \"enc\"",
	}
	files := cookbook(t, "jwk/*.json")
	if len(files) != len(want) {
		t.Errorf("%d keys, want %d", len(files), len(want))
	}
	for name, data := range files {
		t.Run(name, func(t *testing.T) {
			algorithms := []jose.Algorithm{jose.RS256, jose.PS256, jose.ES512}
			if strings.Contains(name, "symmetric") {
				algorithms = []jose.Algorithm{jose.HS256}
			}
			keys, problems, _ := jose.Parse(data, jose.Options{Format: jose.FormatJWK, Algorithms: algorithms})
			switch why := want[name]; {
			case why == "" && len(keys) != 1:
				t.Errorf("refused: %v", problems)
			case why != "" && (len(keys) != 0 || len(problems) != 1 || !strings.Contains(problems[0].Message, why)):
				t.Errorf("%d keys and problems %v, want one about %q", len(keys), problems, why)
			}
		})
	}
}
