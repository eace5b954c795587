package jwt

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ostiary/ostiary/proxy/jwt/internal/token"
	"github.com/ostiary/ostiary/proxy/trace"
)

// DefaultCacheBytes is the size of a Cache unless another is chosen: 64 MiB, some 25,000 tokens of 500 bytes.
const DefaultCacheBytes = 64 << 20

// Cache remembers which key verified which token, and nothing else: that is true for ever, while everything that may
// change is asked for again at each request, whether the credential still has the key first of all. So a token that was
// seen before costs no signature, and is refused from the very request on before which its key, credential or consumer was
// taken away.
//
// It is shared by all policies, outlives them, and may be used by several goroutines. A nil *Cache remembers nothing.
type Cache struct{ tokens *token.Cache }

// CacheOptions are those of a Cache. The zero value switches it off.
type CacheOptions struct {
	// Bytes is how much memory it takes at most, in bytes: 0 or less for none, and otherwise at least some 32 KiB.
	Bytes int64
	// Metrics is where the metrics are registered; nil registers none.
	Metrics prometheus.Registerer
}

// NewCache returns an empty Cache.
func NewCache(opts CacheOptions) *Cache {
	c := &Cache{tokens: token.NewCache(opts.Bytes)}
	if opts.Metrics != nil {
		opts.Metrics.MustRegister(cacheCollector{c.tokens})
	}
	return c
}

// parse takes a token apart, or finds it taken apart already. What is explained is found out anew. Nothing of the text is
// kept: it may be overwritten once the request is over.
func (c *Cache) parse(t *trace.Trace, compact, claim string, now time.Time) (token.Unverified, error) {
	if c == nil || t != nil {
		return (*token.Cache)(nil).Parse(compact, claim, now)
	}
	return c.tokens.Parse(compact, claim, now)
}

// remember adds a token that was taken.
func (c *Cache) remember(t *trace.Trace, v *token.Verified, now time.Time) {
	if c != nil && t == nil {
		c.tokens.Remember(v, now)
	}
}

// cacheCollector shows a Cache. Nothing of a token is in its metrics.
type cacheCollector struct{ tokens *token.Cache }

func lookupsDesc() *prometheus.Desc {
	return prometheus.NewDesc("ostiary_token_cache_lookups_total",
		"Tokens that were taken: hit without a look at the signature, since it was verified before, or miss.", []string{"result"}, nil)
}

func evictionsDesc() *prometheus.Desc {
	return prometheus.NewDesc("ostiary_token_cache_evictions_total", "Tokens that were forgotten to make room for others.", nil, nil)
}

func entriesDesc() *prometheus.Desc {
	return prometheus.NewDesc("ostiary_token_cache_entries", "Tokens that are remembered as verified.", nil, nil)
}

func bytesDesc() *prometheus.Desc {
	return prometheus.NewDesc("ostiary_token_cache_bytes", "Memory of the tokens that are remembered.", nil, nil)
}

// Describe implements prometheus.Collector.
func (cacheCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- lookupsDesc()
	descs <- evictionsDesc()
	descs <- entriesDesc()
	descs <- bytesDesc()
}

// Collect implements prometheus.Collector.
func (c cacheCollector) Collect(metrics chan<- prometheus.Metric) {
	stats := c.tokens.Stats()
	metrics <- prometheus.MustNewConstMetric(lookupsDesc(), prometheus.CounterValue, float64(stats.Hits), "hit")
	metrics <- prometheus.MustNewConstMetric(lookupsDesc(), prometheus.CounterValue, float64(stats.Misses), "miss")
	metrics <- prometheus.MustNewConstMetric(evictionsDesc(), prometheus.CounterValue, float64(stats.Evictions))
	metrics <- prometheus.MustNewConstMetric(entriesDesc(), prometheus.GaugeValue, float64(stats.Entries))
	metrics <- prometheus.MustNewConstMetric(bytesDesc(), prometheus.GaugeValue, float64(stats.Bytes))
}
