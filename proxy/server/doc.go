// Package server listens: clear text with HTTP/1.1 and HTTP/2 by prior knowledge, TLS with HTTP/1.1 and HTTP/2. It picks
// server certificates by the name that the client asks for, bounds what a connection may cost, and drains.
package server
