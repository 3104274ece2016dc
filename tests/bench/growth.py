#!/usr/bin/env python3
"""growth - how the figures of one node change with sessions, waiting mails, shards and destinations; tests/bench/run.sh growth
starts it.

Each step is a fresh node. A cost that is told of a queue is divided by its mails: a flat line is linear growth, and what rises by more
than the logarithm of the queue is said so. --pictures DIR draws each table as an SVG picture."""

import argparse
import json
import math
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sides  # noqa: E402
from load import Sink, find_tool  # noqa: E402
from node import PASSWORD, USER, Node, free_ports  # noqa: E402

KIB = 1024
SIZE = 2 * KIB


class Dns(threading.Thread):
    """Every name is 127.0.0.1 and has no MX: each domain is a destination of its own."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self):
        while True:
            query, peer = self.socket.recvfrom(2048)
            end = query.index(0, 12) + 5
            (kind,) = struct.unpack(">H", query[end - 4:end - 2])
            found = kind == 1
            answer = query[:2] + struct.pack(">HHHHH", 0x8580, 1, int(found), 0, 0) + query[12:end]
            if found:
                answer += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 3600, 4) + bytes([127, 0, 0, 1])
            self.socket.sendto(answer, peer)


class Rig:
    """One fresh node; relays to a sink, or (held) to a port where nobody listens."""

    def __init__(self, o, held, shards=4, dns=None):
        self.o = o
        self.folder = os.path.join(sides.PLACE, "growth")
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.sink = None if held else Sink(o.build, self.folder, "--quiet")
        self.node = Node(o.binary, self.folder, free_ports(1)[0] if held else self.sink.port, shards=shards, level="warn",
                         retry="1h" if held else "1s", cap="4h")
        with open(self.node.settings) as file:
            text = file.read().replace("limits: {", "limits: { sessions_max: 20000, queue_messages_max: 100000000,")
        if dns:
            text = "\n".join(line for line in text.split("\n") if not line.startswith("routes:"))
            text += "resolver: { address: \"127.0.0.1:%d\", mx_port: %d }\n" % (dns.port, self.sink.port)
        with open(self.node.settings, "w") as file:
            file.write(text)
        self.node.start()
        self.node.wait_ready(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.node.kill()
        if self.sink:
            self.sink.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def generate(self, *options, login=False):
        told = os.path.join(self.folder, "mailgen.json")
        command = [find_tool(self.o.build, "mailgen"), "--to", "127.0.0.1:%d" % (self.node.submission if login else self.node.mx),
                   "--from", "load@example.test", "--size", str(SIZE), "--json", told, *options]
        if login:
            command += ["--tls", "starttls", "--user", USER, "--password", PASSWORD]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=7200)
        with open(told) as file:
            return json.load(file)


def by_sessions(o):
    for n in o.sessions:
        with Rig(o, True) as rig:
            rig.generate("--mails", "20", "--sessions", "4", "--rcpt-domain", "example.test", "--id-prefix", "warm")
            run = rig.generate("--seconds", str(o.seconds), "--sessions", str(n), "--rcpt-domain", "example.test")
            yield n, {"mails/s": run["mails_per_s"], "p50 ms": run["whole_ms"]["p50"], "p99 ms": run["whole_ms"]["p99"]}


def by_queue(o):
    for n in o.queued:
        with Rig(o, True) as rig:
            run = rig.generate("--mails", str(n), "--sessions", "100", "--rcpt-domain", "example.test")
            rig.node.kill()
            disk = sides.disk_used(rig.node.data_dir)
            begun = time.monotonic()
            rig.node.start()
            rig.node.wait_ready(600)
            restart = time.monotonic() - begun
            memory = sides.pss([rig.node.process.pid])
            begun = time.monotonic()
            status, _ = rig.node.get("/api/v1/queue?limit=100", timeout=60)
            page = time.monotonic() - begun
            if status != 200:
                raise SystemExit("the queue is not listed: %s" % status)
            more = rig.generate("--seconds", str(o.seconds), "--sessions", "20", "--rcpt-domain", "example.test", "--id-prefix", "more")
            yield n, {"filled at mails/s": run["mails_per_s"], "then mails/s": more["mails_per_s"], "disk KiB a mail": disk / n / KIB,
                      "memory MiB": memory / KIB / KIB, "restart s": restart, "first page ms": page * 1000}


def by_shards(o):
    for n in o.shards:
        with Rig(o, True, shards=n) as rig:
            idle = sides.pss([rig.node.process.pid])
            rig.generate("--mails", "20", "--sessions", "4", "--rcpt-domain", "example.test", "--id-prefix", "warm")
            run = rig.generate("--seconds", str(o.seconds), "--sessions", "20", "--rcpt-domain", "example.test")
            yield n, {"mails/s": run["mails_per_s"], "p50 ms": run["whole_ms"]["p50"], "idle MiB": idle / KIB / KIB}


def by_destinations(o):
    dns = Dns()
    dns.start()
    for n in o.destinations:
        with Rig(o, False, dns=dns) as rig:
            path = os.path.join(rig.folder, "domains")
            with open(path, "w") as file:
                file.writelines("d%d.growth.test\n" % i for i in range(n))
            mails = max(n, o.mails)
            before = sides.stat_fields(rig.node.process.pid)
            begun = time.monotonic()
            rig.generate("--mails", str(mails), "--sessions", "20", "--rcpt-domain", "@" + path, login=True)
            left = rig.node.wait_empty(1200)
            took = time.monotonic() - begun
            if left:
                raise SystemExit("%d mails to %d destinations are left" % (left, n))
            after = sides.stat_fields(rig.node.process.pid)
            cpu = sum(int(b) - int(a) for a, b in zip(before[11:13], after[11:13])) / sides.TICKS
            yield n, {"relayed mails/s": mails / took, "CPU ms a mail": cpu * 1000 / mails,
                      "memory MiB": sides.pss([rig.node.process.pid]) / KIB / KIB}


TABLES = {"sessions": by_sessions, "queue": by_queue, "shards": by_shards, "destinations": by_destinations}
# what costs a whole queue: may grow by n log n at most, so divided by n no faster than log n
WHOLE = {"queue": ("restart s",)}


def show(name, steps):
    """Prints each as it comes; all of them."""
    shown = []
    print("\n== by %s" % name)
    for n, figures in steps:
        if not shown:
            print("%12s" % name, "".join("%18s" % key for key in figures))
        print("%12d" % n, "".join("%18s" % ("%.0f" % v if v >= 100 else "%.3g" % v) for v in figures.values()), flush=True)
        shown.append((n, figures))
    return shown


def judge(name, steps):
    for key in WHOLE.get(name, ()):
        for (n, a), (m, b) in zip(steps, steps[1:]):
            allowed = m * math.log(m) / (n * math.log(n))
            if b[key] > 2 * a[key] * allowed and b[key] > 1:
                print("%s grows faster than n log n between %d and %d: %.3g -> %.3g" % (key, n, m, a[key], b[key]))


def draw(folder, name, steps):
    import matplotlib  # Debian: python3-matplotlib; run.sh installs it
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "growth"})  # small, and the same for the same figures
    from matplotlib import pyplot
    keys = list(steps[0][1])
    figure, axes = pyplot.subplots(1, len(keys), figsize=(3.2 * len(keys), 2.8), constrained_layout=True)
    for axis, key in zip(axes, keys):
        axis.plot([n for n, _ in steps], [figures[key] for _, figures in steps], marker="o", color="#2458a6")
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_xlabel(name)
        axis.set_title(key, fontsize=10)
        axis.grid(alpha=0.3)
    os.makedirs(folder, exist_ok=True)
    figure.savefig(os.path.join(folder, "growth-%s.svg" % name), metadata={"Date": None})
    pyplot.close(figure)


def main():
    def numbers(text):
        return [int(float(word)) for word in text.split(",")]

    parser = argparse.ArgumentParser(prog="tests/bench/run.sh growth", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=sorted(TABLES))
    parser.add_argument("--sessions", type=numbers, default=numbers("1,10,100,1000"))
    parser.add_argument("--queued", type=numbers, default=numbers("1e3,1e4,1e5,1e6"), help="1e7 is possible: 28 GB, half an hour")
    parser.add_argument("--shards", type=numbers, default=numbers("1,4,16,64,256"))
    parser.add_argument("--destinations", type=numbers, default=numbers("1,10,1e3,1e4,1e5"))
    parser.add_argument("--mails", type=int, default=20000, help="at least so many to all destinations together")
    parser.add_argument("--seconds", type=int, default=3, help="of each run")
    parser.add_argument("--pictures", metavar="DIR")
    parser.add_argument("--json", metavar="FILE")
    o = parser.parse_args()
    o.binary = os.path.abspath(o.binary)
    o.build = os.path.dirname(os.path.dirname(o.binary))
    print("load %.1f on %d cores; one node, every mail of %d KiB synced before its 250" % (os.getloadavg()[0], os.cpu_count(),
                                                                                         SIZE // KIB))
    found = {}
    for name in [o.only] if o.only else TABLES:
        found[name] = show(name, TABLES[name](o))
        judge(name, found[name])
        if o.pictures:
            draw(o.pictures, name, found[name])
    if o.json:
        with open(o.json, "w") as file:
            for name, steps in found.items():
                file.writelines(json.dumps({"by": name, "n": n, **figures}) + "\n" for n, figures in steps)
    return 0


if __name__ == "__main__":
    sys.exit(main())
