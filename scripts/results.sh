#!/usr/bin/env bash
# Puts a section into Benchmarks/RESULTS.md, its text on standard input: in the place of the one with the same title, or at the end.
#
#   scripts/results.sh TITLE COMMAND <TEXT
#
# COMMAND is what measured it, as people call it. The commit is that of VARVE_BENCH_COMMIT, which `scripts/commit.sh` tells before a measurement.
set -euo pipefail
cd "$(dirname "$0")/.."
results=Benchmarks/RESULTS.md
section="$(mktemp)"
whole="$(mktemp)"
trap 'rm -f "$section" "$whole"' EXIT
{
    printf '## %s\n\nBy `%s` on %s, at %s.\n\n' "$1" "$2" "$(date +%F)" "$VARVE_BENCH_COMMIT"
    cat
} >"$section"
[ -e "$results" ] || printf '# Figures\n' >"$results"
awk -v heading="## $1" -v section="$section" '
    function put(    line) { while ((getline line <section) > 0) print line; isPut = 1 }
    /^## / { isOld = $0 == heading; if (isOld) { put(); print ""; next } }
    !isOld
    END { if (!isPut) { print ""; put() } }
' "$results" >"$whole"
# Without the empty line after the last section.
printf '%s\n' "$(cat -s "$whole")" >"$results"
echo "written: $results: $1" >&2
