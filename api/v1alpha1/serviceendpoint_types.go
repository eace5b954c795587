package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ServiceEndpoint is where Pipelines forward requests to: Services of the cluster or URLs outside it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=serviceendpoints,scope=Namespaced,shortName=osep,categories=ostiary
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.backendRefs[0].name`,description="The first of backendRefs"
// +kubebuilder:printcolumn:name="URLs",type=string,JSONPath=`.spec.urls`
// +kubebuilder:printcolumn:name="Protocol",type=string,JSONPath=`.spec.appProtocol`,priority=1
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Resolved",type=string,JSONPath=`.status.conditions[?(@.type=="ResolvedRefs")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ServiceEndpoint struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec names the backends and how to speak to them.
	// +required
	Spec ServiceEndpointSpec `json:"spec"`

	// status is what the controller observed.
	// +optional
	Status ServiceEndpointStatus `json:"status,omitzero"`
}

// ServiceEndpointList is a list of ServiceEndpoints.
//
// +kubebuilder:object:root=true
type ServiceEndpointList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []ServiceEndpoint `json:"items"`
}

// ServiceEndpointSpec names the backends, exactly one of backendRefs and urls, and how to speak to them.
//
// +kubebuilder:validation:XValidation:rule="has(self.backendRefs) || has(self.urls)",message="one of backendRefs (Services of the cluster) and urls (servers outside it) is required"
// +kubebuilder:validation:XValidation:rule="!has(self.backendRefs) || !has(self.urls)",message="backendRefs and urls can't both be set: use two ServiceEndpoints"
// +kubebuilder:validation:XValidation:rule="!has(self.urls) || !has(self.appProtocol) || self.urls.all(u, u.startsWith(self.appProtocol in ['https', 'kubernetes.io/wss'] ? 'https://' : 'http://'))",message="appProtocol must agree with the scheme of urls: leave it out, or use https and kubernetes.io/wss with https URLs, the others with http URLs",fieldPath=".appProtocol"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || (has(self.urls) ? self.urls.exists(u, u.startsWith('https://')) : has(self.appProtocol) && self.appProtocol in ['https', 'kubernetes.io/wss'])",message="tls needs a backend that speaks TLS: set appProtocol to https or kubernetes.io/wss, or use https URLs",fieldPath=".tls"
type ServiceEndpointSpec struct {
	// backendRefs are ports of Services. Requests go straight to the ready pods behind them, not to the Services'
	// cluster IPs, and are distributed by weight, then evenly. 1 to 16 items; exactly one of backendRefs and urls.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, a.name == b.name && a.port == b.port && has(a.__namespace__) == has(b.__namespace__) && (!has(a.__namespace__) || a.__namespace__ == b.__namespace__)))",message="backendRefs names a Service port twice: use one item with the sum of the weights"
	BackendRefs []BackendRef `json:"backendRefs,omitempty"`

	// urls are servers outside the cluster: scheme http or https, a host, an optional port, and an optional path that is
	// put in front of the request's. All have the same scheme. Requests are distributed evenly. Loopback, link-local and
	// cloud metadata addresses are never dialed (file mode dials loopback). 1 to 16 items of at most 1024 characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^https?://([a-z0-9]([-a-z0-9.]*[a-z0-9])?|\\[[0-9a-f:.]+\\])(:[0-9]{1,5})?(/[A-Za-z0-9._~!$&()*+,=:@%/-]*)?$')",message="a URL must be http:// or https://, a lower-case host, an optional port and path, such as https://legacy.example.com/base, without user, query and fragment"
	// +kubebuilder:validation:XValidation:rule="self.all(u, u.startsWith('https://')) || !self.exists(u, u.startsWith('https://'))",message="urls must all have the same scheme: use one ServiceEndpoint for http and another for https"
	URLs []string `json:"urls,omitempty"`

	// appProtocol is what the backends speak: http, https, kubernetes.io/h2c, kubernetes.io/ws or kubernetes.io/wss.
	// Defaults to http for backendRefs; for urls the scheme decides, and the field must be absent or agree with it.
	// +optional
	AppProtocol AppProtocol `json:"appProtocol,omitempty"`

	// tls says how the backends' certificates are verified. They always are, by the system's roots unless this says
	// otherwise. Only where the backends speak TLS.
	// +optional
	TLS *BackendTLS `json:"tls,omitempty"`

	// timeouts bound the time that backends may take. Absent: the fields' own defaults.
	// +optional
	Timeouts *Timeouts `json:"timeouts,omitempty"`
}

// BackendRef is a port of a Service.
type BackendRef struct {
	// name is the metadata.name of the Service. 1 to 63 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be the metadata.name of a Service: lower-case letters, digits and \"-\""
	Name string `json:"name"`

	// namespace of the Service. Defaults to the ServiceEndpoint's own; another namespace must permit it with a Gateway
	// API ReferenceGrant from ServiceEndpoint (group ostiary.dev) to Service. 1 to 63 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be the name of a namespace: lower-case letters, digits and \"-\""
	Namespace *string `json:"namespace,omitempty"`

	// port is a port of the Service (not of its pods), 1 to 65535.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`

	// weight is the share of requests in proportion to the sum of all weights. Defaults to 1; with 0 the Service gets no
	// requests. 0 to 1000000.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Weight *int32 `json:"weight,omitempty"`
}

// AppProtocol is the protocol that a backend speaks, in the words of a Service's appProtocol (KEP-3726).
//
// +kubebuilder:validation:Enum=http;https;kubernetes.io/h2c;kubernetes.io/ws;kubernetes.io/wss
type AppProtocol string

const (
	// AppProtocolHTTP is HTTP/1.1 in clear text.
	AppProtocolHTTP AppProtocol = "http"

	// AppProtocolHTTPS is HTTP over TLS: HTTP/2 or HTTP/1.1 by ALPN, HTTP/1.1 for requests that upgrade.
	AppProtocolHTTPS AppProtocol = "https"

	// AppProtocolH2C is HTTP/2 in clear text by prior knowledge (RFC 9113 section 3.3), as gRPC uses it.
	AppProtocolH2C AppProtocol = "kubernetes.io/h2c"

	// AppProtocolWS is WebSocket over HTTP/1.1 in clear text; the same as http, which also upgrades.
	AppProtocolWS AppProtocol = "kubernetes.io/ws"

	// AppProtocolWSS is WebSocket over TLS; the same as https, which also upgrades.
	AppProtocolWSS AppProtocol = "kubernetes.io/wss"
)

// BackendTLS says how a backend's certificate is verified.
type BackendTLS struct {
	// hostname is sent as SNI and must be in the backend's certificate. Defaults to NAME.NAMESPACE.svc of the Service
	// for backendRefs, and to the URL's host for urls. A lower-case DNS name of 1 to 253 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="must be a lower-case DNS name such as orders.shop.svc, without a port or wildcard"
	Hostname string `json:"hostname,omitempty"`

	// caCertificateRef names the Secret and its entry with the PEM certificates of the authorities that may sign the
	// backend's certificate. Defaults to the system's roots. While it can't be read, Pipelines that forward here answer
	// 503.
	// +optional
	CACertificateRef *SecretKeyReference `json:"caCertificateRef,omitempty"`
}

// Timeouts bound the time that a backend may take. Durations are written as in Go, such as 500ms, 5s or 1m30s.
type Timeouts struct {
	// connect is the time to a connection that can be used, the TLS handshake included. Defaults to 5s. 1ms to 1m.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) >= duration('1ms') && duration(self) <= duration('1m')",message="connect must be a duration from 1ms to 1m, such as 5s"
	Connect *metav1.Duration `json:"connect,omitempty"`

	// request is the time from the forwarded request to the head of its response; the body may take longer. Defaults to
	// 30s; 0s is no limit. 0s to 24h.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) <= duration('24h')",message="request must be a duration from 0s (no limit) to 24h, such as 30s"
	Request *metav1.Duration `json:"request,omitempty"`

	// idle is the time that an unused connection to a backend is kept. Choose less than the backend's own, so that it
	// never closes a connection that is about to be used. Defaults to 60s. 1s to 1h.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="idle must be a duration from 1s to 1h, such as 60s"
	Idle *metav1.Duration `json:"idle,omitempty"`
}

// ServiceEndpointStatus is what the controller observed.
type ServiceEndpointStatus struct {
	// conditions are the latest observations: Accepted, ResolvedRefs and Programmed. At most 8.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
