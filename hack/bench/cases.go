package main

// contender is who does the work of a case.
type contender struct {
	name  string
	proc  string // in bed.procs
	port  int
	token string
}

// load is how requests are made.
type load struct {
	path        string
	connections int
	// rate is in requests a second over all connections; 0 is as fast as it goes.
	rate int
	// streams of HTTP/2 a connection; 0 is HTTP/1.1.
	streams int
	tls     bool
}

// testCase compares contenders, of which the first is the one that matters.
type testCase struct {
	name       string
	load       load
	contenders []contender
}

const (
	nameOstiary = "Ostiary"
	nameNginx   = "nginx, checks nothing"
)

func cases(b *bed) []testCase {
	p, hs, rs := b.Ports, b.keys.hs256, b.keys.rs256
	ostiary := contender{nameOstiary + " HS256", "ostiary", p.Ostiary, hs}
	haproxy := contender{"HAProxy jwt_verify HS256", "haproxy", p.HAProxyHS256, hs}
	haproxyRS := contender{"HAProxy jwt_verify RS256", "haproxy", p.HAProxyRS256, rs}
	nginx := contender{nameNginx, "nginx", p.Nginx, hs}
	overTLS := []contender{
		{nameOstiary + " HS256", "ostiary", p.OstiaryTLS, hs},
		{"HAProxy jwt_verify HS256", "haproxy", p.HAProxyTLS, hs},
		{nameNginx, "nginx", p.NginxTLS, hs},
	}
	basic := []contender{
		ostiary, haproxy, nginx, {"TCP relay in C", "relay", p.Relay, hs}, {nameOstiary + " on net/http", "ostiary on net/http", p.OstiaryNetHTTP, hs},
	}
	if b.procs["express gateway"] != nil {
		basic = append(basic, contender{nameExpressGateway, "express gateway", p.ExpressGateway, hs})
	}
	small := load{path: "/128", connections: 64}
	with := func(edit func(*load)) load {
		l := small
		edit(&l)
		return l
	}
	return []testCase{
		{name: "HTTP/1.1, HS256", load: small, contenders: basic},
		{name: "HTTP/1.1, RS256, seen before", load: small, contenders: []contender{{nameOstiary + " RS256", "ostiary", p.Ostiary, rs}, haproxyRS}},
		{name: "HTTP/1.1, RS256, never seen", load: small, contenders: []contender{
			{nameOstiary + " RS256, no cache", "ostiary without cache", p.OstiaryNoCache, rs}, haproxyRS,
		}},
		{name: "HTTP/1.1, HS256, 64 KiB", load: with(func(l *load) { l.path = "/64k" }), contenders: []contender{ostiary, haproxy, nginx}},
		{name: "HTTP/1.1, HS256, 512 connections", load: with(func(l *load) { l.connections = 512 }), contenders: []contender{ostiary, haproxy}},
		{name: "HTTP/1.1, HS256, 2000 requests/s", load: with(func(l *load) { l.rate = 2000 }), contenders: []contender{ostiary, haproxy}},
		{name: "TLS HTTP/1.1, HS256", load: with(func(l *load) { l.tls = true }), contenders: overTLS},
		{name: "TLS HTTP/2, HS256", load: with(func(l *load) { l.tls, l.connections, l.streams = true, 16, 4 }), contenders: overTLS},
	}
}

func (l load) url(authority string) string {
	if l.tls {
		return "https://" + authority + l.path
	}
	return "http://" + authority + l.path
}
