// Package jwks keeps the key sets of identity providers fresh, without ever blocking or flooding.
//
//	request --Key(kid)--> current set --known--> key                  no lock, no allocation, no wait
//	                           |
//	                        unknown --> negative cache, cool-down ---> ErrKeyUnknown
//	                           |
//	                           '--> joins the one flight, 500 ms ----> key | ErrKeyUnknown | ErrUnavailable
//
//	goroutine of the set: timer | wake-up --> metadata --> JWK Set --> parse --> atomic swap
//
// A set is fetched by its own goroutine alone: when it is first applied, again after what the answer's Cache-Control says
// (RFC 9111 section 5.2.2.1) within RefreshMin and RefreshMax, and when a token names a key that is not in it, though
// never sooner than CoolDown after the fetch before. While fetches fail, the last good set serves until it is MaxStale
// old; then, and before the first fetch, its tokens can't be judged.
//
// Only https URLs are fetched, with the system's roots or given ones, without redirects; addresses are judged when they
// are dialled, size, number of keys and time are bounded. Keys are read one by one: one that can't be used takes no other
// with it.
package jwks
