package jwt

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/jwt/internal/token"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/trace"
)

// Explain is Authenticate for people: it decides the same by the same code, and notes in t what it finds. Nothing of the
// token is noted but where it was and which check it met; names of credentials and keys are those of the configuration.
func (p *Policy) Explain(ctx context.Context, h head.Head, now time.Time, t *trace.Trace) (Allowed, *Refused) {
	var a Allowed
	q := asked{head: h, now: now, trace: t}
	refused := p.authenticate(ctx, &q, &a)
	return a, refused
}

// explainSources tells where the token was looked for. A nil Trace costs nothing here and below.
func (p *Policy) explainSources(t *trace.Trace, h head.Head, refused *Refused) {
	if t != nil {
		p.tellSources(t, h, refused)
	}
}

func (p *Policy) tellSources(t *trace.Trace, h head.Head, refused *Refused) {
	if refused != nil && refused.Reason == refusal.TokenMissing && p.sources.inBody() && !p.sources.inBodyOf(kindOfBody(h)) {
		t.Add(trace.Note, "token: not looked for in a body, which must be of POST, PUT or PATCH, with the Content-Type of a form or of JSON, and not coded")
	}
	places := strings.Join(p.sources.places(), ", ")
	switch {
	case refused == nil:
		t.Add(trace.Pass, "token: one, looked for in %s", places)
	case refused.Reason == refusal.TokenMissing && p.mode == routing.ModeOptional:
		t.Add(trace.Pass, "token: none in %s; mode is Optional, the caller is anonymous", places)
	case refused.Reason == refusal.TokenMissing:
		t.Add(trace.Fail, "token: none in %s", places)
	case refused.Reason == refusal.TokenAmbiguous:
		t.Add(trace.Fail, "token: more than one, looked for in %s", places)
	case refused.Reason == refusal.BodyTooLarge:
		t.Add(trace.Fail, "token: not looked for in the body, which is longer than maxBodyBytes (%d)", p.sources.maxBody)
	default:
		t.Add(trace.Fail, "token: the body, where it may be, can't be read")
	}
}

// explainForm tells why a token can't be read.
func (p *Policy) explainForm(t *trace.Trace, reason refusal.Reason) {
	if t == nil {
		return
	}
	switch reason {
	case refusal.TokenTooLarge:
		t.Add(trace.Fail, "form: longer than maxTokenBytes (%d)", p.maxTokenBytes)
	case refusal.AlgorithmNotAllowed:
		t.Add(trace.Fail, "form: signed with an algorithm that is never taken")
	default:
		t.Add(trace.Fail, "form: not a signed JWT in compact form (RFC 7515), or a part of it is not as RFC 7519 has it")
	}
}

// named tells what in the token names the credential.
func (p *Policy) named() string {
	if p.lookup == routing.LookupKID {
		return "the header's kid"
	}
	return fmt.Sprintf("the claim %q", p.claim)
}

// explainUnselected tells of a credential that has the name and is not for this policy.
func (p *Policy) explainUnselected(t *trace.Trace, entry *keyring.Entry) {
	if t != nil {
		t.Add(trace.Note, "JWTCredential %s has the name, but the labels that credentials.selector asks for are not its own", keyOf(entry))
	}
}

// explainCredential tells which credential judges the token, and whether it may be used.
func (p *Policy) explainCredential(t *trace.Trace, entry *keyring.Entry, refused *Refused) {
	if t != nil {
		p.tellCredential(t, entry, refused)
	}
}

func (p *Policy) tellCredential(t *trace.Trace, entry *keyring.Entry, refused *Refused) {
	if refused == nil {
		t.Add(trace.Pass, "credential: %s names JWTCredential %s of Consumer %s", p.named(), keyOf(entry), entry.Consumer.Key.Name)
		return
	}
	switch refused.Reason {
	case refusal.ClaimMissing:
		t.Add(trace.Fail, "credential: the token has no %s that is a string, which should name one", strings.TrimPrefix(p.named(), "the "))
	case refusal.CredentialSuspended:
		t.Add(trace.Fail, "credential: JWTCredential %s is suspended, or past its expirationTime", keyOf(entry))
	case refusal.ConsumerUnknown:
		t.Add(trace.Fail, "credential: the Consumer of JWTCredential %s doesn't exist, or is not accepted", keyOf(entry))
	case refusal.ConsumerSuspended:
		t.Add(trace.Fail, "credential: Consumer %s of JWTCredential %s is suspended, or its owner is", entry.Consumer.Key.Name, keyOf(entry))
	case refusal.KeysUnavailable:
		t.Add(trace.Fail, "credential: %s names none whose keys are known, and a set of remote keys that may have it was never fetched, not for too long, or not now that it is asked for", p.named())
	default:
		t.Add(trace.Fail, "credential: %s names none that the policy takes", p.named())
	}
}

// explain tells which identity provider judges the token.
func (i *issuer) explain(t *trace.Trace) {
	if t != nil {
		t.Add(trace.Pass, "issuer: iss names %q of issuers, whose keys alone judge the token", i.terms.Issuer)
	}
}

// explainConsumer tells which Consumer a token of the identity provider stands for.
func (i *issuer) explainConsumer(t *trace.Trace, consumer *keyring.Consumer, refused *Refused) {
	switch {
	case t == nil:
	case refused != nil && consumer != nil:
		t.Add(trace.Fail, "consumer: %s, which the token stands for, is suspended, or its owner is", consumer.Key.Name)
	case refused != nil:
		t.Add(trace.Fail, "consumer: the token stands for none that is accepted (identities of Consumers)")
	case consumer != nil:
		t.Add(trace.Pass, "consumer: the token stands for %s", consumer.Key.Name)
	default:
		t.Add(trace.Pass, "consumer: the token stands for none, and none is asked for")
	}
}

// explainSkipped tells of a key that is not tried.
func explainSkipped(t *trace.Trace, u *token.Unverified, key *keyring.Key, now time.Time) {
	switch {
	case t == nil:
	case !key.VerifiesAt(now):
		t.Add(trace.Note, "key %s is outside of its time window", keyName(key.Key))
	case !key.Permits(u.Algorithm()):
		t.Add(trace.Note, "key %s is not for the token's algorithm but for %v", keyName(key.Key), key.Algorithms())
	default:
		t.Add(trace.Note, "key %s is not the one that the token names", keyName(key.Key))
	}
}

// explainKeys tells what came of the keys, those that were tried among them.
func explainKeys(t *trace.Trace, u *token.Unverified, refused *Refused) {
	if t != nil {
		tellKeys(t, u, refused)
	}
}

func tellKeys(t *trace.Trace, u *token.Unverified, refused *Refused) {
	_, named := u.KID()
	switch {
	case refused == nil:
		t.Add(trace.Pass, "signature: verified")
	case refused.Reason == refusal.TokenRevoked:
		t.Add(trace.Fail, "signature: the key that the token names is revoked by the credential's revocation.keyIDs")
	case refused.Reason == refusal.AlgorithmNotAllowed:
		t.Add(trace.Fail, "signature: no key that may verify the token is for its algorithm")
	case refused.Reason == refusal.SignatureInvalid:
		t.Add(trace.Fail, "signature: none of the keys that were tried verifies it")
	case refused.Reason == refusal.KeysUnavailable:
		t.Add(trace.Fail, "signature: the keys that could verify it were never fetched, not for too long, or not now that an unknown one is asked for")
	case refused.Reason == refusal.KeyUnknown && named:
		t.Add(trace.Fail, "signature: the token names a key (kid) that the credential doesn't have now")
	case refused.Reason == refusal.KeyUnknown:
		t.Add(trace.Fail, "signature: the credential has no usable key, or more than a token without kid is tried with")
	default:
		t.Add(trace.Fail, "signature: not verified")
	}
}

// explainTrial tells whether a key verified the signature.
func explainTrial(t *trace.Trace, key *jose.Key, err error) {
	switch {
	case t == nil:
	case err == nil:
		t.Add(trace.Pass, "key %s verifies the signature", keyName(key))
	default:
		t.Add(trace.Fail, "key %s does not verify the signature", keyName(key))
	}
}

// explainClaims tells which claim is not as it must be.
func (p *Policy) explainClaims(t *trace.Trace, entry *keyring.Entry, refused *Refused) {
	if t != nil {
		p.tellClaims(t, entry, refused)
	}
}

func (p *Policy) tellClaims(t *trace.Trace, entry *keyring.Entry, refused *Refused) {
	if refused == nil {
		t.Add(trace.Pass, "claims: all as they must be")
		return
	}
	t.Add(trace.Fail, "claims: %s", p.claimAtFault(entry, refused))
}

func (p *Policy) claimAtFault(entry *keyring.Entry, refused *Refused) string {
	switch refused.Reason {
	case refusal.TokenMalformed:
		return "one of the registered claims has another type or range than RFC 7519 gives it"
	case refusal.TokenRevoked:
		return "the credential's revocation names its jti, or it was issued before revocation.issuedBefore"
	case refusal.IssuerUnknown:
		return fmt.Sprintf("iss is not the credential's issuer, %q", entry.Issuer)
	case refusal.ClaimMissing:
		return "exp is missing, where requireExpiration is Required, or one of requiredClaims"
	case refusal.TokenExpired:
		return fmt.Sprintf("exp is over (clockSkew is %s)", p.clockSkew)
	case refusal.TokenNotYetValid:
		return fmt.Sprintf("nbf or iat is still to come (clockSkew is %s)", p.clockSkew)
	case refusal.AudienceMismatch:
		return p.audiencesAtFault(entry)
	case refusal.BindingFailed:
		return "cnf binds the token to its sender, which senderConstraint: Refuse refuses"
	case refusal.LifetimeTooLong:
		return "the token's life is longer than maxTokenLifetime"
	case refusal.TypeNotAllowed:
		return "typ is none of tokenTypes"
	case refusal.ClaimMismatch:
		if refused.Message != "" {
			return fmt.Sprintf("a rule of claimValidationRules doesn't hold: %s", refused.Message)
		}
		return "a rule of claimValidationRules doesn't hold"
	default:
		return refused.Reason.String()
	}
}

func (p *Policy) audiencesAtFault(entry *keyring.Entry) string {
	var asks []string
	if p.audienceMatch != routing.AudienceIgnore && len(p.audiences) > 0 {
		asks = append(asks, fmt.Sprintf("the policy's %q", p.audiences))
	}
	if len(entry.Audiences) > 0 {
		asks = append(asks, fmt.Sprintf("the credential's %q", entry.Audiences))
	}
	if len(asks) == 0 {
		return "neither the policy nor the credential states audiences, so that no token is for one of them"
	}
	return "aud must name one of " + strings.Join(asks, " and one of ")
}

// keyName is the name of a key that its configuration gives it. HMAC secrets may have none.
func keyName(key *jose.Key) string {
	if kid := key.KID(); kid != "" {
		return fmt.Sprintf("%q", kid)
	}
	return "without a kid"
}

func keyOf(entry *keyring.Entry) string { return entry.Key.Namespace + "/" + entry.Key.Name }

// places are the places of the request where a token may be.
func (s *sources) places() []string {
	var places []string
	for _, scheme := range s.schemes {
		places = append(places, fieldAuthorization+": "+scheme)
	}
	for i := range s.fields {
		places = append(places, "header "+s.fields[i].name)
	}
	for _, name := range s.cookies {
		places = append(places, "cookie "+name)
	}
	for _, name := range s.queries {
		places = append(places, "query parameter "+name)
	}
	for _, name := range s.forms {
		places = append(places, "form body's "+name)
	}
	for _, pointer := range s.json {
		places = append(places, "JSON body's "+pointer.String())
	}
	return places
}
