#!/usr/bin/env bash
# Builds the fuzz targets with libFuzzer and AddressSanitizer, and runs each for a time or a number of executions.
#
#   scripts/fuzz.sh SECONDS [TARGET…]
#   RUNS=20000000 scripts/fuzz.sh 0 [TARGET…]     as many executions, however long they take
#   JOBS=2 …                                      two targets at a time
#
# Seeds are the golden vectors, and inputs that once were findings (Fuzz/regressions/TARGET). What is learnt stays in
# .build/fuzz/corpus; findings go to .build/fuzz/findings.
set -euo pipefail
cd "$(dirname "$0")/.."
root="$PWD"

seconds="${1:?seconds for each target}"
shift
runs="${RUNS:-}"
jobs="${JOBS:-1}"
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for source in Fuzz/Sources/Fuzz*/; do
        name="$(basename "$source")"
        [ "$name" = FuzzSupport ] || targets+=("$name")
    done
fi

# AddressSanitizer's archives do not go with the gold linker. Testing is enabled because the lines of an export are read by
# what only this project's package sees.
flags=(--sanitize=address -Xswiftc -sanitize=fuzzer -Xswiftc -enable-testing)
[ "$(uname -s)" = Linux ] && flags+=(-Xswiftc -use-ld=lld)
swift build -c release --package-path Fuzz --scratch-path .build/fuzz/build "${flags[@]}"

seeds() {
    local vectors=Formats/vectors
    case "$1" in
    FuzzBlock | FuzzSmallColumn | FuzzSubBlocks) find "$vectors/block" -name '*.bin' ;;
    FuzzBlockHeader) find "$vectors/block" "$vectors/block-header" -name '*.bin' ;;
    FuzzSegmentHeader) find "$vectors/segment-header" "$vectors/stores" \( -name '*.bin' -o -name '*.seg' \) ;;
    FuzzFooter)
        find "$vectors/stores" -name '*.seg'
        find "$vectors/filters" -name '*.bin'
        ;;
    FuzzStoreFiles)
        find "$vectors/store-identity" "$vectors/state" "$vectors/tail" -name '*.bin'
        find "$vectors/stores" \( -name STORE -o -name STATE -o -name TAIL \)
        ;;
    FuzzLines) find "$vectors/stores" Fuzz/seeds/FuzzLines -name '*.jsonl' -size -32k ;;
    FuzzText) find Fuzz/seeds/FuzzText -name '*.bin' ;;
    FuzzImport) find Fuzz/seeds/FuzzImport -name '*.jsonl' ;;
    FuzzSessionJSON) find Fuzz/seeds/FuzzSessionJSON -name '*.json' ;;
    FuzzWhere | FuzzPredicate) find "Fuzz/seeds/$1" -type f ;;
    esac
    return 0
}

# The longest inputs. Decoders of one structure get what holds several of its limits; a whole store is small, because its
# executions are.
longest() {
    case "$1" in
    FuzzOpen) echo 12288 ;;
    FuzzImport | FuzzLines | FuzzSessionJSON) echo 16384 ;;
    FuzzText) echo 2048 ;;
    FuzzBlockHeader) echo 512 ;;
    FuzzWhere | FuzzPredicate) echo 2048 ;;
    FuzzSmallColumn | FuzzSubBlocks) echo 16384 ;;
    *) echo 65536 ;;
    esac
}

# The runtime's own backtraces take seconds, and would come before the sanitizer's report.
export SWIFT_BACKTRACE=enable=no
# Most of an execution's time goes into allocations: their stacks are not kept, and less of what was freed is kept aside. For a
# report with stacks: ASAN_OPTIONS=malloc_context_size=30 .build/fuzz/build/release/TARGET INPUT
export ASAN_OPTIONS="malloc_context_size=0:quarantine_size_mb=16${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
findings="$root/.build/fuzz/findings"
mkdir -p "$findings"

run() {
    local target="$1"
    local program="$root/.build/fuzz/build/release/$target"
    local corpus="$root/.build/fuzz/corpus/$target"
    local log="$findings/$target.log"
    mkdir -p "$corpus"
    while read -r seed; do
        cp "$seed" "$corpus/seed-$(echo "$seed" | tr / -)"
    done < <(seeds "$target" | sort | head -500)
    [ "$target" = FuzzOpen ] &&
        VARVE_FUZZ_SEEDS="$corpus" VARVE_FUZZ_STORES=Formats/vectors/stores "$program" </dev/null
    local known=()
    [ -d "Fuzz/regressions/$target" ] && known=("$root/Fuzz/regressions/$target")
    local words=()
    case "$target" in
    FuzzLines | FuzzImport) words=(-dict="$root/Fuzz/dictionaries/json.dict") ;;
    FuzzSessionJSON) words=(-dict="$root/Fuzz/dictionaries/session.dict") ;;
    FuzzWhere | FuzzPredicate) words=(-dict="$root/Fuzz/dictionaries/where.dict") ;;
    esac
    local limit=(-max_total_time="$seconds")
    [ -n "$runs" ] && limit=(-runs="$runs")
    local start
    start="$(date +%s)"
    local status=0
    # Targets assert what they may allocate; the limits here catch what those don't see.
    "$program" "${limit[@]}" -max_len="$(longest "$target")" -timeout=60 -rss_limit_mb=3072 \
        -malloc_limit_mb=256 -print_final_stats=1 -artifact_prefix="$findings/$target-" "${words[@]}" \
        "$corpus" "${known[@]}" </dev/null >"$log" 2>&1 || status=$?
    local took=$(($(date +%s) - start))
    local executions
    executions="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)"
    # After a finding there are no final figures: the last line of progress has the count.
    [ -n "$executions" ] || executions="$(sed -n 's/^#\([0-9]*\)[[:space:]].*/\1/p' "$log" | tail -1)"
    local progress
    progress="$(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -1 || true)"
    local found=0
    [ "$status" = 0 ] || found=1
    printf '%s %s %s %s %s %s\n' "$target" "${executions:-0}" "$took" "$found" \
        "$(echo "$progress" | cut -d' ' -f2)" "$(echo "$progress" | cut -d' ' -f4)" >"$findings/$target.figures"
    if [ "$status" != 0 ]; then
        grep -vE '^#[0-9]+\s+(NEW|REDUCE|pulse|RELOAD)' "$log" | tail -60
        echo "== $target: a FINDING; the input is in $findings" >&2
    fi
}

for target in "${targets[@]}"; do
    rm -f "$findings/$target.figures"
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
    echo "== $target"
    run "$target" &
done
wait

failed=0
printf '%-20s %14s %8s %10s %8s %8s %8s\n' target executions seconds a-second edges features findings
for target in "${targets[@]}"; do
    if ! read -r name executions took found edges features <"$findings/$target.figures"; then
        echo "$target did not run" >&2
        failed=1
        continue
    fi
    printf '%-20s %14s %8s %10s %8s %8s %8s\n' "$name" "$executions" "$took" \
        "$((executions / (took > 0 ? took : 1)))" "${edges:-?}" "${features:-?}" "$found"
    [ "$found" = 0 ] || failed=1
done
exit $failed
