// Package routing finds the Pipeline of a request.
//
//	Config (plain data) -- Build --> *Table (immutable) -- Match(Request) --> Result
//
// A request is brought into one canonical form first: [CanonicalHost] for its authority and [ParsePath] for its path.
// What was matched is what is forwarded, so that no backend can read another path out of a request than the one whose
// policies were applied.
//
// # Order of precedence
//
// Host first, and never reconsidered: the exact host, then "*." for exactly one more label, then the matches without a
// host. A request whose host has matches, but none for its path, has no route.
//
// Then the path, most specific first:
//
//  1. Exact;
//  2. RegularExpression: the longer literal prefix first, then the older Pipeline; it must match the whole path;
//  3. PathPrefix: the longest first, by whole segments.
//
// The most specific path that has at least one match whose headers are those of the request decides. Of these matches,
// one that names the request's method wins over one for every method, then the one with more headers, then the one of
// the older Pipeline, then the earlier one of that Pipeline. Where none allows the method, the answer is
// [MethodNotAllowed] with the union of their methods: a less specific path never takes over a method that a more
// specific one leaves out. Where no headers match, the next less specific path of the same host is looked at.
package routing
