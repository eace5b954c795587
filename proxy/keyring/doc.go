// Package keyring holds the credentials that tokens may be signed with: per namespace, by keyID and by kid.
//
// It is the part of what is served that is large and changes often, so it is no part of the routing table: a table keeps
// a Namespace, and a change of one credential is one Set or Delete, whose cost does not depend on how many there are.
package keyring
