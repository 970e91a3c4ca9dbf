#!/usr/bin/env bash
# Measures Varve beside the limits of the machine, and then beside other stores. Arguments are those of both: --events, --rounds, --directory;
# with --only there are no other stores. Without any, which is the whole size, the tables are also written to Benchmarks/RESULTS.md, and plots of
# them to Benchmarks/plots.
set -euo pipefail
cd "$(dirname "$0")/.."
swift="${SWIFT:-swift}"

# Which stores there are is found out anew: what was installed meanwhile changes no file of the package.
"$swift" build -c release --package-path Benchmarks --manifest-cache none --product varve-bench
bench="$("$swift" build -c release --package-path Benchmarks --show-bin-path)/varve-bench"
tables="$(mktemp -d)"
trap 'rm -rf "$tables"' EXIT

"$bench" "$@" --json-file "$tables/limits.json" | tee "$tables/limits"
case " $* " in *" --only"*) exit ;; esac
echo
"$bench" peers "$@" --json-file "$tables/peers.json" | tee "$tables/peers"
if [ $# -eq 0 ]; then
    {
        printf '# Measured by `make bench`\n\nOn %s, at %s. The ratio of each round is to what was measured right before it.\n\n' \
            "$(date +%F)" "$(git describe --always --dirty 2>/dev/null || echo 'an unknown commit')"
        printf '## Varve beside the limits of the machine\n\n'
        sed '/^|/q' "$tables/limits" | sed '/^|/d; s/^\(..*\)$/- \1/'
        sed -n '/^|/p' "$tables/limits"
        printf '\n## Varve beside other stores\n\n'
        printf 'Every store answers the same questions, and is refused where an answer differs from the workload'\''s. In brackets: the ratio to Varve'\''s\n'
        printf 'figure. Of rates more is better, of times and sizes less. MCAP has no library in Debian, and is not here.\n\n'
        cat "$tables/peers"
    } >Benchmarks/RESULTS.md
    "$bench" plots --from "$tables/limits.json" --from "$tables/peers.json" --into Benchmarks/plots
    echo "written: Benchmarks/RESULTS.md, Benchmarks/plots" >&2
fi
