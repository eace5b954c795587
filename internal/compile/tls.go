package compile

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// draftTLS is one entry of spec.tls.
type draftTLS struct {
	field  string
	secret routing.ObjectKey
	hosts  []string
}

func newTLS(entries []v1alpha1.PipelineTLS, pipeline routing.ObjectKey, errs *problems) []draftTLS {
	drafts := make([]draftTLS, 0, len(entries))
	for i := range entries {
		draft := draftTLS{
			field:  fmt.Sprintf("spec.tls[%d]", i),
			secret: routing.ObjectKey{Namespace: pipeline.Namespace, Name: entries[i].SecretName},
		}
		if len(entries[i].Hosts) == 0 {
			errs.invalid("%s.hosts: state at least one, certificates are picked by host", draft.field)
		}
		for j, host := range entries[i].Hosts {
			name, complaint := canonicalHost(host)
			if complaint != "" {
				errs.invalid("%s.hosts[%d]: %s", draft.field, j, complaint)
			}
			if name != "" {
				draft.hosts = append(draft.hosts, name)
			}
		}
		slices.Sort(draft.hosts)
		draft.hosts = slices.Compact(draft.hosts)
		drafts = append(drafts, draft)
	}
	return drafts
}

// certificateClaim is a Pipeline's wish to present a certificate for a host.
type certificateClaim struct {
	draft *pipelineDraft
	// entry is the index in spec.tls.
	entry int
}

// newCertificates decides which certificate answers for which host: that of the host's owner, and of several the oldest
// Pipeline's. That decision doesn't look at whether the Secret is good: where it isn't, handshakes for the host fail, and
// nobody else's certificate is presented instead.
func newCertificates(drafts []*pipelineDraft, o *owners, secrets map[routing.ObjectKey]Secret) []routing.Certificate {
	parsed := map[routing.ObjectKey]*keyPair{}
	claims := map[string][]certificateClaim{}
	for _, draft := range drafts {
		for i := range draft.tls {
			entry := &draft.tls[i]
			pair := parsed[entry.secret]
			if pair == nil {
				pair = newKeyPair(entry.secret, secrets)
				parsed[entry.secret] = pair
			}
			if pair.reason != "" {
				draft.unresolved.add(pair.reason, "%s.secretName: %s; TLS handshakes for %s fail",
					entry.field, pair.problem, quoteAll(entry.hosts))
			}
			for _, host := range entry.hosts {
				if draft.served() {
					claims[host] = append(claims[host], certificateClaim{draft, i})
				}
			}
		}
	}
	won := map[certificateClaim][]string{}
	for _, host := range sortedKeys(claims) {
		if winner, ok := o.decideCertificate(host, claims[host]); ok {
			won[winner] = append(won[winner], host)
		}
	}
	var certificates []routing.Certificate
	for _, draft := range drafts {
		for i := range draft.tls {
			hosts := won[certificateClaim{draft, i}]
			if len(hosts) == 0 {
				continue
			}
			entry := &draft.tls[i]
			pair := parsed[entry.secret]
			certificates = append(certificates, routing.Certificate{
				Pipeline: draft.key,
				Secret:   entry.secret,
				Hosts:    hosts,
				Chain:    pair.chain,
				Key:      pair.key,
			})
			if uncovered := pair.uncovered(hosts); len(uncovered) > 0 {
				draft.notes = append(draft.notes, format("%s: the certificate of Secret %s is not for %s, which clients will refuse",
					entry.field, quote(entry.secret.Name), quoteAll(uncovered)))
			}
		}
	}
	slices.SortStableFunc(certificates, func(a, b routing.Certificate) int { return cmp.Compare(a.Hosts[0], b.Hosts[0]) })
	noteUncertified(drafts, certificates)
	return certificates
}

// noteUncertified tells Pipelines that redirect clear-text requests of a host for which nobody states a certificate.
func noteUncertified(drafts []*pipelineDraft, certificates []routing.Certificate) {
	certified := map[string]struct{}{}
	for i := range certificates {
		for _, host := range certificates[i].Hosts {
			certified[host] = struct{}{}
		}
	}
	for _, draft := range drafts {
		if draft.insecure != routing.InsecureRedirect {
			continue
		}
		var without []string
		for i := range draft.matches {
			host := draft.matches[i].Host
			_, exact := certified[host]
			_, suffix, _ := strings.Cut(host, ".")
			_, wildcard := certified["*."+suffix]
			if host != "" && !exact && !wildcard {
				without = append(without, host)
			}
		}
		if len(without) > 0 {
			draft.notes = append(draft.notes, format("spec.tls: nobody states a certificate for %s, whose clear-text requests are redirected "+
				"to a TLS handshake that fails", quoteAll(sorted(without))))
		}
	}
}

// decideCertificate chooses among the claims to a host, which are in the order of age, and tells the others.
func (o *owners) decideCertificate(host string, claims []certificateClaim) (winner certificateClaim, ok bool) {
	permitted := make([]certificateClaim, 0, len(claims))
	for _, c := range claims {
		if owner := o.owner(host, c.draft.key); owner != nil {
			c.draft.notes = append(c.draft.notes, format("%s.hosts: %s belongs to namespace %s, and this certificate is not presented for it",
				c.draft.tls[c.entry].field, quote(host), quote(owner.key.Namespace)))
			continue
		}
		permitted = append(permitted, c)
	}
	if len(permitted) == 0 {
		return certificateClaim{}, false
	}
	winner = permitted[0]
	if owner := o.first[host]; owner != nil && o.policy == HostOwnershipNamespace {
		for _, c := range permitted {
			if c.draft.key.Namespace == owner.key.Namespace {
				winner = c
				break
			}
		}
	}
	for _, c := range permitted {
		if c != winner {
			c.draft.notes = append(c.draft.notes, format("%s.hosts: for %s the certificate of %s of Pipeline %s is presented, which comes first",
				c.draft.tls[c.entry].field, quote(host), winner.draft.tls[winner.entry].field, quoteKey(winner.draft.key)))
		}
	}
	return winner, true
}

// keyPair is a certificate Secret: a chain and key that fit, or the reason why there are none.
type keyPair struct {
	chain []byte
	key   []byte
	leaf  *x509.Certificate

	reason  v1alpha1.Reason
	problem string
}

func newKeyPair(name routing.ObjectKey, secrets map[routing.ObjectKey]Secret) *keyPair {
	secret, ok := secrets[name]
	if !ok {
		return &keyPair{reason: v1alpha1.ReasonSecretNotFound, problem: format(
			"Secret %s not found in namespace %s; create it or correct the name", quote(name.Name), quote(name.Namespace))}
	}
	for _, entry := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		if len(secret.Data[entry]) == 0 {
			return &keyPair{reason: v1alpha1.ReasonKeyNotFound, problem: format(
				"Secret %s has no entry %s; use one of type kubernetes.io/tls", quote(name.Name), entry)}
		}
	}
	invalid := func(problem string) *keyPair {
		return &keyPair{reason: v1alpha1.ReasonInvalid, problem: format("Secret %s: %s", quote(name.Name), problem)}
	}
	chain, err := parseCertificates(secret.Data[corev1.TLSCertKey])
	if err != nil || len(chain) == 0 {
		return invalid("tls.crt holds no chain of X.509 certificates; write them in PEM, the server's first")
	}
	if !hasPrivateKey(secret.Data[corev1.TLSPrivateKeyKey]) {
		return invalid("tls.key holds no private key that can be read; write an unencrypted one in PEM (PKCS#8, PKCS#1 or SEC 1)")
	}
	if _, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]); err != nil {
		return invalid("tls.key is not the key of the first certificate in tls.crt; replace both together")
	}
	return &keyPair{
		chain: encodeCertificates(chain),
		key:   bytes.Clone(secret.Data[corev1.TLSPrivateKeyKey]),
		leaf:  chain[0],
	}
}

// blockCertificate is the PEM type of an X.509 certificate (RFC 7468 section 5).
const blockCertificate = "CERTIFICATE"

// parseCertificates returns the certificates of a PEM text; other blocks are left out.
func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return chain, nil
		}
		if block.Type != blockCertificate {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse certificate %d: %w", len(chain)+1, err)
		}
		chain = append(chain, certificate)
	}
}

// encodeCertificates writes certificates anew, so that nothing else of a Secret's entry leaves it.
func encodeCertificates(chain []*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, certificate := range chain {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: certificate.Raw}))
	}
	return b.Bytes()
}

// hasPrivateKey looks for the key that crypto/tls would take: the first block of a private key.
func hasPrivateKey(data []byte) bool {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return false
		}
		if block.Type != "PRIVATE KEY" && !strings.HasSuffix(block.Type, " PRIVATE KEY") {
			continue
		}
		if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			return true
		}
		if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return true
		}
		_, err := x509.ParseECPrivateKey(block.Bytes)
		return err == nil
	}
}

// uncovered are the hosts that clients won't find in the certificate.
func (p *keyPair) uncovered(hosts []string) []string {
	if p.leaf == nil {
		return nil
	}
	var uncovered []string
	for _, host := range hosts {
		var covered bool
		if strings.HasPrefix(host, "*.") {
			covered = slices.ContainsFunc(p.leaf.DNSNames, func(name string) bool { return strings.EqualFold(name, host) })
		} else {
			covered = p.leaf.VerifyHostname(host) == nil
		}
		if !covered {
			uncovered = append(uncovered, host)
		}
	}
	return uncovered
}

// quoteAll quotes some hosts for a message.
func quoteAll(hosts []string) string {
	const most = 4
	quoted := make([]string, 0, most+1)
	for i, host := range hosts {
		if i == most {
			quoted = append(quoted, fmt.Sprintf("%d more", len(hosts)-most))
			break
		}
		quoted = append(quoted, quote(host))
	}
	return strings.Join(quoted, ", ")
}
