package crdvalidate_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/ostiary/ostiary/internal/crdvalidate"
)

const doorCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: doors.example.com}
spec:
  group: example.com
  names: {kind: Door, plural: doors}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          apiVersion: {type: string}
          kind: {type: string}
          metadata: {type: object}
          spec:
            type: object
            required: [width]
            x-kubernetes-validations:
            - {rule: "self.width <= self.height", message: width must not be more than height}
            - {rule: "self.width == oldSelf.width", message: width is immutable}
            properties:
              width: {type: integer, minimum: 1}
              height: {type: integer, default: 200}
              material: {type: string, enum: [Wood, Steel], default: Wood}
              note: {type: string}
              hinges: {type: array, maxItems: 4, items: {type: object, properties: {position: {type: string}, screws: {type: integer, default: 3}}}}
              tags: {type: array, maxItems: 4, x-kubernetes-list-type: set, items: {type: string}}
              labels: {type: object, additionalProperties: {type: object, properties: {text: {type: string}}}}
              names: {type: object, additionalProperties: {type: string}}
              anything: {type: object, x-kubernetes-preserve-unknown-fields: true}
  - name: v0
    served: false
    storage: false
    schema:
      openAPIV3Schema: {type: object}
`

func TestValidate(t *testing.T) {
	t.Parallel()
	validator := newValidator(t)
	cases := map[string]struct {
		object   string
		old      string
		wantSpec string // of the defaulted object, when there are no errors
		wantErrs []string
	}{
		"defaults are filled in, in lists too": {
			object:   `{metadata: {name: front}, spec: {width: 90, hinges: [{position: top}]}}`,
			wantSpec: `{width: 90, height: 200, material: Wood, hinges: [{position: top, screws: 3}]}`,
		},
		"a null counts as absent where it isn't allowed": {
			object:   `{metadata: {name: front}, spec: {width: 90, material: null, note: null}}`,
			wantSpec: `{width: 90, height: 200, material: Wood}`,
		},
		"whatever is allowed stays": {
			object:   `{metadata: {name: front, labels: {a: b}}, spec: {width: 90, anything: {a: {b: [1]}}, labels: {x: {text: oak}}, names: {a: b}}}`,
			wantSpec: `{width: 90, height: 200, material: Wood, anything: {a: {b: [1]}}, labels: {x: {text: oak}}, names: {a: b}}`,
		},
		"an unknown field is named with the one that was meant": {
			object:   `{metadata: {name: front}, spec: {width: 90, heihgt: 210}}`,
			wantErrs: []string{`spec.heihgt: Forbidden: unknown field, did you mean height?`},
		},
		"unknown fields in lists and maps have their whole path": {
			object: `{metadata: {name: front}, spec: {width: 90, hinges: [{}, {screw: 2}], labels: {x: {txt: y}}}}`,
			wantErrs: []string{
				`spec.hinges[1].screw: Forbidden: unknown field, did you mean screws?`,
				`spec.labels[x].txt: Forbidden: unknown field, did you mean text?`,
			},
		},
		"an unknown field that is close to none lists those that exist": {
			object:   `{metadata: {name: front}, spec: {width: 90, hinges: [{colour: red}]}}`,
			wantErrs: []string{`spec.hinges[0].colour: Forbidden: unknown field, use one of: position, screws`},
		},
		"unknown fields beside spec and in metadata": {
			object: `{metadata: {name: front, annotation: {}}, specs: {}, spec: {width: 90}}`,
			wantErrs: []string{
				`metadata.annotation: Forbidden: unknown field, did you mean annotations?`,
				`specs: Forbidden: unknown field, did you mean spec?`,
			},
		},
		"a value of the wrong type": {
			object:   `{metadata: {name: front}, spec: {width: ninety}}`,
			wantErrs: []string{`spec.width: Invalid value: "string": spec.width in body must be of type integer: "string"`},
		},
		"an object where a list belongs": {
			object:   `{metadata: {name: front}, spec: {width: 90, hinges: {position: top}}}`,
			wantErrs: []string{`spec.hinges: Invalid value: "object": spec.hinges in body must be of type array: "object"`},
		},
		"rules are judged with the defaults": {
			object:   `{metadata: {name: front}, spec: {width: 201}}`,
			wantErrs: []string{`spec: Invalid value: width must not be more than height`},
		},
		"rules are not judged where the schema doesn't hold": {
			object:   `{metadata: {name: front}, spec: {width: 201, material: Glass}}`,
			wantErrs: []string{`spec.material: Unsupported value: "Glass": supported values: "Wood", "Steel"`},
		},
		"a set with a value twice": {
			object:   `{metadata: {name: front}, spec: {width: 90, tags: [a, a]}}`,
			wantErrs: []string{`spec.tags[1]: Duplicate value: "a"`},
		},
		"no name": {
			object:   `{spec: {width: 90}}`,
			wantErrs: []string{`metadata.name: Required value: name or generateName is required`},
		},
		"metadata that isn't an object": {
			object:   `{metadata: front, spec: {width: 90}}`,
			wantErrs: []string{`metadata: Invalid value: "string": metadata in body must be of type object: "string"`},
		},
		"a label that no object can have": {
			object:   `{metadata: {name: front, labels: {a: "b c"}}, spec: {width: 90}}`,
			wantErrs: []string{`metadata.labels: Invalid value: "b c": `},
		},
		"an update of an immutable field": {
			old:      `{metadata: {name: front}, spec: {width: 80}}`,
			object:   `{metadata: {name: front}, spec: {width: 90}}`,
			wantErrs: []string{`spec: Invalid value: width is immutable`},
		},
		"an update of another field": {
			old:      `{metadata: {name: front}, spec: {width: 90}}`,
			object:   `{metadata: {name: front}, spec: {width: 90, note: oak}}`,
			wantSpec: `{width: 90, height: 200, material: Wood, note: oak}`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := door(t, c.object)
			before := obj.DeepCopy()
			got, errs := validator.Validate(obj)
			if c.old != "" {
				got, errs = validator.ValidateUpdate(obj, door(t, c.old))
			}
			if diff := cmp.Diff(before, obj); diff != "" {
				t.Errorf("the input was changed:\n%s", diff)
			}
			prefix := cmp.Comparer(func(want, got string) bool {
				return want == got || strings.HasSuffix(want, ": ") && strings.HasPrefix(got, want)
			})
			if diff := cmp.Diff(c.wantErrs, messages(errs), prefix, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("errors (-want +got):\n%s", diff)
			}
			if c.wantErrs != nil {
				return
			}
			if diff := cmp.Diff(door(t, "{spec: "+c.wantSpec+"}").Object["spec"], got.Object["spec"]); diff != "" {
				t.Errorf("defaulted (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidateUnknownKinds(t *testing.T) {
	t.Parallel()
	validator := newValidator(t)
	cases := map[string]struct {
		apiVersion, kind string
		want             string
	}{
		"a kind with a typing error":       {"example.com/v1", "Dor", `kind: Invalid value: "Dor": unknown kind of example.com/v1, did you mean Door?`},
		"another kind":                     {"example.com/v1", "Window", `kind: Invalid value: "Window": unknown kind of example.com/v1`},
		"a version that isn't served":      {"example.com/v0", "Door", `apiVersion: Invalid value: "example.com/v0": no Door has this version: write example.com/v1`},
		"a group with a typing error":      {"exampel.com/v1", "Door", `apiVersion: Invalid value: "exampel.com/v1": no Door has this version: write example.com/v1`},
		"a kind and group of someone else": {"example.org/v1", "Window", `kind: Invalid value: "Window": unknown kind of example.org/v1`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := &unstructured.Unstructured{Object: map[string]any{"apiVersion": c.apiVersion, "kind": c.kind}}
			_, errs := validator.Validate(obj)
			if diff := cmp.Diff([]string{c.want}, messages(errs)); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
			if validator.Knows(obj.GroupVersionKind()) {
				t.Errorf("Knows(%s) = true", obj.GroupVersionKind())
			}
		})
	}
	if known := (schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Door"}); !validator.Knows(known) {
		t.Errorf("Knows(%s) = false", known)
	}
}

// A secret that was put in the wrong place must not end up in a terminal or a CI log.
func TestUnknownFieldsAreNotQuoted(t *testing.T) {
	t.Parallel()
	_, errs := newValidator(t).Validate(door(t, `{metadata: {name: front}, spec: {width: 90, secret: hunter2}}`))
	if len(errs) != 1 {
		t.Fatalf("errors: %v", errs)
	}
	if text := fmt.Sprintf("%v %+v", errs[0], *errs[0]); strings.Contains(text, "hunter2") {
		t.Errorf("quotes the value: %s", text)
	}
}

func TestValidateConcurrently(t *testing.T) {
	t.Parallel()
	validator := newValidator(t)
	obj := door(t, `{metadata: {name: front}, spec: {width: 90}}`)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, errs := validator.Validate(obj); len(errs) > 0 {
				t.Errorf("errors: %v", errs)
			}
		})
	}
	group.Wait()
}

func TestNewRefusesBrokenDefinitions(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change  func(*apiextensionsv1.CustomResourceDefinition)
		wantErr string
	}{
		"no schema": {
			func(c *apiextensionsv1.CustomResourceDefinition) { c.Spec.Versions[0].Schema = nil },
			`compile CRD "doors.example.com", version "v1": no schema`,
		},
		"a schema that isn't structural": {
			func(c *apiextensionsv1.CustomResourceDefinition) {
				c.Spec.Versions[0].Schema.OpenAPIV3Schema.Items = &apiextensionsv1.JSONSchemaPropsOrArray{JSONSchemas: []apiextensionsv1.JSONSchemaProps{{}}}
			},
			`compile CRD "doors.example.com", version "v1": read structural schema: `,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			definition := definition(t)
			c.change(definition)
			_, err := crdvalidate.New(definition)
			if err == nil || !strings.HasPrefix(err.Error(), c.wantErr) {
				t.Errorf("error %v, want %s", err, c.wantErr)
			}
		})
	}
}

func newValidator(t *testing.T) *crdvalidate.Validator {
	t.Helper()
	validator, err := crdvalidate.New(definition(t))
	if err != nil {
		t.Fatal(err)
	}
	return validator
}

func definition(t *testing.T) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict([]byte(doorCRD), definition); err != nil {
		t.Fatal(err)
	}
	return definition
}

func door(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	asJSON, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON([]byte(`{"apiVersion":"example.com/v1","kind":"Door",` + string(asJSON[1:]))); err != nil {
		t.Fatal(err)
	}
	return obj
}

func messages(errs field.ErrorList) []string {
	var out []string
	for _, err := range errs {
		out = append(out, err.Error())
	}
	return out
}
