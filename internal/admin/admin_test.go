package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPages(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "ostiary_test_total", Help: "Counts."})
	registry.MustRegister(counter)
	ready := errors.New("no table yet")
	addresses := map[string]string{}
	listening := make(chan struct{}, 2)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Options{
			AdminAddress: "127.0.0.1:0",
			DebugAddress: "127.0.0.1:0",
			Ready:        func() error { return ready },
			Metrics:      registry,
			Status:       func() any { return map[string]int{"generation": 7} },
			Keys:         func() any { return []string{"a key"} },
			OnListen:     func(name, address string) { addresses[name] = address; listening <- struct{}{} },
			Log:          slog.New(slog.DiscardHandler),
		})
	}()
	<-listening
	<-listening
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for name, tc := range map[string]struct {
		listener, path string
		wantStatus     int
		wantBody       string
	}{
		"alive while not ready":   {"admin", "/healthz", 200, "ok"},
		"not ready says why":      {"admin", "/readyz", 503, "no table yet"},
		"metrics of the registry": {"admin", "/metrics", 200, "ostiary_test_total 0"},
		"no profiles on admin":    {"admin", "/debug/pprof/", 404, ""},
		"no status on admin":      {"admin", "/debug/status", 404, ""},
		"status on debug":         {"debug", "/debug/status", 200, `"generation": 7`},
		"no keys on admin":        {"admin", "/debug/keys", 404, ""},
		"keys on debug":           {"debug", "/debug/keys", 200, `"a key"`},
		"profiles on debug":       {"debug", "/debug/pprof/", 200, "goroutine"},
		"no metrics on debug":     {"debug", "/metrics", 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			response, err := client.Get("http://" + addresses[tc.listener] + tc.path)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != tc.wantStatus || !strings.Contains(string(body), tc.wantBody) {
				t.Errorf("got %d %q, want %d with %q", response.StatusCode, body, tc.wantStatus, tc.wantBody)
			}
		})
	}
	_, port, err := net.SplitHostPort(addresses["debug"])
	if err != nil {
		t.Fatal(err)
	}
	// A page of another site can resolve its own name to a loopback address and read what that answers: DNS rebinding.
	for host, want := range map[string]int{
		"localhost:" + port:             200,
		"LOCALHOST":                     200,
		"127.0.0.1:" + port:             200,
		"127.9.9.9":                     200,
		"[::1]:" + port:                 200,
		"[::1]":                         200,
		"rebound.example.com":           403,
		"rebound.example.com:" + port:   403,
		"localhost.example.com":         403,
		"127.0.0.1.example.com:" + port: 403,
		"10.0.0.1:" + port:              403,
		"0.0.0.0:" + port:               403,
		"[::]:" + port:                  403,
		"localhost:x:" + port:           403,
	} {
		for _, path := range []string{"/debug/status", "/debug/pprof/cmdline"} {
			if status, body := getAs(t, client, addresses["debug"], host, path); status != want {
				t.Errorf("%s with Host %q: %d %q, want %d", path, host, status, body, want)
			} else if want == 403 && !strings.Contains(body, "localhost") {
				t.Errorf("%s with Host %q: %q does not say what to write", path, host, body)
			}
		}
	}
	if status, _ := getAs(t, client, addresses["admin"], "10.0.0.1", "/healthz"); status != 200 {
		t.Errorf("the admin listener, which the kubelet asks by the pod's address, answers %d", status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run returned %v after its context ended, want nil", err)
	}
}

// getAs asks for another host than the one that it connects to.
func getAs(t *testing.T, client *http.Client, address, host, path string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

func TestDebugAddressMustBeLoopback(t *testing.T) {
	for address, wantError := range map[string]bool{
		"":               false,
		"127.0.0.1:9091": false,
		"[::1]:9091":     false,
		"localhost:9091": false,
		":9091":          true,
		"0.0.0.0:9091":   true,
		"10.0.0.1:9091":  true,
		"127.0.0.1":      true,
	} {
		if err := (Options{DebugAddress: address}).Validate(); (err != nil) != wantError {
			t.Errorf("Validate with DebugAddress %q: got error %v, want an error: %t", address, err, wantError)
		}
	}
}
