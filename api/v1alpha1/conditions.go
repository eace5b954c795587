package v1alpha1

// ConditionType is the type of a condition in a status.
type ConditionType string

const (
	ConditionAccepted     ConditionType = "Accepted"
	ConditionResolvedRefs ConditionType = "ResolvedRefs"
	ConditionKeysReady    ConditionType = "KeysReady"
	ConditionProgrammed   ConditionType = "Programmed"
	ConditionSuspended    ConditionType = "Suspended"
)

// Reason is the machine-readable reason of a condition.
type Reason string

const (
	ReasonAccepted         Reason = "Accepted"
	ReasonInvalid          Reason = "Invalid"
	ReasonConflicted       Reason = "Conflicted"
	ReasonUnsupportedValue Reason = "UnsupportedValue"

	ReasonResolvedRefs            Reason = "ResolvedRefs"
	ReasonServiceNotFound         Reason = "ServiceNotFound"
	ReasonServiceEndpointNotFound Reason = "ServiceEndpointNotFound"
	ReasonConsumerNotFound        Reason = "ConsumerNotFound"
	ReasonSecretNotFound          Reason = "SecretNotFound"
	ReasonKeyNotFound             Reason = "KeyNotFound"
	ReasonRefNotPermitted         Reason = "RefNotPermitted"

	ReasonProgrammed          Reason = "Programmed"
	ReasonPending             Reason = "Pending"
	ReasonPartiallyProgrammed Reason = "PartiallyProgrammed"
	ReasonProtectionBroken    Reason = "ProtectionBroken"

	ReasonKeysReady         Reason = "KeysReady"
	ReasonNoUsableKey       Reason = "NoUsableKey"
	ReasonInvalidKey        Reason = "InvalidKey"
	ReasonWeakKey           Reason = "WeakKey"
	ReasonAlgorithmMismatch Reason = "AlgorithmMismatch"

	ReasonSuspended Reason = "Suspended"
	ReasonActive    Reason = "Active"
)
