//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// rotations is how often a Secret gets another key under load.
	rotations = 50
	// rotationWorkers send requests all the time.
	rotationWorkers = 4
	// effectTypical and effectWorst bound the time from a write to its effect on every replica. On a machine of its own the
	// first holds for 99 of 100; where builds run beside, any one may be stalled for longer, so it is asked of the median.
	effectTypical = time.Second
	effectWorst   = 5 * time.Second
)

// testRotations replaces a key again and again while tokens of it and of the one before are sent all the time: none is
// refused, on any replica, although the controllers are restarted in between. Then keys are cut one by one, and nothing of
// them is accepted.
func testRotations(f fixture) {
	keys := []keyPair{newKey(f.T, "ES256")}
	f.apply(join(keys[0].secret("acme-jwt"), consumer("acme", "ES256"), protected("orders", "/orders")))
	f.waitFor("Programmed", "pipelines.ostiary.dev/orders")
	f.waitFor("Programmed", "jwtcredentials.ostiary.dev/acme")
	f.Run("Q01 keys are replaced under load", func(t *testing.T) { keys = f.in(t).rotateUnderLoad(keys) })
	if f.Failed() {
		return
	}
	current, retained := keys[len(keys)-1], keys[len(keys)-2]
	f.Run("Q08 a restart of all replicas in an overlap", func(t *testing.T) {
		f := f.in(t)
		f.restartControllers()
		f.acceptedEverywhere("/orders", retained.token(t, nil))
	})
	f.Run("Q02 a retained key is revoked by its thumbprint", func(t *testing.T) {
		f := f.in(t)
		f.cut(retained.token(t, nil), f.specPatch(`{"revocation":{"keyIDs":["`+f.thumbprintOf("Retained")+`"]}}`))
		f.acceptedEverywhere("/orders", current.token(t, nil))
	})
	f.Run("Q30 a token is revoked by its ID", func(t *testing.T) {
		f := f.in(t)
		f.cut(current.token(t, map[string]any{"jti": "t-1"}), f.specPatch(`{"revocation":{"tokenIDs":["t-1"]}}`))
		f.acceptedEverywhere("/orders", current.token(t, map[string]any{"jti": "t-2"}))
	})
	f.Run("Q07 the credential is suspended", func(t *testing.T) {
		f := f.in(t)
		token := current.token(t, nil)
		f.cut(token, f.specPatch(`{"suspend":true}`))
		f.specPatch(`{"suspend":null}`)()
		f.acceptedEverywhere("/orders", token)
	})
	f.Run("Q05 the Secret is deleted", func(t *testing.T) {
		f := f.in(t)
		token := current.token(t, nil)
		f.cut(token, func() { f.kubectl("delete", "secret", "acme-jwt") })
		f.wantCondition("jwtcredential/acme", "KeysReady", "False", "NoUsableKey", "")
		f.apply(current.secret("acme-jwt"))
		f.acceptedEverywhere("/orders", token)
	})
	f.Run("Q02 the current key is revoked by its state", func(t *testing.T) {
		f := f.in(t)
		f.cut(current.token(t, nil), f.specPatch(`{"keys":[{"name":"current","state":"Revoked","secretKeyRef":{"name":"acme-jwt","key":"key"}}]}`))
	})
}

// in is the fixture of a test within this one.
func (f fixture) in(t *testing.T) fixture {
	f.T = t
	return f
}

// rotateUnderLoad replaces the key of acme's Secret again and again, and returns all that it was.
func (f fixture) rotateUnderLoad(keys []keyPair) []keyPair {
	load := f.newTokenLoad("/orders")
	load.send(keys[0].token(f.T, nil))
	var effects []time.Duration
	for i := range rotations {
		next := newKey(f.T, "ES256")
		nextToken := next.token(f.T, nil)
		updated := time.Now()
		f.replaceKey("acme-jwt", next)
		f.acceptedEverywhere("/orders", nextToken)
		effects = append(effects, time.Since(updated))
		// Signers have the new key now; tokens of the one before are out there.
		load.send(keys[len(keys)-1].token(f.T, nil), nextToken)
		keys = append(keys, next)
		if i == rotations/2 {
			f.restartControllers()
		}
	}
	sent, refused := load.stop()
	slices.Sort(effects)
	f.Logf("%d rotations, %d good tokens sent, %d refused; from the Secret's update to its effect on every replica: p50 %v, p99 %v",
		rotations, sent, refused, percentile(effects, 50), percentile(effects, 99))
	if refused > 0 {
		f.Errorf("%d of %d good tokens were refused", refused, sent)
	}
	if sent < rotations {
		f.Errorf("%d tokens were sent: too few to tell", sent)
	}
	if typical, worst := percentile(effects, 50), percentile(effects, 100); typical > effectTypical || worst > effectWorst {
		f.Errorf("a new key is accepted after %v, and %v at the worst; want %v and %v at most", typical, worst, effectTypical, effectWorst)
	}
	return keys
}

// cut does what makes a token bad, and looks for a replica that accepts it still.
func (f fixture) cut(token string, revoke func()) {
	f.Helper()
	f.acceptedEverywhere("/orders", token)
	began := time.Now()
	revoke()
	f.refusedEverywhere("/orders", token)
	effect := time.Since(began)
	load := f.newTokenLoad("/orders")
	load.send(token)
	await(f.T, "requests with the token", func() error {
		if sent := load.sent.Load(); sent < 200 {
			return fmt.Errorf("%d were sent", sent)
		}
		return nil
	})
	sent, refused := load.stop()
	f.Logf("refused on every replica %v after kubectl was called; then %d tokens sent, %d accepted", effect, sent, sent-refused)
	if refused != sent {
		f.Errorf("%d of %d tokens were accepted after the cut", sent-refused, sent)
	}
	if effect > effectWorst {
		f.Errorf("refused after %v, want %v at most", effect, effectWorst)
	}
}

// specPatch returns what merges a patch into the spec of acme's credential.
func (f fixture) specPatch(patch string) func() {
	return func() {
		f.kubectl("patch", "jwtcredential.ostiary.dev/acme", "--type=merge", "-p", `{"spec":`+patch+`}`)
	}
}

// thumbprintOf is the thumbprint of the first key in that phase, the latest of the retained ones.
func (f fixture) thumbprintOf(phase string) string {
	f.Helper()
	var found string
	await(f.T, "key in phase "+phase, func() error {
		out, err := f.cluster.Kubectl(f.Context(), "get", "-n", f.namespace, "jwtcredential.ostiary.dev/acme", "-o", "json")
		if err != nil {
			return err
		}
		var state struct {
			Status struct {
				Keys []struct{ Thumbprint, Phase string }
			}
		}
		if err := json.Unmarshal([]byte(out), &state); err != nil {
			return err
		}
		for _, key := range state.Status.Keys {
			if key.Phase == phase {
				found = key.Thumbprint
				return nil
			}
		}
		return fmt.Errorf("keys are %+v", state.Status.Keys)
	})
	return found
}

// replaceKey puts another key into a Secret, as a client of the API does.
func (f fixture) replaceKey(secret string, key keyPair) {
	f.Helper()
	patch, err := json.Marshal(map[string]any{"stringData": map[string]string{"key": string(key.Verifier)}})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := f.cluster.Client().CoreV1().Secrets(f.namespace).Patch(f.Context(), secret, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		f.Fatal(err)
	}
}

func (f fixture) acceptedEverywhere(path, token string) {
	f.Helper()
	f.answersEverywhere(path, token, http.StatusOK)
}

func (f fixture) refusedEverywhere(path, token string) {
	f.Helper()
	f.answersEverywhere(path, token, http.StatusUnauthorized)
}

func (f fixture) answersEverywhere(path, token string, want int) {
	f.Helper()
	await(f.T, fmt.Sprintf("%d on every replica", want), func() error {
		return f.eachReplica(path, token, func(replica string, a answer) error {
			if a.Status != want {
				return fmt.Errorf("%s answers %+v", replica, a)
			}
			return nil
		})
	})
}

func (f fixture) restartControllers() {
	f.Helper()
	for _, args := range [][]string{
		{"rollout", "restart", "deployment", release, "-n", systemNamespace},
		{"rollout", "status", "deployment", release, "-n", systemNamespace, "--timeout=2m"},
	} {
		if _, err := f.cluster.Kubectl(f.Context(), args...); err != nil {
			f.Fatal(err)
		}
	}
	await(f.T, "end of the replaced pods", func() error {
		if pods := controllerPods(f.T, f.cluster.Bed); len(pods) != replicas {
			return fmt.Errorf("there are %d pods", len(pods))
		}
		return nil
	})
}

// tokenLoad sends requests with the latest tokens that it was given, by turns, through the load balancer.
type tokenLoad struct {
	f    fixture
	path string

	mu     sync.RWMutex // held for reading by each request, so that none is under way with tokens that were replaced
	tokens []string

	cancel        context.CancelFunc
	workers       sync.WaitGroup
	sent, refused atomic.Int64
}

func (f fixture) newTokenLoad(path string) *tokenLoad {
	ctx, cancel := context.WithCancel(f.Context())
	l := &tokenLoad{f: f, path: path, cancel: cancel}
	for range rotationWorkers {
		l.workers.Go(func() {
			client := f.newClient(f.cluster.address)
			for i := 0; ctx.Err() == nil; i++ {
				l.mu.RLock()
				if len(l.tokens) > 0 {
					l.one(ctx, client, l.tokens[i%len(l.tokens)])
				}
				l.mu.RUnlock()
			}
		})
	}
	return l
}

// send replaces the tokens. It returns when no request with the former ones is under way: a request that is stalled for the
// time of several rotations would come with a token of a key that is no longer retained.
func (l *tokenLoad) send(tokens ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tokens = tokens
}

func (l *tokenLoad) one(ctx context.Context, client *http.Client, token string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+l.f.host+l.path, http.NoBody)
	if err != nil {
		l.f.Error(err)
		return
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		if ctx.Err() == nil {
			l.f.Errorf("a request failed: %v", err)
		}
		return
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	l.sent.Add(1)
	if response.StatusCode == http.StatusUnauthorized && strings.Contains(response.Header.Get("Www-Authenticate"), "invalid_token") {
		l.refused.Add(1)
	} else if response.StatusCode != http.StatusOK {
		l.f.Errorf("a request was answered %s", response.Status)
	}
}

// stop ends the load and says how many tokens were sent, and how many of them refused.
func (l *tokenLoad) stop() (sent, refused int64) {
	l.cancel()
	l.workers.Wait()
	return l.sent.Load(), l.refused.Load()
}

// percentile of sorted durations, by the nearest rank.
func percentile(sorted []time.Duration, p int) time.Duration {
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}
