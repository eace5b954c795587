#!/usr/bin/env bash
# Usage: fuzz.sh [TIME]
# Runs every fuzz target of the module for TIME (10s) each, one after the other,
# and goes on after a failure so that one run shows all of them.
set -uo pipefail
cd "$(dirname "$0")/.."

time=${1:-10s}
targets=$(git ls-files --cached --others --exclude-standard '*_test.go' |
	xargs grep -HoE '^func Fuzz[A-Za-z0-9_]+' | sort)
if [[ -z $targets ]]; then
	echo 'no fuzz targets found' >&2
	exit 1
fi

failed=()
while IFS=: read -r file name; do
	name=${name#func }
	package=./$(dirname "$file")
	if ! hack/step.sh "$package $name for $time" \
		go test -run='^$' -fuzz="^$name\$" -fuzztime="$time" "$package" </dev/null; then
		failed+=("$package $name")
	fi
done <<<"$targets"

if ((${#failed[@]} > 0)); then
	printf 'failed: %s\n' "${failed[@]}" >&2
	exit 1
fi
