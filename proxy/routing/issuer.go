package routing

import (
	"fmt"
	"io"
	"log/slog"
)

// Issuer is an external identity provider whose tokens a JWT policy takes. Its keys alone judge them.
type Issuer struct {
	// Issuer is what `iss` must be, exactly.
	Issuer string
	// Audiences of which the token must carry one, beside the policy's; none where it is empty.
	Audiences []string
	// Algorithms that tokens may be signed with, JWS names (RFC 7518 section 3.1). Never empty, never HMAC.
	Algorithms []string
	// Exactly one of Remote and Keys is set.
	Remote RemoteKeys
	Keys   KeyMaterial
	// Consumer says whether a token must stand for a Consumer.
	Consumer ConsumerMapping
}

// ConsumerMapping says whether the tokens of an issuer must stand for a Consumer.
type ConsumerMapping uint8

const (
	// ConsumerRequired refuses tokens that stand for no Consumer.
	ConsumerRequired ConsumerMapping = iota
	// ConsumerOptional takes them; upstreams then see no identity.
	ConsumerOptional
)

// CredentialUse says whether a JWT policy takes the tokens of JWTCredentials.
type CredentialUse uint8

const (
	// CredentialsTaken looks the tokens that are of no issuer up among the credentials.
	CredentialsTaken CredentialUse = iota
	// CredentialsRefused refuses them: the policy takes those of its issuers alone.
	CredentialsRefused
)

// RemoteKeys says where a JWK Set (RFC 7517 section 5) is fetched from. It is the set's identity: equal values share one.
// The zero value is none.
type RemoteKeys struct {
	// Issuer is the https URL whose metadata names the set (OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3).
	Issuer string
	// URI is the https URL of the set itself. Exactly one of Issuer and URI is set.
	URI string
	// RootCAs is PEM; empty means the system's roots.
	RootCAs string
}

// IsZero reports whether there is no remote set.
func (r RemoteKeys) IsZero() bool { return r == RemoteKeys{} }

// KeyMaterial is verification keys as they are written in a Secret: JWKS, JWK or PEM. It redacts itself wherever it would
// be printed, since a Secret may hold more than it should.
type KeyMaterial []byte

// String returns a placeholder.
func (KeyMaterial) String() string { return redacted }

// GoString returns a placeholder.
func (KeyMaterial) GoString() string { return redacted }

// Format writes a placeholder, whatever the verb.
func (KeyMaterial) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// LogValue returns a placeholder.
func (KeyMaterial) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder.
func (KeyMaterial) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns a placeholder.
func (KeyMaterial) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
