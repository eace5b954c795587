package jwks

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/ostiary/proxy/internal/dialguard"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/routing"
)

// fetchError is a failure with words that stay the same while the reason does: no ports, no times.
type fetchError struct {
	problem string
	err     error
}

func (e *fetchError) Error() string {
	if e.err == nil {
		return e.problem
	}
	return e.problem + ": " + e.err.Error()
}

func (e *fetchError) Unwrap() error { return e.err }

func failf(err error, format string, args ...any) error {
	return &fetchError{problem: fmt.Sprintf(format, args...), err: err}
}

// problemOf returns the stable words of an error.
func problemOf(err error) string {
	if f, ok := errors.AsType[*fetchError](err); ok {
		return f.problem
	}
	return "the fetch failed"
}

// fetched is what a fetch brought.
type fetched struct {
	keys     []*jose.Key
	problems []string // why other keys of the set can't be used
	// lifetime is when to fetch again, without jitter.
	lifetime time.Duration
}

// fetcher fetches one set. Its methods are called by one goroutine.
type fetcher struct {
	source routing.RemoteKeys
	client *http.Client
	now    func() time.Time
	err    error // why nothing can be fetched at all

	// uri is the address that metadata gave, and until when it is used.
	uri      string
	uriUntil time.Time
}

func newFetcher(source routing.RemoteKeys, opts *Options) *fetcher {
	f := &fetcher{source: source, now: opts.Now, uri: source.URI}
	var roots *x509.CertPool
	if source.RootCAs != "" {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(source.RootCAs)) {
			f.err = failf(nil, "the CA certificates can't be read")
		}
	}
	transport := &http.Transport{
		DialContext:            opts.Dial,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      true, // minutes pass between two fetches
		DisableCompression:     true, // so that the bound on the body is one on what is read
		MaxResponseHeaderBytes: 64 << 10,
		TLSHandshakeTimeout:    FetchTimeout,
		ResponseHeaderTimeout:  FetchTimeout,
	}
	f.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return f
}

// fetch fetches the set, and where to find it before that.
func (f *fetcher) fetch(ctx context.Context) (fetched, error) {
	if f.err != nil {
		return fetched{}, f.err
	}
	ctx, cancel := context.WithTimeout(ctx, FetchTimeout)
	defer cancel()
	if f.source.Issuer != "" && (f.uri == "" || !f.now().Before(f.uriUntil)) {
		uri, err := f.discover(ctx)
		if err != nil {
			return fetched{}, err
		}
		f.uri, f.uriUntil = uri, f.now().Add(MetadataTTL)
	}
	a, err := f.get(ctx, f.uri)
	if err == nil && a.status != http.StatusOK {
		err = statusError(a.status, "the key set")
	}
	var got fetched
	if err == nil {
		got.keys, got.problems, err = parseSet(a.body)
	}
	if err != nil {
		if f.source.Issuer != "" {
			f.uri = "" // it may have moved
		}
		return got, err
	}
	got.lifetime = lifetime(a.header)
	return got, nil
}

// discover returns the address of the set that the issuer's metadata names: that of OpenID Connect, else, where the server
// has none, that of OAuth 2.0.
func (f *fetcher) discover(ctx context.Context) (string, error) {
	addresses, err := metadataAddresses(f.source.Issuer)
	if err != nil {
		return "", failf(err, "the issuer is no https URL without user, query and fragment")
	}
	var first error
	for _, address := range addresses {
		a, err := f.get(ctx, address)
		switch {
		case err != nil:
			return "", err
		case a.status == http.StatusOK:
			return parseMetadata(a.body, f.source.Issuer)
		case first == nil:
			first = statusError(a.status, "the issuer's metadata")
		}
		if a.status < 400 || a.status > 499 {
			break
		}
	}
	return "", first
}

func statusError(status int, what string) error {
	if status >= 300 && status <= 399 {
		return failf(nil, "%s is redirected (status %d), and redirects are not followed", what, status)
	}
	return failf(nil, "the server answers %d for %s", status, what)
}

type answer struct {
	status int
	header http.Header
	body   []byte // of status 200
}

func (f *fetcher) get(ctx context.Context, address string) (answer, error) {
	if err := checkURL(address); err != nil {
		return answer{}, failf(err, "the address is no https URL without user and fragment")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return answer{}, failf(err, "the address is no https URL without user and fragment")
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json;q=0.9")
	request.Header.Set("User-Agent", "ostiary")
	response, err := f.client.Do(request)
	if err != nil {
		return answer{}, connectError(err)
	}
	defer func() { _ = response.Body.Close() }()
	a := answer{status: response.StatusCode, header: response.Header}
	if a.status != http.StatusOK {
		return a, nil
	}
	if coding := response.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return answer{}, failf(nil, "the answer is compressed without being asked for")
	}
	a.body, err = io.ReadAll(io.LimitReader(response.Body, MaxBody+1))
	if err == nil {
		err = ctx.Err() // a server that notices the end of our patience may end its answer before we notice ourselves
	}
	switch {
	case err != nil:
		return answer{}, connectError(err)
	case len(a.body) > MaxBody:
		return answer{}, failf(nil, "the answer has more than %d bytes", MaxBody)
	}
	return a, nil
}

// connectError finds stable words for an error of the network.
func connectError(err error) error {
	problem := "the server can't be reached"
	var dns *net.DNSError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.Is(err, dialguard.ErrRefused):
		problem = "the server has an address that is never connected to"
	case errors.As(err, &verification):
		problem = "the server's certificate is not trusted"
	case errors.Is(err, context.DeadlineExceeded):
		problem = fmt.Sprintf("the server does not answer within %v", FetchTimeout)
	case errors.As(err, &dns) && dns.IsNotFound:
		problem = "the server's name is not known"
	}
	return failf(err, "%s", problem)
}

// parseSet reads a JWK Set, each key by itself.
func parseSet(body []byte) (usable []*jose.Key, problems []string, err error) {
	usable, refused, notes := jose.Parse(body, jose.Options{Format: jose.FormatJWKS, Algorithms: Algorithms()})
	for _, p := range refused {
		problems = append(problems, p.Message)
	}
	problems = append(problems, notes...)
	if len(usable) == 0 {
		why := "it holds none"
		if len(problems) > 0 {
			why = problems[0]
		}
		return nil, problems, failf(errors.New(why), "the answer is no JWK Set with a key that verifies")
	}
	return usable, problems, nil
}

// Algorithms are those that remote keys may be used with: all that are not HMAC's.
func Algorithms() []jose.Algorithm {
	return []jose.Algorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, jose.Ed25519,
	}
}

// lifetime is how long an answer is fresh (RFC 9111 section 4.2), within the bounds of a refresh.
func lifetime(header http.Header) time.Duration {
	fresh, stated := time.Duration(0), false
	for _, line := range header.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch strings.ToLower(name) {
			case "no-store", "no-cache":
				return RefreshMin
			case "max-age":
				seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
				if err != nil {
					continue
				}
				if age := time.Duration(seconds) * time.Second; !stated || age < fresh {
					fresh, stated = age, true
				}
			}
		}
	}
	if !stated {
		return RefreshDefault
	}
	if age, err := strconv.ParseUint(header.Get("Age"), 10, 31); err == nil {
		fresh -= time.Duration(age) * time.Second
	}
	return min(max(fresh, RefreshMin), RefreshMax)
}

// authority tells CA certificates apart in a few characters, empty for the system's.
func authority(pem string) string {
	if pem == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(pem))
	return hex.EncodeToString(sum[:4])
}
