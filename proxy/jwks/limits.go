package jwks

import "time"

// How sets are kept. The Registry's Options can't widen what protects identity providers and this process.
const (
	// RefreshMin and RefreshMax bound the time between two refreshes, whatever Cache-Control says; RefreshDefault is that
	// time where it says nothing. Up to a tenth is taken off at random.
	RefreshMin     = 5 * time.Minute
	RefreshMax     = time.Hour
	RefreshDefault = 10 * time.Minute
	// MaxStale is the age up to which a set serves while it can't be refreshed.
	MaxStale = 24 * time.Hour
	// CoolDown is the least time between the start of a fetch and the start of one that a token's unknown kid asks for.
	CoolDown = 30 * time.Second
	// NegativeTTL is how long a kid that a fresh set lacks asks for no fetch.
	NegativeTTL = 2 * time.Minute
	// MaxWait is how long a request waits for a flight, MaxWaiters how many requests of a set wait at the same time.
	MaxWait    = 500 * time.Millisecond
	MaxWaiters = 64
	// FetchTimeout bounds a fetch with everything in it: metadata and set.
	FetchTimeout = 10 * time.Second
	// MaxBody bounds a document, in bytes; what is longer is refused.
	MaxBody = 256 << 10
	// MaxKeys bounds a set; a larger one is refused.
	MaxKeys = 100
	// MetadataTTL is how long the address of a set is taken from metadata that was fetched before.
	MetadataTTL = time.Hour
)

const (
	// retryFirst and retryMax bound the pause after a failure: it doubles. A set that was never fetched is tried from
	// retryFirst on, any other from CoolDown on.
	retryFirst = time.Second
	retryMax   = 5 * time.Minute
	// maxMissing bounds the negative cache.
	maxMissing = 256
	// maxKID is the longest kid that a key can have, as in package jose.
	maxKID = 512
	// maxURL bounds the address that metadata names.
	maxURL = 2048
)
