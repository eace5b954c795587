//go:build linux

package bed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// AssetsVariable names the environment variable that FindAssets looks at first.
const AssetsVariable = "OSTIARY_KUBEBED"

// FindAssets returns the folder with the control plane's programs: the one that
// OSTIARY_KUBEBED names, or else the one that hack/kubebed/build.sh of this module
// builds, which takes some minutes once per machine. It sets OSTIARY_KUBEBED, so
// that a program inside the namespace finds it without a build.
func FindAssets(ctx context.Context) (string, error) {
	if dir := os.Getenv(AssetsVariable); dir != "" {
		return dir, nil
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, "hack", "kubebed", "build.sh"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build the test control plane: %w", err)
	}
	dir := strings.TrimSpace(string(out))
	if err := os.Setenv(AssetsVariable, dir); err != nil {
		return "", fmt.Errorf("pass on the folder: %w", err)
	}
	return dir, nil
}

// BuildStatic compiles a main package of this module (an import path, or a path
// relative to the module's root with ./) to a static binary, as the bed's images
// need it, with the flags of `make build`, so that both share what is compiled. Call
// it outside the namespace: it may have to download modules.
func BuildStatic(ctx context.Context, pkg, output string) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	absolute, err := filepath.Abs(output)
	if err != nil {
		return fmt.Errorf("find %q: %w", output, err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", absolute, pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, bytes.TrimSpace(out))
	}
	return nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if file == "" || file == os.DevNull {
		return "", errors.New("find the module: not inside one")
	}
	return filepath.Dir(file), nil
}
