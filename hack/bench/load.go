package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

const microseconds = 1e6

var (
	errFailures = errors.New("requests have failed")
	errFew      = errors.New("no requests were made")
)

// measure returns the CPU time of one request in microseconds.
func measure(ctx context.Context, b *bed, one *contender, l load, seconds int) (float64, error) {
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
