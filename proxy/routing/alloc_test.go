//go:build !race

package routing

import (
	"fmt"
	"testing"
)

func noAllocations(t *testing.T, name string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(200, f); n != 0 {
		t.Errorf("%s: %v allocations, want none", name, n)
	}
}

func TestCanonicalFormsCostNoAllocation(t *testing.T) {
	for _, raw := range []string{"/", "/a/b/c", "/a/", "/a%20b/%C3%A9"} {
		noAllocations(t, "path "+raw, func() {
			if _, err := ParsePath(raw); err != nil {
				t.Fatal(err)
			}
		})
	}
	for _, raw := range []string{"*", "/%zz", "/a%2fb", "/..;/a"} {
		noAllocations(t, "refused path "+raw, func() {
			if _, err := ParsePath(raw); err == nil {
				t.Fatal("not refused")
			}
		})
	}
	for _, authority := range []string{"a.test", "a.test:8080", "a.test.", "127.0.0.1:80", "[::1]:443", "[2001:db8::1]"} {
		noAllocations(t, "host "+authority, func() {
			if _, err := CanonicalHost(authority); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestMatchCostsNoAllocation(t *testing.T) {
	table, problems := Build(Config{
		Pipelines: []Pipeline{
			pipeline("exact", Match{Host: "a.test", Path: exact("/exact")}),
			pipeline("prefix", Match{Host: "*.test", Path: prefix("/a/b"), Methods: []string{"GET", "PUT"}}),
			pipeline("expression", Match{Host: "a.test", Path: matches("/orders/[0-9]+/.*")}),
			pipeline("headers", Match{Path: prefix("/h"), Headers: []HeaderMatch{
				header("x-a", "1"), {Name: "x-b", Type: HeaderRegularExpression, Value: "v[0-9]"},
			}}),
		},
		Certificates: []Certificate{{Hosts: []string{"*.test"}}},
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	headers := map[string]string{"x-a": "1", "x-b": "v2"}
	for line, want := range map[string]string{
		"GET a.test /exact":      "exact",
		"GET b.test /a/b/c/d":    "prefix",
		"GET a.test /orders/7/x": "expression",
		"GET other /h/1":         "headers",
		"GET a.test /none":       "no route",
		"POST b.test /a/b":       "method not allowed, allow GET, PUT",
	} {
		r := request(t, line, headers)
		if got := describe(table.Match(r)); got != want {
			t.Fatalf("%s: %s, want %s", line, got, want)
		}
		noAllocations(t, line, func() { table.Match(r) })
	}
	noAllocations(t, "certificate", func() { table.Certificate("a.test") })
	noAllocations(t, "misdirected", func() { table.Misdirected("a.test", "b.test") })
}

func benchmarkTable(b *testing.B, hosts, paths int) *Table {
	b.Helper()
	var cfg Config
	for h := range hosts {
		p := pipeline(fmt.Sprint("p", h))
		for i := range paths {
			p.Matches = append(p.Matches, Match{
				Host: fmt.Sprintf("svc-%d.apps.example.com", h), Path: prefix(fmt.Sprintf("/api/v1/resource%d", i)),
			})
		}
		cfg.Pipelines = append(cfg.Pipelines, p)
	}
	table, problems := Build(cfg)
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	return table
}

func BenchmarkMatch(b *testing.B) {
	for name, size := range map[string][2]int{
		"10000 routes of 1000 hosts": {1000, 10},
		"10000 routes of one host":   {1, 10000},
		"10 routes":                  {1, 10},
	} {
		b.Run(name, func(b *testing.B) {
			table := benchmarkTable(b, size[0], size[1])
			requests := make([]Request, 4096)
			for i := range requests {
				x := i * 2654435761
				requests[i] = Request{
					Host:   fmt.Sprintf("svc-%d.apps.example.com", x%size[0]),
					Path:   fmt.Sprintf("/api/v1/resource%d/12345/detail", x/7%size[1]),
					Method: "GET",
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if table.Match(&requests[i&4095]).Status != Found {
					b.Fatal("no route")
				}
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		benchmarkTable(b, 1000, 10)
	}
}
