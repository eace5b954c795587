#!/usr/bin/env bash
# Usage: coverage.sh PROFILE | coverage.sh --packages
# Prints a table of statement coverage, one line a package, for the packages
# whose mistakes would open a door: the compiler, the router and the token code.
# A statement that any test reaches counts as covered.
set -euo pipefail
cd "$(dirname "$0")/.."

module=github.com/ostiary/ostiary
packages=(internal/compile proxy/jose proxy/jwt proxy/routing)

if [[ $1 == --packages ]]; then
	for package in "${packages[@]}"; do echo "$module/$package"; done
	exit
fi

echo
printf '%-20s %10s %10s %9s\n' 'coverage of' statements covered percent
for package in "${packages[@]}"; do
	# Each test binary writes its own lines for a block; any hit counts.
	awk -v prefix="$module/$package/" -v name="$package" '
		NR > 1 {
			file = $1
			sub(/:.*/, "", file)
			rest = substr(file, length(prefix) + 1)
			if (index(file, prefix) != 1 || index(rest, "/")) next
			size[$1] = $2
			if ($3 > 0) hit[$1] = 1
		}
		END {
			for (block in size) { all += size[block]; if (block in hit) covered += size[block] }
			if (all == 0) { printf "%-20s %10s %10s %9s\n", name, "-", "-", "none"; exit }
			printf "%-20s %10d %10d %8.1f%%\n", name, all, covered, 100 * covered / all
		}
	' "$1"
done
