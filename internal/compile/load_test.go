package compile_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

// fixture is everything that a case's in.yaml holds.
type fixture struct {
	compile.Snapshot
	EndpointSlices []*discoveryv1.EndpointSlice
}

// fixtureOptions are the options.yaml beside a fixture. Without one, every Pipeline is ours, as in file mode.
type fixtureOptions struct {
	// ControllerName selects the Pipelines by IngressClass.
	ControllerName string `json:"controllerName,omitempty"`
	// HostOwnership is Namespace or Shared.
	HostOwnership string `json:"hostOwnership,omitempty"`
	// Loopback is Refused or Allowed.
	Loopback string `json:"loopback,omitempty"`
}

func loadFixture(t testing.TB, dir string) fixture {
	t.Helper()
	f := parseFixture(t, readFile(t, filepath.Join(dir, "in.yaml")))
	f.Options = loadOptions(t, filepath.Join(dir, "options.yaml"))
	return f
}

func loadOptions(t testing.TB, path string) compile.Options {
	t.Helper()
	options := compile.Options{Classes: compile.ClassesAll}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return options
	}
	if err != nil {
		t.Fatal(err)
	}
	var stated fixtureOptions
	if err := yaml.UnmarshalStrict(data, &stated); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if stated.ControllerName != "" {
		options.Classes, options.ControllerName = compile.ClassesOfController, stated.ControllerName
	}
	switch stated.HostOwnership {
	case "", "Namespace":
	case "Shared":
		options.HostOwnership = compile.HostOwnershipShared
	default:
		t.Fatalf("%s: hostOwnership %q", path, stated.HostOwnership)
	}
	switch stated.Loopback {
	case "", "Refused":
	case "Allowed":
		options.Loopback = compile.LoopbackAllowed
	default:
		t.Fatalf("%s: loopback %q", path, stated.Loopback)
	}
	return options
}

func parseFixture(t testing.TB, data []byte) fixture {
	t.Helper()
	f := fixture{Snapshot: compile.Snapshot{Secrets: map[routing.ObjectKey]compile.Secret{}}}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return f
		}
		if err != nil {
			t.Fatal(err)
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		switch kind.Kind {
		case "": // only comments
		case "Pipeline":
			f.Pipelines = append(f.Pipelines, decode[v1alpha1.Pipeline](t, document))
		case "ServiceEndpoint":
			f.ServiceEndpoints = append(f.ServiceEndpoints, decode[v1alpha1.ServiceEndpoint](t, document))
		case "Consumer":
			f.Consumers = append(f.Consumers, decode[v1alpha1.Consumer](t, document))
		case "JWTCredential":
			f.Credentials = append(f.Credentials, decode[v1alpha1.JWTCredential](t, document))
		case "Service":
			f.Services = append(f.Services, decode[corev1.Service](t, document))
		case "EndpointSlice":
			f.EndpointSlices = append(f.EndpointSlices, decode[discoveryv1.EndpointSlice](t, document))
		case "IngressClass":
			f.IngressClasses = append(f.IngressClasses, decode[networkingv1.IngressClass](t, document))
		case "Secret":
			addSecret(f.Secrets, decode[corev1.Secret](t, document))
		case "ReferenceGrant":
			f.Grants = append(f.Grants, reduceGrant(decode[gatewayv1.ReferenceGrant](t, document))...)
		default:
			t.Fatalf("kind %q", kind.Kind)
		}
	}
}

func decode[T any](t testing.TB, document []byte) *T {
	t.Helper()
	var object T
	if err := yaml.UnmarshalStrict(document, &object); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	return &object
}

func addSecret(secrets map[routing.ObjectKey]compile.Secret, s *corev1.Secret) {
	data := map[string]compile.SecretBytes{}
	for key, value := range s.Data {
		data[key] = value
	}
	for key, value := range s.StringData {
		data[key] = compile.SecretBytes(value)
	}
	secrets[routing.ObjectKey{Namespace: s.Namespace, Name: s.Name}] = compile.Secret{Type: s.Type, Data: data}
}

func reduceGrant(g *gatewayv1.ReferenceGrant) []compile.Grant {
	var grants []compile.Grant
	for _, from := range g.Spec.From {
		for _, to := range g.Spec.To {
			grant := compile.Grant{
				Namespace: g.Namespace,
				FromGroup: string(from.Group), FromKind: string(from.Kind), FromNamespace: string(from.Namespace),
				ToGroup: string(to.Group), ToKind: string(to.Kind),
			}
			if to.Name != nil {
				grant.ToName = string(*to.Name)
			}
			grants = append(grants, grant)
		}
	}
	return grants
}

// credentialInput gathers what a credential depends on.
func (f *fixture) credentialInput(c *v1alpha1.JWTCredential) compile.CredentialInput {
	in := compile.CredentialInput{Credential: c, Salt: []byte("a salt for tests"), Secrets: map[routing.ObjectKey]compile.Secret{}}
	for _, other := range f.Credentials {
		if other.Namespace == c.Namespace && compile.KeyID(other) == compile.KeyID(c) {
			in.SameKeyID = append(in.SameKeyID, other)
		}
	}
	wanted := compile.CredentialConsumer(c)
	for _, consumer := range f.Consumers {
		if consumer.Namespace == wanted.Namespace && consumer.Name == wanted.Name {
			in.Consumer = consumer
		}
	}
	if in.Consumer != nil {
		if owner, ok := compile.ConsumerOwner(in.Consumer); ok {
			for _, other := range f.Consumers {
				if other.Namespace == owner.Namespace && other.Name == owner.Name {
					in.Owner = other
				}
			}
		}
		for _, other := range f.Consumers {
			if other.Namespace == c.Namespace && compile.Username(other) == compile.Username(in.Consumer) {
				in.SameUsername = append(in.SameUsername, other)
			}
		}
	}
	for _, key := range compile.CredentialSecrets(c) {
		if secret, ok := f.Secrets[key]; ok {
			in.Secrets[key] = secret
		}
	}
	return in
}

// output is everything that is made of a fixture.
type output struct {
	config      routing.Config
	credentials map[routing.ObjectKey]*keyring.Entry
	endpoints   map[routing.ObjectKey]map[int32][]string
	identities  []keyring.Identity

	report             compile.Report
	credentialVerdicts map[routing.ObjectKey]compile.Verdict
}

func (f *fixture) compile() output {
	out := output{
		credentials:        map[routing.ObjectKey]*keyring.Entry{},
		credentialVerdicts: map[routing.ObjectKey]compile.Verdict{},
		endpoints:          map[routing.ObjectKey]map[int32][]string{},
	}
	out.config, out.report = compile.Compile(f.Snapshot)
	out.identities = compile.Identities(f.Snapshot)
	for _, c := range f.Credentials {
		key := routing.ObjectKey{Namespace: c.Namespace, Name: c.Name}
		entry, verdict := compile.Credential(f.credentialInput(c))
		if entry != nil {
			out.credentials[key] = entry
		}
		out.credentialVerdicts[key] = verdict
	}
	if len(f.EndpointSlices) > 0 {
		for _, svc := range f.Services {
			ports := map[int32][]string{}
			for port, addresses := range compile.Endpoints(svc, f.EndpointSlices) {
				for _, address := range addresses {
					ports[port] = append(ports[port], address.String())
				}
			}
			out.endpoints[routing.ObjectKey{Namespace: svc.Namespace, Name: svc.Name}] = ports
		}
	}
	return out
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
