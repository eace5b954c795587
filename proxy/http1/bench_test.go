package http1

import (
	"errors"
	"strings"
	"testing"
)

// browserRequest is a request of about 650 bytes with a token of usual size, as a browser's code sends it.
func browserRequest() []byte {
	return []byte("GET /api/v1/orders/1234567?page=2&sort=created HTTP/1.1\r\n" +
		"Host: api.example.com\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
		"Accept: application/json, text/plain, */*\r\n" +
		"Accept-Language: en-GB,en;q=0.5\r\n" +
		"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + strings.Repeat("eyJzdWIiOiIx", 14) + "." + strings.Repeat("SflKxwRJSMe", 4) + "\r\n" +
		"X-Request-ID: 4bf92f3577b34da6a3ce929d0e0e4736\r\n" +
		"Connection: keep-alive\r\n\r\n")
}

// shortRequest is one of about 400 bytes with few fields, as another service sends it.
func shortRequest() []byte {
	return []byte("POST /orders HTTP/1.1\r\n" +
		"Host: orders.shop.svc\r\n" +
		"User-Agent: Go-http-client/1.1\r\n" +
		"Content-Length: 27\r\n" +
		"Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + strings.Repeat("eyJzdWIiOiIx", 12) + "." + strings.Repeat("SflKxwRJSMe", 4) + "\r\n" +
		"Content-Type: application/json\r\n" +
		"Accept-Encoding: gzip\r\n\r\n")
}

func usualResponse() []byte {
	return []byte("HTTP/1.1 200 OK\r\n" +
		"Date: Sat, 21 Nov 2026 21:39:27 GMT\r\n" +
		"Content-Type: application/json; charset=utf-8\r\n" +
		"Content-Length: 1234\r\n" +
		"Cache-Control: no-store\r\n" +
		"ETag: \"33a64df551425fcc55e4d42a148795d9f25f89d4\"\r\n" +
		"Vary: Accept-Encoding\r\n" +
		"Connection: keep-alive\r\n\r\n")
}

func BenchmarkRequest(b *testing.B) {
	for name, head := range map[string][]byte{"browser": browserRequest(), "service": shortRequest()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(head)))
			b.ReportAllocs()
			var r Request
			for b.Loop() {
				if _, err := r.Parse(head); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkResponse(b *testing.B) {
	head := usualResponse()
	b.SetBytes(int64(len(head)))
	b.ReportAllocs()
	var r Response
	for b.Loop() {
		if _, err := r.Parse(head); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChunkReader(b *testing.B) {
	for name, size := range map[string]int{"chunks of 32 bytes": 32, "chunks of 4 KiB": 4 << 10} {
		b.Run(name, func(b *testing.B) {
			var body []byte
			for len(body) < 16<<10 {
				body = AppendChunkHeader(body, size)
				body = append(body, strings.Repeat("x", size)+"\r\n"...)
			}
			body = append(body, "0\r\n\r\n"...)
			piece := make([]byte, len(body))
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			var c ChunkReader
			for b.Loop() {
				copy(piece, body) // it is decoded in place
				c.Reset()
				if _, _, err := c.Next(piece); err != nil || !c.Done() {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestNoAllocations has nothing allocated for what is parsed again and again, accepted or refused.
func TestNoAllocations(t *testing.T) {
	var request Request
	var response Response
	var chunks ChunkReader
	body := []byte("5;a=b\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
	trailers := []byte("0\r\nX-Sum: 1\r\nX-Time: 2\r\n\r\n")
	piece := make([]byte, 64)
	refused := []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")
	cut, answer := browserRequest(), usualResponse()
	listing := []byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, x-one, x-two\r\nTransfer-Encoding: chunked\r\n\r\n")
	parse := func(head []byte) func() error {
		return func() error {
			_, err := request.Parse(head)
			return err
		}
	}
	decode := func(text []byte) func() error {
		return func() error {
			chunks.Reset()
			_, _, err := chunks.Next(piece[:copy(piece, text)])
			if chunks.Done() {
				_ = chunks.Trailers()
			}
			return err
		}
	}
	header := make([]byte, 0, 32)
	for name, c := range map[string]struct {
		run  func() error
		want error
	}{
		"request":            {parse(browserRequest()), nil},
		"request refused":    {parse(refused), errLengthAndCoding},
		"too many fields":    {parse([]byte("GET / HTTP/1.1\r\n" + strings.Repeat("A: b\r\n", MaxFields+1) + "\r\n")), errTooManyFields},
		"request incomplete": {parse(cut[:len(cut)-3]), ErrIncomplete},
		"request in pieces": {func() error {
			for i := 0; i < len(cut); i += 50 {
				_, _ = request.Parse(cut[:i])
			}
			_, err := request.Parse(cut)
			return err
		}, nil},
		"names listed": {func() error {
			_, err := request.Parse(listing)
			if !request.Listed("X-Two") || request.Listed("X-Three") {
				t.Error("not listed")
			}
			request.Reset()
			return err
		}, nil},
		"response": {func() error {
			_, err := response.Parse(answer)
			return err
		}, nil},
		"chunks":         {decode(body), nil},
		"trailers":       {decode(trailers), nil},
		"chunks refused": {decode([]byte("x")), errChunkSize},
		"chunk header": {func() error {
			header = AppendChunkHeader(header[:0], 1<<20)
			return nil
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 { // until the memory has grown
				_ = c.run()
			}
			if got := testing.AllocsPerRun(100, func() {
				if err := c.run(); !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
			}); got != 0 {
				t.Errorf("%g allocations", got)
			}
		})
	}
}
