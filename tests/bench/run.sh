#!/usr/bin/env bash
# Ours beside Postfix on this machine, over loopback, and what a mail costs.
#   tests/bench/run.sh [NAME] [--pairs 5] [--seconds 3] [--json FILE]
#                               ratios, ours and Postfix in turn, and which limit of this machine binds ours; NAME: accept accept3
#                               reconnect latency relay relay3 cpu idle
#                               deferred; without: all, some fifteen minutes. Needs root (Postfix lives in a directory of its own)
#   tests/bench/run.sh costs [quick|full]
#                               of one node: rates, latency, CPU, syncs, system calls, allocations of a mail
#   tests/bench/run.sh stores [--only writes|gaps] [--pairs 5] [--json FILE]
#                               the replicated log beside etcd and RabbitMQ's quorum queue, three nodes each (fetched, not installed)
#   tests/bench/run.sh growth [--only sessions|queue|shards|destinations] [--pictures DIR] [--json FILE]
#                               of one node: how rates, latency, memory, disk and restart grow
#   tests/bench/run.sh page [--nodes 1|3] [--naps MS] [--json FILE]
#                               what one mail costs at 2, 16 and 256 KiB, of one node and of three; needs strace and valgrind
#   tests/bench/run.sh failover [--faults 30] [--rate 100] [--shards 2] [--only kill,stop,cut] [--json FILE]
#                               three nodes: how long a shard takes no mail when its leader is killed, leaves, is cut off
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
if [ "${1:-}" = failover ]; then
    shift
    build="$(dirname "$(dirname "$binary")")"
    cmake "$build" >/dev/null && cmake --build "$build" --target faults powercut mailgen mailsink >/dev/null
    exec /usr/bin/python3 tests/bench/failover.py --binary "$binary" "$@"
fi
case "${1:-}" in
stores | growth | page)
    what="$1"
    shift
    # shellcheck source=deploy/packages.sh
    . deploy/packages.sh
    packages_need bench
    build="$(dirname "$(dirname "$binary")")"
    cmake "$build" >/dev/null && cmake --build "$build" --target storeput bench_raft_cluster mailgen mailsink mallocs >/dev/null
    exec /usr/bin/python3 "tests/bench/$what.py" --binary "$binary" "$@"
    ;;
esac
exec /usr/bin/python3 tests/bench/pairs.py --binary "$binary" "$@"
