#!/usr/bin/env bash
# Runs the crash tests and the fuzz targets at the sizes of a night, and prints one table of what was reached.
#
#   sudo scripts/torture.sh        (tests that mount file systems need root, and are left out otherwise)
#
# Sizes come from the environment: VARVE_CRASH_STATES, VARVE_KILLS, VARVE_POWER_CUTS, VARVE_DAMAGE (all: each bit and each byte), and
# RUNS for each fuzz target (0: no fuzzing).
# The status is other than 0 when a test failed, when there was a finding, or when less was reached than asked for.
set -euo pipefail
cd "$(dirname "$0")/.."

export VARVE_CRASH_STATES="${VARVE_CRASH_STATES:-1000000}"
export VARVE_KILLS="${VARVE_KILLS:-2000}"
export VARVE_POWER_CUTS="${VARVE_POWER_CUTS:-1000}"
export VARVE_DAMAGE="${VARVE_DAMAGE:-all}"
export RUNS="${RUNS:-20000000}"

mkdir -p .build
log="$PWD/.build/torture.log"
failed=0
"${SWIFT:-swift}" test -c release -Xswiftc -enable-testing --filter CrashTests >"$log" 2>&1 || failed=1
grep -E '✘|skipped|SEED' "$log" || true

if [ "$RUNS" != 0 ]; then
    rm -f .build/fuzz/findings/*.figures
    scripts/fuzz.sh 0 >>"$log" 2>&1 || failed=1
    # What fuzz.sh leaves: target, executions, seconds, findings.
    for figures in .build/fuzz/findings/*.figures; do
        [ -f "$figures" ] || continue
        read -r target executions _ findings _ <"$figures"
        echo "torture: fuzzing, $target: asked=$RUNS reached=$executions findings=$findings" >>"$log"
    done
    grep -q '^torture: fuzzing' "$log" || { echo "no fuzz target left its figures" >&2; failed=1; }
fi

sed -n 's/.*torture: \(.*\): asked=\([0-9]*\) reached=\([0-9]*\) *\(.*\)/\1|\2|\3|\4/p' "$log" |
    sort | awk -F'|' '
        BEGIN { printf "%-52s | %10s | %10s |\n", "figure", "asked", "reached" }
        { printf "%-52s | %10s | %10s | %s\n", $1, $2, $3, $4; if ($3 < $2) short = 1 }
        END { exit short }' || failed=1
for figure in "kills of the command" "kills of the library" "kills of a recorder" "ext4 power cuts" "simulated crash states" "crash states of retention and compaction" "bit flips" "truncations"; do
    grep -q "torture: $figure" "$log" || { echo "not run: $figure"; failed=1; }
done
[ $failed -eq 0 ] || echo "torture: something failed; all output is in $log" >&2
exit $failed
