// Ostiary is a Kubernetes ingress controller that checks JSON Web Tokens at the door.
package main

import (
	"os"

	"github.com/ostiary/ostiary/internal/app"
)

func main() {
	os.Exit(app.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
