package v1alpha1_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/ostiary/ostiary/config/crd"
	"github.com/ostiary/ostiary/internal/crdvalidate"
)

// ruleFile is a file of testdata/rules: a valid object, and what becomes of it with changes.
type ruleFile struct {
	// Base is a valid object that each case changes.
	Base map[string]any `json:"base"`
	// Cases by narrative names.
	Cases map[string]ruleCase `json:"cases"`
}

// ruleCase is one change of the base. Lists are replaced, maps merged, null removes (RFC 7386).
type ruleCase struct {
	// Old changes the base into the object that is updated; without it the object is created.
	Old map[string]any `json:"old,omitempty"`
	// New changes the base into the object that is judged.
	New map[string]any `json:"new"`
	// Want are the errors, all of them and word for word; none means that the object is valid.
	Want []string `json:"want,omitempty"`
}

func TestRules(t *testing.T) {
	t.Parallel()
	validator := newValidator(t)
	for name, file := range ruleFiles(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, errs := validator.Validate(object(t, file.Base, nil)); len(errs) > 0 {
				t.Fatalf("the base is invalid: %v", errs)
			}
			for name, c := range file.Cases {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					_, errs := validator.Validate(object(t, file.Base, c.New))
					if c.Old != nil {
						_, errs = validator.ValidateUpdate(object(t, file.Base, c.New), object(t, file.Base, c.Old))
					}
					got := make([]string, 0, len(errs))
					for _, err := range errs {
						got = append(got, err.Error())
					}
					if diff := cmp.Diff(c.Want, got, cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("errors (-want +got):\n%s", diff)
					}
				})
			}
		})
	}
}

// A rule that nothing breaks in a test may be one that nothing can break.
func TestEachRuleRejectsSomething(t *testing.T) {
	t.Parallel()
	var wants []string
	for _, file := range ruleFiles(t) {
		for _, c := range file.Cases {
			wants = append(wants, c.Want...)
		}
	}
	crds, err := crd.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	rules := 0
	for _, c := range crds {
		for _, version := range c.Spec.Versions {
			walk("", version.Schema.OpenAPIV3Schema, func(path string, s *apiextensionsv1.JSONSchemaProps) {
				for _, rule := range s.XValidations {
					rules++
					if !slices.ContainsFunc(wants, func(want string) bool { return strings.HasSuffix(want, ": "+rule.Message) }) {
						t.Errorf("%s%s: no case in testdata/rules is rejected with %q", c.Spec.Names.Kind, path, rule.Message)
					}
				}
			})
		}
	}
	if rules == 0 {
		t.Error("no rule found in the CRDs")
	}
}

func newValidator(t *testing.T) *crdvalidate.Validator {
	t.Helper()
	crds, err := crd.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	validator, err := crdvalidate.New(crds...)
	if err != nil {
		t.Fatal(err)
	}
	return validator
}

func ruleFiles(t *testing.T) map[string]ruleFile {
	t.Helper()
	paths, err := filepath.Glob("testdata/rules/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatal("no files in testdata/rules")
	}
	files := map[string]ruleFile{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file ruleFile
		if err := yaml.UnmarshalStrict(data, &file); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		files[strings.TrimSuffix(filepath.Base(path), ".yaml")] = file
	}
	return files
}

// object returns the base with the change, as an API client would decode it.
func object(t *testing.T, base, change map[string]any) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.Marshal(merge(base, change))
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, data)
}

func decode(t *testing.T, data []byte) *unstructured.Unstructured {
	t.Helper()
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(asJSON); err != nil {
		t.Fatal(err)
	}
	return obj
}

func merge(base, change map[string]any) map[string]any {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]any{}
	}
	for key, value := range change {
		changed, isMap := value.(map[string]any)
		old, _ := out[key].(map[string]any)
		switch {
		case value == nil:
			delete(out, key)
		case isMap:
			out[key] = merge(old, changed)
		default:
			out[key] = value
		}
	}
	return out
}
