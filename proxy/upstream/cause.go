package upstream

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/ostiary/ostiary/proxy/http1"
)

var (
	errClosed       = errors.New("the backend closed the connection before the response was complete")
	errTimedOut     = errors.New("the backend did not answer in time")
	errHeadTooLarge = errors.New("the head of the response is too large")
	errMalformed    = errors.New("the response breaks a rule of HTTP, or was reset")
)

// Cause says in words of our own what went wrong while a response was read. The texts of net/http, which speaks HTTP/2 to
// backends, quote what the backend sent, which may be a token that it got, so that they must not be logged.
func Cause(err error) error {
	var timeout interface{ Timeout() bool }
	var op *net.OpError
	var system *os.SyscallError
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return errTimedOut
	case errors.As(err, &op): // names addresses, the system's errors and alerts of TLS
		return op
	case errors.As(err, &system):
		return system
	case isTooLarge(err):
		return errHeadTooLarge
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errClosed
	case strings.Contains(err.Error(), "header list larger than advertised"):
		return errHeadTooLarge
	default:
		return errMalformed
	}
}

// isTooLarge reports whether a response was refused for its size.
func isTooLarge(err error) bool {
	var refused *http1.SyntaxError
	return errors.As(err, &refused) && refused.Status == http.StatusRequestHeaderFieldsTooLarge
}
