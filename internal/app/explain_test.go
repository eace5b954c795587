package app

import (
	"encoding/base64"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/mint"
)

const (
	explainManifests = "testdata/explain/shop.yaml"
	explainAt        = "2026-11-21T12:00:00Z"
	// canary is in every secret and claim of these tests that may not be told.
	canary = "hollow-canary"
)

// explainCase is one call of explain.
type explainCase struct {
	request string
	args    []string
	// claims go over those of a good token; nil sends no token. kid is put into its header, secret signs it.
	claims map[string]any
	kid    string
	secret string
	// spoil changes the token after it was signed.
	spoil func(string) string
	// body makes the body that the token is sent in, instead of --token-in.
	body func(token string) string
	want int
}

func explainCases() map[string]explainCase {
	const read = "GET http://api.example.com/orders/7"
	const post, form = "POST http://forms.example.com/", "application/x-www-form-urlencoded"
	good := map[string]any{}
	inForm := func(token string) string { return "access_token=" + token }
	inJSON := func(token string) string { return `{"auth":{"token":"` + token + `"}}` }
	return map[string]explainCase{
		"admitted":                    {request: read, claims: good},
		"admitted-without-a-kid":      {request: read, claims: good, kid: "-"},
		"no-method-of-a-shorter-path": {request: "GET http://api.example.com/nowhere", want: exitRefused},
		"no-route-for-the-method":     {request: "DELETE http://api.example.com/orders", want: exitRefused},
		"headers-decide":              {request: read, args: []string{"--header", "x-beta: 1"}, claims: good},
		"public-on-another-host":      {request: "http://other.example.com/orders", want: exitOK},
		"path-ambiguous":              {request: "GET http://api.example.com/a%2f..%2forders", want: exitRefused},
		"no-certificate":              {request: "GET https://api.example.com/orders", claims: good, want: exitRefused},
		"no-token":                    {request: read, want: exitRefused},
		"two-tokens":                  {request: read, args: []string{"--header", "Authorization: Bearer x"}, claims: good, want: exitRefused},
		"no-jwt":                      {request: read, claims: good, spoil: func(string) string { return canary }, want: exitRefused},
		"credential-unknown":          {request: read, claims: map[string]any{"sub": canary}, want: exitRefused},
		"credential-not-selected":     {request: read, claims: map[string]any{"sub": "unlabelled"}, want: exitRefused},
		"consumer-suspended":          {request: read, claims: map[string]any{"sub": "asleep"}, kid: "-", want: exitRefused},
		"key-unknown":                 {request: read, claims: good, kid: canary, want: exitRefused},
		"key-not-yet":                 {request: read, claims: good, kid: "2027", want: exitRefused},
		"signature-invalid":           {request: read, claims: good, kid: "-", secret: canary + "-secret-of-a-stranger-0123456789", want: exitRefused},
		"algorithm-none":              {request: read, claims: good, spoil: withHeader(`{"alg":"none","kid":"2026"}`), want: exitRefused},
		"algorithm-not-allowed":       {request: read, claims: good, spoil: withHeader(`{"alg":"HS512","kid":"2026"}`), want: exitRefused},
		"expired":                     {request: read, claims: map[string]any{"exp": at().Unix() - 1}, want: exitRefused},
		"audience-mismatch":           {request: read, claims: map[string]any{"aud": canary}, want: exitRefused},
		"scope-missing":               {request: "POST http://api.example.com/orders", claims: map[string]any{"scope": canary}, want: exitRefused},
		"group-denied":                {request: read, claims: map[string]any{"sub": "trier"}, kid: "-", want: exitRefused},
		"anonymous-no-endpoints":      {request: "GET http://api.example.com/news"},
		"token-in-a-cookie":           {request: "GET http://api.example.com/news", args: []string{"--token-in", "Cookie: session={}"}, claims: good},
		"token-in-the-query":          {request: "GET http://api.example.com/news?a=1", args: []string{"--token-in", "?t={}"}, claims: good},
		"token-where-none-is-taken":   {request: "GET http://api.example.com/news", claims: good},
		"token-in-a-form":             {request: post, args: []string{"--header", "Content-Type: " + form}, claims: good, body: inForm},
		"token-in-json":               {request: post, args: []string{"--header", "Content-Type: application/json"}, claims: good, body: inJSON},
		"body-without-a-type":         {request: post, claims: good, body: inForm, want: exitRefused},
		"tokens-in-a-form":            {request: post, args: []string{"--header", "Content-Type: " + form}, claims: good, body: func(token string) string { return inForm(token) + "&" + inForm(token) }, want: exitRefused},
		"body-too-large":              {request: post, args: []string{"--header", "Content-Type: " + form}, claims: good, body: func(token string) string { return inForm(token) + strings.Repeat("&", 1024) }, want: exitRefused},
		"no-token-in-a-body":          {request: post, args: []string{"--header", "Content-Type: " + form}, want: exitRefused},
		"dry-run":                     {request: "GET http://api.example.com/trial", claims: map[string]any{"exp": 1}},
	}
}

func at() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

// withHeader puts another header in front of a token's claims and signature.
func withHeader(header string) func(string) string {
	return func(token string) string {
		_, rest, _ := strings.Cut(token, ".")
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + rest
	}
}

func explainToken(t *testing.T, c explainCase) string {
	t.Helper()
	claims := map[string]any{
		"sub": "acme", "aud": "orders-api", "iat": at().Unix() - 10, "exp": at().Unix() + 60,
		"jti": canary + "-jti", "email": canary + "@example.com",
	}
	maps.Copy(claims, c.claims)
	kid, secret := "2026", canary+"-secret-of-acme-0123456789"
	switch {
	case c.kid == "-":
		kid = ""
	case c.kid != "":
		kid = c.kid
	}
	if c.secret != "" {
		secret = c.secret
	}
	token, err := mint.Token("HS256", []byte(secret), kid, claims)
	if err != nil {
		t.Fatal(err)
	}
	if c.spoil != nil {
		token = c.spoil(token)
	}
	return token
}

// TestExplain compares what is printed with testdata/explain/CASE.golden; -update writes these anew. None of it may be of
// the token or of a key.
func TestExplain(t *testing.T) {
	for name, c := range explainCases() {
		t.Run(name, func(t *testing.T) {
			args := []string{"explain", "--manifests", explainManifests, "--request", c.request, "--at", explainAt}
			var token string
			if c.claims != nil {
				token = explainToken(t, c)
				flag, content := "--token-file", token+"\n"
				if c.body != nil {
					flag, content = "--body", c.body(token)
				}
				file := filepath.Join(t.TempDir(), "token")
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, flag, file)
			}
			got, code := output(t, append(args, c.args...)...)
			if code != c.want {
				t.Errorf("exit code %d, want %d", code, c.want)
			}
			golden := filepath.Join("testdata", "explain", name+".golden")
			if flag.Lookup("update").Value.String() == "true" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("printed (-want +got):\n%s", diff)
			}
			for _, secret := range append(strings.Split(token, "."), canary) {
				if len(secret) > 8 && strings.Contains(got, secret) {
					t.Errorf("%q is told:\n%s", secret, got)
				}
			}
		})
	}
}

// TestExplainGoldensAreCases: a case that was taken away leaves no file behind.
func TestExplainGoldensAreCases(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "explain", "*.golden"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range files {
		files[i] = strings.TrimSuffix(filepath.Base(files[i]), ".golden")
	}
	slices.Sort(files)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(explainCases())), files); diff != "" {
		t.Errorf("cases and goldens (-cases +goldens):\n%s", diff)
	}
}

// TestExplainSaysWhatToWrite: mistakes on the command line are told without what was written, where that may be a token.
func TestExplainSaysWhatToWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	empty := filepath.Join(t.TempDir(), "empty")
	large := filepath.Join(t.TempDir(), "large")
	for path, content := range map[string]string{file: canary, empty: " \n", large: strings.Repeat(canary, 1<<20/len(canary)+1)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no URL":                    {[]string{"--request", "GET"}, "--request"},
		"a URL of another scheme":   {[]string{"--request", "GET ftp://a.test/?t=" + canary}, "--request"},
		"a URL with a password":     {[]string{"--request", "GET http://" + canary + "@a.test/"}, "--request"},
		"a URL that is none":        {[]string{"--request", "GET http://a.test:x/?t=" + canary}, "--request"},
		"a method that is none":     {[]string{"--request", "G(T http://a.test/"}, "no method"},
		"a header without a colon":  {[]string{"--request", "http://a.test/", "--header", canary}, "--header"},
		"no such token file":        {[]string{"--request", "http://a.test/", "--token-file", filepath.Join(t.TempDir(), "no")}, "read the token"},
		"no such body":              {[]string{"--request", "http://a.test/", "--body", filepath.Join(t.TempDir(), "no")}, "read the body"},
		"a body without an end":     {[]string{"--request", "http://a.test/", "--body", large}, "--body: is longer"},
		"two from the input":        {[]string{"--request", "http://a.test/", "--body", "-", "--token-file", "-"}, "name a file"},
		"a selector that is none":   {[]string{"--request", "http://a.test/", "--namespace-selector", "a in b"}, "--namespace-selector"},
		"two ways to select":        {[]string{"--request", "http://a.test/", "--namespace-selector", "a=b", "--watch-namespaces", "c"}, "exclude each other"},
		"an empty token":            {[]string{"--request", "http://a.test/", "--token-file", empty}, "no token in it"},
		"a token nowhere":           {[]string{"--request", "http://a.test/", "--token-file", file, "--token-in", "Authorization"}, "--token-in"},
		"a time that is none":       {[]string{"--request", "http://a.test/", "--at", "noon"}, "--at"},
		"manifests from the input":  {[]string{"--request", "http://a.test/", "--manifests", "-"}, "standard input is for the token"},
		"manifests and a cluster":   {[]string{"--request", "http://a.test/", "--kubeconfig", "x", "--manifests", explainManifests}, "excludes"},
		"no such kubeconfig":        {[]string{"--request", "http://a.test/", "--kubeconfig", "testdata/none"}, "kubeconfig"},
		"a word for ownership":      {[]string{"--request", "http://a.test/", "--host-ownership", "Mine"}, "--host-ownership"},
		"manifests that are absent": {[]string{"--request", "http://a.test/", "--manifests", "testdata/none"}, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			ofTheCluster := func(flag string) bool {
				return slices.Contains([]string{"--manifests", "--kubeconfig", "--host-ownership", "--namespace-selector"}, flag)
			}
			if !slices.ContainsFunc(tc.args, ofTheCluster) {
				tc.args = append(tc.args, "--manifests", explainManifests)
			}
			got, code := output(t, append([]string{"explain"}, tc.args...)...)
			if code != exitFailed || !strings.Contains(got, tc.want) || strings.Contains(got, canary) {
				t.Errorf("exit code %d, printed %q, want 1 and %q", code, got, tc.want)
			}
		})
	}
}
