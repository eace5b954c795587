package v1alpha1_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/ostiary/ostiary/api/v1alpha1"
)

// Every sample is valid, needs no field that the Go types don't have, and survives a round trip through them.
func TestSamples(t *testing.T) {
	t.Parallel()
	validator := newValidator(t)
	seen := map[string]int{}
	err := filepath.WalkDir("../../config/samples", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" || entry.Name() == "kustomization.yaml" {
			return err
		}
		for _, obj := range documents(t, path) {
			if obj.GroupVersionKind().GroupVersion() != v1alpha1.GroupVersion() {
				continue
			}
			seen[obj.GetKind()]++
			name := fmt.Sprintf("%s: %s %s", path, obj.GetKind(), obj.GetName())
			defaulted, errs := validator.Validate(obj)
			for _, err := range errs {
				t.Errorf("%s: %v", name, err)
			}
			roundTrip(t, name, defaulted)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"Consumer", "JWTCredential", "Pipeline", "ServiceEndpoint"} {
		if seen[kind] == 0 {
			t.Errorf("no sample of kind %s", kind)
		}
	}
}

func roundTrip(t *testing.T, name string, want *unstructured.Unstructured) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	typed, err := scheme.New(want.GroupVersionKind())
	if err != nil {
		t.Fatal(err)
	}
	converter := runtime.DefaultUnstructuredConverter
	if err := converter.FromUnstructuredWithValidation(want.Object, typed, true); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	got, err := converter.ToUnstructured(typed)
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if diff := cmp.Diff(want.Object, got); diff != "" {
		t.Errorf("%s: through the Go type (-want +got):\n%s", name, diff)
	}
}

// An object at every limit is still within the API server's budget for running its rules.
func TestRulesOfLargestPipelineFitTheBudget(t *testing.T) {
	t.Parallel()
	segment := strings.Repeat("a%20", 255)
	label := strings.Repeat("a", 63)
	host := strings.Join([]string{label, label, label}, ".") + "." + strings.Repeat("b", 59)
	endpoints := make([]any, 0, 16)
	for i := range 16 {
		var hosts, paths, headers, scopes, methods []any
		for j := range 16 {
			hosts = append(hosts, fmt.Sprintf("%s%02d", host, j))
			paths = append(paths, map[string]any{"type": "Exact", "value": fmt.Sprintf("/%s%02d", segment, j)})
			methods = append(methods, fmt.Sprintf("%s%02d", strings.Repeat("M", 30), j))
		}
		for j := range 8 {
			headers = append(headers, map[string]any{"name": fmt.Sprintf("%s%02d", strings.Repeat("x", 126), j), "value": strings.Repeat("v", 1024)})
		}
		for j := range 64 {
			scopes = append(scopes, fmt.Sprintf("%s%02d", strings.Repeat("s", 126), j))
		}
		endpoints = append(endpoints, map[string]any{
			"name": fmt.Sprintf("e%02d", i), "hosts": hosts, "paths": paths, "methods": methods, "headers": headers, "scopes": scopes,
		})
	}
	obj := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "ostiary.dev/v1alpha1",
		"kind":       "Pipeline",
		"metadata":   map[string]any{"name": "largest", "namespace": "shop"},
		"spec": map[string]any{
			"apiEndpoints": endpoints,
			"policies": []any{
				map[string]any{"name": "auth", "type": "JWT", "jwt": map[string]any{}},
				map[string]any{"name": "answer", "type": "Terminate", "terminate": map[string]any{"statusCode": int64(200)}},
			},
		},
	}}
	if _, errs := newValidator(t).Validate(obj); len(errs) > 0 {
		t.Errorf("the largest Pipeline is refused: %.1000v", errs)
	}
}

func documents(t *testing.T, path string) []*unstructured.Unstructured {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if len(bytes.TrimSpace(document)) > 0 {
			objects = append(objects, decode(t, document))
		}
	}
}
