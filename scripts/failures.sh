#!/usr/bin/env bash
# failures.sh COMMAND …: runs it, and where it fails prints at the end, once more, what its tests found wrong:
# that stands somewhere among thousands of lines.
set -uo pipefail

log="$(mktemp)"
trap 'rm -f "$log"' EXIT

"$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

if [ "$status" -ne 0 ]; then
    printf '\n=== failed with status %d; what the output above tells of it:\n' "$status"
    grep -E -A 6 '✘|(^|[ :])(fatal |)error: |Fatal error|ERROR: |WARNING: ThreadSanitizer|Backtrace|crashed' "$log" | head -n 300
fi
exit "$status"
