package compile

import (
	"github.com/ostiary/ostiary/proxy/routing"
)

// Compile turns a Snapshot into what the proxy serves and a Report with a Verdict for each object that is ours.
//
// It never fails: one object's mistakes have the blast radius of that object. Objects of a kind must have distinct
// names in their namespace, as they have in an API server; of several with one name, the oldest is taken.
func Compile(s Snapshot) (routing.Config, Report) {
	return routing.Config{}, Report{}
}
