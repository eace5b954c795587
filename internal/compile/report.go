package compile

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Report says per object what Compile made of it. Objects that are not ours (another IngressClass) are absent.
type Report struct {
	Pipelines        map[routing.ObjectKey]Verdict
	ServiceEndpoints map[routing.ObjectKey]Verdict
	Consumers        map[routing.ObjectKey]Verdict
}

// Verdict is what was made of one object.
type Verdict struct {
	UID types.UID
	// Generation that was compiled; it becomes observedGeneration.
	Generation int64
	// Conditions that compiling decides (Accepted, ResolvedRefs, KeysReady, Suspended), sorted by type. Programmed is
	// decided by those who know what is being served.
	Conditions []Condition
	// Serving says what the proxy does with the object, the ground for Programmed.
	Serving Serving
	// Keys are those of a JWTCredential, in the order of spec.keys, or those that were fetched. Which of them verify is a
	// question of time.
	Keys []KeyReport
	// NotAfter is when a JWTCredential ends; zero: never.
	NotAfter time.Time
	// Broken is set with ServingBroken: why the protection is broken, the message of ProtectionBroken.
	Broken string
}

// KeyReport is one key of a JWTCredential, or a value that is none. It holds nothing secret.
type KeyReport struct {
	// Name of the item of spec.keys, and where its value is: secret/NAME/ENTRY. Both are remoteJWKS where it was fetched.
	Name, Source string
	// Thumbprint tells keys apart (see jose.Key.Fingerprint); empty where there is no salt for it.
	Thumbprint string
	KID        string
	Algorithms []v1alpha1.Algorithm
	// State is Revoked also where something else than the item's state revokes the key.
	State v1alpha1.KeyState
	// NotBefore and NotAfter bound the time in which it verifies; zero: no bound.
	NotBefore, NotAfter time.Time
	// Retained is a key that the Secret held before.
	Retained bool
	// Unusable says why the value is no key; empty where it is one.
	Unusable string
}

// Serving says what becomes of an object once the Config is live.
type Serving uint8

const (
	// ServingNothing: the object was not accepted and nothing of it is live.
	ServingNothing Serving = iota
	// ServingAll: what the object asks for is live.
	ServingAll
	// ServingBroken: the Pipeline keeps its matches and answers 503.
	ServingBroken
)

// Condition is a metav1.Condition without what only its writer knows.
type Condition struct {
	Type    v1alpha1.ConditionType
	Status  metav1.ConditionStatus
	Reason  v1alpha1.Reason
	Message string
}
