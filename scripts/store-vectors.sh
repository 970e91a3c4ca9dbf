#!/usr/bin/env bash
# Writes what the command prints for each golden store beside it. Usage: store-vectors.sh VARVE
set -euo pipefail
cd "$(dirname "$0")/../Formats/vectors/stores"
for store in */; do
    name="${store%/}"
    "$1" query "$name" --output json >"$name.jsonl"
    "$1" sessions "$name" --json >"$name.sessions.jsonl"
    "$1" checkpoints "$name" --json >"$name.checkpoints.jsonl"
done
