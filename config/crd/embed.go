// Package crd holds the generated CustomResourceDefinitions of Ostiary's kinds, for those who validate objects without an
// API server.
package crd

import (
	"embed"
	"fmt"
	"io/fs"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// files is embedded data, read-only after the build.
//
//go:embed ostiary.dev_*.yaml
var files embed.FS

// CRDs returns the definitions, sorted by name, as the API server takes them. Each call returns fresh values, which the
// caller may change. An error means that the build is broken.
func CRDs() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list embedded CRDs: %w", err)
	}
	crds := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(names))
	for _, name := range names {
		data, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read embedded CRD %q: %w", name, err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(data, crd); err != nil {
			return nil, fmt.Errorf("decode embedded CRD %q: %w", name, err)
		}
		crds = append(crds, crd)
	}
	return crds, nil
}
