package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const nameExpressGateway = "Express Gateway jwt HS256"

// expressGateway prepares the folder that Express Gateway is started with, and returns how. It returns nothing where the
// package of npm or node is not there: then it is not in the table.
func (b *bed) expressGateway(installed string) ([]string, error) {
	if installed == "" || !available("node") {
		return nil, nil
	}
	installed, err := filepath.Abs(installed)
	if err != nil {
		return nil, fmt.Errorf("find Express Gateway: %w", err)
	}
	defaults := os.DirFS(filepath.Join(installed, "lib", "config"))
	system, err := fs.ReadFile(defaults, "system.config.yml")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read Express Gateway's defaults: %w", err)
	}
	models, err := fs.Sub(defaults, "models")
	if err != nil {
		return nil, fmt.Errorf("read Express Gateway's models: %w", err)
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(b.dir, "system.config.yml"), system, 0o600),
		os.CopyFS(filepath.Join(b.dir, "models"), models),
	); err != nil {
		return nil, fmt.Errorf("copy Express Gateway's defaults: %w", err)
	}
	return []string{"node", "-e", fmt.Sprintf("require(%q)().load(%q).run()", installed, b.dir)}, nil
}
