package proxy

import (
	"context"
	"log/slog"
	"time"

	"github.com/ostiary/ostiary/proxy/routing"
)

// log writes the access log's record. It never has the query, which may carry a token, nor a header or claim of the
// request; who called is told by names out of the configuration.
func (x *exchange) log(took time.Duration) {
	log := x.h.accessLog
	ctx := context.WithoutCancel(x.r.Context())
	if log == nil || !log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 20)
	attrs = append(attrs,
		slog.String("method", bounded(x.r.Method)),
		slog.String("scheme", x.head.Scheme()),
		slog.String("host", x.verdict.Host),
		slog.String("path", bounded(x.verdict.Path)),
		slog.String("protocol", x.r.Proto),
		slog.Int("status", x.status),
		slog.Int64("bytes", x.sent),
		slog.Float64("seconds", took.Seconds()),
		slog.String("client", x.head.client.String()),
		slog.String("requestID", x.head.requestID),
	)
	if x.refused {
		attrs = append(attrs, slog.String("reason", x.reason.String()))
		if x.message != "" {
			attrs = append(attrs, slog.String("message", x.message))
		}
	}
	if x.verdict.DryRun {
		attrs = append(attrs, slog.String("dryRunReason", x.verdict.Refusal.Reason.String()))
	}
	if i := x.verdict.Pipeline(); i >= 0 && x.program != nil {
		attrs = append(attrs,
			slog.String("pipeline", joined(x.program.pipelines[i])),
			slog.String("apiEndpoint", x.verdict.Endpoint))
	}
	if caller := x.verdict.Caller; caller.Consumer != nil {
		attrs = append(attrs,
			slog.String("consumer", joined(routing.ObjectKey{Namespace: caller.Consumer.Key.Namespace, Name: caller.Consumer.Username})),
			slog.String("credential", joined(caller.Credential)))
	}
	if x.endpoint != "" {
		attrs = append(attrs,
			slog.String("serviceEndpoint", joined(x.verdict.Pass.Upstream())),
			slog.String("endpoint", x.endpoint))
	}
	if x.tunnel {
		attrs = append(attrs, slog.Bool("tunnel", true))
	}
	if x.gone {
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
