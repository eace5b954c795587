package server

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"

	"github.com/ostiary/ostiary/proxy"
)

// newTLSConfig picks certificates by the name that the client asks for (SNI). There is no default certificate: where no
// name is asked for, or one that has no certificate that works, the handshake fails with unrecognized_name (RFC 6066
// section 3).
//
// A session ticket is good for the certificate that it was issued under alone (RFC 6066 section 3 forbids resuming for
// another name), so that a certificate that was taken away is not outlived by sessions.
func newTLSConfig(live *proxy.Live) *tls.Config {
	// The keys of tickets, rotated by crypto/tls; http.Server uses a copy of the config that is returned.
	tickets := &tls.Config{}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, _ := certificateFor(live, hello.ServerName)
			return cert, nil // nil: unrecognized_name
		},
		WrapSession: func(cs tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
			if cert, ok := certificateFor(live, cs.ServerName); ok {
				session.Extra = append(session.Extra, fingerprint(cert))
			}
			return tickets.EncryptTicket(cs, session)
		},
		UnwrapSession: func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
			session, err := tickets.DecryptTicket(identity, cs)
			if err != nil || session == nil {
				return nil, err
			}
			cert, ok := certificateFor(live, cs.ServerName)
			if !ok || len(session.Extra) == 0 || !bytes.Equal(session.Extra[len(session.Extra)-1], fingerprint(cert)) {
				return nil, nil // a full handshake decides
			}
			return session, nil
		},
	}
}

func certificateFor(live *proxy.Live, serverName string) (*tls.Certificate, bool) {
	program := live.Load()
	if program == nil {
		return nil, false
	}
	return program.Certificate(serverName)
}

func fingerprint(cert *tls.Certificate) []byte {
	sum := sha256.Sum256(cert.Certificate[0])
	return sum[:]
}
