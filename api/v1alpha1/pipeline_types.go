package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Pipeline says which requests it takes (apiEndpoints) and what happens to them (policies, in order).
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=pipelines,scope=Namespaced,shortName=opl,categories=ostiary
// +kubebuilder:printcolumn:name="Class",type=string,JSONPath=`.spec.ingressClassName`
// +kubebuilder:printcolumn:name="Hosts",type=string,JSONPath=`.spec.apiEndpoints[*].hosts`,description="Hosts of the first apiEndpoint that names any"
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Resolved",type=string,JSONPath=`.status.conditions[?(@.type=="ResolvedRefs")].status`
// +kubebuilder:printcolumn:name="Programmed",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Programmed")].reason`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Pipeline struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata. Where two Pipelines ask for the same requests, the one with the older
	// creationTimestamp has them.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what a user wants of the Pipeline.
	// +required
	Spec PipelineSpec `json:"spec"`

	// status is what the controller observed.
	// +optional
	Status PipelineStatus `json:"status,omitzero"`
}

// PipelineList is a list of Pipelines.
//
// +kubebuilder:object:root=true
type PipelineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Pipeline `json:"items"`
}

// PipelineSpec is what a user wants of a Pipeline.
//
// +kubebuilder:validation:XValidation:rule="self.policies.exists(p, p.type == 'JWT') || !self.apiEndpoints.exists(e, has(e.scopes) && size(e.scopes) > 0)",message="apiEndpoints[].scopes needs a policy of type JWT: only a verified token has scopes",fieldPath=".apiEndpoints"
type PipelineSpec struct {
	// ingressClassName names the IngressClass whose controller serves the Pipeline. Absent: the cluster's default
	// IngressClass. In file mode every Pipeline is served where no IngressClass is given. 1 to 253 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="must be the metadata.name of an IngressClass: lower-case letters, digits, \"-\" and \".\""
	IngressClassName *string `json:"ingressClassName,omitempty"`

	// tls names the certificates for hosts, chosen by SNI. A missing or broken Secret fails the handshake for its hosts;
	// there is no default certificate. Each host in one item only. At most 16 items.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(t, t.hosts.all(h, self.exists_one(u, h in u.hosts)))",message="tls names a host in two items: leave one certificate for each host"
	TLS []PipelineTLS `json:"tls,omitempty"`

	// insecure says what happens to a request that comes in clear text, before any policy: Redirect, Refuse or Serve.
	// Defaults to Redirect when tls is set, else to Serve; served tokens can be read on the way, which the Accepted
	// condition's message then says.
	// +optional
	Insecure InsecurePolicy `json:"insecure,omitempty"`

	// apiEndpoints are the requests that the Pipeline takes: those that match at least one item. 1 to 16 items with
	// unique names.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	APIEndpoints []APIEndpoint `json:"apiEndpoints"`

	// policies are what happens to a request, in this order: at most one JWT, then any number of ACL, then exactly one
	// Proxy or Terminate. 1 to 16 items with unique names.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(p, self.exists_one(q, q.name == p.name))",message="policies must have unique names: rename one of them"
	// +kubebuilder:validation:XValidation:rule="self.filter(p, p.type == 'JWT').size() <= 1",message="policies can hold at most one policy of type JWT: merge them, or use two Pipelines"
	// +kubebuilder:validation:XValidation:rule="!self.exists(p, p.type == 'ACL') || self.exists(p, p.type == 'JWT')",message="a policy of type ACL needs a policy of type JWT in front of it: only the caller of a verified token has groups"
	// +kubebuilder:validation:XValidation:rule="!self.exists(p, p.type == 'ACL') || !self.exists(p, p.type == 'JWT') || self[0].type == 'JWT'",message="the policy of type JWT must come before those of type ACL: move it to the front"
	// +kubebuilder:validation:XValidation:rule="self.exists_one(p, p.type in ['Proxy', 'Terminate'])",message="policies must hold exactly one policy of type Proxy or Terminate, which answers the request"
	// +kubebuilder:validation:XValidation:rule="self.size() == 0 || !self.exists_one(p, p.type in ['Proxy', 'Terminate']) || self[self.size() - 1].type in ['Proxy', 'Terminate']",message="the policy of type Proxy or Terminate must be the last: move it behind all others"
	Policies []Policy `json:"policies"`
}

// InsecurePolicy says what happens to a clear-text request.
//
// +kubebuilder:validation:Enum=Redirect;Refuse;Serve
type InsecurePolicy string

const (
	// InsecureRedirect answers 308 with the same URL as https.
	InsecureRedirect InsecurePolicy = "Redirect"

	// InsecureRefuse answers 403.
	InsecureRefuse InsecurePolicy = "Refuse"

	// InsecureServe serves the request as if it had come over TLS.
	InsecureServe InsecurePolicy = "Serve"
)

// PipelineTLS names the certificate for some hosts.
type PipelineTLS struct {
	// hosts for which the certificate is served: lower-case DNS names, or "*." and a name for exactly one more label.
	// 1 to 16 items of at most 253 characters.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^(\\*\\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$') && !self.matches(r'(^|\\.)[0-9]+$')",message="a host must be a lower-case DNS name such as api.example.com, or \"*.\" and a name such as *.example.com; IP addresses and ports can't be given"
	Hosts []string `json:"hosts"`

	// secretName is the metadata.name of a Secret of type kubernetes.io/tls in the Pipeline's namespace.
	// 1 to 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="must be the metadata.name of a Secret: lower-case letters, digits, \"-\" and \".\""
	SecretName string `json:"secretName"`
}

// APIEndpoint is a set of requests: those that match a host, a path, a method and all headers.
type APIEndpoint struct {
	// name tells the apiEndpoints of the Pipeline apart, in messages, logs and updates. 1 to 63 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be lower-case letters, digits and \"-\", such as public"
	Name string `json:"name"`

	// hosts are compared with the request's host, without its port: lower-case DNS names, or "*." and a name for exactly
	// one more label. An exact host wins over a wildcard, a wildcard over any. Absent: any host. At most 16 items of at
	// most 253 characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^(\\*\\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$')",message="a host must be a lower-case DNS name such as api.example.com, or \"*.\" and a name such as *.example.com, without a port"
	// +kubebuilder:validation:items:XValidation:rule="!self.matches(r'(^|\\.)[0-9]+$')",message="a host can't be an IP address: leave hosts out to take requests for any host, IP addresses among them"
	Hosts []string `json:"hosts,omitempty"`

	// paths are compared with the canonical path of the request: Exact wins over RegularExpression, that over the
	// longest PathPrefix. Absent: every path. At most 16 items.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(p, self.exists_one(q, q.value == p.value && (has(q.type) ? q.type : 'PathPrefix') == (has(p.type) ? p.type : 'PathPrefix')))",message="paths has an item twice: remove one of them"
	Paths []PathMatch `json:"paths,omitempty"`

	// methods are compared with the request's method. A request whose path matches and whose method doesn't is answered
	// 405. Absent: every method. At most 16 items of at most 32 characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^[A-Z][A-Z0-9-]*$') && self != 'CONNECT'",message="a method must be in upper case, such as GET; CONNECT can't be routed"
	Methods []string `json:"methods,omitempty"`

	// headers must all match. A request that has the path and method but not the headers is offered to the next less
	// specific path of the same host. Absent: headers aren't looked at. At most 8 items; names are compared without case.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(h, self.exists_one(g, g.name.lowerAscii() == h.name.lowerAscii()))",message="headers names a header twice: header names are compared without case"
	Headers []HeaderMatch `json:"headers,omitempty"`

	// scopes must all be among the caller's effective scopes, else the request is answered 403 insufficient_scope. Needs
	// a policy of type JWT. Absent: none. At most 64 scopes of 1 to 128 characters (RFC 6749 section 3.3).
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^[!#-\\[\\]-~]+$')",message="a scope must be visible ASCII characters without spaces, quotes and backslashes (RFC 6749): write several scopes as several list items"
	Scopes []string `json:"scopes,omitempty"`
}

// PathMatchType is a way to compare a path.
//
// +kubebuilder:validation:Enum=Exact;PathPrefix;RegularExpression
type PathMatchType string

const (
	// PathMatchExact takes the path that equals the value.
	PathMatchExact PathMatchType = "Exact"

	// PathMatchPathPrefix takes the paths that begin with the value by whole segments: /orders takes /orders and
	// /orders/7, not /orders2.
	PathMatchPathPrefix PathMatchType = "PathPrefix"

	// PathMatchRegularExpression takes the paths that the value, an RE2 expression, matches as a whole.
	PathMatchRegularExpression PathMatchType = "RegularExpression"
)

// PathMatch compares the canonical path of a request: dot segments resolved, empty segments merged, parameters
// (";...") left out, unreserved characters unescaped.
//
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'RegularExpression') || self.value.startsWith('/')",message="a path must start with \"/\", such as /orders",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'RegularExpression') || !self.value.matches(r'[?#]')",message="a path takes no query (\"?\") and no fragment (\"#\"): leave it out",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'RegularExpression') || !self.value.matches(r'(//|/\\.\\.?(/|$))')",message="a path takes no empty segments (\"//\") and no dot segments (\"/./\", \"/../\"): write the path that they lead to",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'RegularExpression') || !self.value.contains(';')",message="a path takes no parameters (\";\"): they are left out of the path that is compared",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'RegularExpression') || !self.value.contains('*')",message="a path takes no \"*\": use type PathPrefix and leave it out, or type RegularExpression",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'RegularExpression') || !self.value.matches(r'%(2[Ff]|5[Cc]|[01][0-9A-Fa-f]|7[Ff]|20(/|$))')",message="a path takes no encoded slash, backslash or control character, and no encoded space at the end of a segment: requests with one are refused",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'RegularExpression') || !self.value.matches(r'%(4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe]|3[0-9]|2[DdEe])')",message="a path takes no encoded letters, digits, \"-\", \".\", \"_\" and \"~\": write the characters themselves",fieldPath=".value"
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'RegularExpression') || self.value.matches(r'^([/?#;*A-Za-z0-9._~!$&()+,=:@-]|\\x27|%[0-9A-F]{2}|%(2[Ff]|5[Cc]|[01][0-9A-Fa-f]|7[Ff]))*$')",message="a path must be written as in a request: other characters percent-encoded in upper case, such as %20 and %C3%A9",fieldPath=".value"
type PathMatch struct {
	// type is the way to compare: Exact, PathPrefix or RegularExpression. Defaults to PathPrefix.
	// +optional
	Type PathMatchType `json:"type,omitempty"`

	// value is what the canonical path is compared with: a path in canonical form, or an RE2 expression that must match
	// the whole path. 1 to 1024 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Value string `json:"value"`
}

// HeaderMatchType is a way to compare a header.
//
// +kubebuilder:validation:Enum=Exact;RegularExpression
type HeaderMatchType string

const (
	// HeaderMatchExact takes the value that equals the one given, case and all.
	HeaderMatchExact HeaderMatchType = "Exact"

	// HeaderMatchRegularExpression takes the values that the one given, an RE2 expression, matches as a whole.
	HeaderMatchRegularExpression HeaderMatchType = "RegularExpression"
)

// HeaderMatch compares a request header. Several lines of one header are joined by ", " first.
type HeaderMatch struct {
	// type is the way to compare: Exact or RegularExpression. Defaults to Exact.
	// +optional
	Type HeaderMatchType `json:"type,omitempty"`

	// name of the header, compared without case. Not a header that is about the connection, nor one that Ostiary
	// removes from every request. 1 to 128 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[A-Za-z0-9-]+$')",message="must be letters, digits and \"-\", such as x-api-version: headers with another character in their name are removed"
	// +kubebuilder:validation:XValidation:rule="self.lowerAscii() != 'host'",message="host can't be matched as a header: use hosts"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['connection', 'content-length', 'expect', 'http2-settings', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'])",message="a header that is about the connection can't be matched on: choose another"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['forwarded', 'x-http-method', 'x-http-method-override', 'x-method-override', 'x-original-url', 'x-real-ip', 'x-request-id', 'x-rewrite-url']) && !self.lowerAscii().startsWith('x-forwarded-')",message="a header that is removed or written anew can't be matched on: choose one that is left to clients, such as x-api-version"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['x-consumer-username', 'x-consumer-namespace', 'x-consumer-id', 'x-consumer-custom-id', 'x-consumer-groups', 'x-credential-id', 'x-anonymous-consumer', 'eg-consumer-id'])",message="an identity header can't be matched on: it is removed from every request, then set for the upstream"
	Name string `json:"name"`

	// value is what the header is compared with: the value itself, or an RE2 expression that must match the whole value.
	// 1 to 1024 printable ASCII characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[!-~]([ -~]*[!-~])?$')",message="must be printable ASCII characters without a space at either end, as header values are"
	Value string `json:"value"`
}

// PolicyType is the discriminator of Policy.
//
// +kubebuilder:validation:Enum=JWT;ACL;Proxy;Terminate
type PolicyType string

const (
	// PolicyJWT verifies a JSON Web Token.
	PolicyJWT PolicyType = "JWT"

	// PolicyACL lets callers through by their groups.
	PolicyACL PolicyType = "ACL"

	// PolicyProxy forwards the request to a ServiceEndpoint.
	PolicyProxy PolicyType = "Proxy"

	// PolicyTerminate answers the request without an upstream.
	PolicyTerminate PolicyType = "Terminate"
)

// Policy is one step of a Pipeline: a type and the member of the same name.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'JWT' || has(self.jwt)",message="jwt is required when type is JWT; jwt: {} takes the defaults",fieldPath=".jwt"
// +kubebuilder:validation:XValidation:rule="self.type == 'JWT' || !has(self.jwt)",message="jwt can only be set when type is JWT",fieldPath=".jwt"
// +kubebuilder:validation:XValidation:rule="self.type != 'ACL' || has(self.acl)",message="acl is required when type is ACL",fieldPath=".acl"
// +kubebuilder:validation:XValidation:rule="self.type == 'ACL' || !has(self.acl)",message="acl can only be set when type is ACL",fieldPath=".acl"
// +kubebuilder:validation:XValidation:rule="self.type != 'Proxy' || has(self.proxy)",message="proxy is required when type is Proxy",fieldPath=".proxy"
// +kubebuilder:validation:XValidation:rule="self.type == 'Proxy' || !has(self.proxy)",message="proxy can only be set when type is Proxy",fieldPath=".proxy"
// +kubebuilder:validation:XValidation:rule="self.type != 'Terminate' || has(self.terminate)",message="terminate is required when type is Terminate",fieldPath=".terminate"
// +kubebuilder:validation:XValidation:rule="self.type == 'Terminate' || !has(self.terminate)",message="terminate can only be set when type is Terminate",fieldPath=".terminate"
type Policy struct {
	// name tells the policies of the Pipeline apart, in messages and logs. 1 to 63 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be lower-case letters, digits and \"-\", such as auth"
	Name string `json:"name"`

	// type says which member is set: JWT, ACL, Proxy or Terminate.
	// +required
	// +unionDiscriminator
	Type PolicyType `json:"type"`

	// jwt verifies a JSON Web Token, with type JWT; requests without a valid one are refused, unless jwt says otherwise.
	// Every field has a default: {} takes the tokens of all JWTCredentials of the namespace.
	// +optional
	JWT *JWTPolicy `json:"jwt,omitempty"`

	// acl lets callers through by the groups of their Consumer, with type ACL.
	// +optional
	ACL *ACLPolicy `json:"acl,omitempty"`

	// proxy forwards the request to a ServiceEndpoint, with type Proxy.
	// +optional
	Proxy *ProxyPolicy `json:"proxy,omitempty"`

	// terminate answers the request without an upstream, with type Terminate.
	// +optional
	Terminate *TerminatePolicy `json:"terminate,omitempty"`
}

// ACLPolicy lets callers through by the groups of their Consumer; the others are answered 403. An anonymous caller, whom a
// policy of type JWT with mode Optional lets through, is in no group, and is answered 401.
//
// +kubebuilder:validation:XValidation:rule="(has(self.allowGroups) && size(self.allowGroups) > 0) || (has(self.denyGroups) && size(self.denyGroups) > 0)",message="acl must name a group: set allowGroups, denyGroups or both"
type ACLPolicy struct {
	// allowGroups are the groups of which a caller must be in at least one. Absent: all callers who are in none of
	// denyGroups. At most 64 groups of 1 to 128 visible ASCII characters, without commas.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^[!-+\\--~]+$')",message="a group must be visible ASCII characters without spaces and commas, as in the groups of a Consumer"
	AllowGroups []string `json:"allowGroups,omitempty"`

	// denyGroups are the groups of which a caller must be in none, even one who is in a group of allowGroups. Absent:
	// none. At most 64 groups of 1 to 128 visible ASCII characters, without commas.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^[!-+\\--~]+$')",message="a group must be visible ASCII characters without spaces and commas, as in the groups of a Consumer"
	DenyGroups []string `json:"denyGroups,omitempty"`
}

// ProxyPolicy forwards the request to a ServiceEndpoint.
type ProxyPolicy struct {
	// serviceEndpointRef names the ServiceEndpoint.
	// +required
	ServiceEndpointRef LocalObjectReference `json:"serviceEndpointRef"`

	// host says which Host the upstream sees: Preserve or Backend. Defaults to Preserve for a ServiceEndpoint with
	// backendRefs, and to Backend for one with urls.
	// +optional
	Host HostPolicy `json:"host,omitempty"`
}

// HostPolicy says which Host the upstream sees.
//
// +kubebuilder:validation:Enum=Preserve;Backend
type HostPolicy string

const (
	// HostPreserve is the client's Host.
	HostPreserve HostPolicy = "Preserve"

	// HostBackend is the URL's host and port, or the Service's: NAME.NAMESPACE.svc (tls.hostname, where the backend speaks
	// TLS) and its port.
	HostBackend HostPolicy = "Backend"
)

// TerminatePolicy answers the request without an upstream.
//
// +kubebuilder:validation:XValidation:rule="!has(self.body) || !(self.statusCode in [204, 205, 304])",message="body can't be set with statusCode 204, 205 and 304, which have none: leave it out",fieldPath=".body"
// +kubebuilder:validation:XValidation:rule="!has(self.contentType) || has(self.body)",message="contentType needs a body: set body, or leave contentType out",fieldPath=".contentType"
type TerminatePolicy struct {
	// statusCode of the response, 200 to 599.
	// +required
	// +kubebuilder:validation:Minimum=200
	// +kubebuilder:validation:Maximum=599
	StatusCode int32 `json:"statusCode"`

	// body of the response. Absent: none. 1 to 16384 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Body string `json:"body,omitempty"`

	// contentType of the body. Defaults to "text/plain; charset=utf-8". 1 to 128 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( *; *[!-:<-~]+)*$')",message="must be a media type such as application/json or text/html; charset=utf-8"
	ContentType string `json:"contentType,omitempty"`
}

// PipelineStatus is what the controller observed.
type PipelineStatus struct {
	// conditions are the latest observations: Accepted, ResolvedRefs and Programmed. At most 8.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
