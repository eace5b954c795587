package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// maxTokenFile bounds what is read as a token: more than any policy takes.
const maxTokenFile = 1 << 20

// maxBodyFile bounds what is read as a body, in bytes: the longest that a policy may look into, and one more.
const maxBodyFile = 1<<20 + 1

// tokenPlaceholder is where --token-in takes the token.
const tokenPlaceholder = "{}"

// token reads the token; it is empty where there is none.
func (o *explainOptions) token(stdin io.Reader) (string, error) {
	if o.TokenFile == "" {
		return "", nil
	}
	content, err := readInput(o.TokenFile, stdin, maxTokenFile)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return "", errors.New("--token-file: there is no token in it; leave the flag out for a request without one")
	}
	if strings.ContainsAny(token, "\r\n\x00") {
		return "", errors.New("--token-file: there is more than one line in it; a token has no line breaks")
	}
	return token, nil
}

// body reads the body; it is nil where there is none.
func (o *explainOptions) body(stdin io.Reader) ([]byte, error) {
	if o.Body == "" {
		return nil, nil
	}
	content, err := readInput(o.Body, stdin, maxBodyFile+1)
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	if len(content) > maxBodyFile {
		return nil, fmt.Errorf("--body: is longer than %d bytes, up to which a policy may look for a token", maxBodyFile)
	}
	return content, nil
}

// readInput reads a file, or standard input where its name is -, up to that many bytes.
func readInput(name string, stdin io.Reader, most int64) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(stdin, most))
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	return io.ReadAll(io.LimitReader(file, most))
}

// title is the request without its query, which may hold a token.
func (o *explainOptions) title() string {
	title, _, _ := strings.Cut(o.Request, "?")
	return title
}

// request makes the request as net/http's server would have it.
func (o *explainOptions) request(ctx context.Context, token string, body []byte) (*http.Request, error) {
	method, target, ok := strings.Cut(strings.TrimSpace(o.Request), " ")
	if !ok {
		method, target = http.MethodGet, method
	}
	u, err := url.Parse(strings.TrimSpace(target))
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		// The cause would quote the URL, and its query may hold a token.
		return nil, errors.New("--request: write a method and a URL, such as 'GET https://api.example.com/orders'")
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("--request: %q is no method", method)
	}
	r.RequestURI = requestTarget(target)
	if u.Scheme == "https" {
		r.TLS = &tls.ConnectionState{ServerName: u.Hostname()}
	}
	for _, line := range o.Headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, errors.New("--header: write a name and a value, such as 'Accept: text/plain'")
		}
		if value = strings.TrimSpace(value); strings.EqualFold(name, "Host") {
			r.Host = value
		} else {
			r.Header.Add(name, value)
		}
	}
	if token == "" {
		return r, nil
	}
	if query, ok := strings.CutPrefix(o.TokenIn, "?"); ok && strings.Contains(query, tokenPlaceholder) {
		separator := "?"
		if strings.Contains(r.RequestURI, "?") {
			separator = "&"
		}
		r.RequestURI += separator + strings.ReplaceAll(query, tokenPlaceholder, url.QueryEscape(token))
		return r, nil
	}
	name, value, ok := strings.Cut(o.TokenIn, ":")
	if !ok || name == "" || !strings.Contains(value, tokenPlaceholder) {
		return nil, fmt.Errorf("--token-in %q: write a header field such as 'Cookie: session=%[2]s', or '?access_token=%[2]s'", o.TokenIn, tokenPlaceholder)
	}
	r.Header.Add(name, strings.ReplaceAll(strings.TrimSpace(value), tokenPlaceholder, token))
	return r, nil
}

// requestTarget is the path and query of a URL as they are written: parsing would hide what is wrong with them.
func requestTarget(target string) string {
	_, rest, _ := strings.Cut(strings.TrimSpace(target), "://")
	i := strings.IndexAny(rest, "/?#")
	switch {
	case i < 0:
		return "/"
	case rest[i] != '/':
		return "/" + rest[i:]
	default:
		return rest[i:]
	}
}
