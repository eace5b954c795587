package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ostiary/ostiary/config/samples/quickstart"
	"github.com/ostiary/ostiary/internal/mint"
)

const (
	quickstartAlgorithm = "ES256"
	quickstartUpstream  = "127.0.0.1:8081" // as written in the sample ServiceEndpoint
	quickstartLifetime  = time.Hour
)

type quickstartOptions struct {
	Directory       string
	UpstreamAddress string
}

func newQuickstartCommand(s streams) *cobra.Command {
	options := quickstartOptions{}
	serving := serveOptions{}
	cmd := &cobra.Command{
		Use:   "quickstart",
		Short: "Serve sample objects with a fresh key and a sample upstream, and print requests to try",
		Long: `Write the sample Pipelines, Consumer, JWTCredential and ServiceEndpoint and a Secret with a fresh public key into a
directory, serve them as "ostiary serve" does, start a sample upstream on loopback, and print requests to try. Edit the
files while it runs: every change takes effect at once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := serving.Validate(); err != nil {
				return err
			}
			return runQuickstart(cmd.Context(), options, serving, s)
		},
	}
	flags := cmd.Flags()
	serving.BindFlags(flags)
	mustSet(flags, "http-address", "127.0.0.1:8080")
	mustSet(flags, "https-address", "")
	mustSet(flags, "admin-address", "127.0.0.1:9090")
	mustSet(flags, "drain-delay", "0s")
	mustSet(flags, "log-level", "warn")
	flags.StringVar(&options.Directory, "directory", "quickstart", "where the sample files are written; files that are there already are kept")
	flags.StringVar(&options.UpstreamAddress, "upstream-address", quickstartUpstream, "where the sample upstream listens")
	return cmd
}

func runQuickstart(ctx context.Context, options quickstartOptions, serving serveOptions, s streams) error {
	upstream, err := listenSampleUpstream(ctx, options.UpstreamAddress)
	if err != nil {
		return err
	}
	private, err := writeQuickstart(options.Directory, upstream.listener.Addr().String())
	if err != nil {
		return errors.Join(err, upstream.listener.Close())
	}
	token, err := mintToken(quickstartAlgorithm, private, "", []string{"sub=acme", "aud=orders-api"}, time.Now(), quickstartLifetime)
	if err != nil {
		return errors.Join(err, upstream.listener.Close())
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return upstream.serve(ctx) })
	group.Go(func() error {
		return serveManifests(ctx, manifestOptions{
			Paths: []string{options.Directory},
			OnReady: func(addresses map[string]string) {
				printQuickstart(s, options.Directory, addresses["http"], token)
			},
		}, serving, s)
	})
	return group.Wait()
}

// writeQuickstart writes the sample files that are not there yet and returns the private key that signs tokens.
func writeQuickstart(directory, upstream string) ([]byte, error) {
	if err := os.MkdirAll(directory, 0o750); err != nil {
		return nil, fmt.Errorf("make the directory for the sample files: %w", err)
	}
	err := fs.WalkDir(quickstart.Manifests, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := quickstart.Manifests.ReadFile(path)
		if err != nil {
			return err
		}
		content = bytes.ReplaceAll(content, []byte(quickstartUpstream), []byte(upstream))
		return writeNew(filepath.Join(directory, path), content)
	})
	if err != nil {
		return nil, fmt.Errorf("write the sample files: %w", err)
	}
	privateFile := filepath.Join(directory, "acme.key")
	switch private, err := os.ReadFile(privateFile); {
	case err == nil:
		return private, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read the sample's private key: %w", err)
	}
	key, err := mint.NewKey(quickstartAlgorithm)
	if err != nil {
		return nil, err
	}
	secret, err := secretManifest("", "acme-jwt", "public.pem", key.Verifier)
	if err != nil {
		return nil, err
	}
	if err := replacePrivate(filepath.Join(directory, "secret.yaml"), secret); err != nil {
		return nil, fmt.Errorf("write the sample Secret: %w", err)
	}
	if err := replacePrivate(privateFile, key.Private); err != nil {
		return nil, fmt.Errorf("write the sample's private key: %w", err)
	}
	return key.Private, nil
}

// writeNew writes a file unless it exists: people edit the samples, and a second start must not undo that.
func writeNew(path string, content []byte) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, privateFileMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = file.Write(content)
	return err
}

func printQuickstart(s streams, directory, address, token string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || host == "::" || host == "0.0.0.0" {
		host = "127.0.0.1"
	}
	base := "http://" + net.JoinHostPort(host, port)
	_, _ = fmt.Fprintf(s.out, `
Ostiary serves the objects in %[1]s/ on %[2]s. Try, in another terminal:

  # a token of the consumer acme, valid for an hour: 200, and the upstream sees who calls but not the token
  curl -i %[2]s/orders/7 -H 'Authorization: Bearer %[3]s'

  # no token: 401
  curl -i %[2]s/orders/7

  # a route that needs none: 200
  curl -i %[2]s/public

Edit the files while this runs. A second key:
  bin/ostiary keygen --secret acme-jwt --private-key %[1]s/acme.key > %[1]s/secret.yaml    # the old token is good for a day still
  bin/ostiary mint --private-key %[1]s/acme.key --claim sub=acme --claim aud=orders-api

Ctrl-C ends it.
`, directory, base, token)
}
