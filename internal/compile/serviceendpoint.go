package compile

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Defaults and bounds of timeouts, documented on the fields of v1alpha1.Timeouts.
const (
	defaultConnectTimeout = 5 * time.Second
	defaultRequestTimeout = 30 * time.Second
	defaultIdleTimeout    = 60 * time.Second
	minConnectTimeout     = time.Millisecond
	maxConnectTimeout     = time.Minute
	maxRequestTimeout     = 24 * time.Hour
	minIdleTimeout        = time.Second
	maxIdleTimeout        = time.Hour
	defaultWeight         = 1
	maxWeight             = 1_000_000
)

// noAuthorities stands in routing.UpstreamTLS where authorities were asked for and are not known. It holds no certificate
// and is not empty, which would mean the system's roots: nothing can be verified with it.
const noAuthorities = "no certificate authority is known\n"

// endpointDraft is a ServiceEndpoint on its way to a routing.Upstream.
type endpointDraft struct {
	object   *v1alpha1.ServiceEndpoint
	upstream routing.Upstream

	// invalid is why the ServiceEndpoint is not accepted. It has no backends then.
	invalid problems
	// unresolved are its references that lead nowhere. Where it is a CA, there are no backends; where it is a Service,
	// the others serve.
	unresolved problems
	notes      []string
}

// newEndpointDraft compiles a ServiceEndpoint.
func newEndpointDraft(e *v1alpha1.ServiceEndpoint, w *world) *endpointDraft {
	d := &endpointDraft{object: e, upstream: routing.Upstream{Key: routing.ObjectKey{Namespace: e.Namespace, Name: e.Name}}}
	d.timeouts()
	protocol := d.protocol()
	switch {
	case len(e.Spec.BackendRefs) > 0 && len(e.Spec.URLs) > 0:
		d.invalid.invalid("spec.urls: can't be set together with backendRefs; write two ServiceEndpoints")
	case len(e.Spec.BackendRefs) > 0:
		d.upstream.Protocol = protocol
		d.backends(w)
	case len(e.Spec.URLs) > 0:
		d.upstream.Protocol = d.urlProtocol(protocol)
		d.urls(w.options.Loopback)
	default:
		d.invalid.invalid("spec.backendRefs: is missing; write backendRefs for Services of the cluster, or urls for servers outside it")
	}
	trusted := d.roots(w.secrets)
	if len(d.invalid) > 0 || !trusted {
		d.upstream.Backends, d.upstream.URLs = nil, nil
	}
	if !trusted {
		d.upstream.TLS.RootCAs = noAuthorities
	}
	return d
}

// hasTarget reports whether requests can go anywhere.
func (d *endpointDraft) hasTarget() bool {
	for _, b := range d.upstream.Backends {
		if b.Weight > 0 {
			return true
		}
	}
	return len(d.upstream.URLs) > 0
}

func (d *endpointDraft) timeouts() {
	timeouts := v1alpha1.Timeouts{}
	if d.object.Spec.Timeouts != nil {
		timeouts = *d.object.Spec.Timeouts
	}
	d.upstream.ConnectTimeout = d.timeout("connect", timeouts.Connect, defaultConnectTimeout, minConnectTimeout, maxConnectTimeout)
	d.upstream.RequestTimeout = d.timeout("request", timeouts.Request, defaultRequestTimeout, 0, maxRequestTimeout)
	d.upstream.IdleTimeout = d.timeout("idle", timeouts.Idle, defaultIdleTimeout, minIdleTimeout, maxIdleTimeout)
}

func (d *endpointDraft) timeout(name string, value *metav1.Duration, absent, least, most time.Duration) time.Duration {
	if value == nil {
		return absent
	}
	if value.Duration < least || value.Duration > most {
		d.invalid.invalid("spec.timeouts.%s: %s is out of bounds; write %s to %s", name, value.Duration, least, most)
	}
	return value.Duration
}

func (d *endpointDraft) protocol() routing.UpstreamProtocol {
	return choose(&d.invalid, "spec.appProtocol", d.object.Spec.AppProtocol,
		choice[v1alpha1.AppProtocol, routing.UpstreamProtocol]{v1alpha1.AppProtocolHTTP, routing.UpstreamHTTP},
		choice[v1alpha1.AppProtocol, routing.UpstreamProtocol]{v1alpha1.AppProtocolHTTPS, routing.UpstreamHTTPS},
		choice[v1alpha1.AppProtocol, routing.UpstreamProtocol]{v1alpha1.AppProtocolH2C, routing.UpstreamH2C},
		choice[v1alpha1.AppProtocol, routing.UpstreamProtocol]{v1alpha1.AppProtocolWS, routing.UpstreamHTTP},
		choice[v1alpha1.AppProtocol, routing.UpstreamProtocol]{v1alpha1.AppProtocolWSS, routing.UpstreamHTTPS},
	)
}

// roots sets what backends' certificates are verified with. It reports false when that can't be known: the system's
// roots never take the place of authorities that were asked for.
func (d *endpointDraft) roots(secrets map[routing.ObjectKey]Secret) bool {
	settings := d.object.Spec.TLS
	if d.upstream.Protocol != routing.UpstreamHTTPS {
		if settings != nil {
			d.invalid.invalid("spec.tls: the backends don't speak TLS; write appProtocol https, use https urls, or leave tls out")
		}
		return true
	}
	d.upstream.TLS = &routing.UpstreamTLS{}
	if settings == nil || settings.CACertificateRef == nil {
		return true
	}
	ref := settings.CACertificateRef
	const field = "spec.tls.caCertificateRef"
	roots := resolveCA(field, d.object.Namespace, ref, secrets, closedConsequence, &d.unresolved)
	if roots == "" {
		return false
	}
	d.upstream.TLS.RootCAs = roots
	return true
}

// hostname is spec.tls.hostname.
func (d *endpointDraft) hostname() string {
	if d.object.Spec.TLS == nil {
		return ""
	}
	return d.object.Spec.TLS.Hostname
}

// backends resolves spec.backendRefs.
func (d *endpointDraft) backends(w *world) {
	for i := range d.object.Spec.BackendRefs {
		ref := &d.object.Spec.BackendRefs[i]
		field := fmt.Sprintf("spec.backendRefs[%d]", i)
		backend := routing.Backend{Service: backendService(d.object, ref), Port: ref.Port, Weight: defaultWeight}
		if ref.Weight != nil {
			backend.Weight = *ref.Weight
		}
		if backend.Weight < 0 || backend.Weight > maxWeight {
			d.invalid.invalid("%s.weight: %d is out of bounds; write 0 to %d", field, backend.Weight, maxWeight)
		}
		if d.upstream.Protocol == routing.UpstreamHTTPS {
			backend.ServerName = d.hostname()
			if backend.ServerName == "" {
				backend.ServerName = backend.Service.Name + "." + backend.Service.Namespace + ".svc"
			}
		}
		// Without a grant, nothing is told about the other namespace, not even whether the Service exists.
		if !w.grants.permitService(d.object.Namespace, backend.Service) {
			d.unresolved.add(v1alpha1.ReasonRefNotPermitted,
				"%s.namespace: namespace %s does not permit it; create a ReferenceGrant there from ServiceEndpoint (group %s, namespace %s) to Service %s",
				field, quote(backend.Service.Namespace), v1alpha1.GroupName, quote(d.object.Namespace), quote(backend.Service.Name))
			continue
		}
		if d.checkService(field, w.services[backend.Service], &backend) {
			d.upstream.Backends = append(d.upstream.Backends, backend)
		}
	}
	if len(d.upstream.Backends) > 0 && !d.hasTarget() {
		d.notes = append(d.notes, "spec.backendRefs: every weight is 0, requests are answered 503")
	}
}

// checkService reports whether a Service has the port that a backend asks for.
func (d *endpointDraft) checkService(field string, svc *corev1.Service, backend *routing.Backend) bool {
	notFound := func(layout string, args ...any) bool {
		d.unresolved.add(v1alpha1.ReasonServiceNotFound, "%s.%s", field, format(layout, args...))
		return false
	}
	if svc == nil {
		return notFound("name: Service %s not found in namespace %s; create it or correct the name",
			quote(backend.Service.Name), quote(backend.Service.Namespace))
	}
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return notFound("name: Service %s is of type ExternalName, which has no endpoints and is not followed; write its URL in urls",
			quote(backend.Service.Name))
	}
	var ports []string
	for i := range svc.Spec.Ports {
		if !isTCP(svc.Spec.Ports[i].Protocol) {
			continue
		}
		if svc.Spec.Ports[i].Port == backend.Port {
			return true
		}
		ports = append(ports, fmt.Sprint(svc.Spec.Ports[i].Port))
	}
	if len(ports) == 0 {
		return notFound("port: Service %s has no TCP port %d, nor any other", quote(backend.Service.Name), backend.Port)
	}
	return notFound("port: Service %s has no TCP port %d; write %s", quote(backend.Service.Name), backend.Port, oneOf(ports))
}

func (d *endpointDraft) verdict() Verdict {
	v := Verdict{UID: d.object.UID, Generation: d.object.Generation, Serving: ServingAll}
	if len(d.invalid) > 0 {
		v.Serving = ServingNothing
	}
	v.Conditions = []Condition{
		acceptedCondition(d.invalid, "the ServiceEndpoint is valid", d.notes),
		resolvedCondition(d.unresolved, nil),
	}
	return v
}
