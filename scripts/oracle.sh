#!/usr/bin/env bash
# Shows that the tests notice what they are for. One check or sync at a time is left out (Sources/VarveFormat/Safeguard.swift), and
# the test that the table in Tests/Crash/README.md names for it must fail.
#
#   scripts/oracle.sh [NAME...]         without names: all of them
#   FIND=1 scripts/oracle.sh NAME...    looks for tests that fail, in all suites of the engine
#
# The status is other than 0 when a test does not notice, when one fails with nothing left out, or when table and source differ.
set -euo pipefail
cd "$(dirname "$0")/.."

safeguards=Sources/VarveFormat/Safeguard.swift
table=Tests/Crash/README.md
options=(-c release -Xswiftc -enable-testing -Xswiftc -DVARVE_ORACLE --scratch-path .build/oracle)
log="$PWD/.build/oracle.log"
mkdir -p .build

# "name test", a line each.
rows="$(sed -n 's/^| `\([A-Za-z]*\)` |.*| `\([A-Za-z0-9]*\/[A-Za-z0-9]*\)` |$/\1 \2/p' "$table")"
known="$(sed -n 's/^ *case \([A-Za-z, ]*\)$/\1/p' "$safeguards" | tr -d ' ' | tr ',' '\n' | sort)"
if ! diff <(cut -d' ' -f1 <<<"$rows" | sort) - <<<"$known"; then
    echo "oracle: $table (<) and $safeguards (>) name different safeguards" >&2
    exit 1
fi
names=("$@")
[ $# -gt 0 ] || read -ra names -d '' <<<"$(cut -d' ' -f1 <<<"$rows")" || true
for name in "${names[@]}"; do
    grep -qx "$name" <<<"$known" || { echo "oracle: no safeguard is called $name" >&2; exit 1; }
done

# A test waits for ten minutes for what does not come, and says so.
seconds=900
# Whole suites.
[ -z "${FIND:-}" ] || seconds=3600

# Runs the tests that a regular expression chooses, with a safeguard left out, or none.
run() {
    local with=(env NO_COLOR=1)
    [ -z "$1" ] || with+=("VARVE_ORACLE=$1")
    # Left out, a bound may let a loop run on.
    if [ -n "$1" ] && command -v timeout >/dev/null; then with+=(timeout "$seconds"); fi
    "${with[@]}" "${SWIFT:-swift}" test --skip-build --disable-xctest "${options[@]}" --filter "$2" >"$log" 2>&1
}

# The tests that failed in the last run, an issue each.
failures() {
    sed -n 's/^[^ ]* Test \(.*\) recorded an issue.* at \([A-Za-z0-9+]*\.swift:[0-9]*\).*/\1 (\2)/p' "$log"
}

# What the last run ended with: the first test that failed, or how it was ended.
outcome() {
    local failed
    failed="$(failures | head -n 1)"
    if [ -n "$failed" ]; then echo "$failed"
    elif grep -q 'unexpected signal' "$log"; then echo "ends by $(grep -o 'signal code [0-9]*' "$log" | head -n 1)"
    else echo "does not end, or not well"; fi
}

"${SWIFT:-swift}" build --build-tests "${options[@]}"

if [ -n "${FIND:-}" ]; then
    for name in "${names[@]}"; do
        for suite in VarveFormatTests VarveTests CrashTests; do
            if run "$name" "^$suite\\."; then continue; fi
            echo "$name: $suite:"
            failures | sort | uniq -c
            break
        done
    done
    exit 0
fi

test_of() { awk -v name="$1" '$1 == name { print $2 }' <<<"$rows"; }
# A regular expression for exactly these tests.
pattern() { echo "\\.$1\\("; }

all="$(for name in "${names[@]}"; do pattern "$(test_of "$name")"; done | sort -u | paste -sd'|')"
began=$SECONDS
if ! run "" "$all"; then
    echo "oracle: with nothing left out: $(outcome); all output is in $log" >&2
    exit 1
fi
# What takes long on this machine has not failed for that.
seconds=$((seconds + SECONDS - began))

survived=0
printf '%-24s | %-42s | %s\n' "left out" "test" "what it says first"
for name in "${names[@]}"; do
    test="$(test_of "$name")"
    if run "$name" "$(pattern "$test")"; then
        said="NOTHING: it passes"
        survived=$((survived + 1))
    else
        said="$(outcome)"
    fi
    printf '%-24s | %-42s | %s\n' "$name" "$test" "$said"
done
echo "oracle: ${#names[@]} left out one at a time, $((${#names[@]} - survived)) noticed"
[ $survived -eq 0 ]
