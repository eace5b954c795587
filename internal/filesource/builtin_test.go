package filesource

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The kinds of Kubernetes are judged as the API server judges them, as far as something depends on it.
func TestBuiltinKindsAreJudged(t *testing.T) {
	tests := map[string]struct {
		object string
		want   []string // without file, line and object
	}{
		"a Secret with plain text in data": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {z: YQ==, key: 'plain text', b: '?'}\n",
			[]string{
				"data[b]: Invalid value: must be base64: write plain text under stringData",
				"data[key]: Invalid value: must be base64: write plain text under stringData",
			},
		},
		"a Secret with something else in data": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {key: {b: 1}}\n",
			[]string{"data: Invalid value: must be a map of base64 strings"},
		},
		"a Secret with a number in stringData": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {pin: 123456}\n",
			[]string{"stringData: Invalid value: must not be a number"},
		},
		"a Secret with a key that is none": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {'a b': x}\n",
			[]string{"data[a b]: Invalid value: a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"},
		},
		"a Secret that is too large": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {a: " + strings.Repeat("x", 1<<20+1) + "}\n",
			[]string{"data: Too long: may not be more than 1048576 bytes"},
		},
		"a Secret for TLS without a key": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/tls\nstringData: {tls.crt: x}\n",
			[]string{"data[tls.key]: Required value: a Secret of type kubernetes.io/tls must have it"},
		},
		"a Secret with an unknown field and a bad name": {
			"apiVersion: v1\nkind: Secret\nmetadata: {name: A}\nstringdata: {a: x}\n",
			[]string{
				"stringdata: Forbidden: unknown field",
				`metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
			},
		},
		"a Service with ports that can't be told apart": {
			"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80, name: a}, {port: 80, name: a}, {port: 0}, {port: 1, name: A_}]}\n",
			[]string{
				`spec.ports[1].name: Duplicate value: "a"`,
				"spec.ports[1].port: Duplicate value: 80",
				"spec.ports[2].port: Invalid value: 0: must be between 1 and 65535, inclusive",
				"spec.ports[2].name: Required value: a Service with several ports must name each",
				`spec.ports[3].name: Invalid value: "A_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
			},
		},
		"a Service with a port that is no number": {
			"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: http}]}\n",
			[]string{"spec.ports.port: Invalid value: must not be a string"},
		},
		"one port for TCP and UDP is fine": {
			"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80, name: a}, {port: 80, name: b, protocol: UDP}]}\n", nil,
		},
		"an EndpointSlice without a type": {
			"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\nendpoints: [{}]\n",
			[]string{
				"addressType: Required value: write IPv4 or IPv6",
				"endpoints[0].addresses: Required value: write at least one address",
			},
		},
		"an EndpointSlice with a type that is none": {
			"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\naddressType: IP\n",
			[]string{`addressType: Unsupported value: "IP": supported values: "IPv4", "IPv6"`},
		},
		"an EndpointSlice of IPv4 with other addresses": {
			"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\naddressType: IPv4\nports: [{}, {port: 70000}]\nendpoints: [{addresses: [127.0.0.1, '::1', localhost]}]\n",
			[]string{
				`endpoints[0].addresses[1]: Invalid value: "::1": must be an IPv4 address, such as 10.0.0.1`,
				`endpoints[0].addresses[2]: Invalid value: "localhost": must be an IPv4 address, such as 10.0.0.1`,
				"ports[1].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
			},
		},
		"an EndpointSlice of IPv6 with other addresses": {
			"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\naddressType: IPv6\nendpoints: [{addresses: ['::1', 127.0.0.1, 'fe80::1%eth0']}]\n",
			[]string{
				`endpoints[0].addresses[1]: Invalid value: "127.0.0.1": must be an IPv6 address, such as 2001:db8::1`,
				`endpoints[0].addresses[2]: Invalid value: "fe80::1%eth0": must be an IPv6 address, such as 2001:db8::1`,
			},
		},
		"an IngressClass in a namespace": {
			"apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: a, namespace: b}\nspec: {controller: ostiary.dev/ingress-controller}\n",
			[]string{"metadata.namespace: Forbidden: not allowed on this type"},
		},
		"a ReferenceGrant that grants nothing": {
			"apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {name: a}\nspec: {from: [], to: []}\n",
			[]string{
				"spec.from: Required value: write who may refer: group, kind and namespace",
				"spec.to: Required value: write what may be referred to: group and kind",
			},
		},
		"a ReferenceGrant with gaps": {
			"apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {name: a}\nspec: {from: [{group: x}], to: [{group: x}]}\n",
			[]string{
				"spec.from[0].kind: Required value: write a kind, such as ServiceEndpoint",
				"spec.from[0].namespace: Required value: write the namespace that may refer",
				"spec.to[0].kind: Required value: write a kind, such as Service",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, findings := loadText(t, tc.object)
			var got []string
			for _, f := range findings {
				if f.Severity != SeverityError || f.Line != 1 || f.Name == "" {
					t.Errorf("finding %+v", f)
				}
				got = append(got, f.Field+": "+f.Message)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}
