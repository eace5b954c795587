package app

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestLibraryLogQuotesNothing(t *testing.T) {
	for message, want := range map[string]string{
		`Unsolicited response received on idle HTTP channel starting with "Bearer abc"; err=<nil>`: "Unsolicited response received on idle HTTP channel starting with (left out)\n",
		"quoted in `another` way": "quoted in (left out)\n",
		"nothing is quoted":       "nothing is quoted\n",
	} {
		var out strings.Builder
		log.New(libraryLog{&out}, "", 0).Print(message)
		if out.String() != want {
			t.Errorf("%s: wrote %q, want %q", message, &out, want)
		}
	}
}

// TestUnsolicitedResponsesAreNotQuoted: a backend says more than it was asked for, on a connection that waits for the next
// request. net/http tells the standard logger.
func TestUnsolicitedResponsesAreNotQuoted(t *testing.T) {
	const token = "eyJhbGciOi"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	more, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for line := ""; line != "\r\n" && err == nil; {
			line, err = r.ReadString('\n')
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		<-more
		_, _ = io.WriteString(conn, token)
		_, _ = io.Copy(io.Discard, conn)
	}()

	screen := newScreen()
	before := log.Writer()
	defer log.SetOutput(before)
	log.SetOutput(libraryLog{screen})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	close(more)
	screen.find(t, `Unsolicited response`)
	<-done
	if strings.Contains(screen.String(), token) {
		t.Errorf("the log quotes what the backend sent: %s", screen)
	}
}
