#!/usr/bin/env bash
# Builds the fuzz targets with libFuzzer and AddressSanitizer and runs each for a time.
#
#   scripts/fuzz.sh SECONDS [TARGET…]
#
# Seeds are the golden vectors, and inputs that once were findings (Fuzz/regressions/TARGET). What is learnt stays in
# .build/fuzz/corpus; findings go to .build/fuzz/findings.
set -euo pipefail
cd "$(dirname "$0")/.."
root="$PWD"

seconds="${1:?seconds for each target}"
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    targets=()
    for source in Fuzz/Sources/Fuzz*/; do
        name="$(basename "$source")"
        [ "$name" = FuzzSupport ] || targets+=("$name")
    done
fi

# AddressSanitizer's archives do not go with the gold linker.
linker=()
[ "$(uname -s)" = Linux ] && linker=(-Xswiftc -use-ld=lld)
for target in "${targets[@]}"; do
    swift build -c release --package-path Fuzz --scratch-path .build/fuzz/build --product "$target" \
        --sanitize=address -Xswiftc -sanitize=fuzzer "${linker[@]}"
done

seeds() {
    local vectors=Formats/vectors
    case "$1" in
    FuzzBlock) find "$vectors/block" -name '*.bin' 2>/dev/null ;;
    FuzzSegmentHeader) find "$vectors/segment-header" "$vectors/stores" \( -name '*.bin' -o -name '*.seg' \) 2>/dev/null ;;
    FuzzFooter) find "$vectors/stores" -name '*.seg' 2>/dev/null ;;
    FuzzStoreFiles)
        find "$vectors/store-identity" "$vectors/state" "$vectors/tail" -name '*.bin' 2>/dev/null
        find "$vectors/stores" \( -name STORE -o -name STATE -o -name TAIL \) 2>/dev/null
        ;;
    esac
    return 0
}

# The runtime's own backtraces take seconds, and would come before the sanitizer's report.
export SWIFT_BACKTRACE=enable=no
failed=0
for target in "${targets[@]}"; do
    corpus="$root/.build/fuzz/corpus/$target"
    findings="$root/.build/fuzz/findings"
    mkdir -p "$corpus" "$findings"
    while read -r seed; do
        cp "$seed" "$corpus/seed-$(echo "$seed" | tr / -)"
    done < <(seeds "$target" | head -500)
    known=()
    [ -d "Fuzz/regressions/$target" ] && known=("$root/Fuzz/regressions/$target")
    echo "== $target, $seconds s, $(find "$corpus" -type f | wc -l) inputs to start from"
    log="$findings/$target.log"
    # What a decoder may allocate for one input is bounded: 64 MiB for a sub-block, and its columns.
    if ! "$root/.build/fuzz/build/release/$target" -max_total_time="$seconds" -max_len=262144 -timeout=10 \
        -rss_limit_mb=3072 -malloc_limit_mb=256 -print_final_stats=1 -artifact_prefix="$findings/$target-" \
        "$corpus" "${known[@]}" </dev/null >"$log" 2>&1; then
        failed=1
        grep -vE '^#[0-9]+\s+(NEW|REDUCE|pulse)' "$log" | tail -60
        echo "== $target: a FINDING; the input is in $findings" >&2
    else
        grep -E '^Done|stat::(number_of_executed_units|peak_rss_mb)|DONE' "$log"
    fi
done
exit $failed
