#!/bin/sh
# Runs every fuzz target of the module in turn: fuzz.sh BUDGET, where BUDGET is
# what go test -fuzztime takes, such as 30s or 5000x.
set -eu
budget=${1:-30s}
cd "$(dirname "$0")/.."

grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -r -n 1 dirname | sort -u |
	while read -r package; do
		grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$package"/*_test.go | sed 's/^func //' | sort |
			while read -r target; do
				echo "fuzz $package $target $budget"
				go test -run '^$' -fuzz "^$target\$" -fuzztime "$budget" "$package" </dev/null ||
					exit 1
			done || exit 1
	done
