#!/usr/bin/env bash
# Packages, build, every test that needs no special rights; ends with a count line "N passed, N failed".
#   ./tests/run.sh              all
#   ./tests/run.sh unit/queue   those whose name begins so
#   ./tests/run.sh --list       names only
#   FUZZ_RUNS=10000000 FUZZ_SECONDS=900 ./tests/run.sh fuzz/node/smtp
#                               long runs of fuzz targets, each until one of both is reached (else 20000, 45)
#   ./tests/run.sh manual/testssl   all of testssl.sh on all ports, some minutes; runs only when named
# Names: house/… unit/… (with ASan and UBSan) tsan/… fuzz/… conformance/… sim/… clients/… crash/…
set -u
cd "$(dirname "$0")/.."
# shellcheck source=deploy/packages.sh
. deploy/packages.sh

want="${1:-}"
list_only=no
[ "$want" = --list ] && { list_only=yes; want=""; }
jobs="$(nproc)"
logs=build/test-logs
fuzz_runs="${FUZZ_RUNS:-20000}"
fuzz_seconds="${FUZZ_SECONDS:-45}" # of one target, at most; whole sessions on a busy machine need more than that
kill_rounds="${KILL_ROUNDS:-200}"
powercut_rounds="${POWERCUT_ROUNDS:-30}"
failover_rounds="${FAILOVER_ROUNDS:-3}"
fault_rounds="${FAULT_ROUNDS:-5}" # of twelve kinds
power_rounds="${POWER_ROUNDS:-2}"
mkdir -p "$logs"
results="$(mktemp)" # a line a test: ok NAME, FAIL NAME
trap 'rm -f "$results"' EXIT
at_once=1

wanted() { case "$1" in "$want"*) return 0 ;; *) return 1 ;; esac; }
# Would any name that begins with $1 be run?
wanted_any() { case "$1" in "$want"*) return 0 ;; esac; case "$want" in "$1"*) return 0 ;; esac; return 1; }

# check NAME SECONDS COMMAND...: one test, its output in a file, shown when it fails. At most `at_once` run side by side.
check() {
    wanted "$1" || return 0
    [ "$list_only" = yes ] && { echo "$1"; return 0; }
    while [ "$(jobs -rp | wc -l)" -ge "$at_once" ]; do wait -n; done
    run_one "$@" &
}

run_one() {
    local name="$1" limit="$2" log start status=0
    shift 2
    log="$logs/${name//\//_}.log"
    start=$SECONDS
    timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" = 0 ]; then
        tell ok "$name" "$(printf 'ok    %-52s %3ds  %s' "$name" $((SECONDS - start)) "$(tail -n 1 "$log" | cut -c1-70 | tr -d '\r')")"
    else
        tell FAIL "$name" "$(printf 'FAIL  %s (exit %d); the end of %s:\n' "$name" "$status" "$log"
                            tail -n 40 "$log" | sed 's/^/      | /')"
    fi
}

# tell ok|FAIL NAME TEXT: counted, and shown in one piece.
tell() {
    echo "$1 $2" >>"$results"
    printf '%s\n' "$3"
}

# from_here_at_once N: tests that do not share anything run side by side; what was begun before has ended.
from_here_at_once() {
    wait
    at_once="$1"
}

build() {
    local preset="$1"
    shift
    [ "$list_only" = yes ] && return 0
    echo "== build $preset"
    cmake --preset "$preset" >"$logs/configure-$preset.log" 2>&1 &&
        cmake --build --preset "$preset" -j "$jobs" --target "$@" >"$logs/build-$preset.log" 2>&1 && return 0
    tell FAIL "build/$preset" "$(tail -n 40 "$logs/configure-$preset.log" "$logs/build-$preset.log"; echo "FAIL  build/$preset")"
    return 1
}

# The executables of one kind in one build, named as their paths: unit/node/smtp/reply.
each_of() {
    (cd tests/"$1" && find . -name '*.c' | sed 's|^\./||; s|\.c$||' | sort)
}

run_house() {
    check house/rules 120 python3 tests/house/house.py
    check house/rules-fail-when-broken 180 python3 tests/house/house_test.py
    check house/documents 120 python3 tests/house/docs_test.py
}

# TSan looks for races, which the pure rooms cannot have: house/rules keeps threads out of them.
has_threads() { case "$1" in node/smtp/* | node/mail/* | node/control/* | raft/core/* | router/* | queue/*) return 1 ;; esac; }

run_unit() {
    local preset="$1" prefix="$2" name
    wanted_any "$prefix/" || return 0
    build "$preset" tests_unit || return 0
    for name in $(each_of unit); do
        [ "$preset" != tsan ] || has_threads "$name" || continue
        check "$prefix/$name" 300 "build/$preset/tests/unit_${name//\//_}"
    done
}

run_fuzz() {
    local name corpus
    wanted_any fuzz/ || return 0
    build fuzz tests_fuzz || return 0
    for name in $(each_of fuzz); do
        corpus="${name#node/}"
        corpus="tests/fuzz/corpus/${corpus//\//_}"
        mkdir -p "build/fuzz/found/${name//\//_}"
        check "fuzz/$name" $((fuzz_seconds + 300)) "build/fuzz/tests/fuzz_${name//\//_}" -runs="$fuzz_runs" \
            -max_total_time="$fuzz_seconds" -seed=1 -max_len=65536 -timeout=20 -rss_limit_mb=4096 \
            -artifact_prefix=build/fuzz/found/ "build/fuzz/found/${name//\//_}" "$corpus"
    done
}

run_conformance() {
    local file
    wanted_any conformance/ || return 0
    build asan conformance conformance_deliver || return 0
    for file in tests/conformance/accept/*.smtp; do
        check "conformance/accept/$(basename "$file" .smtp)" 120 build/asan/tests/conformance/conformance "$file"
    done
    for file in tests/conformance/deliver/*.smtp; do
        check "conformance/deliver/$(basename "$file" .smtp)" 120 build/asan/tests/conformance/deliver/conformance_deliver "$file"
    done
}

# The whole cluster on false disks, network and clocks. sim/short, sim/kept and sim/mutations (about two minutes of one
# core) are part of a full run; by name only:
#   SEEDS=20000 FIRST=1 ./tests/run.sh sim/long     ./tests/run.sh sim/seed=17
run_cluster() {
    check sim/short 300 "$1" run "${FIRST:-1}" 1200
    check sim/kept 120 "$1" kept tests/sim/cluster/seeds.txt
    check sim/mutations 1200 build/release/tests/sim/sim_mutants "${SEEDS:-1800}"
    case "$want" in
        sim/long) check sim/long 86400 "$1" run "${FIRST:-1}" "${SEEDS:-20000}" ;;
        sim/seed=*) "$1" seed "${want#sim/seed=}" && tell ok "$want" ok || tell FAIL "$want" FAIL ;;
    esac
}

# The same with the real engine on each node: frames, lanes, chunks, logs of raft/store. A minute and a half of one core.
run_engines() {
    check sim/engine-short 300 "$1" run "${FIRST:-1}" 1200
    check sim/engine-kept 120 "$1" kept tests/sim/engine/seeds.txt
    check sim/engine-mutations 600 build/release/tests/sim/sim_engine_mutants "${SEEDS:-1800}"
    case "$want" in
        sim/engine-long) check sim/engine-long 86400 "$1" run "${FIRST:-1}" "${SEEDS:-20000}" ;;
        sim/engine-seed=*) "$1" seed "${want#sim/engine-seed=}" && tell ok "$want" ok || tell FAIL "$want" FAIL ;;
    esac
}

# The same with the real control on it: node/cluster, its planner and who places shards. A quarter of a minute of one core.
run_controls() {
    check sim/control-short 120 "$1" run "${FIRST:-1}" 60
    check sim/control-kept 60 "$1" kept tests/sim/control/seeds.txt
    check sim/control-mutations 600 build/release/tests/sim/sim_control_mutants "${SEEDS:-60}"
    case "$want" in
        sim/control-long) check sim/control-long 86400 "$1" run "${FIRST:-1}" "${SEEDS:-20000}" ;;
        sim/control-seed=*) "$1" seed "${want#sim/control-seed=}" && tell ok "$want" ok || tell FAIL "$want" FAIL ;;
    esac
}

# Every order of events in a group of three: 2 terms, 3 entries and less of more (tests/sim/explore), ten seconds of one core.
# By name only, minutes:   ./tests/run.sh sim/explore-full
run_explore() {
    check sim/explore 300 "$1" short
    check sim/explore-mutations 300 "$1_mutants"
    [ "$want" != sim/explore-full ] || { "$1" full && tell ok "$want" ok || tell FAIL "$want" FAIL; }
}

run_whole() {
    wanted_any sim/ || wanted_any clients/ || wanted_any crash/ || return 0
    build release all || return 0
    check sim/outage 120 build/release/tests/sim/sim_outage
    run_cluster build/release/tests/sim/sim_cluster
    run_engines build/release/tests/sim/sim_engine
    run_controls build/release/tests/sim/sim_control
    run_explore build/release/tests/sim/sim_explore
    ! { wanted_any clients/upgrade || wanted_any clients/documents; } || build previous angarium || true # what they upgrade from
    from_here_at_once 1 # they unpack the same programs, and load the machine
    for file in tests/clients/*_test.py; do
        check "clients/$(basename "$file" _test.py)" 180 /usr/bin/python3 "$file" build/release
    done
    check crash/powercut-layer 60 /usr/bin/python3 cluster-test/lib/powercut_test.py build/release
    check crash/ledger 30 /usr/bin/python3 cluster-test/lib/ledger_test.py
    check crash/kill9 600 /usr/bin/python3 cluster-test/scenarios/kill9.py --build build/release --rounds "$kill_rounds"
    check crash/failover 300 /usr/bin/python3 cluster-test/scenarios/failover.py --build build/release --rounds "$failover_rounds"
    check crash/faults 300 /usr/bin/python3 cluster-test/scenarios/faults.py --build build/release --rounds "$fault_rounds"
    check crash/power 300 /usr/bin/python3 cluster-test/scenarios/faults.py --build build/release --only power,naps --rounds "$power_rounds"
    check crash/zones 120 /usr/bin/python3 cluster-test/scenarios/zones.py --build build/release --of zone
    check crash/regions 120 /usr/bin/python3 cluster-test/scenarios/zones.py --build build/release --of region
    check crash/links 120 /usr/bin/python3 cluster-test/scenarios/links.py --build build/release --of zone
    check crash/links-region 120 /usr/bin/python3 cluster-test/scenarios/links.py --build build/release --of region
    check crash/rolling 120 /usr/bin/python3 cluster-test/scenarios/rolling.py --build build/release
    check crash/newdisk 120 /usr/bin/python3 cluster-test/scenarios/newdisk.py --build build/release
    check crash/anywhere 300 /usr/bin/python3 cluster-test/scenarios/anywhere.py --build build/release --rounds 1
    check crash/rescue 300 /usr/bin/python3 cluster-test/scenarios/rescue.py --build build/release
    check crash/moving 300 /usr/bin/python3 cluster-test/scenarios/moving.py --build build/release
    check crash/powercut 600 /usr/bin/python3 cluster-test/scenarios/powercut.py --build build/release --rounds "$powercut_rounds"
}

export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp ignore_noninstrumented_modules=1 halt_on_error=1 die_after_fork=0"
# The whole node under the sanitizers, killed and stopped; a report ends it and so the scenario.
run_sanitized() {
    local preset
    wanted_any crash/ || return 0
    for preset in asan tsan; do
        build "$preset" angarium mailgen mailsink || continue
        check "crash/kill9-$preset" 300 /usr/bin/python3 cluster-test/scenarios/kill9.py --build "build/$preset" --rounds 20
    done
}

# What takes too long for every run; only when it is named.
run_manual() {
    case "$want" in manual/*) ;; *) return 0 ;; esac
    build release angarium || return 0
    check manual/testssl 1800 /usr/bin/python3 tests/clients/testssl_test.py build/release all
}

packages_need test || exit 1
from_here_at_once "$jobs"
run_house
run_unit asan unit
run_unit tsan tsan
run_fuzz
run_conformance
run_whole
run_sanitized
run_manual
wait

[ "$list_only" = yes ] && exit 0
passed="$(grep -c '^ok ' "$results")"
failed="$(grep -c '^FAIL ' "$results")"
if [ $((passed + failed)) = 0 ]; then
    echo "no test has a name that begins with '$want'; see ./tests/run.sh --list" >&2
    exit 2
fi
[ "$failed" = 0 ] || echo "failed:$(sed -n 's/^FAIL / /p' "$results" | tr -d '\n')"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
