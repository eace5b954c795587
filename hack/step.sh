#!/usr/bin/env bash
# Usage: step.sh TITLE COMMAND [ARG...]
# Runs one step of a longer job: prints a header with the time since make
# started, runs the command, prints how long it took and passes on its result.
# With STEP_TICK=SECONDS it says in between that a silent command is still at work.
set -uo pipefail

title=$1
shift

bold='' red='' dim='' reset=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
	bold=$'\e[1m' red=$'\e[31m' dim=$'\e[2m' reset=$'\e[0m'
fi

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

began=$(date +%s)
printf '%s[%s] %s%s\n' "$bold" "$(clock $((began - ${OSTIARY_MAKE_START:-$began})))" "$title" "$reset"

if [[ -n ${STEP_TICK:-} ]]; then
	# sleep gets no descriptor of ours: it outlives us, and must not keep a pipe open.
	while sleep "$STEP_TICK" </dev/null >/dev/null 2>&1; do
		printf '%s       at work for %s%s\n' "$dim" "$(clock $(($(date +%s) - began)))" "$reset"
	done &
	ticker=$!
	trap 'kill "$ticker" 2>/dev/null' EXIT
fi

env -u STEP_TICK "$@"
code=$?

took=$(clock $(($(date +%s) - began)))
if ((code != 0)); then
	printf '%s       %s failed after %s%s\n' "$red" "$title" "$took" "$reset" >&2
	exit "$code"
fi
printf '%s       done in %s%s\n' "$dim" "$took" "$reset"
