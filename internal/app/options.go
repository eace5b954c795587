package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/ostiary/ostiary/internal/admin"
	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/server"
)

// serveOptions are the flags that controller and serve share.
type serveOptions struct {
	HTTPAddress  string
	HTTPSAddress string
	// HTTPEngine serves HTTP/1.1; see server.ParseEngine.
	HTTPEngine string
	// RedirectPort is where clear-text requests are redirected to by Pipelines that say so.
	RedirectPort int
	AdminAddress string
	DebugAddress string
	// DrainDelay passes between failing readiness and closing the listeners, so that load balancers notice.
	DrainDelay time.Duration
	// ShutdownTimeout bounds how long requests in flight may take once the listeners are closed.
	ShutdownTimeout time.Duration
	// JWKSPrivateAddresses says whether keys may be fetched from private networks.
	JWKSPrivateAddresses string
	// TokenCache is how much memory the verified-token cache takes, a quantity of bytes such as 64Mi; 0: there is none.
	TokenCache string
	AccessLog  string
	LogFormat  string
	LogLevel   string
}

// Values of --access-log.
const (
	accessLogOff = "off"
	accessLogAll = "all"
)

// Values of --jwks-private-addresses.
const (
	privateAllow  = "allow"
	privateRefuse = "refuse"
)

func (o *serveOptions) BindFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.HTTPAddress, "http-address", ":8080", "where clear-text requests are taken; empty: nowhere")
	flags.StringVar(&o.HTTPSAddress, "https-address", ":8443", "where TLS requests are taken; empty: nowhere")
	flags.StringVar(&o.HTTPEngine, "http-engine", server.EngineHTTP1.String(), "what serves HTTP/1.1: http1, or net/http, which is slower and less strict; HTTP/2 is served by net/http in any case")
	flags.IntVar(&o.RedirectPort, "redirect-port", 443, "the port of the https URLs that clear-text requests are redirected to: the one clients use, not the one listened on")
	flags.StringVar(&o.AdminAddress, "admin-address", ":9090", "where /healthz, /readyz and /metrics are served; empty: nowhere")
	flags.StringVar(&o.DebugAddress, "debug-address", "127.0.0.1:9091", "where /debug and profiles are served, a loopback address; empty: nowhere")
	flags.DurationVar(&o.DrainDelay, "drain-delay", 5*time.Second, "how long requests are still taken after readiness fails, so that load balancers notice")
	flags.DurationVar(&o.ShutdownTimeout, "shutdown-timeout", 25*time.Second, "how long requests in flight may take after that")
	flags.StringVar(&o.JWKSPrivateAddresses, "jwks-private-addresses", privateAllow, "whether identity providers' keys may be fetched from addresses of private networks, such as the cluster's own: allow or refuse")
	flags.StringVar(&o.TokenCache, "token-cache", "64Mi", "how much memory remembers the tokens whose signatures were verified, so that they need not be verified again: bytes, or a quantity such as 64Mi; 0: none")
	flags.StringVar(&o.AccessLog, "access-log", accessLogOff, "which requests are logged: off or all")
	flags.StringVar(&o.LogFormat, "log-format", "text", "text or json")
	flags.StringVar(&o.LogLevel, "log-level", "info", "debug, info, warn or error")
}

func (o *serveOptions) Validate() error {
	var errs []error
	if o.HTTPAddress == "" && o.HTTPSAddress == "" {
		errs = append(errs, errors.New("--http-address and --https-address are both empty: nothing would be served; set one of them"))
	}
	if _, err := server.ParseEngine(o.HTTPEngine); err != nil {
		errs = append(errs, fmt.Errorf("--http-engine: %w", err))
	}
	if o.RedirectPort < 1 || o.RedirectPort > 65535 {
		errs = append(errs, fmt.Errorf("--redirect-port %d: write a port from 1 to 65535", o.RedirectPort))
	}
	if o.DrainDelay < 0 || o.ShutdownTimeout < 0 {
		errs = append(errs, errors.New("--drain-delay and --shutdown-timeout can't be negative"))
	}
	if o.AccessLog != accessLogOff && o.AccessLog != accessLogAll {
		errs = append(errs, fmt.Errorf("--access-log %q: write off or all", o.AccessLog))
	}
	if o.JWKSPrivateAddresses != privateAllow && o.JWKSPrivateAddresses != privateRefuse {
		errs = append(errs, fmt.Errorf("--jwks-private-addresses %q: write allow or refuse", o.JWKSPrivateAddresses))
	}
	if _, err := o.parseTokenCache(); err != nil {
		errs = append(errs, err)
	}
	if _, err := o.logger(io.Discard); err != nil {
		errs = append(errs, err)
	}
	if err := (admin.Options{DebugAddress: o.DebugAddress}).Validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (o *serveOptions) keySetPrivate() jwks.Addresses {
	if o.JWKSPrivateAddresses == privateAllow {
		return jwks.AddressesAllow
	}
	return jwks.AddressesRefuse
}

// tokenCacheBytes is what Validate let through.
func (o *serveOptions) tokenCacheBytes() int64 {
	size, err := o.parseTokenCache()
	if err != nil {
		return 0 // without the cache everything is slower, and nothing else
	}
	return size
}

func (o *serveOptions) parseTokenCache() (int64, error) {
	size, err := resource.ParseQuantity(o.TokenCache)
	if err != nil || size.Sign() < 0 {
		return 0, fmt.Errorf("--token-cache %q: write a number of bytes such as 64Mi, or 0 for no cache", o.TokenCache)
	}
	return size.Value(), nil
}

func (o *serveOptions) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.LogLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: write debug, info, warn or error", o.LogLevel)
	}
	handlerOptions := &slog.HandlerOptions{Level: level}
	switch o.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, handlerOptions)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, handlerOptions)), nil
	default:
		return nil, fmt.Errorf("--log-format %q: write text or json", o.LogFormat)
	}
}
