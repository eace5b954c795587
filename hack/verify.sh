#!/usr/bin/env bash
# Regenerates, formats, lints and tidies, then fails when that changed a file.
# On a developer's machine uncommitted work is fine: the files are compared with
# what they were before. In CI (CI set) they are compared with the commit.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! git rev-parse --verify --quiet HEAD >/dev/null; then
	echo 'make verify compares with git: run it in a clone' >&2
	exit 1
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Prints the tree of all files that are not ignored, without touching the index.
tree() {
	cp "$(git rev-parse --git-path index)" "$scratch/index"
	GIT_INDEX_FILE=$scratch/index git add --all
	GIT_INDEX_FILE=$scratch/index git write-tree
}

if [[ -n ${CI:-} ]]; then
	before='HEAD^{tree}'
else
	before=$(tree)
fi

make generate
make fmt
make lint
make tidy

after=$(tree)
if ! git diff --quiet "$before" "$after"; then
	git --no-pager diff --stat -p "$before" "$after"
	cat >&2 <<-'EOF'

		The files above were out of date, or were never committed. This tree has them as
		they should be: look at `git diff`, then commit them. `make generate fmt tidy`
		brings them up to date without the linters.
	EOF
	exit 1
fi
echo 'verify: everything is up to date and clean'
