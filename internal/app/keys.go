package app

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/ostiary/ostiary/internal/mint"
)

func newKeygenCommand(s streams) *cobra.Command {
	var algorithm, name, namespace, entry, private string
	cmd := &cobra.Command{
		Use:   "keygen --secret NAME --private-key FILE",
		Short: "Make a key: the private half into a file, a Secret with the public half to standard output",
		Example: `  ostiary keygen --secret acme-jwt --namespace shop --private-key acme.pem | kubectl apply -f -
  ostiary mint --private-key acme.pem --claim sub=acme --claim aud=orders-api`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			key, err := mint.NewKey(algorithm)
			if err != nil {
				return err
			}
			if err := replacePrivate(private, key.Private); err != nil {
				return fmt.Errorf("write the private key: %w", err)
			}
			manifest, err := secretManifest(namespace, name, entry, key.Verifier)
			if err != nil {
				return err
			}
			_, err = s.out.Write(manifest)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&algorithm, "algorithm", "ES256", "what the key is for: one of "+strings.Join(mint.Algorithms(), ", "))
	flags.StringVar(&name, "secret", "", "the name of the Secret (required)")
	flags.StringVar(&namespace, "namespace", "", "the namespace of the Secret; absent: left to kubectl")
	flags.StringVar(&entry, "entry", "public.pem", "the entry of the Secret that holds the key")
	flags.StringVar(&private, "private-key", "", "the file that the private key is written to; it is replaced (required)")
	markRequired(cmd, "secret", "private-key")
	return cmd
}

func newMintCommand(s streams) *cobra.Command {
	var algorithm, private, kid string
	var claims []string
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use:   "mint --private-key FILE --claim sub=NAME",
		Short: "Sign a token, to try a Pipeline out with",
		Long: `Sign a token with a private key and print it, to try a Pipeline out with.

A claim's value is taken as JSON where it is JSON and as a string otherwise: --claim scope='orders.read' or
--claim aud='["a","b"]'. iat is set to now and exp to now plus --lifetime, unless they are given.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			key, err := os.ReadFile(private)
			if err != nil {
				return fmt.Errorf("read the private key: %w", err)
			}
			token, err := mintToken(algorithm, key, kid, claims, time.Now(), lifetime)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(s.out, token)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&algorithm, "algorithm", "ES256", "the signature algorithm: one of "+strings.Join(mint.Algorithms(), ", "))
	flags.StringVar(&private, "private-key", "", "the file with the private key or HMAC secret (required)")
	flags.StringVar(&kid, "kid", "", "the key ID in the token's header; absent: none")
	flags.StringArrayVar(&claims, "claim", nil, "a claim as NAME=VALUE; may be repeated")
	flags.DurationVar(&lifetime, "lifetime", time.Hour, "how long the token is valid; may be negative, for an expired one")
	markRequired(cmd, "private-key")
	return cmd
}

func mintToken(algorithm string, private []byte, kid string, claims []string, now time.Time, lifetime time.Duration) (string, error) {
	payload := map[string]any{"iat": now.Unix(), "exp": now.Add(lifetime).Unix()}
	for _, claim := range claims {
		name, text, ok := strings.Cut(claim, "=")
		if !ok || name == "" {
			return "", fmt.Errorf("--claim %q: write NAME=VALUE", claim)
		}
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			value = text
		}
		payload[name] = value
	}
	return mint.Token(algorithm, private, kid, payload)
}

// secretManifest is the YAML of a Secret with one entry.
func secretManifest(namespace, name, entry string, value []byte) ([]byte, error) {
	manifest, err := yaml.Marshal(struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        map[string]string `json:"metadata"`
		Type            corev1.SecretType `json:"type"`
		StringData      map[string]string `json:"stringData"`
	}{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		Metadata:   objectMetadata(namespace, name),
		Type:       corev1.SecretTypeOpaque,
		StringData: map[string]string{entry: string(value)},
	})
	if err != nil {
		return nil, fmt.Errorf("encode the Secret: %w", err)
	}
	return manifest, nil
}

func objectMetadata(namespace, name string) map[string]string {
	if namespace == "" {
		return map[string]string{"name": name}
	}
	return map[string]string{"namespace": namespace, "name": name}
}

func markRequired(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // a name that is no flag of the command: a programming error
		}
	}
}

// mustSet changes the default of a flag for one command.
func mustSet(flags *pflag.FlagSet, name, value string) {
	flag := flags.Lookup(name)
	if err := flag.Value.Set(value); err != nil {
		panic(err) // a default that is no value of the flag: a programming error
	}
	flag.DefValue = value
}
