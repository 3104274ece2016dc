#!/usr/bin/env bash
# Figures of one node on this machine, over loopback: rates, latency, and what a mail costs.
#   tests/bench/run.sh [quick|full]      quick: under a minute; full: medians of 5 runs
# ANGARIUM names the binary (build/release/node/angarium); the load tools are taken from its build directory.
set -eu
cd "$(dirname "$0")/../.."
binary="${ANGARIUM:-build/release/node/angarium}"
mode="${1:-quick}"
case "$mode" in quick | full) ;; *) echo "usage: $0 [quick|full]" >&2; exit 2 ;; esac
if [ ! -x "$binary" ]; then
    echo "$binary is not there: cmake --preset release && cmake --build --preset release" >&2
    exit 1
fi
exec /usr/bin/python3 tests/bench/figures.py --binary "$binary" --mode "$mode"
