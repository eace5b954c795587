#!/usr/bin/env bash
# Installs the programs that `make bench-peers` compares with, where they are missing.
set -euo pipefail

missing=()
for pair in haproxy:haproxy nginx:nginx-light wrk:wrk h2load:nghttp2-client gcc:gcc taskset:util-linux; do
	command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
# Express Gateway joins where npm is: into bin/, which git ignores.
if command -v npm >/dev/null && [[ ! -d bin/peers/node_modules/express-gateway ]]; then
	echo "installing express-gateway from npm (half a minute)"
	mkdir -p bin/peers
	npm install --prefix bin/peers --no-save --ignore-scripts --no-audit --no-fund --loglevel=error express-gateway@1.16.11 >/dev/null ||
		echo "npm can't install it: it will not be in the table" >&2
fi
[[ ${#missing[@]} -eq 0 ]] && exit 0
if ! command -v apt-get >/dev/null; then
	echo "install these first: ${missing[*]}" >&2
	exit 1
fi
echo "installing ${missing[*]}"
as_root=()
[[ $EUID -eq 0 ]] || as_root=(sudo)
"${as_root[@]}" apt-get install -y --no-install-recommends "${missing[@]}" >/dev/null
