package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ostiary/ostiary/proxy/gate"
	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/jwt"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// Deps are what a Program shares with its predecessors and successors.
type Deps struct {
	// Keyring holds the live keys of all credentials. Required where a Pipeline has a token policy.
	Keyring *keyring.Keyring
	// Upstreams must know the Config's upstreams already (Registry.Apply). Required where a Pipeline forwards.
	Upstreams *upstream.Registry
	// KeySets must know the Config's remote key sets already (Registry.Apply). Required where a Pipeline has issuers whose
	// keys are fetched.
	KeySets *jwks.Registry
	// TokenCache spares signatures that were verified before, and is the same for all Programs. Optional: nil spares none.
	TokenCache *jwt.Cache
	// Previous is the Program that this one replaces; server certificates that did not change are taken from it instead
	// of being parsed again. Optional.
	Previous *Program
}

// Program is everything needed to serve by one configuration. It is immutable and shared by all requests.
type Program struct {
	gate      *gate.Gate
	pipelines []routing.ObjectKey
	// places are the indexes of pipelines.
	places map[routing.ObjectKey]int
	// certificates are by index of Config.Certificates; nil where a certificate is missing or broken.
	certificates []*certificate
	// metrics are by index of pipelines; Live resolves them before the Program serves.
	metrics []*pipelineMetrics
}

// certificate is a parsed server certificate with what it was parsed from.
type certificate struct {
	chain []byte
	key   routing.PrivateKeyPEM
	tls   *tls.Certificate
}

// NewProgram builds a Program. It never fails for one Pipeline: a Pipeline that can't be built answers 503
// pipeline_not_ready, and handshakes for a certificate that can't be parsed fail; a Problem says why.
func NewProgram(cfg routing.Config, deps Deps) (*Program, []routing.Problem) {
	if deps.Keyring == nil {
		deps.Keyring = keyring.New()
	}
	if deps.Upstreams == nil {
		deps.Upstreams = upstream.NewRegistry(upstream.Options{})
	}
	g, problems := gate.New(cfg, gate.Deps{
		Keyring: deps.Keyring, Upstreams: deps.Upstreams, KeySets: deps.KeySets, TokenCache: deps.TokenCache,
	})
	p := &Program{gate: g, pipelines: make([]routing.ObjectKey, 0, len(cfg.Pipelines)), places: make(map[routing.ObjectKey]int, len(cfg.Pipelines))}
	for i := range cfg.Pipelines {
		p.places[cfg.Pipelines[i].Key] = len(p.pipelines)
		p.pipelines = append(p.pipelines, cfg.Pipelines[i].Key)
	}
	known := map[string]*certificate{}
	if deps.Previous != nil {
		for _, c := range deps.Previous.certificates {
			if c != nil {
				known[string(c.chain)] = c
			}
		}
	}
	for i := range cfg.Certificates {
		c, err := parseCertificate(&cfg.Certificates[i], known)
		if err != nil {
			problems = append(problems, routing.Problem{
				Pipeline: cfg.Certificates[i].Pipeline, Kind: routing.ProblemCertificate, Message: err.Error(),
			})
		}
		p.certificates = append(p.certificates, c)
	}
	return p, problems
}

var errKeyPair = errors.New("the certificate and its key do not parse, or do not belong together")

// parseCertificate returns nil and no error where the certificate is known to be missing.
func parseCertificate(cfg *routing.Certificate, known map[string]*certificate) (*certificate, error) {
	if len(cfg.Chain) == 0 || len(cfg.Key) == 0 {
		return nil, nil
	}
	if c := known[string(cfg.Chain)]; c != nil && bytes.Equal(c.key, cfg.Key) {
		return c, nil
	}
	pair, err := tls.X509KeyPair(cfg.Chain, cfg.Key)
	if err != nil {
		// The cause is left out: it may quote what was parsed.
		return nil, fmt.Errorf("TLS Secret %q: %w", cfg.Secret.Namespace+"/"+cfg.Secret.Name, errKeyPair)
	}
	c := &certificate{chain: cfg.Chain, key: cfg.Key, tls: &pair}
	known[string(cfg.Chain)] = c
	return c, nil
}

// policy returns the token policy that a Pipeline enforces, nil where it enforces none or is not there any more. It reports
// false where nobody knows, since what protects the Pipeline can't be built.
func (p *Program) policy(pipeline routing.ObjectKey) (policy *jwt.Policy, known bool) {
	if i, ok := p.places[pipeline]; ok {
		return p.gate.Policy(i)
	}
	return nil, true
}

// Certificate returns the server certificate for a name that a client asks for in the TLS handshake (SNI, RFC 6066
// section 3). There is no default: where ok is false, the handshake must fail.
func (p *Program) Certificate(serverName string) (cert *tls.Certificate, ok bool) {
	i, ok := p.gate.Table().Certificate(serverName)
	if !ok || i >= len(p.certificates) || p.certificates[i] == nil {
		return nil, false
	}
	return p.certificates[i].tls, true
}

// Live holds the Program that serves. The zero value is ready for use and serves nothing: requests are answered 503.
type Live struct {
	program atomic.Pointer[Program]
	mu      sync.Mutex // of Store
	metrics *Metrics
}

// Load returns the Program that serves, nil before the first Store. A request calls it once and keeps what it got.
func (l *Live) Load() *Program { return l.program.Load() }

// Store makes the Program serve from the next request on. A Program is stored in one Live only.
func (l *Live) Store(p *Program) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.metrics.resolve(p)
	old := l.program.Swap(p)
	l.metrics.forget(old, p)
}

// observe has the Pipelines' metrics counted in m. It is called before anything is served.
func (l *Live) observe(m *Metrics) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.metrics = m
	m.resolve(l.program.Load())
}
