#!/usr/bin/env bash
# Ours beside Postfix on this machine, over loopback, and what a mail costs.
#   tests/bench/run.sh [NAME] [--pairs 5] [--seconds 3] [--json FILE]
#                               ratios, ours and Postfix in turn; NAME: accept reconnect latency relay cpu idle deferred growth;
#                               without: all but growth, some ten minutes. Needs root (Postfix lives in a directory of its own)
#   tests/bench/run.sh costs [quick|full]
#                               of one node: rates, latency, CPU, syncs, system calls, allocations of a mail
# ANGARIUM names the binary (build/release/node/angarium); the load tools are taken from its build directory.
set -eu
cd "$(dirname "$0")/../.."
binary="${ANGARIUM:-build/release/node/angarium}"
if [ ! -x "$binary" ]; then
    echo "$binary is not there: cmake --preset release && cmake --build --preset release" >&2
    exit 1
fi
if [ "${1:-}" = costs ]; then
    case "${2:-quick}" in quick | full) ;; *) echo "usage: $0 costs [quick|full]" >&2; exit 2 ;; esac
    exec /usr/bin/python3 tests/bench/figures.py --binary "$binary" --mode "${2:-quick}"
fi
exec /usr/bin/python3 tests/bench/pairs.py --binary "$binary" "$@"
