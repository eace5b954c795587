// Package archtest holds the tests of the repository itself: which package may
// import which, that every package says what it is for, how long a file may
// grow, and what must never be committed.
//
// The import rules keep two properties that no compiler checks: that compiling
// is a pure function of the snapshot, and that the data plane knows nothing of
// Kubernetes. golangci-lint (depguard) reports a forbidden import while it is
// being written; these tests see the whole dependency graph, so that a rule
// can't be broken through a third package.
package archtest
