//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
)

// shell runs an interactive shell, or one line if it is not empty, with everything
// set for this cluster. It returns the line's exit code; how an interactive shell
// ends does not matter.
func (c *cluster) shell(ctx context.Context, line string) (int, error) {
	for name, value := range map[string]string{
		"ADDRESS":        c.address,
		"TOKEN":          c.keys.token,
		"KEY":            c.keys.privateKeyFile,
		"CURL_CA_BUNDLE": c.keys.certificateFile,
		"BED":            c.bed.WorkDir(),
	} {
		if err := os.Setenv(name, value); err != nil {
			return 1, fmt.Errorf("set %s: %w", name, err)
		}
	}
	if line != "" {
		cmd := exec.CommandContext(ctx, "bash", "-c", line)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		err := cmd.Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return exit.ExitCode(), nil
		}
		return 0, err
	}
	c.printThingsToTry()
	cmd, err := c.interactive(ctx)
	if err != nil {
		return 1, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			return 1, fmt.Errorf("run the shell: %w", err)
		}
	}
	return 0, nil
}

// interactive is $SHELL, with a prompt that names the cluster where the shell is
// bash, which is also what runs without $SHELL.
func (c *cluster) interactive(ctx context.Context) (*exec.Cmd, error) {
	shell := os.Getenv("SHELL")
	if shell == "" {
		shell = "bash"
	}
	if filepath.Base(shell) != "bash" {
		cmd := exec.CommandContext(ctx, shell)
		cmd.Env = append(os.Environ(), "PS1=ostiary> ")
		return cmd, nil
	}
	settings := filepath.Join(c.bed.WorkDir(), "bashrc")
	content := `[ ! -f ~/.bashrc ] || . ~/.bashrc
PS1='\[\e[1m\]ostiary\[\e[0m\] \w \$ '
PATH=` + c.bed.Assets() + ":" + c.programs + `:$PATH
if type complete >/dev/null 2>&1 && type _get_comp_words_by_ref >/dev/null 2>&1; then . <(kubectl completion bash); fi
`
	if err := os.WriteFile(settings, []byte(content), 0o600); err != nil {
		return nil, fmt.Errorf("write the shell's settings: %w", err)
	}
	return exec.CommandContext(ctx, shell, "--rcfile", settings, "-i"), nil
}

func (c *cluster) printThingsToTry() {
	fmt.Fprintf(os.Stderr, `
Ostiary runs in a cluster of its own, which ends with this shell. Load balancer: %s
Control plane and pod logs: %s

`, c.address, c.bed.WorkDir())
	table := tabwriter.NewWriter(os.Stderr, 0, 0, 3, ' ', 0)
	for _, row := range [][2]string{
		{"curl -i https://" + demoHost + "/health", "no token needed"},
		{"curl -i https://" + demoHost + "/orders/7", "401: no token"},
		{`curl -i https://` + demoHost + `/orders/7 -H "Authorization: Bearer $TOKEN"`, "200: what the backend received"},
		{"TOKEN=$(ostiary mint --private-key $KEY --claim sub=acme-orders --lifetime -1m)", "a token that has expired; see ostiary mint -h"},
		{"kubectl get ostiary -A", "what was made of the objects"},
		{"kubectl describe pipelines.ostiary.dev -n " + demoNamespace + " orders", "why"},
		{"kubectl edit jwtcredentials.ostiary.dev -n " + demoNamespace + " acme-orders", "change something"},
		{"kubectl get pods -A -o wide", "every pod is a process of this machine"},
		{"kubectl logs -n " + namespace + " deployment/" + release + " -f", "what Ostiary says"},
	} {
		fmt.Fprintf(table, "  %s\t# %s\n", row[0], row[1])
	}
	// Like all output to the terminal here.
	_ = table.Flush()
	fmt.Fprintln(os.Stderr)
}
