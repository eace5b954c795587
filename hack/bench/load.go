package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
)

const microseconds = 1e6

var (
	errFailures = errors.New("requests have failed")
	errFew      = errors.New("no requests were made")
)

// measureLoad returns the CPU time of one request in microseconds.
func measureLoad(ctx context.Context, b *bed, one *contender, l load, seconds int) (float64, error) {
	pid := b.procs[one.proc].Process.Pid
	before, err := cpuSeconds(pid)
	if err != nil {
		return 0, err
	}
	requests, err := makeRequests(ctx, one, l, seconds)
	if err != nil {
		return 0, err
	}
	after, err := cpuSeconds(pid)
	if err != nil {
		return 0, err
	}
	return (after - before) * microseconds / requests, nil
}

func makeRequests(ctx context.Context, one *contender, l load, seconds int) (float64, error) {
	authorization := "Authorization: Bearer " + one.token
	at := "127.0.0.1:" + strconv.Itoa(one.port)
	var args []string
	var done, failed *regexp.Regexp
	if l.tls || l.streams > 0 || l.rate > 0 {
		args = []string{
			"h2load", "-t", "1", "-c", strconv.Itoa(l.connections), "--duration", strconv.Itoa(seconds), "--connect-to", at, "-H", authorization,
		}
		if l.streams > 0 {
			args = append(args, "-m", strconv.Itoa(l.streams))
		} else {
			args = append(args, "--h1")
		}
		if l.rate > 0 {
			args = append(args, "--rps", strconv.FormatFloat(float64(l.rate)/float64(l.connections), 'f', 3, 64))
		}
		args = append(args, l.url(host+":"+strconv.Itoa(one.port)))
		done, failed = regexp.MustCompile(`status codes: (\d+) 2xx`), regexp.MustCompile(`[1-9]\d* [345]xx|[1-9]\d* (errored|timeout)`)
	} else {
		args = []string{
			"wrk", "-t1", "-T30s", "-c" + strconv.Itoa(l.connections), "-d" + strconv.Itoa(seconds) + "s", "-H", "Host: " + host, "-H", authorization, l.url(at),
		}
		done, failed = regexp.MustCompile(`(\d+) requests in`), regexp.MustCompile(`Non-2xx or 3xx responses: \d+|Socket errors: .*`)
	}
	args = append([]string{"-c", loadCPU}, args...)
	out, err := exec.CommandContext(ctx, "taskset", args...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("make requests: %w: %s", err, out)
	}
	if match := failed.Find(out); match != nil {
		return 0, fmt.Errorf("%w: %s", errFailures, match)
	}
	match := done.FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("%w: %s", errFew, out)
	}
	requests, err := strconv.ParseFloat(string(match[1]), 64)
	if err != nil || requests == 0 {
		return 0, fmt.Errorf("%w: %s", errFew, out)
	}
	return requests, nil
}

const idleConnections = 2000

// measureIdle returns how much larger the process is, in KiB, for each connection that has had a request and waits.
func measureIdle(ctx context.Context, b *bed, one *contender) (float64, error) {
	pid := b.procs[one.proc].Process.Pid
	before, err := treeBytes(pid)
	if err != nil {
		return 0, err
	}
	conns := make([]net.Conn, 0, idleConnections)
	defer func() {
		for _, conn := range conns {
			_ = conn.Close() // it has done its work
		}
	}()
	for range idleConnections {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(one.port))
		if err != nil {
			return 0, fmt.Errorf("connect: %w", err)
		}
		conns = append(conns, conn)
		if _, err := fmt.Fprintf(conn, "GET /128 HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", host, one.token); err != nil {
			return 0, fmt.Errorf("ask: %w", err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return 0, fmt.Errorf("read the answer: %w", err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		err = errors.Join(err, resp.Body.Close())
		if err != nil || resp.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("%w: status %d, %w", errFailures, resp.StatusCode, err)
		}
	}
	after, err := treeBytes(pid)
	if err != nil {
		return 0, err
	}
	return (after - before) / idleConnections / 1024, nil
}

func treeBytes(pid int) (float64, error) {
	total := 0.0
	for _, one := range append(children(pid), pid) {
		bytes, err := residentBytes(one)
		if err != nil {
			return 0, err
		}
		total += bytes
	}
	return total, nil
}
