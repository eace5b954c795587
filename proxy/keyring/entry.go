package keyring

import (
	"time"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Entry is one JWTCredential with its Consumer and usable keys, as compiled. It is immutable once it is in a Keyring.
type Entry struct {
	// Key identifies the JWTCredential.
	Key routing.ObjectKey
	// Created orders credentials that claim the same keyID: the oldest wins.
	Created time.Time
	// KeyID is what a token's lookup claim must carry.
	KeyID string
	// Issuer that `iss` must equal, when not empty.
	Issuer string
	// Audiences of which a token must carry one, when not empty.
	Audiences []string
	// Scopes of the credential; nil means that it sets none.
	Scopes []string
	// Labels for the Pipelines' selectors.
	Labels map[string]string
	// State stops all tokens of the credential unless it is StateActive.
	State State
	// Consumer that the credential belongs to; nil when it does not exist.
	Consumer *Consumer
	// Keys that verify, each in its own window, none of them unusable and none of them revoked.
	Keys []Key
	// NotAfter ends the credential: none of its tokens is good from then on. Zero: it has no end.
	NotAfter time.Time
	// Revocation names tokens that are no longer good.
	Revocation Revocation
	// Remote is where the keys are instead; nil where they are Keys.
	Remote *Remote

	fields callerFields
}

// Remote is a set of keys that someone else publishes, and how it is used.
type Remote struct {
	Source routing.RemoteKeys
	// Algorithms that tokens may be signed with, HMAC's never among them: the set's keys are for all that they can do.
	Algorithms []jose.Algorithm
	// Set is filled in by who serves the entry; without it every token is refused.
	Set *jwks.Set
}

// Ended reports whether the credential is past its end.
func (e *Entry) Ended(now time.Time) bool { return !e.NotAfter.IsZero() && !now.Before(e.NotAfter) }

// State says whether a credential or consumer may be used.
type State uint8

const (
	// StateSuspended is the zero value: what was not said to be active is not.
	StateSuspended State = iota
	// StateActive lets tokens through.
	StateActive
)

// Consumer is who a token stands for.
type Consumer struct {
	Key      routing.ObjectKey
	UID      string
	Username string
	CustomID string
	Groups   []string
	// Scopes of the consumer; nil means that it sets none.
	Scopes []string
	State  State

	fields callerFields
}

// NewConsumer returns a copy of the Consumer with what is worked out once rather than at each request.
func NewConsumer(c Consumer) *Consumer {
	made := &c
	made.fields = newCallerFields(made, "")
	return made
}
