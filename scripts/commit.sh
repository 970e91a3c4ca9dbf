#!/usr/bin/env bash
# The commit of the sources, as results name it. What was measured before does not count as a change.
set -euo pipefail
cd "$(dirname "$0")/.."
commit="$(git rev-parse --short HEAD 2>/dev/null || echo 'an unknown commit')"
[ -z "$(git status --porcelain -- . ':!Benchmarks/RESULTS.md' ':!Benchmarks/plots' 2>/dev/null)" ] || commit+=', changed'
echo "$commit"
