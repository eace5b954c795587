package jwt

import (
	"slices"

	"github.com/ostiary/ostiary/proxy/jwt/internal/token"
)

// effectiveScopes are the token's scopes, limited to those of the consumer and of the credential where these set any.
// A token that says nothing of scopes has all that consumer and credential give it. The slice must not be changed.
func effectiveScopes(v *token.Verified, has, consumer, credential []string) []string {
	switch {
	case consumer == nil && credential == nil:
		return has
	case has == nil && credential == nil:
		return consumer
	case has == nil && consumer == nil:
		return credential
	case has != nil && !slices.ContainsFunc(has, func(scope string) bool { return denied(scope, consumer, credential) }):
		return has
	}
	if noted, ok := v.Noted(token.SlotScopes).(*scopesNote); ok && noted.of(consumer, credential) {
		return noted.effective
	}
	noted := &scopesNote{consumer: consumer, credential: credential}
	if has != nil {
		noted.effective = []string{}
		for _, scope := range has {
			if !denied(scope, consumer, credential) {
				noted.effective = append(noted.effective, scope)
			}
		}
	} else {
		noted.effective = slices.Clone(consumer)
		for _, scope := range credential {
			if !slices.Contains(consumer, scope) {
				noted.effective = append(noted.effective, scope)
			}
		}
	}
	const header = 16 // of a string, whose text is elsewhere
	v.Note(token.SlotScopes, noted, header*(len(consumer)+len(credential)+cap(noted.effective)))
	return noted.effective
}

// denied says whether consumer or credential limits the caller to others.
func denied(scope string, consumer, credential []string) bool {
	return (consumer != nil && !slices.Contains(consumer, scope)) || (credential != nil && !slices.Contains(credential, scope))
}

// scopesNote is what became of a token's scopes.
type scopesNote struct{ consumer, credential, effective []string }

// of says whether consumer and credential set the same scopes as then. Without any set is not the same as with none.
func (n *scopesNote) of(consumer, credential []string) bool {
	return (n.consumer == nil) == (consumer == nil) && (n.credential == nil) == (credential == nil) &&
		slices.Equal(n.consumer, consumer) && slices.Equal(n.credential, credential)
}
