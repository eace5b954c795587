package proxy_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// TestGRPCClientIsDenied is row W13 of the behaviour catalogue, as grpc-go sees it: a call without a token ends with the
// status and message of the refusal and with its challenge, and not with what gRPC makes of an HTTP status. What is no gRPC
// call gets 401.
func TestGRPCClientIsDenied(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	b.publish(t, refusalConfig())
	conn, err := grpc.NewClient("passthrough:///"+b.http, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("app.test"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	for name, tc := range map[string]struct {
		method, token string
		want          []string // code, message, challenge
	}{
		"W13 without a token": {
			method: "/orders/Get", want: []string{"Unauthenticated", detailMissing, `Bearer realm="orders"`},
		},
		"W13 with a forged token": {
			method: "/orders/Get", token: token(t, nil) + "A",
			want: []string{"Unauthenticated", "The token is not valid.", `Bearer realm="orders", error="invalid_token", error_description="The token is not valid."`},
		},
		"W13 with a token that grants too little": {
			method: "/scoped/Get", token: token(t, claims{"scope": "other"}),
			want: []string{"PermissionDenied", detailScope, `Bearer realm="scoped", error="insufficient_scope", ` +
				`error_description="The token does not grant what this needs.", scope="orders.read orders.write"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if tc.token != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+tc.token)
			}
			var head, trailer metadata.MD
			err := conn.Invoke(ctx, tc.method, &emptypb.Empty{}, &emptypb.Empty{}, grpc.Header(&head), grpc.Trailer(&trailer))
			got := status.Convert(err)
			challenge := strings.Join(append(head.Get("www-authenticate"), trailer.Get("www-authenticate")...), "\n")
			if diff := cmp.Diff(tc.want, []string{got.Code().String(), got.Message(), challenge}); diff != "" {
				t.Errorf("code, message and challenge (-want +got):\n%s", diff)
			}
		})
	}
	resp, _ := do(t, b.client(t, "h2c"), request(t, "POST", "http://app.test/orders/Get", strings.NewReader("{}"), "Content-Type", "application/json"))
	if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != http.StatusUnauthorized || got != `Bearer realm="orders"` || resp.Header.Get("Grpc-Status") != "" {
		t.Errorf("W13 what is no gRPC call: %s, %q, %v", resp.Status, got, resp.Header)
	}
}
