package compile

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/proxy/routing"
)

// world is a Snapshot made ready to look things up.
type world struct {
	options  Options
	secrets  map[routing.ObjectKey]Secret
	services map[routing.ObjectKey]*corev1.Service
	grants   grants
}

func newWorld(s *Snapshot) *world {
	w := &world{
		options:  s.Options,
		secrets:  s.Secrets,
		services: make(map[routing.ObjectKey]*corev1.Service, len(s.Services)),
		grants:   newGrants(s.Grants),
	}
	for _, svc := range byAge(s.Services) {
		w.services[keyOf(svc)] = svc
	}
	return w
}

func keyOf(o metav1.Object) routing.ObjectKey {
	return routing.ObjectKey{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// compareAge orders objects of a kind: the older first (creationTimestamp, then namespace, then name).
func compareAge[T metav1.Object](a, b T) int {
	return cmp.Or(
		a.GetCreationTimestamp().Compare(b.GetCreationTimestamp().Time),
		cmp.Compare(a.GetNamespace(), b.GetNamespace()),
		cmp.Compare(a.GetName(), b.GetName()),
		cmp.Compare(a.GetUID(), b.GetUID()),
	)
}

// object is a pointer to an object of the API.
type object[T any] interface {
	*T
	metav1.Object
}

// byAge returns the objects, oldest first, without nil and without a second one of the same name.
func byAge[T any, P object[T]](objects []P) []P {
	all := make([]P, 0, len(objects))
	for _, o := range objects {
		if o != nil {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, compareAge[P])
	seen := make(map[routing.ObjectKey]struct{}, len(all))
	return slices.DeleteFunc(all, func(o P) bool {
		key := keyOf(o)
		_, twice := seen[key]
		seen[key] = struct{}{}
		return twice
	})
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
