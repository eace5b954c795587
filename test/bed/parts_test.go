//go:build linux

package bed

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAddressPool(t *testing.T) {
	pool := newAddressPool("10.0.0.0/29", "10.0.0.2")
	var got []string
	for {
		address, err := pool.take()
		if err != nil {
			break
		}
		got = append(got, address.String())
	}
	want := []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("all addresses but the network's and the broadcast address: -want +got:\n%s", diff)
	}
	released := netip.MustParseAddr("10.0.0.4")
	if pool.reserve(released) {
		t.Error("reserved an address that is in use")
	}
	pool.release(released)
	if address, err := pool.take(); err != nil || address != released {
		t.Errorf("got %v, error %v, want the released address", address, err)
	}
	if pool.reserve(netip.MustParseAddr("10.0.1.2")) {
		t.Error("reserved an address of another network")
	}
}

func TestAddressPoolHandsOutTheReleasedLast(t *testing.T) {
	pool := newAddressPool("10.0.0.0/29", "10.0.0.2")
	first, err := pool.take()
	if err != nil {
		t.Fatal(err)
	}
	pool.release(first)
	if next, err := pool.take(); err != nil || next == first {
		t.Errorf("got %v, error %v, want another address than the released one", next, err)
	}
}

func TestImageRepository(t *testing.T) {
	for image, want := range map[string]string{
		"backend":                        "backend",
		"backend:1.0":                    "backend",
		"localhost:5000/backend":         "localhost:5000/backend",
		"localhost:5000/backend:1.0":     "localhost:5000/backend",
		"example.test/a/b@sha256:0123":   "example.test/a/b",
		"example.test/a/b:1@sha256:0123": "example.test/a/b",
	} {
		if got := imageRepository(image); got != want {
			t.Errorf("imageRepository(%q) = %q, want %q", image, got, want)
		}
	}
}

func TestImageStoreRefusesWhatAPodCantRun(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, images := range map[string]map[string]string{
		"a script":            {"backend": script},
		"no file":             {"backend": script + ".missing"},
		"an image with a tag": {"backend:1.0": os.Getenv(backendVariable)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newImageStore(images); err == nil {
				t.Error("got no error")
			}
		})
	}
}

func TestExpand(t *testing.T) {
	env := []variable{{"A", "old"}, {"A", "new"}, {"B_1", ""}}
	for text, want := range map[string]string{
		"plain":         "plain",
		"$(A)":          "new",
		"<$(B_1)>":      "<>",
		"$(C)":          "$(C)",
		"$$(A)":         "$(A)",
		"$A $ $()":      "$A $ $()",
		"$(A)/$(A)$(C)": "new/new$(C)",
	} {
		if got := expand(text, env); got != want {
			t.Errorf("expand(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestFieldValue(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "app-1", Namespace: "shop", UID: "1-2-3",
			Labels: map[string]string{"b": "2", "a": "1"}, Annotations: map[string]string{"example.test/x": "y"},
		},
		Spec: corev1.PodSpec{ServiceAccountName: "clerk"},
	}
	for field, want := range map[string]string{
		"metadata.name":                          "app-1",
		"metadata.namespace":                     "shop",
		"metadata.uid":                           "1-2-3",
		"metadata.labels":                        "a=\"1\"\nb=\"2\"",
		"metadata.labels['b']":                   "2",
		"metadata.annotations['example.test/x']": "y",
		"spec.nodeName":                          "bed-0",
		"spec.serviceAccountName":                "clerk",
		"status.podIP":                           "10.244.0.10",
		"status.hostIP":                          "10.244.0.1",
	} {
		got, err := fieldValue(pod, field, netip.MustParseAddr("10.244.0.10"))
		if err != nil || got != want {
			t.Errorf("fieldValue(%q) = %q, %v, want %q", field, got, err, want)
		}
	}
	if _, err := fieldValue(pod, "spec.unknown", netip.Addr{}); err == nil {
		t.Error("an unknown field: got no error")
	}
}

func TestResourceValue(t *testing.T) {
	p := &podlet{node: &corev1.Node{Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"),
	}}}}
	limited := &corev1.Container{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("1500m"), corev1.ResourceMemory: resource.MustParse("1000000"),
	}}}
	for name, test := range map[string]struct {
		container *corev1.Container
		ref       corev1.ResourceFieldSelector
		want      string
	}{
		"a part of a processor counts as one":  {limited, corev1.ResourceFieldSelector{Resource: "limits.cpu"}, "2"},
		"thousandths of processors":            {limited, corev1.ResourceFieldSelector{Resource: "limits.cpu", Divisor: resource.MustParse("1m")}, "1500"},
		"bytes":                                {limited, corev1.ResourceFieldSelector{Resource: "limits.memory"}, "1000000"},
		"mebibytes, rounded up":                {limited, corev1.ResourceFieldSelector{Resource: "limits.memory", Divisor: resource.MustParse("1Mi")}, "1"},
		"no limit is the size of the node":     {&corev1.Container{}, corev1.ResourceFieldSelector{Resource: "limits.memory", Divisor: resource.MustParse("1Gi")}, "8"},
		"no request is nothing":                {&corev1.Container{}, corev1.ResourceFieldSelector{Resource: "requests.cpu"}, "0"},
		"no processor limit is all processors": {&corev1.Container{}, corev1.ResourceFieldSelector{Resource: "limits.cpu"}, "4"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := p.resourceValue(test.container, &test.ref)
			if err != nil || got != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestContentDirSwapsAllFilesAtOnce(t *testing.T) {
	d := &contentDir{dir: t.TempDir(), group: -1}
	for i, files := range []map[string]volumeFile{
		{"a": {[]byte("1"), 0o644}, "sub/b": {[]byte("2"), 0o600}},
		{"a": {[]byte("3"), 0o640}, "c": {[]byte("4"), 0o644}}, // changed, gone, added
		{},
		{"a": {[]byte("5"), 0o644}},
		{"a": {[]byte("5"), 0o644}},
	} {
		if err := d.replace(files); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		got := map[string]volumeFile{}
		for _, name := range []string{"a", "sub/b", "c"} {
			path := filepath.Join(d.dir, name)
			content, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			got[name] = volumeFile{data: content, mode: info.Mode()}
		}
		if diff := cmp.Diff(files, got, cmp.AllowUnexported(volumeFile{})); diff != "" {
			t.Errorf("step %d: -want +got:\n%s", i, diff)
		}
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 { // the folder, the link to it, the link to its file
		t.Errorf("got %v, want no trace of older content", entries)
	}
}

func TestContentDirRefusesPathsOutside(t *testing.T) {
	d := &contentDir{dir: t.TempDir(), group: -1}
	if err := d.replace(map[string]volumeFile{"../x": {}}); err == nil {
		t.Error("got no error")
	}
}

func TestSeekLastLines(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		lines   int
		want    string
	}{
		"the last line":        {"a\nb\nc\n", 1, "c\n"},
		"an unfinished line":   {"a\nb\nc", 2, "b\nc"},
		"more than there are":  {"a\nb\n", 5, "a\nb\n"},
		"none":                 {"a\nb\n", 0, ""},
		"an empty log":         {"", 3, ""},
		"an empty line counts": {"a\n\nb\n", 2, "\nb\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if err := seekLastLines(file, test.lines); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(test.content)+1)
			n, err := file.Read(got)
			if err != nil && n != 0 {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got[:n])); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
