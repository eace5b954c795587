package compile

import (
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
)

// classes says which Pipelines are ours.
type classes struct {
	policy ClassPolicy
	// ours are the names of the IngressClasses with our controller name.
	ours map[string]struct{}
	// byDefault says that the cluster's default IngressClass is one of ours.
	byDefault bool
}

func newClasses(options Options, all []*networkingv1.IngressClass) classes {
	c := classes{policy: options.Classes, ours: map[string]struct{}{}}
	var preferred *networkingv1.IngressClass
	for _, class := range all {
		if class == nil {
			continue
		}
		if options.ControllerName != "" && class.Spec.Controller == options.ControllerName {
			c.ours[class.Name] = struct{}{}
		}
		if class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" && preferredDefault(class, preferred) {
			preferred = class
		}
	}
	if preferred != nil {
		_, c.byDefault = c.ours[preferred.Name]
	}
	return c
}

// preferredDefault reports whether a comes before b among several default classes. As in the API server's admission
// (DefaultIngressClass) that is the newest one, and of several of the same second the one whose name sorts first.
func preferredDefault(a, b *networkingv1.IngressClass) bool {
	if b == nil {
		return true
	}
	if order := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); order != 0 {
		return order > 0
	}
	return strings.Compare(a.Name, b.Name) < 0
}

// take reports whether a Pipeline is ours. One that names a class which doesn't exist is nobody's.
func (c classes) take(p *v1alpha1.Pipeline) bool {
	switch {
	case c.policy == ClassesAll:
		return true
	case p.Spec.IngressClassName == nil:
		return c.byDefault
	default:
		_, ok := c.ours[*p.Spec.IngressClassName]
		return ok
	}
}
