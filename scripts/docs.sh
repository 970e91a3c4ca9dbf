#!/usr/bin/env bash
# Builds the documentation of the library's modules, a static site in .build/docs. A link that leads nowhere is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

swift=${SWIFT:-swift}
modules="Varve VarveJSON VarveRecorder"
docc=$(command -v docc || xcrun --find docc 2>/dev/null || echo "$(dirname "$(readlink -f "$(command -v "$swift")")")/docc")
if [ ! -x "$docc" ]; then
    echo "docs: there is no docc beside $swift: it comes with the toolchain from swift.org" >&2
    exit 1
fi

# A scratch directory of its own: the symbols come with a build, and its options would build everything else again.
scratch=.build/symbols
mkdir -p "$scratch/all"
"$swift" build --scratch-path "$scratch" --target VarveRecorder \
    -Xswiftc -emit-symbol-graph -Xswiftc -emit-symbol-graph-dir -Xswiftc "$scratch/all" \
    -Xswiftc -emit-extension-block-symbols

archives=()
for module in $modules; do
    graphs=$scratch/graphs/$module
    archive=$scratch/$module.doccarchive
    rm -rf "$graphs" "$archive"
    mkdir -p "$graphs"
    # The module's own symbols, and what it adds to others.
    cp "$scratch/all/$module.symbols.json" "$graphs/"
    for extended in $modules; do
        if [ -f "$scratch/all/$module@$extended.symbols.json" ]; then
            cp "$scratch/all/$module@$extended.symbols.json" "$graphs/"
        fi
    done
    catalogue=()
    if [ -d "Sources/$module/$module.docc" ]; then catalogue=("Sources/$module/$module.docc"); fi
    "$docc" convert ${catalogue[@]+"${catalogue[@]}"} --additional-symbol-graph-dir "$graphs" \
        --fallback-display-name "$module" --fallback-bundle-identifier "$module" \
        --fallback-default-module-kind Library --warnings-as-errors --output-path "$archive"
    archives+=("$archive")
done

rm -rf .build/docs
"$docc" merge "${archives[@]}" --synthesized-landing-page-name Varve --output-path .build/docs
echo "docs: serve .build/docs with any web server, and open /documentation"
