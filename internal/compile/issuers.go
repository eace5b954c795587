package compile

import (
	"bytes"
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/routing"
)

// closedConsequence is what follows while protection can't be built.
const closedConsequence = "until then requests are answered 503"

// newIssuers compiles the issuers of a token policy but for what they refer to, in the order of the field.
func newIssuers(field string, issuers []v1alpha1.JWTIssuer, errs *problems) []routing.Issuer {
	if len(issuers) == 0 {
		return nil
	}
	drafts := make([]routing.Issuer, 0, len(issuers))
	seen := map[string]struct{}{}
	for i := range issuers {
		issuer := &issuers[i]
		at := fmt.Sprintf("%s[%d]", field, i)
		if issuer.Issuer == "" {
			errs.invalid("%s.issuer: is missing; write what the claim iss of its tokens is", at)
		}
		if _, twice := seen[issuer.Issuer]; twice {
			errs.invalid("%s.issuer: %s is there twice; merge the two", at, quote(issuer.Issuer))
		}
		seen[issuer.Issuer] = struct{}{}
		drafts = append(drafts, routing.Issuer{
			Issuer:     issuer.Issuer,
			Audiences:  stated(issuer.Audiences),
			Algorithms: issuerAlgorithms(at+".algorithms", issuer.Algorithms, errs),
			Remote:     newRemoteKeys(at, issuer, errs),
			Consumer: choose(errs, at+".consumer", issuer.Consumer,
				choice[v1alpha1.ConsumerMapping, routing.ConsumerMapping]{v1alpha1.ConsumerRequired, routing.ConsumerRequired},
				choice[v1alpha1.ConsumerMapping, routing.ConsumerMapping]{v1alpha1.ConsumerOptional, routing.ConsumerOptional},
			),
		})
	}
	return drafts
}

func issuerAlgorithms(field string, names []v1alpha1.Algorithm, errs *problems) []string {
	if len(names) == 0 {
		errs.invalid("%s: is missing; write the algorithms that tokens are signed with, such as RS256", field)
	}
	var algorithms []string
	for i, name := range names {
		switch _, ok := jose.ParseAlgorithm(string(name)); {
		case !ok:
			errs.add(v1alpha1.ReasonUnsupportedValue, "%s[%d]: %s is not supported; write one such as RS256", field, i, quote(name))
		case strings.HasPrefix(string(name), "HS"):
			errs.invalid("%s[%d]: HMAC algorithms can't be used with issuers; write those of the issuer's public keys, such as RS256", field, i)
		}
		algorithms = append(algorithms, string(name))
	}
	return algorithms
}

// newRemoteKeys says where the keys of an issuer are fetched from; it is zero for those of a Secret.
func newRemoteKeys(field string, issuer *v1alpha1.JWTIssuer, errs *problems) routing.RemoteKeys {
	keys := &issuer.Keys
	field += ".keys"
	for _, member := range []struct {
		of   v1alpha1.IssuerKeysType
		name string
		set  bool
	}{
		{v1alpha1.IssuerKeysDiscovery, "discovery", keys.Discovery != nil},
		{v1alpha1.IssuerKeysRemoteJWKS, "remoteJWKS", keys.RemoteJWKS != nil},
		{v1alpha1.IssuerKeysSecret, "secret", keys.Secret != nil},
	} {
		if member.set && member.of != keys.Type {
			errs.invalid("%s.%s: does not belong to type %s; leave it out", field, member.name, quote(keys.Type))
		}
	}
	switch {
	case keys.Type == v1alpha1.IssuerKeysDiscovery:
		if u, ok := httpsURL(issuer.Issuer); !ok || u.RawQuery != "" || u.ForceQuery {
			errs.invalid("%s.type: Discovery needs an issuer that is an https URL without query and fragment; "+
				"write type RemoteJWKS or Secret", field)
		}
		return routing.RemoteKeys{Issuer: issuer.Issuer}
	case keys.Type == v1alpha1.IssuerKeysRemoteJWKS && keys.RemoteJWKS != nil:
		return newRemoteJWKS(field+".remoteJWKS", keys.RemoteJWKS, errs)
	case keys.Type == v1alpha1.IssuerKeysSecret && keys.Secret != nil:
	case keys.Type == v1alpha1.IssuerKeysRemoteJWKS:
		errs.invalid("%s.remoteJWKS: is missing; write the address of the key set", field)
	case keys.Type == v1alpha1.IssuerKeysSecret:
		errs.invalid("%s.secret: is missing; write the name and entry of a Secret", field)
	default:
		errs.add(v1alpha1.ReasonUnsupportedValue, "%s.type: %s is not supported; write Discovery, RemoteJWKS or Secret",
			field, quote(keys.Type))
	}
	return routing.RemoteKeys{}
}

func newRemoteJWKS(field string, remote *v1alpha1.RemoteJWKS, errs *problems) routing.RemoteKeys {
	if _, ok := httpsURL(remote.URI); !ok {
		errs.invalid("%s.uri: %s is not an https URL without user and fragment; write one such as https://login.example.com/keys",
			field, quote(remote.URI))
	}
	return routing.RemoteKeys{URI: remote.URI}
}

// httpsURL parses an absolute https URL without user and fragment.
func httpsURL(text string) (*url.URL, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return nil, false
	}
	return u, true
}

// linkIssuers reads the Secrets that the issuers of the Pipeline's token policy refer to. Without one, nothing can judge
// that issuer's tokens, so that the Pipeline is closed.
func (d *pipelineDraft) linkIssuers(secrets map[routing.ObjectKey]Secret, fetchProblems map[routing.RemoteKeys]string) {
	policy := d.policies.jwtPolicy
	if policy == nil || d.policies.jwt == nil {
		return
	}
	linked := slices.Clone(d.policies.jwt.Issuers)
	for i := range linked {
		field := fmt.Sprintf("%s.issuers[%d].keys", d.policies.jwtField, i)
		known := len(d.unprotected)
		keys := &policy.Issuers[i].Keys
		var ca *v1alpha1.SecretKeyReference
		switch {
		case keys.Discovery != nil:
			field, ca = field+".discovery.caCertificateRef", keys.Discovery.CACertificateRef
		case keys.RemoteJWKS != nil:
			field, ca = field+".remoteJWKS.caCertificateRef", keys.RemoteJWKS.CACertificateRef
		case keys.Secret != nil:
			linked[i].Keys = d.issuerKeys(field+".secret", keys.Secret, linked[i].Algorithms, secrets)
		}
		if ca != nil {
			linked[i].Remote.RootCAs = resolveCA(field, d.key.Namespace, ca, secrets, closedConsequence, &d.unprotected)
		}
		d.unresolved = append(d.unresolved, d.unprotected[known:]...)
		if problem := fetchProblems[linked[i].Remote]; problem != "" {
			d.resolvedNotes = append(d.resolvedNotes, format("the keys of issuer %s can't be fetched: %s", quote(linked[i].Issuer), problem))
		}
	}
	slices.SortStableFunc(linked, func(a, b routing.Issuer) int { return cmp.Compare(a.Issuer, b.Issuer) })
	d.policies.jwt.Issuers = linked
}

// issuerKeys reads the keys of an issuer from a Secret.
func (d *pipelineDraft) issuerKeys(
	field string, ref *v1alpha1.SecretKeyReference, algorithms []string, secrets map[routing.ObjectKey]Secret,
) routing.KeyMaterial {
	data, ok := secretEntry(field, d.key.Namespace, ref, secrets, closedConsequence, &d.unprotected)
	if !ok {
		return nil
	}
	opts := jose.Options{Private: jose.PrivateHalved}
	for _, name := range algorithms {
		opts.Algorithms = append(opts.Algorithms, jose.Algorithm(name))
	}
	usable, refused, _ := jose.Parse(data, opts)
	at := format("%s (%s of Secret %s)", field, quote(ref.Key), quote(ref.Name))
	if len(usable) == 0 {
		why := "it holds none"
		if len(refused) > 0 {
			why = refused[0].Message
		}
		d.unprotected.add(v1alpha1.ReasonInvalid, "%s: no key verifies tokens: %s; replace it, %s", at, why, closedConsequence)
		return nil
	}
	for _, p := range refused {
		d.resolvedNotes = append(d.resolvedNotes, format("%s: %s", at, p.Message))
	}
	return bytes.Clone(data)
}

// secretEntry returns an entry of a Secret, or says that it is not there.
func secretEntry(
	field, namespace string, ref *v1alpha1.SecretKeyReference, secrets map[routing.ObjectKey]Secret, consequence string, errs *problems,
) (SecretBytes, bool) {
	secret, ok := secrets[routing.ObjectKey{Namespace: namespace, Name: ref.Name}]
	if !ok {
		errs.add(v1alpha1.ReasonSecretNotFound, "%s.name: Secret %s not found in namespace %s; create it or correct the name, %s",
			field, quote(ref.Name), quote(namespace), consequence)
		return nil, false
	}
	data := secret.Data[ref.Key]
	if len(data) == 0 {
		errs.add(v1alpha1.ReasonKeyNotFound, "%s.key: Secret %s has no entry %s; add it or correct the key, %s",
			field, quote(ref.Name), quote(ref.Key), consequence)
		return nil, false
	}
	return data, true
}

// resolveCA returns the certificates of the authorities in an entry of a Secret, in PEM.
func resolveCA(
	field, namespace string, ref *v1alpha1.SecretKeyReference, secrets map[routing.ObjectKey]Secret, consequence string, errs *problems,
) string {
	data, ok := secretEntry(field, namespace, ref, secrets, consequence, errs)
	if !ok {
		return ""
	}
	authorities, err := parseCertificates(data)
	if err != nil || len(authorities) == 0 {
		errs.add(v1alpha1.ReasonInvalid, "%s.key: entry %s of Secret %s holds no X.509 certificates; write them in PEM, %s",
			field, quote(ref.Key), quote(ref.Name), consequence)
		return ""
	}
	return string(encodeCertificates(authorities))
}

// warnOfIssuers notes the issuers whose tokens are all refused.
func (d *pipelineDraft) warnOfIssuers() {
	jwt := d.policies.jwt
	if jwt == nil || len(jwt.Audiences) > 0 || jwt.AudienceMatch == routing.AudienceIgnore {
		return
	}
	for i := range jwt.Issuers {
		if len(jwt.Issuers[i].Audiences) == 0 {
			d.notes = append(d.notes, format("tokens of issuer %s are refused audience_mismatch; "+
				"set %s.issuers[%d].audiences or audienceMatchPolicy: Ignore", quote(jwt.Issuers[i].Issuer), d.policies.jwtField, i))
		}
	}
}

// issuerSecrets are the Secrets with the keys and CA certificates of a token policy's issuers.
func issuerSecrets(namespace string, policy *v1alpha1.JWTPolicy) []routing.ObjectKey {
	var keys []routing.ObjectKey
	for i := range policy.Issuers {
		source := &policy.Issuers[i].Keys
		refs := []*v1alpha1.SecretKeyReference{source.Secret}
		if source.Discovery != nil {
			refs = append(refs, source.Discovery.CACertificateRef)
		}
		if source.RemoteJWKS != nil {
			refs = append(refs, source.RemoteJWKS.CACertificateRef)
		}
		for _, ref := range refs {
			if ref != nil {
				keys = append(keys, routing.ObjectKey{Namespace: namespace, Name: ref.Name})
			}
		}
	}
	return keys
}
