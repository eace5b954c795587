// Package rotation remembers what the Secrets of JWTCredentials held before, so that a key that was replaced can verify for
// a while still.
//
// What happens to the records of one credential is a pure function of them, of what its Secrets hold and of the time: Next
// and Merge. A History keeps the records of all credentials of one process; the controllers share them between replicas
// and across restarts.
package rotation
