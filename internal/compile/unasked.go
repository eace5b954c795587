package compile

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// maxUnaskedNames is how many credentials of one issuer a message names.
const maxUnaskedNames = 3

// claimIssuer is the claim iss (RFC 7519 section 4.1.1).
const claimIssuer = "iss"

// PipelineIssuers are the issuers whose tokens a Pipeline's issuers judge although it takes JWTCredentials too: one that has
// such an issuer is never asked there. The result is sorted and without duplicates.
func PipelineIssuers(p *v1alpha1.Pipeline) []string {
	var issuers []string
	for i := range p.Spec.Policies {
		jwt := p.Spec.Policies[i].JWT
		if jwt == nil || jwt.Credentials == nil {
			continue
		}
		for j := range jwt.Issuers {
			if issuer := jwt.Issuers[j].Issuer; issuer != "" {
				issuers = append(issuers, issuer)
			}
		}
	}
	slices.Sort(issuers)
	return slices.Compact(issuers)
}

// credentialsByIssuer finds the credentials whose tokens come from an issuer: those that state it, and those whose keyID it
// is, for lookups by iss.
type credentialsByIssuer map[string][]*v1alpha1.JWTCredential

// newCredentialsByIssuer holds those that the Pipelines' issuers make conspicuous, oldest first.
func newCredentialsByIssuer(pipelines []*v1alpha1.Pipeline, credentials []*v1alpha1.JWTCredential) credentialsByIssuer {
	found := credentialsByIssuer{}
	for _, p := range pipelines {
		if p == nil {
			continue
		}
		for _, issuer := range PipelineIssuers(p) {
			found[issuer] = nil
		}
	}
	if len(found) == 0 {
		return nil
	}
	for _, c := range byAge(credentials) {
		for _, issuer := range slices.Compact([]string{c.Spec.Issuer, KeyID(c)}) {
			if _, ok := found[issuer]; ok {
				found[issuer] = append(found[issuer], c)
			}
		}
	}
	return found
}

// noteUnasked notes the credentials that the Pipeline takes and never asks: who judges a token is decided by its iss, and
// for theirs that is an issuer.
func (d *pipelineDraft) noteUnasked(credentials credentialsByIssuer) {
	jwt, policy := d.policies.jwt, d.policies.jwtPolicy
	if len(credentials) == 0 || jwt == nil || policy == nil || policy.Credentials == nil {
		return
	}
	selector, err := selectorOf(policy.Credentials)
	if err != nil {
		return // the Pipeline is invalid, and says so
	}
	for i := range policy.Issuers {
		issuer := policy.Issuers[i].Issuer
		var names []string
		for _, c := range credentials[issuer] {
			if takes(jwt, c, selector) && (c.Spec.Issuer == issuer || looksUpIssuer(jwt) && KeyID(c) == issuer) {
				names = append(names, quoteKey(keyOf(c)))
			}
		}
		if len(names) > 0 {
			d.unasked = append(d.unasked, format("Conflicted: %s.issuers[%d].issuer: %s alone judges its tokens, so that %s never asked here; "+
				"take the issuer out of one of them",
				d.policies.jwtField, i, quote(issuer), unaskedNames(names)))
		}
	}
}

func selectorOf(c *v1alpha1.JWTCredentials) (labels.Selector, error) {
	if c.Selector == nil {
		return labels.Everything(), nil
	}
	selector, err := metav1.LabelSelectorAsSelector(c.Selector)
	if err != nil {
		return nil, fmt.Errorf("parse the selector of credentials: %w", err)
	}
	return selector, nil
}

// takes reports whether the policy takes the credential, were its issuer no matter.
func takes(jwt *routing.JWT, c *v1alpha1.JWTCredential, selector labels.Selector) bool {
	return (c.Namespace == jwt.Namespace || slices.Contains(jwt.FromNamespaces, c.Namespace)) && selector.Matches(labels.Set(c.Labels))
}

func looksUpIssuer(jwt *routing.JWT) bool {
	return jwt.Lookup.Type == routing.LookupClaim && jwt.Lookup.Name == claimIssuer
}

// unaskedNames writes "JWTCredential A is" or "JWTCredentials A, B and 7 more are".
func unaskedNames(names []string) string {
	if len(names) == 1 {
		return "JWTCredential " + names[0] + " is"
	}
	shown := names[:min(len(names), maxUnaskedNames)]
	if more := len(names) - len(shown); more > 0 {
		return format("JWTCredentials %s and %d more are", strings.Join(shown, ", "), more)
	}
	return "JWTCredentials " + strings.Join(shown[:len(shown)-1], ", ") + " and " + shown[len(shown)-1] + " are"
}
