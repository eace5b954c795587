package filesource

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/internal/compile"
)

// NewWorld returns a World of objects that an API server has taken and that were read from there: they are not validated
// again, and keep the UIDs and creation times that say who is older. Objects of kinds that are not looked at are left out.
func NewWorld(options compile.Options, objects ...metav1.Object) *World {
	w := emptyWorld(nil)
	w.given = &options
	objects = slices.Clone(objects)
	slices.SortStableFunc(objects, func(a, b metav1.Object) int {
		return compareIdentities(
			identity{Namespace: a.GetNamespace(), Name: a.GetName()}, identity{Namespace: b.GetNamespace(), Name: b.GetName()})
	})
	for _, object := range objects {
		w.add(object)
	}
	return w
}
