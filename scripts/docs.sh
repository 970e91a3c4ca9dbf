#!/usr/bin/env bash
# Builds the documentation of the module Varve, a static site in .build/docs. A link that leads nowhere is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

swift=${SWIFT:-swift}
docc=$(command -v docc || xcrun --find docc 2>/dev/null || echo "$(dirname "$(readlink -f "$(command -v "$swift")")")/docc")
if [ ! -x "$docc" ]; then
    echo "docs: there is no docc beside $swift: it comes with the toolchain from swift.org" >&2
    exit 1
fi

# A scratch directory of its own: the symbols come with a build, and its options would build everything else again.
graphs=.build/symbols/graphs
mkdir -p "$graphs/all" "$graphs/Varve"
"$swift" build --scratch-path .build/symbols --target Varve \
    -Xswiftc -emit-symbol-graph -Xswiftc -emit-symbol-graph-dir -Xswiftc "$graphs/all"
cp "$graphs/all/Varve.symbols.json" "$graphs/Varve/"

rm -rf .build/docs
"$docc" convert Sources/Varve/Varve.docc --additional-symbol-graph-dir "$graphs/Varve" \
    --fallback-display-name Varve --fallback-bundle-identifier varve --fallback-default-module-kind Library \
    --warnings-as-errors --output-path .build/docs
echo "docs: serve .build/docs with any web server, and open /documentation/varve"
