package v1alpha1_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"

	"github.com/ostiary/ostiary/config/crd"
)

// An API server estimates what the CEL rules may cost and refuses a CRD that is over budget; the same code judges here.
func TestCRDsAreRegistrable(t *testing.T) {
	t.Parallel()
	crds, err := crd.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range crds {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			apiextensionsv1.SetDefaults_CustomResourceDefinition(c)
			apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&c.Spec)
			internal := &apiextensions.CustomResourceDefinition{}
			if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(c, internal, nil); err != nil {
				t.Fatal(err)
			}
			// The API server sets it when it takes a new object.
			internal.Status.StoredVersions = []string{"v1alpha1"}
			for _, err := range validation.ValidateCustomResourceDefinition(t.Context(), internal) {
				t.Error(err)
			}
		})
	}
}

func TestCRDNames(t *testing.T) {
	t.Parallel()
	crds, err := crd.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, c := range crds {
		if c.Spec.Scope != apiextensionsv1.NamespaceScoped {
			t.Errorf("%s: scope %q, want Namespaced", c.Name, c.Spec.Scope)
		}
		if !slices.Equal(c.Spec.Names.Categories, []string{"ostiary"}) {
			t.Errorf("%s: categories %q, want ostiary", c.Name, c.Spec.Names.Categories)
		}
		for _, version := range c.Spec.Versions {
			if version.Subresources == nil || version.Subresources.Status == nil {
				t.Errorf("%s: version %s has no status subresource", c.Name, version.Name)
			}
		}
		got[c.Name] = c.Spec.Names.ShortNames
	}
	want := map[string][]string{
		"pipelines.ostiary.dev":        {"opl"},
		"serviceendpoints.ostiary.dev": {"osep"},
		"consumers.ostiary.dev":        {"ocon"},
		"jwtcredentials.ostiary.dev":   {"jwtc"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("short names (-want +got):\n%s", diff)
	}
}

// Everything a CEL rule or the storage could be flooded with has a bound.
func TestSchemasAreBounded(t *testing.T) {
	t.Parallel()
	crds, err := crd.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	// Kubernetes' own types, whose schema is not ours to write.
	foreign := []string{".metadata", ".spec.policies[].jwt.credentials.selector", ".status.conditions"}
	for _, c := range crds {
		for _, version := range c.Spec.Versions {
			root := version.Schema.OpenAPIV3Schema
			walk("", root, func(path string, s *apiextensionsv1.JSONSchemaProps) {
				if path == ".apiVersion" || path == ".kind" || slices.ContainsFunc(foreign, func(p string) bool { return hasPathPrefix(path, p) }) {
					return
				}
				if s.Description == "" && path != "" && s.Type != "" && !isItem(path) {
					t.Errorf("%s%s has no description", c.Spec.Names.Kind, path)
				}
				switch s.Type {
				case "string":
					if s.MaxLength == nil && len(s.Enum) == 0 && s.Format != "date-time" {
						t.Errorf("%s%s has no maxLength", c.Spec.Names.Kind, path)
					}
					if s.Format == "date-time" && s.Pattern == "" && hasPathPrefix(path, ".spec") {
						t.Errorf("%s%s has no pattern: the format admits times that can't be read", c.Spec.Names.Kind, path)
					}
				case "array":
					if s.MaxItems == nil {
						t.Errorf("%s%s has no maxItems", c.Spec.Names.Kind, path)
					}
					if s.XListType == nil {
						t.Errorf("%s%s has no list type", c.Spec.Names.Kind, path)
					}
				case "integer":
					if s.Minimum == nil || s.Maximum == nil {
						t.Errorf("%s%s has no range", c.Spec.Names.Kind, path)
					}
				case "object":
					if s.AdditionalProperties != nil && s.MaxProperties == nil {
						t.Errorf("%s%s has no maxProperties", c.Spec.Names.Kind, path)
					}
				}
			})
		}
	}
}

func walk(path string, s *apiextensionsv1.JSONSchemaProps, visit func(path string, s *apiextensionsv1.JSONSchemaProps)) {
	visit(path, s)
	for name := range s.Properties {
		property := s.Properties[name]
		walk(path+"."+name, &property, visit)
	}
	if s.Items != nil && s.Items.Schema != nil {
		walk(path+"[]", s.Items.Schema, visit)
	}
}

func hasPathPrefix(path, prefix string) bool {
	return path == prefix || len(path) > len(prefix) && path[:len(prefix)] == prefix && (path[len(prefix)] == '.' || path[len(prefix)] == '[')
}

func isItem(path string) bool { return path[len(path)-1] == ']' }
