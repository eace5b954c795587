// Package quickstart holds the sample objects that `ostiary quickstart` serves.
package quickstart

import "embed"

// Manifests are the YAML files of this folder. The Secret with the public key is not among them: the quickstart makes
// a fresh key each time.
//
//go:embed *.yaml
var Manifests embed.FS
