package proxy

import (
	"testing"

	"github.com/ostiary/ostiary/proxy/routing"
)

// TestCertificateThatIsNotThere: where a name leads to no certificate, the handshake fails.
func TestCertificateThatIsNotThere(t *testing.T) {
	t.Parallel()
	key := routing.ObjectKey{Namespace: "shop", Name: "orders"}
	cfg := routing.Config{Certificates: []routing.Certificate{{Pipeline: key, Secret: key, Hosts: []string{"app.test"}}}}
	p, problems := NewProgram(cfg, Deps{})
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	expect := func(what, name string) {
		t.Helper()
		if cert, ok := p.Certificate(name); ok || cert != nil {
			t.Errorf("%s: a certificate", what)
		}
	}
	expect("of a name that nobody has", "other.test")
	expect("of a missing Secret", "app.test")
	p.certificates = nil
	expect("of a table with more than there are", "app.test")
}
