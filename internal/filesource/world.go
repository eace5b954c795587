package filesource

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

// DefaultControllerName is the spec.controller of the IngressClasses that are ours.
const DefaultControllerName = "ostiary.dev/ingress-controller"

// World is what was accepted from the files. It is immutable: its methods may be called concurrently, and the objects that
// they return are shared and must not be changed.
type World struct {
	objects map[identity]*object
	// given are the options of objects that come from an API server; nil for files.
	given *compile.Options

	pipelines        []*v1alpha1.Pipeline
	serviceEndpoints []*v1alpha1.ServiceEndpoint
	consumers        []*v1alpha1.Consumer
	credentials      []*v1alpha1.JWTCredential
	services         []*corev1.Service
	slices           map[routing.ObjectKey][]*discoveryv1.EndpointSlice // by Service
	classes          []*networkingv1.IngressClass
	grants           []compile.Grant
	secrets          map[routing.ObjectKey]compile.Secret
}

func newWorld(objects map[identity]*object) *World {
	w := emptyWorld(objects)
	for _, o := range sortedObjects(objects) {
		w.add(o.value)
	}
	return w
}

func emptyWorld(objects map[identity]*object) *World {
	return &World{
		objects: objects,
		slices:  map[routing.ObjectKey][]*discoveryv1.EndpointSlice{},
		secrets: map[routing.ObjectKey]compile.Secret{},
	}
}

func sortedObjects(objects map[identity]*object) []*object {
	return slices.SortedFunc(maps.Values(objects), func(a, b *object) int {
		return compareIdentities(a.identity, b.identity)
	})
}

func (w *World) add(object metav1.Object) {
	switch o := object.(type) {
	case *v1alpha1.Pipeline:
		w.pipelines = append(w.pipelines, o)
	case *v1alpha1.ServiceEndpoint:
		w.serviceEndpoints = append(w.serviceEndpoints, o)
	case *v1alpha1.Consumer:
		w.consumers = append(w.consumers, o)
	case *v1alpha1.JWTCredential:
		w.credentials = append(w.credentials, o)
	case *corev1.Service:
		w.services = append(w.services, o)
	case *discoveryv1.EndpointSlice:
		service := routing.ObjectKey{Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]}
		w.slices[service] = append(w.slices[service], o)
	case *networkingv1.IngressClass:
		w.classes = append(w.classes, o)
	case *gatewayv1.ReferenceGrant:
		w.grants = append(w.grants, grants(o)...)
	case *corev1.Secret:
		data := make(map[string]compile.SecretBytes, len(o.Data))
		for key, value := range o.Data {
			data[key] = value
		}
		w.secrets[keyOf(o)] = compile.Secret{Type: o.Type, Data: data}
	}
}

// grants takes a ReferenceGrant apart into its pairs.
func grants(g *gatewayv1.ReferenceGrant) []compile.Grant {
	var pairs []compile.Grant
	for _, from := range g.Spec.From {
		for _, to := range g.Spec.To {
			pair := compile.Grant{
				Namespace: g.Namespace,
				FromGroup: string(from.Group), FromKind: string(from.Kind), FromNamespace: string(from.Namespace),
				ToGroup: string(to.Group), ToKind: string(to.Kind),
			}
			if to.Name != nil {
				pair.ToName = string(*to.Name)
			}
			pairs = append(pairs, pair)
		}
	}
	return pairs
}

// Format writes how many objects there are, whatever the verb: some of them are secret.
func (w *World) Format(state fmt.State, _ rune) {
	_, _ = fmt.Fprintf(state, "World(%d objects)", len(w.objects))
}

// LogValue is as Format.
func (w *World) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(w)) }

// Len is how many objects there are.
func (w *World) Len() int { return len(w.objects) }

// Snapshot returns what Compile takes. Without an IngressClass in the files every Pipeline is ours, else those whose class
// has our controller name. Loopback addresses are allowed. NewWorld's options say otherwise.
func (w *World) Snapshot() compile.Snapshot {
	s := compile.Snapshot{
		Options: compile.Options{
			Classes:        compile.ClassesAll,
			ControllerName: DefaultControllerName,
			HostOwnership:  compile.HostOwnershipNamespace,
			Loopback:       compile.LoopbackAllowed,
		},
		Pipelines:        w.pipelines,
		ServiceEndpoints: w.serviceEndpoints,
		Consumers:        w.consumers,
		Credentials:      w.credentials,
		Services:         w.services,
		IngressClasses:   w.classes,
		Grants:           w.grants,
	}
	switch {
	case w.given != nil:
		s.Options = *w.given
	case len(w.classes) > 0:
		s.Options.Classes = compile.ClassesOfController
	}
	var used []routing.ObjectKey
	for _, p := range w.pipelines {
		used = append(used, compile.PipelineSecrets(p)...)
	}
	for _, e := range w.serviceEndpoints {
		used = append(used, compile.ServiceEndpointSecrets(e)...)
	}
	s.Secrets = w.pick(used)
	return s
}

// Credentials returns what Credential takes, for each JWTCredential, sorted by namespace and name.
func (w *World) Credentials() []compile.CredentialInput {
	type name struct{ namespace, name string }
	consumers := make(map[routing.ObjectKey]*v1alpha1.Consumer, len(w.consumers))
	sameUsername := map[name][]*v1alpha1.Consumer{}
	for _, c := range w.consumers {
		consumers[keyOf(c)] = c
		username := name{c.Namespace, compile.Username(c)}
		sameUsername[username] = append(sameUsername[username], c)
	}
	sameKeyID := map[name][]*v1alpha1.JWTCredential{}
	for _, c := range w.credentials {
		keyID := name{c.Namespace, compile.KeyID(c)}
		sameKeyID[keyID] = append(sameKeyID[keyID], c)
	}
	inputs := make([]compile.CredentialInput, 0, len(w.credentials))
	for _, c := range w.credentials {
		input := compile.CredentialInput{
			Credential: c,
			Consumer:   consumers[compile.CredentialConsumer(c)],
			Secrets:    w.pick(compile.CredentialSecrets(c)),
			SameKeyID:  sameKeyID[name{c.Namespace, compile.KeyID(c)}],
		}
		if input.Consumer != nil {
			if owner, ok := compile.ConsumerOwner(input.Consumer); ok {
				input.Owner = consumers[owner]
			}
			input.SameUsername = sameUsername[name{c.Namespace, compile.Username(input.Consumer)}]
		}
		inputs = append(inputs, input)
	}
	return inputs
}

// Endpoints returns the addresses of every Service, by Service port.
func (w *World) Endpoints() map[routing.ObjectKey]map[int32][]netip.AddrPort {
	endpoints := make(map[routing.ObjectKey]map[int32][]netip.AddrPort, len(w.services))
	for _, service := range w.services {
		endpoints[keyOf(service)] = compile.Endpoints(service, w.slices[keyOf(service)])
	}
	return endpoints
}

// pick returns the Secrets with these keys, those that exist.
func (w *World) pick(keys []routing.ObjectKey) map[routing.ObjectKey]compile.Secret {
	secrets := make(map[routing.ObjectKey]compile.Secret, len(keys))
	for _, key := range keys {
		if secret, ok := w.secrets[key]; ok {
			secrets[key] = secret
		}
	}
	return secrets
}

func keyOf(o metav1.Object) routing.ObjectKey {
	return routing.ObjectKey{Namespace: o.GetNamespace(), Name: o.GetName()}
}
