package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ServiceEndpoint is where a Pipeline forwards requests to.
//
// +kubebuilder:object:root=true
type ServiceEndpoint struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ServiceEndpointSpec   `json:"spec"`
	Status ServiceEndpointStatus `json:"status,omitempty"`
}

// ServiceEndpointList is a list of ServiceEndpoints.
//
// +kubebuilder:object:root=true
type ServiceEndpointList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ServiceEndpoint `json:"items"`
}

// ServiceEndpointSpec names the backends, exactly one of backendRefs and urls.
type ServiceEndpointSpec struct {
	BackendRefs []BackendRef `json:"backendRefs,omitempty"`
	URLs        []string     `json:"urls,omitempty"`
	AppProtocol AppProtocol  `json:"appProtocol,omitempty"` // default http; for urls the scheme decides and the field must be absent or agree
	TLS         *BackendTLS  `json:"tls,omitempty"`
	Timeouts    *Timeouts    `json:"timeouts,omitempty"`
}

// BackendRef is a port of a Service.
type BackendRef struct {
	Name      string  `json:"name"`
	Namespace *string `json:"namespace,omitempty"` // another namespace by ReferenceGrant
	Port      int32   `json:"port"`
	Weight    *int32  `json:"weight,omitempty"` // default 1; 0: no requests
}

// AppProtocol is the protocol that the backend speaks.
type AppProtocol string

const (
	AppProtocolHTTP  AppProtocol = "http"
	AppProtocolHTTPS AppProtocol = "https"
	AppProtocolH2C   AppProtocol = "kubernetes.io/h2c"
	AppProtocolWS    AppProtocol = "kubernetes.io/ws"
	AppProtocolWSS   AppProtocol = "kubernetes.io/wss"
)

// BackendTLS says how a backend's certificate is checked.
type BackendTLS struct {
	Hostname         string              `json:"hostname,omitempty"`         // SNI and verified name; default: for backendRefs NAME.NAMESPACE.svc, for urls the URL's host
	CACertificateRef *SecretKeyReference `json:"caCertificateRef,omitempty"` // default: the system's roots
}

// Timeouts bound a request to a backend.
type Timeouts struct {
	Connect *metav1.Duration `json:"connect,omitempty"` // 5s
	Request *metav1.Duration `json:"request,omitempty"` // until the response head: 30s; 0s none
	Idle    *metav1.Duration `json:"idle,omitempty"`    // 60s: idle upstream connections
}

// ServiceEndpointStatus is what the controller observed.
type ServiceEndpointStatus struct {
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
