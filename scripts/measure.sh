#!/usr/bin/env bash
# Measures the growth of stores, or the latency of appends, and draws a plot. Without more arguments the figures go to Benchmarks/RESULTS.md.
#
#   scripts/measure.sh growth|latency [OPTION...]
#
# The status is that of the measurement: `latency` fails when an append took too long.
set -euo pipefail
cd "$(dirname "$0")/.."
part="$1"
shift
figures="$(mktemp)"
trap 'rm -f "$figures"' EXIT
status=0
"${SWIFT:-swift}" run -c release --package-path Benchmarks varve-bench "$part" --plot "Benchmarks/plots/$part.svg" "$@" |
    tee "$figures" || status=$?
# Without its table it did not come to an end.
if [ $# -eq 0 ] && grep -q '^|' "$figures"; then
    case "$part" in
    growth) title='Growth' ;;
    *) title='Latency of every append' ;;
    esac
    scripts/results.sh "$title" "make $part" <"$figures"
fi
exit "$status"
