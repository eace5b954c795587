package publish

import (
	"time"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
)

// CredentialKeys is a credential as it is served, with its keys. It holds no secrets.
type CredentialKeys struct {
	// Credential is the JWTCredential: NAMESPACE/NAME.
	Credential string `json:"credential"`
	KeyID      string `json:"keyID"`
	// RemoteJWKS says where the keys are fetched from, where they are: an issuer or an address.
	RemoteJWKS string `json:"remoteJWKS,omitempty"`
	Keys       []Key  `json:"keys"`
}

// Key is one key.
type Key struct {
	KID string `json:"kid,omitempty"`
	// Thumbprint is that of RFC 7638; empty for a shared secret.
	Thumbprint string           `json:"thumbprint,omitempty"`
	Algorithms []jose.Algorithm `json:"algorithms"`
	// NotBefore and NotAfter bound the time in which the key verifies; zero: no bound.
	NotBefore time.Time `json:"notBefore,omitzero"`
	NotAfter  time.Time `json:"notAfter,omitzero"`
	// LastUsed is when the key last let a token through in this process, to the minute; zero: it did not. It is not known of
	// keys that are fetched.
	LastUsed time.Time `json:"lastUsed,omitzero"`
}

// Keys lists the credentials that are served, by namespace and name.
func (p *Publisher) Keys() []CredentialKeys {
	entries := p.keyring.Entries()
	list := make([]CredentialKeys, len(entries))
	for i, e := range entries {
		list[i] = CredentialKeys{Credential: e.Key.Namespace + "/" + e.Key.Name, KeyID: e.KeyID, Keys: credentialKeys(e)}
		if e.Remote != nil {
			if list[i].RemoteJWKS = e.Remote.Source.URI; list[i].RemoteJWKS == "" {
				list[i].RemoteJWKS = e.Remote.Source.Issuer
			}
		}
	}
	return list
}

func credentialKeys(e *keyring.Entry) []Key {
	keys := make([]Key, len(e.Keys))
	for i, k := range e.Keys {
		keys[i] = Key{
			KID: k.KID(), Thumbprint: k.Thumbprint(), Algorithms: k.Algorithms(),
			NotBefore: k.NotBefore, NotAfter: k.NotAfter, LastUsed: k.Use().Last(),
		}
	}
	return keys
}
