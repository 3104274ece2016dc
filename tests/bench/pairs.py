#!/usr/bin/env python3
"""pairs - one node of ours, or three, beside Postfix, on the same work in the same run: ours, peer, ours, peer, ...; tests/bench/run.sh
starts it. A row is the median of the pairs' ratios. Generator, sink and both sides share the cores: a ratio means something,
a rate alone does not.

What of this machine binds ours (limits.py) stands in the last column, with the share of it that ours took.

Everything is synced before it is answered, on both sides; that is the default of both. "held": nothing is delivered while it is
measured (Postfix: HOLD; ours: a next hop that refuses connections)."""

import argparse
import json
import os
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import limits  # noqa: E402
import sides  # noqa: E402
from load import Sink, find_tool  # noqa: E402
from node import free_ports, make_certificate  # noqa: E402

SPREAD_MAX = 0.30  # of the ratios' median: wider, and no ratio is told
KIB = 1024


class Bench:
    """What runs need; built once."""

    def __init__(self, o):
        self.o = o
        shutil.rmtree(sides.PLACE, ignore_errors=True)
        os.makedirs(sides.PLACE)
        self.sink = Sink(o.build, sides.PLACE, "--quiet")
        self.ours = sides.Ours(o.binary, self.sink.port, free_ports(1)[0])
        self.ours3 = sides.Ours3(o.binary, self.sink.port, free_ports(1)[0])
        self.peer = sides.Postfix(self.sink.port)
        self.rows = []
        self.limits = None
        self.shares = []  # of the runs of ours in this row: {limit: share}

    def close(self):
        self.sink.stop()
        shutil.rmtree(sides.PLACE, ignore_errors=True)

    def generate(self, side, *options, login=False):
        """Runs mailgen to its end; what its --json says."""
        told = os.path.join(sides.PLACE, "mailgen.json")
        command = [find_tool(self.o.build, "mailgen"), "--to", "127.0.0.1:%d" % (side.submission if login else side.mx),
                   "--from", side.user if side is self.peer else "load@example.test", "--rcpt-domain", "example.test",
                   "--json", told, *options]
        if login:
            command += ["--tls", "starttls", "--user", side.user, "--password", side.password]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
        with open(told) as file:
            run = json.load(file)
        if run["acked"] == 0 or run["errors"].get("451", 0) or run["lost"]:
            raise SystemExit("%s did not take the load: %s" % (side.name, run))
        return run

    def watch(self, side):
        """What a run takes of the machine; Postfix counts no syncs, so ours only."""
        return None if side is self.peer else limits.Probe(side, self.sink.process.pid)

    def note(self, probe, run, size, crossings=1):
        if probe:
            self.shares.append(probe.shares(self.limits, run["acked"], size, crossings))

    def binding(self):
        """(limit, share): that of which most was used, by the median of the runs; (None, None) of what has none."""
        shares, self.shares = self.shares, []
        if not shares:
            return None, None
        return max(((name, statistics.median(s[name] for s in shares)) for name in shares[0]), key=lambda item: item[1])

    def pairs(self, name, unit, run, *, size, tls=False, sessions=20, less=False, goal=None, pairs=None, replicas=1):
        """run(side) gives one figure. less: the smaller one is the better one. goal: of the ratio ours / peer. replicas: of ours."""
        ours, peer = [], []
        for _ in range(pairs or self.o.pairs):
            for side, found in ((self.ours3 if replicas > 1 else self.ours, ours), (self.peer, peer)):
                found.append(run(side))
        ratios = [a / b for a, b in zip(ours, peer)]
        ratio = statistics.median(ratios)
        spread = statistics.median(abs(r - ratio) for r in ratios) * 1.4826 / ratio
        limit, share = self.binding()
        row = {"name": name, "unit": unit, "size": size, "replicas": replicas, "tls": tls, "sessions": sessions, "fsync": True,
               "pairs": len(ratios), "ours": statistics.median(ours), "peer": statistics.median(peer),
               "ratio": ratio if spread <= SPREAD_MAX else None, "spread": spread, "least": min(ratios), "most": max(ratios),
               "goal": goal, "better": "less" if less else "more",
               "limit": limit, "share": share}
        self.rows.append(row)
        print_row(row)


def print_head():
    print("%-50s %8s %4s %9s %9s   %-17s %-8s %-14s %s" % ("work", "size", "sess", "ours", "Postfix", "ours / Postfix", "spread", "goal",
                                                         "ours takes"))


def shown(value):
    return "%.0f" % value if value >= 100 else "%.3g" % value


def print_row(row):
    if row["ratio"] is None:
        told = "too uneven to tell"
        met = "" if row["goal"] is None or not is_met_by_all(row) else "  met by each pair"
    else:
        told = "%s (%s..%s)" % (shown(row["ratio"]), shown(row["least"]), shown(row["most"]))
        met = "" if row["goal"] is None else "  met" if is_met(row) else "  MISSED"
    goal = "" if row["goal"] is None else ("<= %g" if row["better"] == "less" else ">= %g") % row["goal"]
    bound = "" if row["limit"] is None else "%.0f %% of the %s" % (100 * row["share"], row["limit"])
    print("%-50s %8s %4d %9s %9s   %-17s %-8s %-14s %s" % (row["name"] + ", " + row["unit"] + (", TLS" if row["tls"] else "") + (", 3 nodes" if row["replicas"] > 1 else ""),
          "%d KiB" % (row["size"] // KIB) if row["size"] else "-", row["sessions"], shown(row["ours"]), shown(row["peer"]),
          told, "%.0f %%" % (100 * row["spread"]), goal + met, bound), flush=True)


def is_met(row):
    return row["ratio"] <= row["goal"] if row["better"] == "less" else row["ratio"] >= row["goal"]


def is_met_by_all(row):
    return row["most"] <= row["goal"] if row["better"] == "less" else row["least"] >= row["goal"]


# ---- accepting, nothing delivered


def accept_rate(b, size, *options, login=False, sessions=20):
    def run(side):
        side.start(held=True)
        try:
            warm(b, side, login)
            probe = b.watch(side)
            found = b.generate(side, "--seconds", str(b.o.seconds), "--sessions", str(sessions), "--size", str(size), *options, login=login)
            b.note(probe, found, size)
            return found["mails_per_s"]
        finally:
            side.stop()
    return run


def warm(b, side, login=False):
    b.generate(side, "--mails", "20", "--sessions", "4", "--id-prefix", "warm", login=login)


def bench_accept(b):
    for size, tls, goal in ((2 * KIB, False, 10), (16 * KIB, True, 8), (256 * KIB, False, 2)):
        b.pairs("accept", "mails/s", accept_rate(b, size, login=tls), size=size, tls=tls, goal=goal)


def bench_accept3(b):
    for size, goal in ((2 * KIB, 4), (16 * KIB, 3)):
        b.pairs("accept", "mails/s", accept_rate(b, size), size=size, goal=goal, replicas=3)


def bench_reconnect(b):
    """A connection, TLS and a login for every mail; full handshakes, then TLS sessions resumed as clients with a cache of them do. The
    generator's handshakes cost as much as the server's, on the same cores: so beside the rates stands the processor time of each side."""
    for handshakes, resumes in (("full handshakes", False), ("resumed", True)):
        cpu = {b.ours: [], b.peer: []}
        b.pairs("a connection a mail, " + handshakes, "mails/s", lambda side, resumes=resumes, cpu=cpu: reconnect(b, side, resumes, cpu),
                size=2 * KIB, tls=True, goal=4)
        b.pairs("CPU of 1,000 connections, " + handshakes, "s", lambda side, cpu=cpu: cpu[side].pop(0), size=2 * KIB, tls=True, less=True)


def reconnect(b, side, resumes, cpu):
    side.start(held=True)
    try:
        warm(b, side, login=True)
        probe, before = b.watch(side), side.cpu_s()
        run = b.generate(side, "--seconds", str(b.o.seconds), "--sessions", "20", "--size", str(2 * KIB), "--per-session", "1",
                         *(["--resume"] if resumes else []), login=True)
        cpu[side].append((side.cpu_s() - before) / run["acked"] * 1000)
        b.note(probe, run, 2 * KIB)
        full, resumed = run["tls"]["full"], run["tls"]["resumed"]
        if (full > 20 or resumed == 0) if resumes else resumed > 0:
            raise SystemExit("%s: %d full handshakes, %d resumed" % (side.name, full, resumed))
        return run["mails_per_s"]
    finally:
        side.stop()


def bench_latency(b):
    for which in ("p50", "p99"):
        def run(side):
            side.start(held=True)
            try:
                warm(b, side)
                probe = b.watch(side)
                found = b.generate(side, "--seconds", str(b.o.seconds), "--quickack")
                b.note(probe, found, 2 * KIB)
                return found["whole_ms"][which]
            finally:
                side.stop()
        b.pairs("MAIL..250, one at a time, %s" % which, "ms", run, size=2 * KIB, sessions=1, less=True, goal=0.7)


# ---- relaying to a sink


def relay(b, side, size):
    """Mails a second from the first to the last arrival, and CPU seconds of the side for 1,000 of them."""
    side.start(held=False)
    try:
        before, cpu = arrived(b), side.cpu_s()
        probe, begun = b.watch(side), time.monotonic()
        run = b.generate(side, "--seconds", str(b.o.seconds), "--sessions", "20", "--size", str(size))
        acked = run["acked"]
        while arrived(b) - before < acked:
            time.sleep(0.02)
            if time.monotonic() - begun > 120:
                raise SystemExit("%s relayed %d of %d mails within two minutes" % (side.name, arrived(b) - before, acked))
        b.note(probe, run, size, crossings=2)
        return acked / (time.monotonic() - begun), (side.cpu_s() - cpu) / acked * 1000
    finally:
        side.stop()


def arrived(b):
    """Lines of the sink's log."""
    if not hasattr(b, "log_seen"):
        b.log_seen, b.log_count = 0, 0
    with open(b.sink.log_path, "rb") as file:
        file.seek(b.log_seen)
        for piece in iter(lambda: file.read(1 << 20), b""):
            b.log_seen += len(piece)
            b.log_count += piece.count(b"\n")
    return b.log_count


def bench_relay(b):
    for size, goal in ((2 * KIB, 8), (16 * KIB, 8)):
        b.pairs("relay to a local sink", "mails/s", lambda side, size=size: relay(b, side, size)[0], size=size, goal=goal)


def bench_relay3(b):
    for size in (2 * KIB, 16 * KIB):
        b.pairs("relay to a local sink", "mails/s", lambda side, size=size: relay(b, side, size)[0], size=size, goal=3, replicas=3)


def bench_cpu(b):
    b.pairs("CPU of 1,000 relayed mails", "s", lambda side: relay(b, side, 16 * KIB)[1], size=16 * KIB, less=True, goal=0.12)


# ---- idle sessions, queues


def idle_sessions(b, count):
    """Memory of each session that has done STARTTLS and EHLO and says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def run(side):
        side.start(held=True)
        try:
            open_session(side, context).close()
            before = side.memory()
            sessions = [open_session(side, context) for _ in range(count[side])]
            each = (side.memory() - before) / len(sessions) / KIB
            for s in sessions:
                s.close()
            return each
        finally:
            side.stop()
    return run


def open_session(side, context):
    s = socket.create_connection(("127.0.0.1", side.submission), 60)
    hear(s)
    s.sendall(b"EHLO idle.example.test\r\n")
    hear(s)
    s.sendall(b"STARTTLS\r\n")
    hear(s)
    s = context.wrap_socket(s)
    s.sendall(b"EHLO idle.example.test\r\n")
    hear(s)
    return s


def hear(s):
    """A whole reply: its last line has a space behind the code."""
    got = b""
    while not (got.endswith(b"\n") and got.splitlines()[-1][3:4] == b" "):
        more = s.recv(4096)
        if not more:
            raise SystemExit("a session was closed: %r" % got)
        got += more


def bench_idle(b):
    """Postfix has a process a session: 300 of them tell what each costs."""
    many = {b.ours: b.o.idle, b.peer: 300}
    b.pairs("memory of an idle session", "KiB", idle_sessions(b, many), size=0, tls=True, sessions=many[b.ours], less=True,
            goal=0.03, pairs=max(1, b.o.pairs // 2))


def bench_deferred(b):
    """A queue that cannot be delivered: what it takes on disk and in memory, to list, and to serve again after a kill."""
    count, found = b.o.queued, {}

    def measure(side):
        side.start(held=True, **({} if side is b.ours else {"deferred": True}))
        try:
            b.generate(side, "--mails", str(count), "--sessions", "20")
            figures = {"disk": side.disk() / count / KIB}
            figures["restart"] = side.restart()
            figures["memory"] = side.memory() / KIB / KIB
            begun = time.monotonic()
            listed = side.list_queue()
            figures["list"] = time.monotonic() - begun
            if listed < count:
                raise SystemExit("%s lists %d of %d mails" % (side.name, listed, count))
            return figures
        finally:
            side.stop()

    for side in (b.ours, b.peer):
        found[side] = measure(side)
    for what, unit, name in (("disk", "KiB a mail", "on disk"), ("memory", "MiB", "memory"), ("list", "s", "listed"),
                             ("restart", "s", "serves after a kill")):
        b.pairs("%d waiting mails: %s" % (count, name), unit, lambda side, what=what: found[side][what], size=2 * KIB, less=True,
                goal=0.5, pairs=1)


BENCHES = {
    "accept": bench_accept,
    "accept3": bench_accept3,
    "reconnect": bench_reconnect,
    "latency": bench_latency,
    "relay": bench_relay,
    "relay3": bench_relay3,
    "cpu": bench_cpu,
    "idle": bench_idle,
    "deferred": bench_deferred,
}


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("name", nargs="?", choices=sorted(BENCHES), help="one of them; without: all")
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each run")
    parser.add_argument("--queued", type=int, default=100000, help="mails of the deferred queue")
    parser.add_argument("--idle", type=int, default=10000, help="idle TLS sessions")
    parser.add_argument("--json", metavar="FILE", help="one object a row")
    o = parser.parse_args()
    o.binary = os.path.abspath(o.binary)
    o.build = os.path.dirname(os.path.dirname(o.binary))
    if not sides.foreign.can_jail():
        raise SystemExit("Postfix needs a root directory of its own: run this as root, where mknod and chroot are allowed")
    b = Bench(o)
    try:
        print("load %.1f on %d cores, shared by both sides, generator and sink; every mail synced before its 250; 1 replica unless it says 3 nodes"
              % (os.getloadavg()[0], os.cpu_count()))
        b.limits = limits.Limits(sides.PLACE, make_certificate, free_ports(os.cpu_count()))
        print_head()
        for name in [o.name] if o.name else BENCHES:
            BENCHES[name](b)
    finally:
        b.close()
    if o.json:
        with open(o.json, "w") as file:
            for row in b.rows:
                file.write(json.dumps(row) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
