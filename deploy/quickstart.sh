#!/usr/bin/env bash
# From a clean clone on Debian 12 to a relayed mail: packages, build, a cluster on this machine (one node for
# now), one mail submitted by SMTP, killed over, relayed, traced. Ends by itself with exit 0.
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

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
stop_all() {
    [ -n "$receiver_pid" ] && kill "$receiver_pid" 2>/dev/null || true
    [ -e "$dir/cluster.json" ] && "$binary" dev stop --dir "$dir" >/dev/null 2>&1 || true
}
fail() {
    echo "quickstart: $*" >&2
    [ -f "$dir/node-1.log" ] && { echo "--- the end of $dir/node-1.log:" >&2; tail -5 "$dir/node-1.log" >&2; }
    exit 1
}

say "1/5 packages"
packages_need build || exit 1
echo "all there"

say "2/5 build"
cmake --preset release >build-configure.log 2>&1 || { cat build-configure.log >&2; rm -f build-configure.log; fail "cmake failed"; }
rm -f build-configure.log
cmake --build --preset release --target angarium || fail "the build failed, see above"

say "3/5 a cluster: one node on 127.0.0.1, ports $base and up"
stop_all # one that an earlier --keep left
rm -rf "$dir"
mkdir -p "$dir"
trap stop_all EXIT
# A mail server at the other end, out of Python's library: it prints what it receives.
/usr/bin/python3 -W ignore -u -m smtpd -n -c DebuggingServer "127.0.0.1:$receiver_port" >"$dir/received.txt" 2>&1 &
receiver_pid=$!
"$binary" dev --nodes 1 --dir "$dir" --base-port "$base" --next-hop "127.0.0.1:$receiver_port" --detach ||
    fail "the cluster did not start"

say "4/5 one mail: submitted with TLS and password, answered 250 when it is on the disk"
id=$(/usr/bin/python3 - "$dir/cluster.json" <<'PY'
import json, smtplib, ssl, sys
c = json.load(open(sys.argv[1]))
host, port = c["nodes"][0]["submission"].split(":")
context = ssl.create_default_context(cafile=c["ca_file"])
with smtplib.SMTP(host, int(port), timeout=20) as s:
    s.starttls(context=context)
    s.login(c["username"], c["password"])
    s.mail("hello@example.test")
    s.rcpt("you@example.org")
    code, text = s.data(b"From: hello@example.test\r\nTo: you@example.org\r\nSubject: neither snow nor rain\r\n\r\nThis mail was on the disk before you were told 250.\r\n")
    print(code, text.decode(), file=sys.stderr)
    print(text.decode().split()[-1])
PY
) || fail "the mail was not accepted"

say "   kill -9, at once: a mail that was answered 250 is not in the process, it is on the disk"
"$binary" dev kill --dir "$dir" --node 1 --signal KILL
"$binary" dev start --dir "$dir" --node 1 || fail "the node did not come back"

say "5/5 delivered, and what became of it"
for _ in $(seq 1 100); do
    state=$("$binary" --dir "$dir" message "$id" -o json 2>/dev/null |
        /usr/bin/python3 -c 'import json,sys; print(json.load(sys.stdin)["recipients"][0]["state"])' 2>/dev/null || true)
    [ "$state" = delivered ] && break
    sleep 0.1
done
[ "$state" = delivered ] || fail "message $id was not delivered: state ${state:-unknown}"
"$binary" --dir "$dir" message "$id"
echo
echo "what the receiving server printed:"
sed 's/^/  | /' "$dir/received.txt"
kill "$receiver_pid" 2>/dev/null || true
receiver_pid=""
"$binary" dev stop --dir "$dir"
"$binary" audit "$dir/node-1"

if [ "$keep" = yes ]; then
    say "the cluster stays (mail goes to its built-in inbox)"
    trap - EXIT
    rm -rf "$dir" # a dev cluster remembers its next hop; this one has none
    "$binary" dev --nodes 1 --dir "$dir" --base-port "$base" --detach
else
    say "done. Next: README.md; or leave a cluster running with ./deploy/quickstart.sh --keep"
fi
