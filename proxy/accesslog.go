package proxy

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/ostiary/ostiary/proxy/routing"
)

// facts are what the access log tells of a request beside its outcome.
type facts struct {
	method, scheme, protocol string
	client                   netip.AddrPort
}

// count counts the request and logs it, when it is over.
func (o *outcome) count(f facts) {
	pipeline := o.h.metrics.pipeline(o.program, o.verdict.Pipeline())
	took := o.h.since(o.start)
	o.h.metrics.served(pipeline, o.status, took)
	if o.refused {
		o.h.metrics.refused(pipeline, o.reason)
	}
	if o.verdict.DryRun {
		o.h.metrics.spared(pipeline, o.verdict.Refusal.Reason)
	}
	if o.h.accessLog != nil {
		o.log(f, took)
	}
}

// log writes the access log's record. It never has the query, which may carry a token, nor a header or claim of the
// request; who called is told by names out of the configuration.
func (o *outcome) log(f facts, took time.Duration) {
	log := o.h.accessLog
	ctx := context.Background() //nolint:forbidigo // the request is over, and so is its context
	if !log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 20)
	attrs = append(attrs,
		slog.String("method", bounded(f.method)),
		slog.String("scheme", f.scheme),
		slog.String("host", o.verdict.Host),
		slog.String("path", bounded(o.verdict.Path)),
		slog.String("protocol", f.protocol),
		slog.Int("status", o.status),
		slog.Int64("bytes", o.sent),
		slog.Float64("seconds", took.Seconds()),
		slog.String("client", f.client.String()),
		slog.String("requestID", o.requestID),
	)
	if o.refused {
		attrs = append(attrs, slog.String("reason", o.reason.String()))
		if o.message != "" {
			attrs = append(attrs, slog.String("message", o.message))
		}
	}
	if o.verdict.DryRun {
		attrs = append(attrs, slog.String("dryRunReason", o.verdict.Refusal.Reason.String()))
	}
	if i := o.verdict.Pipeline(); i >= 0 && o.program != nil {
		attrs = append(attrs,
			slog.String("pipeline", joined(o.program.pipelines[i])),
			slog.String("apiEndpoint", o.verdict.Endpoint))
	}
	if caller := o.verdict.Caller(); caller.Consumer != nil {
		attrs = append(attrs,
			slog.String("consumer", joined(routing.ObjectKey{Namespace: caller.Consumer.Key.Namespace, Name: caller.Consumer.Username})),
			slog.String("credential", joined(caller.Credential)))
	}
	if o.endpoint != "" {
		attrs = append(attrs,
			slog.String("serviceEndpoint", joined(o.verdict.Pass.Upstream())),
			slog.String("endpoint", o.endpoint))
	}
	if o.tunnel {
		attrs = append(attrs, slog.Bool("tunnel", true))
	}
	if o.gone {
		attrs = append(attrs, slog.Bool("clientGone", true))
	}
	log.LogAttrs(ctx, slog.LevelInfo, "request", attrs...)
}

// bounded keeps one record from growing with what a client sends.
func bounded(s string) string {
	const most = 1024
	if len(s) > most {
		return s[:most]
	}
	return s
}

func joined(key routing.ObjectKey) string { return key.Namespace + "/" + key.Name }
