package compile

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ostiary/ostiary/api/v1alpha1"
)

// newFromNamespaces returns the namespaces beside the Pipeline's own whose credentials are taken, each once.
func newFromNamespaces(own, field string, namespaces []string, errs *problems) []string {
	var drafts []string
	for i, namespace := range namespaces {
		switch {
		case len(validation.IsDNS1123Label(namespace)) > 0:
			errs.invalid("%s[%d]: %s is not the name of a namespace; write lower-case letters, digits and \"-\"", field, i, quote(namespace))
		case namespace != own && !slices.Contains(drafts, namespace):
			drafts = append(drafts, namespace)
		}
	}
	return drafts
}

// linkCredentials asks for a grant of each namespace whose credentials the Pipeline takes. Without one the Pipeline is
// closed: whose tokens it would take is not what was asked for.
func (d *pipelineDraft) linkCredentials(g grants) {
	if d.policies.jwt == nil {
		return
	}
	known := len(d.unprotected)
	for _, namespace := range d.policies.jwt.FromNamespaces {
		if !g.permitCredentials(d.key.Namespace, namespace) {
			d.unprotected.add(v1alpha1.ReasonRefNotPermitted,
				"%s: no ReferenceGrant in namespace %s permits it; write one from Pipeline in namespace %s to JWTCredential, %s",
				fmt.Sprintf("%s.credentials.fromNamespaces", d.policies.jwtField), quote(namespace), quote(d.key.Namespace), closedConsequence)
		}
	}
	d.unresolved = append(d.unresolved, d.unprotected[known:]...)
}
