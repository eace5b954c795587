#!/usr/bin/env bash
# Usage: test-unit.sh PROFILE [GO TEST FLAG...]
# Runs every test but the end-to-end ones and writes the coverage profile of
# the packages that coverage.sh reports.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=$1
shift

covered=$(hack/coverage.sh --packages | paste -sd, -)
packages=$(go list ./... | grep -v '/ostiary/test\(/\|$\)')

# What each test binary alone covers of these packages says nothing: coverage.sh
# counts them together, so the shares are cut from go test's lines.
# shellcheck disable=SC2086 # one argument a package
go test -race -shuffle=on -timeout=20m \
	-covermode=atomic -coverprofile="$profile" -coverpkg="$covered" "$@" $packages |
	sed -u -e '/^\t.*coverage: /d' -e 's/\tcoverage: .*//'
