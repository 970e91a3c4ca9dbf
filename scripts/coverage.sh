#!/usr/bin/env bash
# Which lines of the library the tests reach, by module. With an argument also the lines of the files with that in their path that no
# test reaches:
#
#   scripts/coverage.sh [PART]      (scripts/coverage.sh VarveFormat)
#
# FILTER chooses tests, as a regular expression. FILTER=none looks at the last run again.
set -euo pipefail
cd "$(dirname "$0")/.."

options=(-c release -Xswiftc -enable-testing --enable-code-coverage --scratch-path .build/coverage)
log="$PWD/.build/coverage.log"
mkdir -p .build
status=0
profiles="$("${SWIFT:-swift}" test --show-codecov-path "${options[@]}")"
profiles="$(dirname "$profiles")"
# The tools of the same toolchain: others do not know its format.
tools="$(dirname "$(readlink -f "$(command -v "${SWIFT:-swift}")")")"
if [ "${FILTER:-}" != none ]; then
    "${SWIFT:-swift}" build --build-tests "${options[@]}"
    rm -rf "$profiles"
    # Processes that the crash tests kill leave counts that are cut short: the test command fails at those, after the tests.
    "${SWIFT:-swift}" test --skip-build "${options[@]}" --filter "${FILTER:-Tests}" >"$log" 2>&1 || true
    if ! grep -q 'Test run with .* passed' "$log"; then
        echo "coverage: a test failed; all output is in $log" >&2
        status=1
    fi
    "$tools/llvm-profdata" merge -sparse -failure-mode=all -o "$profiles/default.profdata" "$profiles"/*.profraw \
        2>>"$log"
fi
tests=".build/coverage/release/varvePackageTests.xctest"
[ -d "$tests" ] && tests="$tests/Contents/MacOS/varvePackageTests"
# "path line count", of every line that has code.
"$tools/llvm-cov" export -format lcov "$tests" -instr-profile "$profiles/default.profdata" |
    awk -F: -v root="$PWD/Sources/" '
        /^SF:/ { path = index($2, root) == 1 ? substr($2, length(root) + 1) : "" }
        /^DA:/ && path != "" { split($2, part, ","); print path, part[1], part[2] }' >.build/coverage.lines

awk '
    {
        split($1, folder, "/")
        group = folder[1]
        total[group]++; if ($3 > 0) reached[group]++
        if (folder[1] == "Varve") {
            group = folder[1] "/" folder[2]
            total[group]++; if ($3 > 0) reached[group]++
        }
    }
    END { for (group in total) printf "%-24s %6d of %6d lines %6.2f %%\n", group, reached[group], total[group], 100 * reached[group] / total[group] }
' .build/coverage.lines | sort
if [ $# -gt 0 ]; then
    awk -v part="$1" '$3 == 0 && index($1, part) { print $1, $2 }' .build/coverage.lines | sort -k1,1 -k2,2n |
        while read -r path line; do
            printf '%s:%d: %s\n' "$path" "$line" "$(sed -n "${line}p" "Sources/$path")"
        done
fi
exit $status
