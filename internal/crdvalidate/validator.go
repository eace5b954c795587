// Package crdvalidate validates custom resources in process as an API server does with their CustomResourceDefinition:
// unknown fields, defaults, schema, list types and CEL rules, with the API server's own code.
//
//	object -> unknown fields -> metadata -> nulls and defaults -> schema, list types -> CEL rules -> defaulted object
//
// It differs in one point: an unknown field is an error that names the field which was probably meant.
package crdvalidate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// Validator validates objects of the kinds it was made for. It is safe for concurrent use.
type Validator struct {
	kinds map[schema.GroupVersionKind]*kind
}

// kind is a version of a CustomResourceDefinition, compiled.
type kind struct {
	scope      apiextensionsv1.ResourceScope
	structural *structuralschema.Structural
	schema     validation.SchemaValidator
	cel        *cel.Validator // nil when the version has no rules
}

// New compiles the served versions of the definitions. An error means that a definition is one that no API server would
// take.
func New(crds ...*apiextensionsv1.CustomResourceDefinition) (*Validator, error) {
	v := &Validator{kinds: make(map[schema.GroupVersionKind]*kind)}
	for _, crd := range crds {
		internal := &apiextensions.CustomResourceDefinition{}
		if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, internal, nil); err != nil {
			return nil, fmt.Errorf("convert CRD %q: %w", crd.Name, err)
		}
		for _, version := range crd.Spec.Versions {
			if !version.Served {
				continue
			}
			versionSchema, err := apiextensions.GetSchemaForVersion(internal, version.Name)
			if err != nil {
				return nil, fmt.Errorf("find schema of CRD %q, version %q: %w", crd.Name, version.Name, err)
			}
			compiled, err := compile(versionSchema, crd.Spec.Scope)
			if err != nil {
				return nil, fmt.Errorf("compile CRD %q, version %q: %w", crd.Name, version.Name, err)
			}
			gvk := schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}
			v.kinds[gvk] = compiled
		}
	}
	return v, nil
}

func compile(crv *apiextensions.CustomResourceValidation, scope apiextensionsv1.ResourceScope) (*kind, error) {
	if crv == nil || crv.OpenAPIV3Schema == nil {
		return nil, errors.New("no schema")
	}
	structural, err := structuralschema.NewStructural(crv.OpenAPIV3Schema)
	if err != nil {
		return nil, fmt.Errorf("read structural schema: %w", err)
	}
	schemaValidator, _, err := validation.NewSchemaValidator(crv.OpenAPIV3Schema)
	if err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	return &kind{
		scope:      scope,
		structural: structural,
		schema:     schemaValidator,
		cel:        cel.NewValidator(structural, true, celconfig.PerCallLimit),
	}, nil
}

// Knows reports whether objects of the kind can be validated.
func (v *Validator) Knows(gvk schema.GroupVersionKind) bool {
	_, ok := v.kinds[gvk]
	return ok
}

// Validate judges an object as if it were created, and returns a copy with the schema's defaults and without the fields
// that the schema doesn't know. The content must be as Unstructured's UnmarshalJSON leaves it (int64, float64, never int).
// A missing metadata.namespace is not an error: it is the caller's to fill in, as it is a client's.
//
// The errors are sorted as the API server reports them, unknown fields first; CEL rules are judged only where the schema
// holds. Errors quote values of known fields; they never quote an unknown field's value, which may be a secret that was
// put in the wrong place. With errors the copy is incomplete.
func (v *Validator) Validate(obj *unstructured.Unstructured) (*unstructured.Unstructured, field.ErrorList) {
	return v.validate(obj, nil)
}

// ValidateUpdate judges an object as if it replaced old, which must be valid: rules that compare both, such as those of
// immutable fields, are judged too.
func (v *Validator) ValidateUpdate(obj, old *unstructured.Unstructured) (*unstructured.Unstructured, field.ErrorList) {
	return v.validate(obj, old)
}

func (v *Validator) validate(obj, old *unstructured.Unstructured) (*unstructured.Unstructured, field.ErrorList) {
	k, ok := v.kinds[obj.GroupVersionKind()]
	if !ok {
		return obj.DeepCopy(), field.ErrorList{v.unknownKind(obj.GroupVersionKind())}
	}

	out := obj.DeepCopy()
	errs := pruneUnknown(out.Object, k.structural)
	errs = append(errs, k.validateMetadata(out)...)

	k.applyDefaults(out)
	var oldObject map[string]any
	if old != nil {
		defaulted := old.DeepCopy()
		k.applyDefaults(defaulted)
		oldObject = defaulted.Object
	}

	var schemaErrs field.ErrorList
	if oldObject == nil {
		schemaErrs = validation.ValidateCustomResource(nil, out.Object, k.schema)
	} else {
		schemaErrs = validation.ValidateCustomResourceUpdate(nil, out.Object, oldObject, k.schema)
	}
	ctx := context.Background() //nolint:forbidigo // Validation is bounded by its cost budget, not by time.
	schemaErrs = append(schemaErrs, objectmeta.Validate(ctx, nil, out.Object, k.structural, false)...)
	schemaErrs = append(schemaErrs, listtype.ValidateListSetsAndMaps(nil, k.structural, out.Object)...)
	errs = append(errs, schemaErrs...)

	if k.cel != nil && !blocksRules(schemaErrs) {
		// A nil map in an interface isn't nil: rules on the old object would run.
		var oldValue any
		if oldObject != nil {
			oldValue = oldObject
		}
		ruleErrs, _ := k.cel.Validate(ctx, nil, k.structural, out.Object, oldValue, celconfig.RuntimeCELCostBudget)
		errs = append(errs, ruleErrs...)
	}
	return out, errs
}

// applyDefaults does what the API server does to a decoded object: nulls where null isn't allowed count as absent.
func (k *kind) applyDefaults(obj *unstructured.Unstructured) {
	defaulting.PruneNonNullableNullsWithoutDefaults(obj.Object, k.structural)
	defaulting.Default(obj.Object, k.structural)
}

func (k *kind) validateMetadata(obj *unstructured.Unstructured) field.ErrorList {
	path := field.NewPath("metadata")
	if value, ok := obj.Object["metadata"]; ok && value != nil {
		if _, ok := value.(map[string]any); !ok {
			return nil // The schema says so.
		}
	}
	meta, found, err := objectmeta.GetObjectMeta(obj.Object, false)
	if err != nil {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, err.Error())}
	}
	if !found || meta == nil {
		return field.ErrorList{field.Required(path.Child("name"), "name or generateName is required")}
	}
	// The scope decides about metadata.namespace; an absent one is filled in by the caller.
	judged := meta.DeepCopy()
	namespaced := k.scope == apiextensionsv1.NamespaceScoped
	if namespaced && judged.Namespace == "" {
		judged.Namespace = metav1.NamespaceDefault
	}
	return apivalidation.ValidateObjectMeta(judged, namespaced, apivalidation.NameIsDNSSubdomain, path)
}

func (v *Validator) unknownKind(gvk schema.GroupVersionKind) *field.Error {
	var kinds []string
	for known := range v.kinds {
		if known.Kind == gvk.Kind {
			detail := fmt.Sprintf("no %s has this version: write %s", gvk.Kind, known.GroupVersion())
			return field.Invalid(field.NewPath("apiVersion"), gvk.GroupVersion().String(), detail)
		}
		if known.GroupVersion() == gvk.GroupVersion() {
			kinds = append(kinds, known.Kind)
		}
	}
	path := field.NewPath("kind")
	if meant := nearest(gvk.Kind, kinds); meant != "" {
		return field.Invalid(path, gvk.Kind, fmt.Sprintf("unknown kind of %s, did you mean %s?", gvk.GroupVersion(), meant))
	}
	return field.Invalid(path, gvk.Kind, strings.TrimSpace("unknown kind of "+gvk.GroupVersion().String()))
}

// blocksRules reports whether an error keeps CEL rules from being judged, as the API server decides it: the rules may
// rely on the types and bounds of the schema.
func blocksRules(errs field.ErrorList) bool {
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		default:
		}
	}
	return false
}
