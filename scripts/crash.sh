#!/usr/bin/env bash
# Runs the crash tests and counts: crash.sh N. In each of four workloads they kill
# N times with SIGKILL, and in each of ten they check 10 N images of power cuts.
# It fails when a test fails, or when fewer were run than that.
set -euo pipefail
n=${1:-50}
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# One package after the other: a kill at a random instant should hit a process
# that has the machine to itself.
status=0
PONGOFS_CRASH=$n go test -p 1 -tags invariants -count=1 -v -timeout 60m \
	-run 'KillsAtRandom|KillMount|KillBackup|Power' ./engine ./integration | tee "$log" |
	grep -vE '^=== ' || status=1

awk -v n="$n" -v status="$status" '
	/: crash: / {
		sub(/.*: crash: /, "")
		line[++lines] = $0
		split($0, quoted, "\"")
		split(quoted[3], word, " ")
		runs = word[2]; failed = word[4]
		if ($1 == "control") { controls++; caught += failed > 0 }
		else if ($1 == "power") { images += runs; failures += failed }
		else { kills += runs; failures += failed }
	}
	END {
		print "\n== crash tests"
		for (i = 1; i <= lines; i++) print line[i]
		printf "%d power-cut images and %d kill -9 runs: %d failures; %d of %d controls noticed\n",
			images, kills, failures, caught, controls
		if (status || images < 100 * n || kills < 4 * n || failures || caught < controls || controls < 10) exit 1
	}' "$log"
