package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"text/template"
	"time"
)

//go:embed config/*.tmpl native/*.c
var files embed.FS

// The processors: one for all proxies, the other for load and backend.
const (
	proxyCPU = "0"
	loadCPU  = "1"
)

// ports are free ones of this run.
type ports struct {
	Backend, Relay, Nginx, NginxTLS, ExpressGateway     int
	HAProxyHS256, HAProxyRS256, HAProxyTLS              int
	Ostiary, OstiaryTLS, OstiaryNoCache, OstiaryNetHTTP int
}

// bed is everything that runs.
type bed struct {
	ctx   context.Context //nolint:containedctx // of the run, which ends the processes
	dir   string
	keys  keys
	Ports ports
	procs map[string]*exec.Cmd
}

func newBed(ctx context.Context, dir string, opts options) (*bed, error) {
	b := &bed{ctx: ctx, dir: dir, procs: map[string]*exec.Cmd{}}
	if err := need("gcc", "taskset", "haproxy", "nginx", "wrk", "h2load"); err != nil {
		return nil, err
	}
	var err error
	if b.keys, err = newKeys(); err != nil {
		return nil, err
	}
	for _, port := range []*int{
		&b.Ports.Backend, &b.Ports.Relay, &b.Ports.Nginx, &b.Ports.NginxTLS, &b.Ports.HAProxyHS256, &b.Ports.HAProxyRS256,
		&b.Ports.HAProxyTLS, &b.Ports.Ostiary, &b.Ports.OstiaryTLS, &b.Ports.OstiaryNoCache, &b.Ports.OstiaryNetHTTP,
		&b.Ports.ExpressGateway,
	} {
		if *port, err = freePort(ctx); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(b.configure(), b.compile("backend"), b.compile("relay")); err != nil {
		return nil, err
	}
	err = b.start(opts)
	return b, err
}

// need says which programs are missing and where they come from.
func need(programs ...string) error {
	var errs []error
	for _, name := range programs {
		if !available(name) {
			errs = append(errs, fmt.Errorf("%s is missing: `make bench-peers` installs it on Debian", name))
		}
	}
	return errors.Join(errs...)
}

func available(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// haproxyJWT is what HAProxy asks of a token.
type haproxyJWT struct{ Algorithm, Issuer, Audience, Key string }

type secret struct {
	Name string
	TLS  bool
	Data map[string]string
}

type credential struct{ Name, Issuer, Algorithm string }

// configure writes the configurations.
func (b *bed) configure() error {
	rsaFile := filepath.Join(b.dir, "rs256.pem")
	for name, text := range map[string]string{
		"rs256.pem": b.keys.rsaPublic, "tls.pem": b.keys.chain + b.keys.key, "tls.crt": b.keys.chain, "tls.key": b.keys.key,
	} {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write a key: %w", err)
		}
	}
	data := map[string]any{
		"Dir": b.dir, "Ports": b.Ports, "Audience": audience,
		"HS256": haproxyJWT{"HS256", issuer("HS256"), audience, b.keys.secret},
		"RS256": haproxyJWT{"RS256", issuer("RS256"), audience, rsaFile},
		"Secrets": []secret{
			{Name: "hs256", Data: map[string]string{"key": b.keys.secret}},
			{Name: "rs256", Data: map[string]string{"key": b.keys.rsaPublic}},
			{Name: "tls", TLS: true, Data: map[string]string{"tls.crt": b.keys.chain, "tls.key": b.keys.key}},
		},
		"Credentials": []credential{{"hs256", issuer("HS256"), "HS256"}, {"rs256", issuer("RS256"), "RS256"}},
	}
	all, err := template.ParseFS(files, "config/*.tmpl")
	if err != nil {
		return fmt.Errorf("parse the configurations: %w", err)
	}
	for _, name := range []string{"haproxy.cfg", "nginx.conf", "ostiary.yaml", "gateway.config.yml"} {
		var text bytes.Buffer
		if err := all.ExecuteTemplate(&text, name+".tmpl", data); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(b.dir, name), text.Bytes(), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// compile makes one of the C programs.
func (b *bed) compile(name string) error {
	source, err := files.ReadFile("native/" + name + ".c")
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	file := filepath.Join(b.dir, name+".c")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if out, err := exec.CommandContext(b.ctx, "gcc", "-O2", "-o", filepath.Join(b.dir, name), file).CombinedOutput(); err != nil {
		return fmt.Errorf("compile %s: %w: %s", name, err, out)
	}
	return nil
}

// start starts everything and waits until it answers.
func (b *bed) start(opts options) error {
	p := b.Ports
	config := func(name string) string { return filepath.Join(b.dir, name) }
	ostiary := func(http, https int, flags ...string) []string {
		args := []string{opts.ostiary, "serve", "--admin-address=", "--debug-address=", "--http-address=127.0.0.1:" + strconv.Itoa(http)}
		if https == 0 {
			args = append(args, "--https-address=")
		} else {
			args = append(args, "--https-address=127.0.0.1:"+strconv.Itoa(https))
		}
		return append(append(args, flags...), "--manifests", config("ostiary.yaml"))
	}
	express, err := b.expressGateway(opts.expressGateway)
	if err != nil {
		return err
	}
	for _, one := range []struct {
		name, cpu string
		args      []string
		port      int
	}{
		{"backend", loadCPU, []string{config("backend"), strconv.Itoa(p.Backend)}, p.Backend},
		{"relay", proxyCPU, []string{config("relay"), strconv.Itoa(p.Relay), strconv.Itoa(p.Backend)}, p.Relay},
		{"haproxy", proxyCPU, []string{"haproxy", "-db", "-f", config("haproxy.cfg")}, p.HAProxyTLS},
		{"nginx", proxyCPU, []string{"nginx", "-p", b.dir, "-c", config("nginx.conf")}, p.NginxTLS},
		{"ostiary", proxyCPU, ostiary(p.Ostiary, p.OstiaryTLS), p.Ostiary},
		{"ostiary without cache", proxyCPU, ostiary(p.OstiaryNoCache, 0, "--token-cache=0"), p.OstiaryNoCache},
		{"ostiary on net/http", proxyCPU, ostiary(p.OstiaryNetHTTP, 0, "--http-engine=net/http"), p.OstiaryNetHTTP},
		{"express gateway", proxyCPU, express, p.ExpressGateway},
	} {
		if len(one.args) == 0 {
			continue
		}
		cmd := exec.CommandContext(b.ctx, "taskset", append([]string{"-c", one.cpu}, one.args...)...)
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 10 * time.Second
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("start %s: %w", one.name, err)
		}
		b.procs[one.name] = cmd
		if err := b.await(one.port); err != nil {
			return fmt.Errorf("%s does not listen: %w: %s", one.name, err, said.Bytes())
		}
	}
	return nil
}

// await waits until somebody listens.
func (b *bed) await(port int) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(b.ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) || b.ctx.Err() != nil {
			return fmt.Errorf("wait for port %d: %w", port, err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-b.ctx.Done():
		}
	}
}

// stop ends what was started.
func (b *bed) stop() {
	for _, cmd := range b.procs {
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}
	for _, cmd := range b.procs {
		_ = cmd.Wait() // they were told to end
	}
}
