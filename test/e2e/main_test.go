//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/test/bed"
)

// Variables that hand what was built outside of the namespace to the tests inside.
const (
	ostiaryVariable = "OSTIARY_E2E_BINARY"
	backendVariable = "OSTIARY_E2E_BACKEND"
	helmVariable    = "OSTIARY_E2E_HELM"
	grantsVariable  = "OSTIARY_E2E_REFERENCEGRANT_CRD"
)

func TestMain(m *testing.M) {
	os.Exit(bed.RunTests(m, prepare))
}

func prepare(ctx context.Context, dir string) error {
	if _, err := bed.FindAssets(ctx); err != nil {
		return err
	}
	for variable, source := range map[string]string{ostiaryVariable: ".", backendVariable: "./test/backend"} {
		binary := filepath.Join(dir, variable)
		if err := bed.BuildStatic(ctx, source, binary); err != nil {
			return err
		}
		if err := os.Setenv(variable, binary); err != nil {
			return err
		}
	}
	root, err := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	helm, err := output(ctx, "go", "tool", "-n", "-modfile="+filepath.Join(root, "hack/tools/go.mod"), "helm")
	if err != nil {
		return err
	}
	if err := os.Setenv(helmVariable, helm); err != nil {
		return err
	}
	gatewayAPI, err := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api")
	if err != nil {
		return err
	}
	return os.Setenv(grantsVariable, filepath.Join(gatewayAPI, "config/crd/standard/gateway.networking.k8s.io_referencegrants.yaml"))
}

// output runs a command and returns what it prints, without the last newline.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
