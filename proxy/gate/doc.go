// Package gate decides what becomes of a request. It is the one place that lets a request through to an upstream.
//
//	head.Head → canonical host → canonical path → TLS name fits the host → match → protection in place?
//	          → clear text allowed? → authenticate → authorise → strip the token, set the identity → Verdict
//
// Default deny is in the types: the zero Verdict refuses, and the way to an upstream leads through a Pass, which
// nothing outside this package can make. An HTTP engine gets a Verdict and does what it says.
package gate
