#!/usr/bin/env bash
# Lists the targets of a Makefile: `##@ Group` opens a group, `target: ## text`
# describes a target. Colour only on a terminal, and not when NO_COLOR is set.
set -euo pipefail

bold='' cyan='' reset=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
	bold=$'\e[1m' cyan=$'\e[36m' reset=$'\e[0m'
fi

echo "Usage: ${bold}make${reset} ${cyan}TARGET${reset}"
awk -v bold="$bold" -v cyan="$cyan" -v reset="$reset" '
	/^##@ / { printf "\n%s%s%s\n", bold, substr($0, 5), reset }
	match($0, /^[a-z0-9-]+:.*## /) {
		name = substr($0, 1, index($0, ":") - 1)
		printf "  %s%-14s%s %s\n", cyan, name, reset, substr($0, RSTART + RLENGTH)
	}
' "$@"
