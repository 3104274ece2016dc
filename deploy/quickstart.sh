#!/usr/bin/env bash
# From a clean clone on Debian 12 to a relayed mail: packages, build, a cluster of three nodes on this machine, one
# mail submitted by SMTP; the node that holds it is killed, another one relays it; what happened to it is shown.
# Ends by itself with exit 0.
#   --keep   leaves the cluster running and prints its addresses and how to stop it
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=deploy/packages.sh
. deploy/packages.sh

keep=no
case "${1:-}" in
"") ;;
--keep) keep=yes ;;
*)
    echo "usage: deploy/quickstart.sh [--keep]" >&2
    exit 2
    ;;
esac

dir=build/quickstart
binary=build/release/node/angarium
base="${ANGARIUM_BASE_PORT:-12500}"
receiver_port=$((base + 99))
receiver_pid=""
helper=(/usr/bin/python3 -B -W ignore deploy/quickstart.py)

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
endpoint() { echo "http://127.0.0.1:$((base + 10 * ($1 - 1) + 2))"; }
stop_all() {
    [ -n "$receiver_pid" ] && kill "$receiver_pid" 2>/dev/null || true
    [ -e "$dir/cluster.json" ] && "$binary" dev stop --dir "$dir" >/dev/null 2>&1 || true
}
fail() {
    echo "quickstart: $*" >&2
    for log in "$dir"/node-*.log; do
        [ -f "$log" ] && { echo "--- the end of $log:" >&2; tail -5 "$log" >&2; }
    done
    exit 1
}

say "1/6 packages"
packages_need build || exit 1
echo "all there"

say "2/6 build"
cmake --preset release >build-configure.log 2>&1 || { cat build-configure.log >&2; rm -f build-configure.log; fail "cmake failed"; }
rm -f build-configure.log
cmake --build --preset release --target angarium || fail "the build failed, see above"

say "3/6 a cluster: three nodes on 127.0.0.1, ports $base and up"
stop_all # one that an earlier --keep left
rm -rf "$dir"
mkdir -p "$dir"
trap stop_all EXIT
# A mail server at the other end, out of Python's library: it answers 451 until it is told to take mail, and prints it.
"${helper[@]}" receiver "$receiver_port" "$dir/open" >"$dir/received.txt" 2>"$dir/receiver.log" &
receiver_pid=$!
"$binary" dev --nodes 3 --dir "$dir" --base-port "$base" --next-hop "127.0.0.1:$receiver_port" \
    --set delivery.retry_base_ms=500ms --set delivery.retry_cap_ms=1s --detach || fail "the cluster did not start"
"$binary" --dir "$dir" nodes

say "4/6 one mail: submitted with TLS and password, answered 250 when it is on the disks of two nodes"
id=$("${helper[@]}" send "$dir") || fail "the mail was not accepted"
holder=$("${helper[@]}" tried "$dir" "$id" 0) || fail "nobody tried to deliver $id"
echo "node $holder holds it and has tried to deliver it; the other end cannot take it yet:"
"$binary" message "$id" --endpoint "$(endpoint "$holder")" --token-file "$dir/api.token"

say "5/6 kill -9 of node $holder"
"$binary" dev kill --dir "$dir" --node "$holder" --signal KILL
next=$("${helper[@]}" tried "$dir" "$id" "$holder") || fail "no other node took message $id over"
echo "node $next holds the mail now, and has tried, too; from here on the other end takes mail"
touch "$dir/open"

say "6/6 delivered, and what became of it, as node $next tells"
"${helper[@]}" delivered "$dir" "$id" || fail "message $id was not delivered"
"$binary" message "$id" --endpoint "$(endpoint "$next")" --token-file "$dir/api.token"
echo
echo "what the receiving server printed:"
sed 's/^/  | /' "$dir/received.txt"
"$binary" dev start --dir "$dir" --node "$holder" || fail "node $holder did not come back"
"${helper[@]}" ready "$dir" || fail "not all nodes are ready"
kill "$receiver_pid" 2>/dev/null || true
receiver_pid=""
"$binary" dev stop --dir "$dir"
"$binary" audit "$dir/node-1" "$dir/node-2" "$dir/node-3" >"$dir/audit.txt" || fail "the audit failed, see $dir/audit.txt"
tail -1 "$dir/audit.txt"

if [ "$keep" = yes ]; then
    say "the cluster stays (mail goes to its built-in inbox)"
    trap - EXIT
    rm -rf "$dir" # a dev cluster remembers its next hop; this one has none
    "$binary" dev --nodes 3 --dir "$dir" --base-port "$base" --detach
    echo "its nodes, and where each listens:"
    "${helper[@]}" addresses "$dir"
else
    say "done. Next: README.md; or leave a cluster running with ./deploy/quickstart.sh --keep"
fi
