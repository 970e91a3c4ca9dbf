#!/usr/bin/env bash
# Measures Varve beside the limits of the machine, and then beside other stores: on workload A, on workload B, and on each real capture of the
# directory that VARVE_CAPTURES names (*.json, *.jsonl, and what *.zip archives hold of them). Arguments are those of all: --events, --rounds,
# --directory; with --only there are no other stores. Without any, which is the whole size, growth and latency are measured too, the tables
# are also written to Benchmarks/RESULTS.md, and plots of them to Benchmarks/plots.
set -euo pipefail
captures="${VARVE_CAPTURES:+$(cd "$VARVE_CAPTURES" && pwd -P)}"
cd "$(dirname "$0")/.."
swift="${SWIFT:-swift}"
export VARVE_BENCH_COMMIT
VARVE_BENCH_COMMIT="$(scripts/commit.sh)"

# Which stores there are is found out anew: what was installed meanwhile changes no file of the package.
"$swift" build -c release --package-path Benchmarks --manifest-cache none --product varve-bench
bench="$("$swift" build -c release --package-path Benchmarks --show-bin-path)/varve-bench"
tables="$(mktemp -d)"
trap 'rm -rf "$tables"' EXIT

# What can't be measured is told, and the rest is.
failed=0
skip() {
    echo "bench: left out: $1" >&2
    failed=1
}

# Unpacked before anything is measured: what is wrong with an archive is told at once.
workloads=(a b)
if [ -n "$captures" ]; then
    for archive in "$captures"/*.zip; do
        [ -e "$archive" ] || continue
        python3 -m zipfile -e "$archive" "$tables/captures/$(basename "$archive" .zip)" || skip "$archive"
    done
    while IFS= read -r -d '' capture; do
        workloads+=("$capture")
    done < <(
        {
            find "$captures" -maxdepth 1 -type f \( -name '*.json' -o -name '*.jsonl' \) -print0
            # What archives made on a Mac hold besides is no capture.
            [ ! -d "$tables/captures" ] || find "$tables/captures" -type f \( -name '*.json' -o -name '*.jsonl' \) \
                ! -name '._*' ! -path '*/__MACOSX/*' -print0
        } | LC_ALL=C sort -z
    )
fi

"$bench" "$@" --json-file "$tables/limits.json" | tee "$tables/limits" || skip "some of what Varve does"
case " $* " in *" --only"*) exit "$failed" ;; esac
for number in "${!workloads[@]}"; do
    echo
    "$bench" peers "$@" --workload "${workloads[$number]}" --json-file "$tables/peers-$number.json" |
        tee "$tables/peers-$number" || skip "${workloads[$number]}"
done
[ $# -eq 0 ] || exit "$failed"

# Tables and plots of the whole size; those of what could not be measured whole stay as they were.
if [ "$failed" = 0 ]; then
    {
        printf 'Of each round a ratio is to the last measurement of the figure it names, most often right before; it stands where two figures measure the same.\n\n'
        sed '/^|/q' "$tables/limits" | sed '/^|/d; s/^\(..*\)$/- \1/'
        sed -n '/^|/p' "$tables/limits"
    } | scripts/results.sh 'Varve beside the limits of the machine' 'make bench'
    {
        printf 'Every store answers the same questions, and is refused where an answer differs from the workload'\''s. In brackets: the ratio to Varve'\''s\n'
        printf 'figure. Of rates more is better, of times and sizes less. MCAP has no library in Debian, and is not here. The other stores have keys by number\n'
        printf 'and by time, and none by kind or text: for both they pass over all events, where Varve has counts and filters. No other store is compacted\n'
        printf 'by hand before it is read.\n'
        for number in "${!workloads[@]}"; do
            case "${workloads[$number]}" in
            a) title='Workload A' ;;
            b) title='Workload B: events of about 4 KiB' ;;
            *) title="A real capture: $(basename "${workloads[$number]}")" ;;
            esac
            printf '\n### %s\n\n' "$title"
            cat "$tables/peers-$number"
        done
    } | scripts/results.sh 'Varve beside other stores' 'make bench'
    "$bench" plots --from "$tables/limits.json" --from "$tables/peers-0.json" --into Benchmarks/plots
    echo "written: Benchmarks/plots" >&2
else
    echo "bench: not all could be measured: Benchmarks/RESULTS.md and its plots stay as they are" >&2
fi
for part in growth latency; do
    scripts/measure.sh "$part" || skip "$part"
done
exit "$failed"
