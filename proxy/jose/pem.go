package jose

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"strings"
)

// pem reads one public key or certificate. Text in front of a block and elliptic curve parameters are skipped, as
// OpenSSL writes both; a certificate may be followed by its chain, of which the first alone is read. Validity, issuer
// and usage of a certificate are not looked at: it is a way to write a public key. Of a private key the public half is
// used, with a note.
func (r *reader) pem(text []byte) (*Key, *Problem) {
	var first *pem.Block
	boundaries, chain := bytes.Count(text, []byte("-----BEGIN")), 0
	for blocks := 0; ; blocks++ {
		block, rest := pem.Decode(text)
		if block == nil {
			if len(bytes.TrimSpace(text)) > 0 && first != nil {
				return nil, problemf(Unparsable, "text follows the last PEM block: it may have been cut or joined wrongly")
			}
			if blocks != boundaries {
				// pem.Decode skips what it can't read, which may have been the key that was meant.
				return nil, problemf(Unparsable, "a PEM block is not whole: expected PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE")
			}
			break
		}
		text = rest
		switch {
		case blocks == maxPEMBlocks:
			return nil, problemf(Unsupported, "more than %d PEM blocks", maxPEMBlocks)
		case isPrivate(block) && (first != nil || !r.halves(block)):
			return nil, problemf(Unsupported, "the PEM holds a private key: verifying needs the public key alone; "+
				"store what `openssl pkey -pubout` writes, or refer to tls.crt of a kubernetes.io/tls Secret")
		case len(block.Headers) > 0:
			return nil, problemf(Unsupported, "a PEM block has headers: store the public key without encryption or attributes")
		case block.Type == "EC PARAMETERS":
		case first == nil:
			first = block
		case first.Type == "CERTIFICATE" && block.Type == "CERTIFICATE":
			chain++
		default:
			return nil, problemf(Unsupported, "the PEM holds more than one key: write one entry for each, or a JWKS")
		}
	}
	if first == nil {
		return nil, problemf(Unparsable, "the value holds no whole PEM block: expected PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE")
	}
	public, p := parseBlock(first)
	if p != nil {
		return nil, p
	}
	if chain > 0 {
		r.note("the key is that of the first of %d certificates", chain+1)
	}
	key, p := r.bind(public, r.opts.KID, "")
	if p == nil && isPrivate(first) {
		r.note("%s", privateNote)
	}
	return key, p
}

// privateNote tells of a private key where a public one is enough.
const privateNote = "the value holds a private key, of which only the public half is used: store the public key alone, so " +
	"that nobody who can read the Secret can sign tokens"

func isPrivate(block *pem.Block) bool { return strings.HasSuffix(block.Type, "PRIVATE KEY") }

// halves reports whether the public half of a private key is to be used, and can be read.
func (r *reader) halves(block *pem.Block) bool {
	return r.opts.Private == PrivateHalved && block.Type != "ENCRYPTED PRIVATE KEY"
}

// publicHalf parses a private key and forgets all of it but its public half.
func publicHalf(block *pem.Block) (any, *Problem) {
	var private any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		private, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, problemf(Unsupported, "PEM blocks of type %s are not taken: store the public key alone", quote(block.Type))
	}
	signer, ok := private.(crypto.Signer)
	if err != nil || !ok {
		return nil, problemf(Unparsable, "the %s can't be parsed, or can't sign", block.Type)
	}
	return signer.Public(), nil
}

func parseBlock(block *pem.Block) (any, *Problem) {
	if isPrivate(block) {
		return publicHalf(block)
	}
	switch block.Type {
	case "PUBLIC KEY":
		k, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, problemf(Unparsable, "the PUBLIC KEY can't be parsed, or its type or curve is not supported")
		}
		return k, nil
	case "RSA PUBLIC KEY":
		k, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, problemf(Unparsable, "the RSA PUBLIC KEY can't be parsed")
		}
		return k, nil
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, problemf(Unparsable, "the CERTIFICATE can't be parsed")
		}
		return c.PublicKey, nil
	default:
		return nil, problemf(Unsupported, "PEM blocks of type %s are not taken: expected PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE",
			quote(block.Type))
	}
}
