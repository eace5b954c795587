#!/usr/bin/env bash
# Generates what the documentation shares with the code: the API's reference,
# the commands' reference and the chart's README.
set -euo pipefail
cd "$(dirname "$0")/.."

tool() { go tool -modfile=hack/tools/go.mod "$@"; }

new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
mkdir -p docs/reference

tool crd-ref-docs --log-level=ERROR --source-path=api/v1alpha1 --renderer=markdown \
	--config=hack/crd-ref-docs/config.yaml --templates-dir=hack/crd-ref-docs --output-path="$new/api.md"
cat -s "$new/api.md" >docs/reference/api.md # templates leave runs of empty lines

go run ./hack/commanddocs docs/reference/commands.md

tool helm-docs --log-level=warning --chart-search-root=charts --sort-values-order=file
