package v1alpha1

// ConditionType is the type of a condition in an object's status. Every condition is a metav1.Condition whose
// observedGeneration is the generation of the spec that was really judged.
type ConditionType string

const (
	// ConditionAccepted says whether the spec, taken by itself and beside the other objects of its kind, is one that
	// Ostiary takes. On every kind. Reasons: Accepted, Invalid, Conflicted, UnsupportedValue.
	ConditionAccepted ConditionType = "Accepted"

	// ConditionResolvedRefs says whether everything that the object refers to exists, holds what is needed and may be
	// used from here. On every kind with references: all but Consumer. Reasons: ResolvedRefs, ServiceNotFound,
	// ServiceEndpointNotFound, ConsumerNotFound, SecretNotFound, KeyNotFound, RefNotPermitted, Invalid.
	ConditionResolvedRefs ConditionType = "ResolvedRefs"

	// ConditionKeysReady says whether the credential has at least one key that verifies tokens. On JWTCredential.
	// Reasons: KeysReady, NoUsableKey, InvalidKey, WeakKey, AlgorithmMismatch, FetchFailed,
	// StaleKeys, Pending.
	ConditionKeysReady ConditionType = "KeysReady"

	// ConditionProgrammed says whether the replicas serve this generation of the object. Once all ready replicas do, it
	// stays True while replicas come and go. On every kind. Reasons: Programmed, Pending, PartiallyProgrammed,
	// ProtectionBroken.
	ConditionProgrammed ConditionType = "Programmed"

	// ConditionRotationInProgress says whether the credential is on its way from one key to another; normally False. On
	// JWTCredential. Reasons: OverlapActive, AwaitingActivation, Completed.
	ConditionRotationInProgress ConditionType = "RotationInProgress"

	// ConditionDegraded says whether the credential works, but needs someone's attention before it stops; normally False.
	// On JWTCredential. Reasons: ServingLastGood, ExpiringSoon, StaleJWKS, RetiringKeyInUse, AsExpected.
	ConditionDegraded ConditionType = "Degraded"

	// ConditionSuspended says whether the consumer's tokens are refused because someone asked for it; normally False.
	// On Consumer. Reasons: Suspended, Active.
	ConditionSuspended ConditionType = "Suspended"
)

// Reason is the machine-readable reason of a condition, and of the Event that tells of its transition.
type Reason string

// Reasons of Accepted.
const (
	// ReasonAccepted (True): nothing is wrong with the spec. The message may still warn, for example of a match that
	// can never win.
	ReasonAccepted Reason = "Accepted"

	// ReasonInvalid (False): the spec says something that only its use can show to be wrong, such as a regular
	// expression that doesn't compile. The message names the field and what to write instead. Of ResolvedRefs: a Secret
	// holds something else than the certificate that is needed.
	ReasonInvalid Reason = "Invalid"

	// ReasonConflicted (False): an older object already has what this one asks for, such as a keyID, a username, a
	// host, or every one of a Pipeline's matches. The message names the older object.
	ReasonConflicted Reason = "Conflicted"

	// ReasonUnsupportedValue (False): the spec is valid, but holds a value that this version of the controller doesn't
	// know, which happens while CRDs are newer than the controller.
	ReasonUnsupportedValue Reason = "UnsupportedValue"
)

// Reasons of ResolvedRefs.
const (
	// ReasonResolvedRefs (True): every reference leads to what it should.
	ReasonResolvedRefs Reason = "ResolvedRefs"

	// ReasonServiceNotFound (False): a backendRef names a Service that doesn't exist, a port that it doesn't have, or
	// a Service without EndpointSlices of its own (type ExternalName).
	ReasonServiceNotFound Reason = "ServiceNotFound"

	// ReasonServiceEndpointNotFound (False): a Proxy policy names a ServiceEndpoint that doesn't exist or that isn't
	// accepted.
	ReasonServiceEndpointNotFound Reason = "ServiceEndpointNotFound"

	// ReasonConsumerNotFound (False): consumerRef or ownerRef names a Consumer that doesn't exist.
	ReasonConsumerNotFound Reason = "ConsumerNotFound"

	// ReasonSecretNotFound (False): a Secret doesn't exist.
	ReasonSecretNotFound Reason = "SecretNotFound"

	// ReasonKeyNotFound (False): a Secret exists but hasn't the entry that is asked for, or the entry is empty.
	ReasonKeyNotFound Reason = "KeyNotFound"

	// ReasonRefNotPermitted (False): a reference crosses namespaces without a ReferenceGrant in the target's namespace.
	ReasonRefNotPermitted Reason = "RefNotPermitted"
)

// Reasons of Programmed.
const (
	// ReasonProgrammed (True): every ready replica serves this generation.
	ReasonProgrammed Reason = "Programmed"

	// ReasonPending (False): no replica serves this generation yet, or nothing of the object can be served; Accepted,
	// ResolvedRefs or KeysReady then say why.
	ReasonPending Reason = "Pending"

	// ReasonPartiallyProgrammed (False): some ready replicas serve this generation; the message says how many.
	ReasonPartiallyProgrammed Reason = "PartiallyProgrammed"

	// ReasonProtectionBroken (False): the Pipeline keeps its matches and answers 503, because what protects it can't be
	// built. It is never served without its protection, and its requests never fall through to another Pipeline.
	ReasonProtectionBroken Reason = "ProtectionBroken"
)

// Reasons of KeysReady.
const (
	// ReasonKeysReady (True): at least one key verifies tokens. The message names keys that don't.
	ReasonKeysReady Reason = "KeysReady"

	// ReasonNoUsableKey (False): no Secret holds a key at all, or none that verifies at this time; tokens of the credential
	// are refused with 401.
	ReasonNoUsableKey Reason = "NoUsableKey"

	// ReasonInvalidKey (False): a Secret's entry isn't a key in the format asked for, or is of a kind that can't verify
	// tokens.
	ReasonInvalidKey Reason = "InvalidKey"

	// ReasonWeakKey (False): the key is too short: RSA needs 2048 bits, HMAC as many bits as its hash (RFC 7518
	// section 3.2).
	ReasonWeakKey Reason = "WeakKey"

	// ReasonFetchFailed (False): the keys of remoteJWKS could never be fetched; tokens of the credential are answered 503.
	ReasonFetchFailed Reason = "FetchFailed"

	// ReasonStaleKeys (True): the keys of remoteJWKS can't be fetched now, and the last ones verify tokens still. (False):
	// they can't be fetched for 24 hours; tokens of the credential are answered 503.
	ReasonStaleKeys Reason = "StaleKeys"

	// ReasonAlgorithmMismatch (False): the key is good, but none of the credential's algorithms can use it.
	ReasonAlgorithmMismatch Reason = "AlgorithmMismatch"
)

// Reasons of RotationInProgress.
const (
	// ReasonOverlapActive (True): keys on their way out verify tokens beside the one that is to stay.
	ReasonOverlapActive Reason = "OverlapActive"

	// ReasonAwaitingActivation (True): a key is in place whose notBefore is still to come.
	ReasonAwaitingActivation Reason = "AwaitingActivation"

	// ReasonCompleted (False): no key is on its way in or out.
	ReasonCompleted Reason = "Completed"
)

// Reasons of Degraded.
const (
	// ReasonServingLastGood (True): a Secret's value is empty or can't be read as a key; the keys that it held before verify
	// for rotation.overlap still.
	ReasonServingLastGood Reason = "ServingLastGood"

	// ReasonExpiringSoon (True): within a week no key will verify tokens any more, or the credential ends.
	ReasonExpiringSoon Reason = "ExpiringSoon"

	// ReasonStaleJWKS (True): the keys of remoteJWKS can't be fetched now; the last ones verify for 24 hours.
	ReasonStaleJWKS Reason = "StaleJWKS"

	// ReasonRetiringKeyInUse (True): a Retiring or Retained key verified tokens within about the last hour: taking it away
	// now refuses tokens that are in use. That is to be expected for as long as tokens live after a rotation, so there is no
	// Event of it.
	ReasonRetiringKeyInUse Reason = "RetiringKeyInUse"

	// ReasonAsExpected (False): nothing needs attention.
	ReasonAsExpected Reason = "AsExpected"
)

// Reasons of Events that no condition tells of.
const (
	// ReasonRemovedKeyInUse (Warning, on JWTCredential): a key that had verified tokens within the last hour was taken away,
	// was revoked or came to the end of its overlap. The message says which and when it was last used.
	ReasonRemovedKeyInUse Reason = "RemovedKeyInUse"
)

// Reasons of Suspended.
const (
	// ReasonSuspended (True): spec.suspend is true; tokens of all credentials of the consumer are refused with 401.
	ReasonSuspended Reason = "Suspended"

	// ReasonOwnerSuspended (True): the Consumer that ownerRef names is suspended, or doesn't exist; tokens of all
	// credentials of the consumer are refused with 401.
	ReasonOwnerSuspended Reason = "OwnerSuspended"

	// ReasonActive (False): neither the consumer nor its owner is suspended.
	ReasonActive Reason = "Active"
)
