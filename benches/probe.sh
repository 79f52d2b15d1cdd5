#!/usr/bin/env bash
# The probe's loops beside independent C, in alternating slices over the same memory, with a control: ours beside ours.
# A bar whose control misses it is "not decidable here". Needs gcc. Takes a few minutes; --short takes one.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# gcc turns Copy into a call of memcpy unless told not to.
gcc -O3 -march=native -fno-tree-loop-distribute-patterns -shared -fPIC -o "$work/peers.so" benches/probe/peers.c
cargo build --release --quiet --example probe_peers
target/release/examples/probe_peers "$work/peers.so" "$@"

# Tools that people know, where they are installed.
if command -v lat_mem_rd >/dev/null; then
    echo "lat_mem_rd, MiB and ns:"
    lat_mem_rd -t 256 64 2>&1 | awk '$1 == 0.01562 || $1 == 0.25 || $1 == 8 || $1 == 256'
else
    echo "lat_mem_rd: not installed"
fi
if command -v multichase >/dev/null; then
    for size in 16k 256k 8m 256m; do echo "multichase $size: $(multichase -m $size) ns"; done
else
    echo "multichase: not installed"
fi
