#!/usr/bin/env bash
# Builds the test control plane (etcd, kube-apiserver, kube-controller-manager
# and kubectl in one static binary) once per machine and prints the folder that
# KUBEBUILDER_ASSETS should name: that folder is all that goes to standard
# output. Progress goes to standard error.
#
# The folder is ${OSTIARY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ostiary}/kubebed-VERSION-HASH,
# where HASH covers the sources, the flags and the Go version. Two callers at
# once build it once: the second waits for the first.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"
say() { printf 'kubebed: %s\n' "$*" >&2; }

# Read from go.mod rather than `go list -m`, which would download modules even
# when the folder is there already.
kube=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v1\./ { print $2; exit }' go.mod)
[ -n "$kube" ] || { say "no k8s.io/kubernetes version in $here/go.mod"; exit 1; }
minor=${kube#v1.}
minor=${minor%%.*}

# Without these the server calls itself v0.0.0-master, and charts that ask for
# its version go wrong.
ldflags="-s -w"
for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	ldflags+=" -X $p.gitVersion=$kube -X $p.gitMajor=1 -X $p.gitMinor=$minor -X $p.gitTreeState=clean"
	ldflags+=" -X $p.gitCommit=0000000000000000000000000000000000000000 -X $p.buildDate=1970-01-01T00:00:00Z"
done
flags=(-trimpath -buildvcs=false -ldflags "$ldflags")

key=$({ cat go.mod go.sum ./*.go; printf '%s\n' "${flags[@]}"; go version; } | sha256sum | cut -c1-16)
base=${OSTIARY_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME, XDG_CACHE_HOME or OSTIARY_CACHE}/.cache}/ostiary}
dir=$base/kubebed-$kube-$key

finish() {
	printf '%s\n' "$dir"
	exit 0
}
[ -x "$dir/kubebed" ] && finish

mkdir -p "$base"
if command -v flock >/dev/null; then
	exec 9>"$base/.kubebed.lock"
	if ! flock -n 9; then
		say "another build is running, waiting for it"
		flock 9
	fi
	[ -x "$dir/kubebed" ] && finish
fi # Without flock two callers may both build; the rename below keeps that safe.

new=$base/.kubebed-$key.$$
log=$new/build.log
mkdir -p "$new"
build=
cleanup() {
	[ -z "$build" ] || kill "$build" 2>/dev/null || true
	rm -rf "$new"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# watch LABEL PATTERN TOTAL: reports how far the background job has come until it
# ends. A terminal gets one line that is rewritten, anything else (CI) a plain
# line every 15 seconds.
watch() {
	local label=$1 pattern=$2 total=$3 started=$SECONDS said=$SECONDS n text
	while kill -0 "$build" 2>/dev/null; do
		sleep 1
		n=$(grep -cE "$pattern" "$log" || true)
		text=$(printf '%s: %d%s, %dm%02ds' "$label" "$n" "$total" $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)))
		if [ -t 2 ] && [ -z "${CI:-}" ]; then
			printf '\r\033[Kkubebed: %s  %s' "$text" "$(tail -n 1 "$log" | cut -c1-60)" >&2
		elif [ $((SECONDS - said)) -ge 15 ]; then
			said=$SECONDS
			say "$text"
		fi
	done
	if [ -t 2 ] && [ -z "${CI:-}" ]; then printf '\r\033[K' >&2; fi
	local code=0
	wait "$build" || code=$?
	build=
	if [ "$code" -ne 0 ]; then
		grep -vE '^go: downloading |^[a-zA-Z0-9._/-]+$' "$log" | tail -n 40 >&2 || true
		say "$label failed with exit code $code"
		exit 1
	fi
}

say "building the test control plane $kube into $dir"
say "once per machine: about 10 minutes on two cores when nothing is cached, seconds when the Go build cache is warm"
start=$SECONDS

: >"$log"
go list -deps . >"$new/packages" 2>"$log" 9>&- &
build=$!
watch "modules downloaded" '^go: downloading ' ''
total=$(wc -l <"$new/packages")

: >"$log"
CGO_ENABLED=0 go build -v "${flags[@]}" -o "$new/kubebed" . 2>"$log" 9>&- &
build=$!
watch "packages compiled" '^[a-zA-Z0-9._/-]+$' " (of $((total)) that are not cached yet)"

for name in etcd kube-apiserver kube-controller-manager kubectl; do
	ln -s kubebed "$new/$name"
done
rm -f "$log" "$new/packages"
# The folder appears whole or not at all.
mv -T "$new" "$dir" 2>/dev/null || [ -x "$dir/kubebed" ] || { say "can't move the result to $dir"; exit 1; }
say "built in $(((SECONDS - start) / 60))m$(((SECONDS - start) % 60))s"
finish
