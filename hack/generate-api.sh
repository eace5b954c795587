#!/usr/bin/env bash
# Generates deepcopy methods and CRDs from api/ and copies the CRDs into the
# chart. It generates into a fresh folder first: a failure leaves the old files
# whole, and a kind that was removed leaves no file behind.
set -euo pipefail
cd "$(dirname "$0")/.."

new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT

go tool -modfile=hack/tools/go.mod controller-gen object crd \
	paths=./api/... output:crd:artifacts:config="$new"

for dir in config/crd charts/ostiary/files/crds; do
	mkdir -p "$dir"
	rm -f "$dir"/ostiary.dev_*.yaml
	cp "$new"/ostiary.dev_*.yaml "$dir"/
done
