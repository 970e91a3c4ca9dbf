#!/usr/bin/env bash
# Records what this machine has at hand into a store in a temporary directory, and looks at it.
set -euo pipefail

varve="$1"
directory="$(mktemp -d)"
trap 'rm -rf "$directory"' EXIT
cd "$directory"

show() {
    printf '\n$ varve'
    printf ' %q' "$@"
    printf '\n'
    "$varve" "$@"
}

# The output of a command, as it comes. (Passed through too; here only the end of it is wanted.)
printf '\n$ varve record demo.varve --session listing -- sh -c %q | tail -3\n' 'ls -lR /usr/share | head -5000'
"$varve" record demo.varve --session listing -- sh -c 'ls -lR /usr/share | head -5000' | tail -3

# A log that is there already.
for log in /var/log/dpkg.log /var/log/install.log /var/log/alternatives.log /etc/services; do
    if [ -s "$log" ] && [ -r "$log" ]; then
        show record demo.varve --session log --text --input "$log"
        break
    fi
done

# JSON Lines from a pipe.
printf '\n$ generate | varve record demo.varve --session sensor\n'
awk 'BEGIN { for (i = 0; i < 50000; i++)
    printf "{\"time\":%d.%03d,\"type\":\"%s\",\"celsius\":%.2f,\"id\":%d}\n",
        1767225600 + i / 100, i % 100 * 10, i % 10 ? "sample" : "mean", 20 + 5 * sin(i / 900), i }' |
    "$varve" record demo.varve --session sensor

show sessions demo.varve
show info demo.varve
show query demo.varve --session sensor --limit 5 --reverse
show query demo.varve --session listing --kind stdout --limit 3
show query demo.varve --session sensor --from 2026-01-01T00:01:00Z --to 2026-01-01T00:02:00Z --kind mean --count
show query demo.varve --session listing --grep total --limit 2
show histogram demo.varve --session sensor --by kind
show top demo.varve --session sensor --by type --where 'celsius > 24'
show verify demo.varve
