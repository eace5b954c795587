package v1alpha1_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/ostiary/ostiary/proxy/head"
)

// TestRemovedHeadersCanNotBeNamed: what never arrives at routes and policies would never match.
func TestRemovedHeadersCanNotBeNamed(t *testing.T) {
	t.Parallel()
	validator := newValidator(t)
	valid := func(t *testing.T, match, source string) bool {
		t.Helper()
		var object map[string]any
		err := yaml.Unmarshal(fmt.Appendf(nil, `
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: a, namespace: b}
spec:
  apiEndpoints: [{name: a, headers: [{name: %q, value: a}]}]
  policies:
  - {name: auth, type: JWT, jwt: {tokenSources: [{type: Header, name: %q}]}}
  - {name: answer, type: Terminate, terminate: {statusCode: 200}}
`, match, source), &object)
		if err != nil {
			t.Fatal(err)
		}
		_, errs := validator.Validate(&unstructured.Unstructured{Object: object})
		return len(errs) == 0
	}
	const kept = "X-Access-Token"
	if !valid(t, kept, kept) {
		t.Fatalf("%s can't be named", kept)
	}
	for name := range head.Fields() {
		name = strings.ReplaceAll(name, "*", "Anything")
		for _, spelling := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if valid(t, spelling, kept) {
				t.Errorf("%s can be matched on", spelling)
			}
			if valid(t, kept, spelling) {
				t.Errorf("%s can hold a token", spelling)
			}
		}
	}
	for c := range rune(0x80) {
		name := "x" + string(c) + "a"
		if want := head.FateOf(name) == head.Kept; c >= ' ' && (valid(t, name, kept) != want || valid(t, kept, name) != want) {
			t.Errorf("%q: can be named: %t", name, !want)
		}
	}
}
