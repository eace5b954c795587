// Package config tests the kustomize manifests with kustomize itself.
package config

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// config/default and the chart are two ways to install the same: where both say something, they say it alike.
func TestDefaultIsWhatTheChartInstalls(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile("../charts/ostiary/testdata/default/golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := specs(t, string(golden))
	got := specs(t, build(t, "default"))
	if len(want) == 0 {
		t.Fatal("nothing in the chart to compare with")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-chart +config/default:\n%s", diff)
	}
}

func TestDefaultIsComplete(t *testing.T) {
	t.Parallel()
	got := map[string]int{}
	for _, obj := range objects(t, build(t, "default")) {
		got[obj.GetKind()]++
	}
	want := map[string]int{
		"Namespace": 1, "CustomResourceDefinition": 4, "ServiceAccount": 1, "ClusterRole": 1, "ClusterRoleBinding": 1, "Role": 1,
		"RoleBinding": 1, "Deployment": 1, "Service": 2, "PodDisruptionBudget": 1, "IngressClass": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

func TestSamplesBuild(t *testing.T) {
	t.Parallel()
	if len(objects(t, build(t, "samples"))) == 0 {
		t.Error("no samples")
	}
}

// specs returns what the objects are to do, without the names and labels that differ by design.
func specs(t *testing.T, stream string) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, obj := range objects(t, stream) {
		spec, found, err := unstructured.NestedMap(obj.Object, "spec")
		if err != nil {
			t.Fatal(err)
		}
		switch obj.GetKind() {
		case "Deployment":
			unstructured.RemoveNestedField(spec, "selector")
			unstructured.RemoveNestedField(spec, "revisionHistoryLimit")
			unstructured.RemoveNestedField(spec, "template", "metadata", "labels")
		case "Service", "PodDisruptionBudget":
			unstructured.RemoveNestedField(spec, "selector")
		case "IngressClass":
		default:
			continue
		}
		if !found {
			t.Fatalf("%s %s has no spec", obj.GetKind(), obj.GetName())
		}
		out[obj.GetKind()+" "+obj.GetName()] = spec
	}
	return out
}

func objects(t *testing.T, stream string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for document := range strings.SplitSeq("\n"+stream, "\n---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		asJSON, err := yaml.YAMLToJSONStrict([]byte(document))
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		obj := &unstructured.Unstructured{}
		if err := obj.UnmarshalJSON(asJSON); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		out = append(out, obj)
	}
	return out
}

func build(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../hack/tools/go.mod", "kustomize", "build", dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kustomize build %s: %v\n%s", dir, err, stderr.Bytes())
	}
	return string(out)
}
