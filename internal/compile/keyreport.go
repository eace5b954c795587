package compile

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/jose"
)

// maxUnusableRunes bounds what is said of one value that is no key.
const maxUnusableRunes = 512

// keyReports are the credential's keys, good and bad, in the order of spec.keys.
func (d *credentialDraft) keyReports(found []foundKey) []KeyReport {
	reports := make([]KeyReport, 0, len(found)+len(d.refused))
	order := map[string]int{}
	for i := range d.object.Spec.Keys {
		order[d.object.Spec.Keys[i].Name] = i
	}
	for _, key := range found {
		report := d.keyReport(key.source)
		report.Thumbprint, report.KID = key.Fingerprint(d.salt), key.KID()
		report.NotBefore, report.NotAfter = key.NotBefore, key.NotAfter
		report.Retained = key.retained
		if key.revoked {
			report.State = v1alpha1.KeyStateRevoked
		}
		for _, algorithm := range key.Algorithms() {
			report.Algorithms = append(report.Algorithms, v1alpha1.Algorithm(algorithm))
		}
		reports = append(reports, report)
	}
	reports = append(reports, d.refused...)
	slices.SortStableFunc(reports, func(a, b KeyReport) int { return cmp.Compare(order[a.Name], order[b.Name]) })
	return reports
}

// refuse notes that a value is no key, or holds some that are none.
func (d *credentialDraft) refuse(source int, data SecretBytes, because []jose.Problem) {
	if len(because) == 0 {
		return
	}
	messages := make([]string, len(because))
	for i, p := range because {
		messages[i] = p.Message
	}
	report := d.keyReport(source)
	report.Thumbprint = jose.Fingerprint(d.salt, data)
	report.Unusable = truncate(strings.Join(messages, ". "), maxUnusableRunes)
	d.refused = append(d.refused, report)
}

// keyReport is what is known of a key from spec.keys alone.
func (d *credentialDraft) keyReport(source int) KeyReport {
	item := &d.object.Spec.Keys[source]
	return KeyReport{
		Name:   item.Name,
		Source: "secret/" + item.SecretKeyRef.Name + "/" + item.SecretKeyRef.Key,
		State:  cmp.Or(item.State, v1alpha1.KeyStateActive),
	}
}
