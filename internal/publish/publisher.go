package publish

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/jwt"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// FailureGrace is how long publishing may fail before Ready says so.
const FailureGrace = 30 * time.Second

// ErrNothingPublished is returned by Ready until the first Program is live.
var ErrNothingPublished = errors.New("no configuration is live yet")

// Options of a Publisher. All fields but KeySets, TokenCache, Metrics and Now are required.
type Options struct {
	// Keyring holds the keys that the Programs verify with.
	Keyring *keyring.Keyring
	// Upstreams owns connections and endpoints, which outlive a Program.
	Upstreams *upstream.Registry
	// KeySets keeps remote key sets fresh, and outlives a Program too. Nil is one with its default options, which nobody
	// can close.
	KeySets *jwks.Registry
	// TokenCache spares the Programs signatures that were verified before. Nil spares none.
	TokenCache *jwt.Cache
	// Live is where Programs are served from.
	Live *proxy.Live
	Log  *slog.Logger
	// Metrics takes the ostiary_config_* metrics; nil registers none.
	Metrics prometheus.Registerer
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Publisher turns Configs into Programs and makes them live. Its methods may be called concurrently; Configs are
// published one at a time.
type Publisher struct {
	keyring   *keyring.Keyring
	upstreams *upstream.Registry
	keySets   *jwks.Registry
	live      *proxy.Live
	log       *slog.Logger
	now       func() time.Time
	build     func(routing.Config) (*proxy.Program, []routing.Problem)
	metrics   *metrics

	publishing sync.Mutex // one Publish at a time

	mu     sync.Mutex // guards status
	status Status
}

// Status says what a Publisher has done. It holds no secrets.
type Status struct {
	// Generation counts the Programs made live; 0 before the first.
	Generation uint64 `json:"generation"`
	// LastGood is when the live Program was published; zero before the first.
	LastGood time.Time `json:"lastGood,omitzero"`
	// FailingSince is when publishing began to fail; zero while it works.
	FailingSince time.Time `json:"failingSince,omitzero"`
	// LastError is why publishing fails; empty while it works.
	LastError string `json:"lastError,omitempty"`
	// Pipelines and Upstreams count what the live Program serves.
	Pipelines int `json:"pipelines"`
	Upstreams int `json:"upstreams"`
	// Problems are Pipelines of the live Program that could not be built and answer 503.
	Problems []routing.Problem `json:"problems,omitempty"`
}

// New returns a Publisher that has published nothing yet.
func New(opts Options) *Publisher {
	p := &Publisher{
		keyring:   opts.Keyring,
		upstreams: opts.Upstreams,
		keySets:   opts.KeySets,
		live:      opts.Live,
		log:       opts.Log,
		now:       opts.Now,
		metrics:   newMetrics(opts.Metrics),
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.keySets == nil {
		p.keySets = jwks.NewRegistry(jwks.Options{Log: opts.Log})
	}
	p.build = func(cfg routing.Config) (*proxy.Program, []routing.Problem) {
		return proxy.NewProgram(cfg, proxy.Deps{
			Keyring: opts.Keyring, Upstreams: opts.Upstreams, KeySets: p.keySets, TokenCache: opts.TokenCache,
			Previous: opts.Live.Load(),
		})
	}
	return p
}

// Publish makes cfg live. One Pipeline that can't be built is no error: it answers 503 and is listed in Status().Problems.
// An error means that the Program could not be made at all, which is a fault of ours; the last good one keeps serving.
func (p *Publisher) Publish(cfg routing.Config) error {
	p.publishing.Lock()
	defer p.publishing.Unlock()

	start := p.now()
	problems, err := p.swap(cfg)
	end := p.now()

	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if p.status.FailingSince.IsZero() {
			p.status.FailingSince = end
		}
		p.status.LastError = err.Error()
		p.metrics.failed(p.status.FailingSince)
		return err
	}
	p.status = Status{
		Generation: p.status.Generation + 1,
		LastGood:   end,
		Pipelines:  len(cfg.Pipelines),
		Upstreams:  len(cfg.Upstreams),
		Problems:   problems,
	}
	p.metrics.succeeded(p.status, end.Sub(start))
	p.log.Debug("published a configuration", "generation", p.status.Generation,
		"pipelines", p.status.Pipelines, "upstreams", p.status.Upstreams, "problems", len(problems))
	return nil
}

// swap builds the Program and stores it. The registry learns of new upstreams first, so that the Program finds them.
func (p *Publisher) swap(cfg routing.Config) (problems []routing.Problem, err error) {
	defer func() {
		if r := recover(); r != nil {
			// The panic's value may quote configuration; the log gets the stack only.
			p.log.Error("building the configuration panicked", "type", fmt.Sprintf("%T", r), "stack", string(debug.Stack()))
			problems, err = nil, fmt.Errorf("build the program: panic of type %T", r)
		}
	}()
	p.upstreams.Apply(cfg.Upstreams)
	p.keySets.Apply(remoteKeys(cfg.Pipelines))
	program, problems := p.build(cfg)
	if program == nil {
		return nil, errors.New("build the program: nothing was built")
	}
	p.live.Store(program)
	return problems, nil
}

// SetCredential makes the keys of one credential live; it replaces what the credential had, whose uses are remembered with
// the keys that stay. Keys that are published elsewhere are fetched from then on. A credential is set by one goroutine at a
// time.
func (p *Publisher) SetCredential(e *keyring.Entry) {
	e.NoteUses(p.keyring.Get(e.Key))
	if e.Remote == nil {
		p.keyring.Set(e)
		p.keySets.Release(e.Key)
		return
	}
	served, remote := *e, *e.Remote
	remote.Set = p.keySets.Hold(e.Key, remote.Source)
	served.Remote = &remote
	p.keyring.Set(&served)
}

// DeleteCredential takes the keys of one credential out of service at once.
func (p *Publisher) DeleteCredential(credential routing.ObjectKey) {
	p.keyring.Delete(credential)
	p.keySets.Release(credential)
}

// SetIdentities makes these the Consumers that tokens of external issuers stand for, oldest Consumer first.
func (p *Publisher) SetIdentities(all []keyring.Identity) { p.keyring.SetIdentities(all) }

// SetEndpoints replaces the addresses of a Service, by Service port.
func (p *Publisher) SetEndpoints(service routing.ObjectKey, ports map[int32][]netip.AddrPort) {
	p.upstreams.SetEndpoints(service, ports)
}

// DeleteEndpoints forgets the addresses of a Service.
func (p *Publisher) DeleteEndpoints(service routing.ObjectKey) { p.upstreams.DeleteEndpoints(service) }

// Keyring is the keyring that all Programs verify with.
func (p *Publisher) Keyring() *keyring.Keyring { return p.keyring }

// Upstreams is the registry that all Programs forward through.
func (p *Publisher) Upstreams() *upstream.Registry { return p.upstreams }

// KeySets is the registry that all Programs and credentials get remote keys from.
func (p *Publisher) KeySets() *jwks.Registry { return p.keySets }

// remoteKeys are the remote key sets that Pipelines use.
func remoteKeys(pipelines []routing.Pipeline) []routing.RemoteKeys {
	var sources []routing.RemoteKeys
	for i := range pipelines {
		if pipelines[i].JWT == nil {
			continue
		}
		for j := range pipelines[i].JWT.Issuers {
			if source := pipelines[i].JWT.Issuers[j].Remote; !source.IsZero() {
				sources = append(sources, source)
			}
		}
	}
	return sources
}

// Ready says why this process should get no requests: ErrNothingPublished before the first Program, or that publishing
// has failed for longer than FailureGrace. It is nil otherwise.
func (p *Publisher) Ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status.Generation == 0 {
		if p.status.LastError != "" {
			return fmt.Errorf("%w: %s", ErrNothingPublished, p.status.LastError)
		}
		return ErrNothingPublished
	}
	if since := p.status.FailingSince; !since.IsZero() && p.now().Sub(since) > FailureGrace {
		return fmt.Errorf("configuration can't be published since %s: %s", since.UTC().Format(time.RFC3339), p.status.LastError)
	}
	return nil
}

// Status says what has been published and what went wrong. The result is the caller's own.
func (p *Publisher) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.status
	s.Problems = slices.Clone(s.Problems)
	return s
}
