#!/usr/bin/env bash
# Installs the three libraries that Varve is built on (LZ4, simdjson, RE2) and pkg-config; does nothing where they are.
# With --all also what the checks need: a linker for libFuzzer, Python with its lz4 package, strace, mkfs.ext4.
# With --peers also the stores that the benchmarks measure beside Varve; they do without those that can't be installed.
set -euo pipefail

all=0 peers=0
for option in "$@"; do
    case "$option" in
    --all) all=1 ;;
    --peers) peers=1 ;;
    *)
        echo "setup: $option is not known" >&2
        exit 64
        ;;
    esac
done

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

missing=()
need() { missing+=("$@"); }

if ! command -v swift >/dev/null; then
    echo "setup: there is no swift: install the toolchain, 6.2 or later, from https://www.swift.org/install" >&2
    exit 1
fi

case "$(uname -s)" in
Darwin)
    command -v pkg-config >/dev/null || need pkg-config
    if [ ${#missing[@]} -eq 0 ]; then
        pkg-config --exists liblz4 || need lz4
        pkg-config --exists simdjson || need simdjson
        pkg-config --exists re2 || need re2
    else
        need lz4 simdjson re2
    fi
    [ ${#missing[@]} -eq 0 ] || brew install "${missing[@]}"
    if [ $all -eq 1 ]; then
        python3 -c 'import lz4.block' 2>/dev/null || python3 -m pip install --user lz4
    fi
    ;;
Linux)
    if ! command -v pkg-config >/dev/null; then
        need pkg-config liblz4-dev libsimdjson-dev libre2-dev
    else
        pkg-config --exists liblz4 || need liblz4-dev
        pkg-config --exists simdjson || need libsimdjson-dev
        pkg-config --exists re2 || need libre2-dev
    fi
    if [ $all -eq 1 ]; then
        command -v ld.lld >/dev/null || need lld
        command -v python3 >/dev/null || need python3
        # For tests of real faults: calls that fail, file systems that are mounted.
        command -v strace >/dev/null || need strace
        PATH="$PATH:/usr/sbin:/sbin" command -v mkfs.ext4 >/dev/null || need e2fsprogs
        command -v mount >/dev/null || need mount
        # The interpreter's own package where there is one; Debian's otherwise.
        if ! python3 -c 'import lz4.block' 2>/dev/null; then
            python3 -m pip install --quiet lz4 2>/dev/null || need python3-lz4
        fi
    fi
    if [ ${#missing[@]} -gt 0 ]; then
        if ! command -v apt-get >/dev/null; then
            echo "setup: install these, or what your system calls them: ${missing[*]}" >&2
            exit 1
        fi
        as_root apt-get update
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
    fi
    ;;
*)
    echo "setup: $(uname -s) is not supported" >&2
    exit 1
    ;;
esac

if [ $peers -eq 1 ]; then
    install_peer() { # HEADER DEBIAN BREW
        for place in /usr/include /usr/local/include; do
            [ -e "$place/$1" ] && return
        done
        if command -v apt-get >/dev/null; then
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2" >&2 && return
            as_root apt-get update >&2 || true
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2" >&2 && return
        elif command -v brew >/dev/null; then
            brew install "$3" && return
        fi
        echo "setup: $2 can't be installed: the benchmarks go without it" >&2
    }
    install_peer sqlite3.h libsqlite3-dev sqlite
    install_peer lmdb.h liblmdb-dev lmdb
    install_peer leveldb/c.h libleveldb-dev leveldb
    install_peer rocksdb/c.h librocksdb-dev rocksdb
fi
