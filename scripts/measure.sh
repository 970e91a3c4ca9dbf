#!/usr/bin/env bash
# Measures the growth of stores, the latency of appends, or minutes of recording within a limit, and draws a plot. Without more arguments the figures go to Benchmarks/RESULTS.md.
#
#   scripts/measure.sh growth|latency|soak [OPTION...]
#
# The status is that of the measurement: `latency` fails when an append took too long, `soak` when an aim is missed, which is told all the same; `growth` when a store had to be left out, for want of space, say, and then its figures stay as they were.
set -euo pipefail
cd "$(dirname "$0")/.."
part="$1"
shift
figures="$(mktemp)"
trap 'rm -f "$figures"' EXIT
status=0
export VARVE_BENCH_COMMIT
VARVE_BENCH_COMMIT="${VARVE_BENCH_COMMIT:-$(scripts/commit.sh)}"
"${SWIFT:-swift}" run -c release --package-path Benchmarks varve-bench "$part" --plot "Benchmarks/plots/$part.svg" "$@" |
    tee "$figures" || status=$?
# Without its table it did not come to an end.
if [ $# -eq 0 ] && grep -q '^|' "$figures" && { [ "$part" != growth ] || [ "$status" -eq 0 ]; }; then
    case "$part" in
    growth) title='Growth' ;;
    latency) title='Latency of every append' ;;
    *) title='Recording within a limit' ;;
    esac
    scripts/results.sh "$title" "make $part" <"$figures"
fi
exit "$status"
