package compile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/internal/compile"
)

// Whatever is printed, logged or marshalled, in whatever way, holds nothing of a Secret.
func TestNothingSecretIsPrinted(t *testing.T) {
	fixtures, err := filepath.Glob(filepath.Join("testdata", "*", "in.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range fixtures {
		dir := filepath.Dir(in)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			f := loadFixture(t, dir)
			secrets := secretTexts(f.Snapshot)
			out := f.compile()
			for name, value := range map[string]any{
				"Snapshot":           f.Snapshot.Secrets,
				"Config":             out.config,
				"Report":             out.report,
				"credentials":        out.credentials,
				"credential reports": out.credentialVerdicts,
			} {
				for form, text := range printed(t, value) {
					for _, secret := range secrets {
						if strings.Contains(text, secret) {
							t.Errorf("%s printed with %s holds a part of a Secret", name, form)
						}
					}
				}
			}
		})
	}
}

// secretTexts are lines of private keys and shared secrets, as text and in the forms that %x, %d and base64 would give.
func secretTexts(s compile.Snapshot) []string {
	var texts []string
	for _, secret := range s.Secrets {
		for key, data := range secret.Data {
			public := strings.HasSuffix(key, ".crt") || strings.HasSuffix(key, ".pem") || strings.HasSuffix(key, ".json")
			if public && !bytes.Contains(data, []byte("PRIVATE KEY")) {
				continue
			}
			_, body, _ := bytes.Cut(data, []byte("PRIVATE KEY-----\n"))
			if len(body) == 0 {
				body = data
			}
			if len(body) < 12 {
				continue
			}
			head := body[:12]
			texts = append(texts, string(head), fmt.Sprintf("%x", string(head)), strings.Trim(fmt.Sprint(head), "[]"))
		}
	}
	return texts
}

func printed(t *testing.T, value any) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		texts[verb] = fmt.Sprintf(verb, value)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "value", value)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "value", value)
	texts["slog"] = log.String()
	if data, err := json.Marshal(value); err == nil {
		texts["JSON"] = string(data)
	}
	return texts
}

func TestSecretBytesRedactThemselves(t *testing.T) {
	secret := compile.SecretBytes("correct horse battery staple")
	for form, text := range printed(t, struct{ Secret compile.SecretBytes }{secret}) {
		if strings.Contains(text, "horse") || strings.Contains(text, "686f727365") || strings.Contains(text, "104 111 114 115 101") {
			t.Errorf("%s prints %s", form, text)
		}
	}
	if secret.String() != secret.GoString() || secret.String() == "" {
		t.Errorf("String %q, GoString %q: want one placeholder", secret.String(), secret.GoString())
	}
	if text, err := secret.MarshalText(); err != nil || string(text) != secret.String() {
		t.Errorf("MarshalText: %q, %v", text, err)
	}
}
