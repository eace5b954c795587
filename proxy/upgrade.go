package proxy

import (
	"bufio"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 says so; nothing is secured by it
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ostiary/ostiary/proxy/gate"
	"github.com/ostiary/ostiary/proxy/refusal"
)

const (
	// webSocketGUID is RFC 6455 section 1.3's.
	webSocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	// halfClosedTimeout is how long the other direction of a tunnel may go on when one has ended.
	halfClosedTimeout = 5 * time.Second
)

// switchProtocols joins the client's connection and the upstream's after a WebSocket handshake. Unless the upstream
// proves that it read the handshake, there is no tunnel.
func (x *exchange) switchProtocols(resp *http.Response) {
	up, ok := resp.Body.(io.ReadWriteCloser)
	if !x.head.upgrade || !ok || len(resp.Header["Upgrade"]) != 1 || !strings.EqualFold(resp.Header["Upgrade"][0], "websocket") ||
		!containsToken(resp.Header["Connection"], "upgrade") || resp.Header.Get("Sec-Websocket-Accept") != acceptOf(x.head.key) {
		x.badResponse("unwanted switch of protocols")
		return
	}
	t := &tunnel{up: up}
	if !x.h.tunnels.add(t) {
		x.refuse(gate.Refusal{Reason: refusal.Overloaded})
		return
	}
	defer x.h.tunnels.remove(t)
	down, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		x.h.log.Error("take the connection over for a tunnel", "error", err)
		x.refuse(gate.Refusal{Reason: refusal.Internal})
		return
	}
	x.status, x.started, x.tunnel = http.StatusSwitchingProtocols, true, true
	t.setDown(down)
	defer t.close()
	header := http.Header{}
	copyResponseFields(header, resp.Header)
	header.Set("Connection", "Upgrade")
	header.Set("Upgrade", "websocket")
	if err := writeSwitch(down, rw.Writer, header); err != nil {
		x.gone = true
		return
	}
	held := x.hold(t.close)
	x.sent = t.run(rw.Reader)
	x.letGo(held)
}

// acceptOf is the Sec-WebSocket-Accept for a key (RFC 6455 section 4.2.2).
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + webSocketGUID)) //nolint:gosec // as above
	return base64.StdEncoding.EncodeToString(sum[:])
}

func writeSwitch(conn net.Conn, w *bufio.Writer, header http.Header) error {
	if err := conn.SetDeadline(time.Now().Add(stallTimeout)); err != nil {
		return fmt.Errorf("set the deadline of the handshake: %w", err)
	}
	if _, err := w.WriteString("HTTP/1.1 101 Switching Protocols\r\n"); err != nil {
		return fmt.Errorf("write the status line: %w", err)
	}
	if err := header.Write(w); err != nil {
		return fmt.Errorf("write the head: %w", err)
	}
	if _, err := w.WriteString("\r\n"); err != nil {
		return fmt.Errorf("end the head: %w", err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("send the head: %w", err)
	}
	return conn.SetDeadline(time.Time{})
}

// tunnel is two connections that are joined.
type tunnel struct {
	up io.ReadWriteCloser

	mu     sync.Mutex
	down   net.Conn
	closed bool
}

func (t *tunnel) setDown(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = conn
	if t.closed {
		_ = conn.Close() // closed while the client's connection was being taken over
	}
}

// close ends both directions. It may be called more than once.
func (t *tunnel) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	// There is nobody left to tell about errors.
	_ = t.up.Close()
	if t.down != nil {
		_ = t.down.Close()
	}
}

// run copies in both directions until both ended, and returns the bytes sent to the client. When one direction ends the
// other gets halfClosedTimeout to finish. early holds what the client sent already.
func (t *tunnel) run(early *bufio.Reader) (sent int64) {
	upward := make(chan struct{})
	go func() { // ends when either connection is closed, which run and Handler.Shutdown see to
		defer close(upward)
		_, _ = io.Copy(t.up, early)
		closeWrite(t.up)
	}()
	downward := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(t.down, t.up)
		closeWrite(t.down)
		downward <- n
	}()
	select {
	case <-upward:
	case sent = <-downward:
		downward <- sent
	}
	timer := time.AfterFunc(halfClosedTimeout, t.close)
	defer timer.Stop()
	<-upward
	return <-downward
}

// closeWrite tells the other end that nothing more comes.
func closeWrite(w io.Writer) {
	if c, ok := w.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // it may have gone
	}
}

// tunnels are those that are open. http.Server does not know them any more.
type tunnels struct {
	gauge prometheus.Gauge

	mu    sync.Mutex
	open  map[*tunnel]struct{}
	over  bool
	empty chan struct{} // closed when over and none is open
}

// add reports whether a tunnel may still be opened.
func (t *tunnels) add(one *tunnel) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return false
	}
	if t.open == nil {
		t.open = map[*tunnel]struct{}{}
	}
	t.open[one] = struct{}{}
	t.gauge.Inc()
	return true
}

func (t *tunnels) remove(one *tunnel) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, one)
	t.gauge.Dec()
	if t.over && len(t.open) == 0 {
		close(t.empty)
	}
}

func (t *tunnels) shutdown(ctx context.Context) error {
	empty := t.refuseNew()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	for one := range t.open {
		one.close()
	}
	t.mu.Unlock()
	<-empty // closing a tunnel ends it at once
	return errors.Join(errTunnelsClosed, context.Cause(ctx))
}

var errTunnelsClosed = errors.New("tunnels were open at the deadline and have been closed")

func (t *tunnels) refuseNew() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.over = true
		t.empty = make(chan struct{})
		if len(t.open) == 0 {
			close(t.empty)
		}
	}
	return t.empty
}
