package gate

import (
	"errors"
	"fmt"

	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/jwt"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/upstream"
)

var (
	errNoEnd    = errors.New("not exactly one of Proxy and Terminate is set")
	errNoCaller = errors.New("an ACL without a JWT policy")
	errNoGroup  = errors.New("an ACL without a group")
)

// Deps are what a Gate shares with its predecessors and successors.
type Deps struct {
	// Keyring holds the live keys of all credentials.
	Keyring *keyring.Keyring
	// Upstreams must know the Config's upstreams already.
	Upstreams *upstream.Registry
	// KeySets must know the Config's remote key sets already.
	KeySets *jwks.Registry
	// TokenCache spares signatures that were verified before; nil spares none.
	TokenCache *jwt.Cache
}

// Gate is a routing table with what each Pipeline does to a request. It is immutable: any number of goroutines may use
// it.
type Gate struct {
	table *routing.Table
	steps []steps // by index of Config.Pipelines
}

// steps are what a Pipeline does to a request. The zero value answers 503.
type steps struct {
	// ready says that everything below could be built.
	ready    bool
	pipeline *routing.Pipeline
	reserved *reserved   // of the Pipeline's namespace, nil for none
	policy   *jwt.Policy // nil for a public Pipeline
	acls     []acl       // none without policy
	upstream *upstream.Upstream
}

// New builds a Gate. It never fails for one Pipeline: what can't be built is reported as a Problem, and every request
// that the Pipeline takes is answered 503. The Pipeline keeps its matches, so that no broader one takes its requests.
func New(cfg routing.Config, deps Deps) (*Gate, []routing.Problem) {
	table, problems := routing.Build(cfg)
	pipelines := table.Pipelines()
	g := &Gate{table: table, steps: make([]steps, len(pipelines))}
	names := reservedOf(cfg.ReservedHeaders)
	for i := range pipelines {
		p := table.Pipeline(i)
		s, err := newSteps(p, deps)
		s.reserved = names[p.Key.Namespace]
		g.steps[i] = s
		if err != nil {
			problems = append(problems, routing.Problem{Pipeline: p.Key, Message: err.Error()})
		}
	}
	return g, problems
}

// Policy returns the token policy that a Pipeline enforces, by its index in Config.Pipelines; nil where it enforces none. It
// reports false where nobody knows, since what protects the Pipeline can't be built.
func (g *Gate) Policy(pipeline int) (policy *jwt.Policy, known bool) {
	if pipeline < 0 || pipeline >= len(g.steps) {
		return nil, true
	}
	s := &g.steps[pipeline]
	switch {
	case s.policy == nil:
		return nil, s.ready || s.pipeline.Broken == "" && s.pipeline.JWT == nil
	case s.pipeline.JWT.Enforcement == routing.EnforcementDryRun:
		return nil, true
	}
	return s.policy, true
}

// Table is the routing table.
func (g *Gate) Table() *routing.Table { return g.table }

func newSteps(p *routing.Pipeline, deps Deps) (steps, error) {
	s := steps{pipeline: p}
	if p.Broken != "" {
		return s, nil // reported by whoever found it
	}
	if p.JWT != nil {
		var err error
		if s.policy, err = jwt.NewPolicy(*p.JWT, jwt.Deps{Keyring: deps.Keyring, KeySets: deps.KeySets, Cache: deps.TokenCache}); err != nil {
			return s, fmt.Errorf("build the JWT policy: %w", err)
		}
	}
	if len(p.ACLs) > 0 && p.JWT == nil {
		return s, errNoCaller
	}
	for _, cfg := range p.ACLs {
		a, err := newACL(cfg)
		if err != nil {
			return s, err
		}
		s.acls = append(s.acls, a)
	}
	switch {
	case p.Proxy != nil && p.Terminate == nil:
		u, ok := deps.Upstreams.Lookup(p.Proxy.Upstream)
		if !ok {
			return s, fmt.Errorf("no upstream %q", p.Proxy.Upstream.Namespace+"/"+p.Proxy.Upstream.Name)
		}
		if err := u.Broken(); err != nil {
			return s, fmt.Errorf("upstream %q: %w", p.Proxy.Upstream.Namespace+"/"+p.Proxy.Upstream.Name, err)
		}
		s.upstream = u
	case p.Terminate == nil || p.Proxy != nil:
		return s, errNoEnd
	}
	s.ready = true
	return s, nil
}
