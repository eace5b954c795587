// Package jose turns key material into keys that verify signatures: octets, PEM (SPKI, PKCS#1, X.509), JWK and JWKS.
//
// A Key is bound to its algorithms when it is loaded: to those of the credential it belongs to, to those that its type
// can do and, where it comes from a JWK, to the one that the JWK names. What a token says about its algorithm is compared
// with that and decides nothing (RFC 8725 section 3.1). Material that is weak, ambiguous or of a kind that is
// not supported yields no key: there is no key that cannot verify anything, and none that verifies too much.
package jose
