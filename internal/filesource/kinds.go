package filesource

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	kjson "sigs.k8s.io/json"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/crdvalidate"
)

// identity is what an object is known by in an API server. The version is no part of it.
type identity struct {
	Group, Kind, Namespace, Name string
}

// object is an object that was accepted.
type object struct {
	identity
	// file and line it comes from.
	file  string
	line  int
	value metav1.Object
}

// scope says whether objects of a kind belong to a namespace.
type scope uint8

const (
	namespaced scope = iota
	clusterScoped
)

// kind is how the objects of a kind are read.
type kind struct {
	scope scope
	// read decodes and judges; the object has its defaults then.
	read func(*unstructured.Unstructured) (metav1.Object, field.ErrorList)
}

// kinds are the kinds that are read, by group, version and kind.
type kinds struct {
	known     map[schema.GroupVersionKind]kind
	validator *crdvalidate.Validator
}

func newKinds(validator *crdvalidate.Validator) *kinds {
	k := &kinds{validator: validator, known: map[schema.GroupVersionKind]kind{}}
	ours := v1alpha1.GroupVersion()
	k.known[ours.WithKind("Pipeline")] = kind{read: custom[v1alpha1.Pipeline](validator)}
	k.known[ours.WithKind("ServiceEndpoint")] = kind{read: custom[v1alpha1.ServiceEndpoint](validator)}
	k.known[ours.WithKind("Consumer")] = kind{read: custom[v1alpha1.Consumer](validator)}
	k.known[ours.WithKind("JWTCredential")] = kind{read: custom[v1alpha1.JWTCredential](validator)}

	k.known[corev1.SchemeGroupVersion.WithKind("Secret")] = kind{read: readSecret}
	k.known[corev1.SchemeGroupVersion.WithKind("Service")] = kind{read: builtin(validateService)}
	k.known[discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice")] = kind{read: builtin(validateEndpointSlice)}
	k.known[networkingv1.SchemeGroupVersion.WithKind("IngressClass")] = kind{
		scope: clusterScoped, read: builtin(validateIngressClass),
	}
	for _, version := range []string{"v1", "v1beta1"} { // they have the same fields
		gvk := schema.GroupVersionKind{Group: gatewayv1.GroupName, Version: version, Kind: "ReferenceGrant"}
		k.known[gvk] = kind{read: builtin(validateReferenceGrant)}
	}
	return k
}

// objectPointer is a pointer to a Kubernetes type.
type objectPointer[T any] interface {
	*T
	metav1.Object
}

// custom reads objects of the CRDs: what their schema and rules don't find wrong has the types of Go.
func custom[T any, P objectPointer[T]](validator *crdvalidate.Validator) func(*unstructured.Unstructured) (metav1.Object, field.ErrorList) {
	return func(u *unstructured.Unstructured) (metav1.Object, field.ErrorList) {
		defaulted, errs := validator.Validate(u)
		if len(errs) > 0 {
			return nil, errs
		}
		typed := P(new(T))
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(defaulted.Object, typed); err != nil {
			return nil, field.ErrorList{field.InternalError(nil, err)}
		}
		return typed, nil
	}
}

// builtin reads objects of Kubernetes' own kinds, strictly.
func builtin[T any, P objectPointer[T]](validate func(P) field.ErrorList) func(*unstructured.Unstructured) (metav1.Object, field.ErrorList) {
	return func(u *unstructured.Unstructured) (metav1.Object, field.ErrorList) {
		encoded, err := json.Marshal(u.Object)
		if err != nil {
			return nil, field.ErrorList{field.InternalError(nil, err)}
		}
		typed := P(new(T))
		strict, err := kjson.UnmarshalStrict(encoded, typed)
		if err != nil {
			return nil, field.ErrorList{decodeError(err)}
		}
		var errs field.ErrorList
		for _, err := range strict {
			errs = append(errs, decodeError(err))
		}
		if errs = append(errs, validate(typed)...); len(errs) > 0 {
			return nil, errs
		}
		return typed, nil
	}
}

// decodeError tells where a value has the wrong type, without telling the value.
func decodeError(err error) *field.Error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return field.Invalid(field.NewPath(wrong.Field), field.OmitValueType{}, "must not be a "+wrong.Value)
	}
	if strict, ok := errors.AsType[kjson.FieldError](err); ok {
		return field.Forbidden(field.NewPath(strict.FieldPath()), strings.TrimSuffix(err.Error(), fmt.Sprintf(" %q", strict.FieldPath())))
	}
	return field.Invalid(nil, field.OmitValueType{}, err.Error())
}

// verdict is what was made of one object of a document.
type verdict struct {
	identity identity
	object   metav1.Object // nil when it was refused or ignored
	errs     field.ErrorList
	// ignored says why an object of no interest was left out, worth a warning; silent ones have neither.
	ignored string
}

// identify returns what the object is, as far as its document says so. The metadata is brought into the form of a new
// object: what only an API server sets is taken away.
func (k *kinds) identify(u *unstructured.Unstructured) identity {
	gvk := u.GroupVersionKind()
	id := identity{Group: gvk.Group, Kind: gvk.Kind, Namespace: u.GetNamespace(), Name: u.GetName()}
	if known, ok := k.known[gvk]; (ok && known.scope == namespaced || k.ours(gvk)) && id.Namespace == "" {
		id.Namespace = metav1.NamespaceDefault
	}
	return id
}

func (k *kinds) ours(gvk schema.GroupVersionKind) bool { return gvk.Group == v1alpha1.GroupName }

// incomplete says that nobody can know which object it is a version of.
func (id identity) incomplete() bool { return id.Kind == "" || id.Name == "" }

// read judges one object that is no list.
func (k *kinds) read(u *unstructured.Unstructured) verdict {
	gvk := u.GroupVersionKind()
	v := verdict{identity: k.identify(u)}
	switch {
	case gvk.Kind == "":
		v.errs = field.ErrorList{field.Required(field.NewPath("kind"), "write what the object is, such as kind: Pipeline")}
		return v
	case gvk.Version == "":
		v.errs = field.ErrorList{field.Required(field.NewPath("apiVersion"),
			fmt.Sprintf("write the API that %s belongs to, such as %s", gvk.Kind, v1alpha1.GroupVersion()))}
		return v
	case gvk.Group == "" && gvk.Kind == "Namespace":
		return v
	}
	known, ok := k.known[gvk]
	if !ok {
		if k.ours(gvk) {
			_, v.errs = k.validator.Validate(u)
		} else {
			v.ignored = fmt.Sprintf("ignored: objects of %s, kind %s, are not read from files", gvk.GroupVersion(), gvk.Kind)
		}
		return v
	}
	normalise(u, v.identity)
	v.object, v.errs = known.read(u)
	if len(v.errs) > 0 {
		v.object = nil
	}
	return v
}

// normalise takes away what only an API server sets, so that what `kubectl get -o yaml` writes can be read, and sets what
// it would set.
func normalise(u *unstructured.Unstructured, id identity) {
	delete(u.Object, "status")
	if u.Object["metadata"] == nil {
		u.Object["metadata"] = map[string]any{}
	}
	metadata, ok := u.Object["metadata"].(map[string]any)
	if !ok {
		return // its type is judged with the rest
	}
	for _, name := range []string{
		"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "managedFields", "resourceVersion", "selfLink",
	} {
		delete(metadata, name)
	}
	if id.Namespace != "" && u.GetNamespace() == "" {
		metadata["namespace"] = id.Namespace
	}
	metadata["uid"] = string(UID(id.Kind, id.Namespace, id.Name))
	metadata["generation"] = int64(1)
}

// UID returns the UID of an object in file mode: a UUID of version 5 (RFC 9562 section 5.5) of "kind/namespace/name" in
// the name space that is the version 5 UUID of the DNS name ostiary.dev.
func UID(kind, namespace, name string) types.UID {
	space := uuid.NewSHA1(uuid.NameSpaceDNS, []byte(v1alpha1.GroupName))
	return types.UID(uuid.NewSHA1(space, []byte(kind+"/"+namespace+"/"+name)).String())
}

// validateMeta is what the API server asks of every object's metadata.
func validateMeta(meta *metav1.ObjectMeta, s scope, name apivalidation.ValidateNameFunc) field.ErrorList {
	return apivalidation.ValidateObjectMeta(meta, s == namespaced, name, field.NewPath("metadata"))
}

// compareIdentities orders by namespace and name first, as compile does.
func compareIdentities(a, b identity) int {
	return cmp.Or(
		cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind),
	)
}
