#!/usr/bin/env python3
"""page - what one mail costs, at three sizes, of one node and of three, accepted and delivered at once to a local sink; tests/bench/run.sh
page starts it.

Three nodes: the load goes to the first, figures are sums over the three; "on disk" is of each of them. Instructions are counted
by callgrind (valgrind), of one node: they do not depend on what else the machine does. CPU does."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import figures  # noqa: E402
import sides  # noqa: E402
from load import Sink, find_tool  # noqa: E402
from node import free_ports  # noqa: E402

KIB = 1024
AWAKE_S = 0.25
SYNCS = ("fdatasync", "fsync", "sync_file_range", "msync")


class Rig:
    """One side with a sink; `env` is its environment, and that of the nodes that it starts."""

    def __init__(self, o, nodes, env=None):
        self.o, self.nodes = o, nodes
        shutil.rmtree(sides.PLACE, ignore_errors=True)
        os.makedirs(sides.PLACE)
        self.sink = Sink(o.build, sides.PLACE, "--quiet")
        self.side = (sides.Ours3 if nodes == 3 else sides.Ours)(o.binary, self.sink.port, free_ports(1)[0])
        before = {key: os.environ.get(key) for key in env or {}}
        os.environ.update(env or {})
        try:
            self.side.start(held=False)
        finally:
            for key, value in before.items():
                os.environ.pop(key) if value is None else os.environ.update({key: value})
        self.generate(50, 2 * KIB, "warm")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.side.stop()
        self.sink.stop()
        shutil.rmtree(sides.PLACE, ignore_errors=True)

    def pids(self):
        return self.side.pids if self.nodes == 3 else [self.side.node.process.pid]

    def arrived(self):
        with open(self.sink.log_path, "rb") as file:
            return file.read().count(b"\n")

    def generate(self, mails, size, prefix="page"):
        """Sends them and waits until each has arrived and its outcome is in the log."""
        before = self.arrived()
        subprocess.run([find_tool(self.o.build, "mailgen"), "--to", "127.0.0.1:%d" % self.side.mx, "--from", "load@example.test",
                        "--rcpt-domain", "example.test", "--mails", str(mails), "--sessions", "20", "--size", str(size),
                        "--id-prefix", prefix], check=True, stdout=subprocess.DEVNULL, timeout=600)
        end = time.monotonic() + 300
        while self.arrived() - before < mails or self.waiting():
            if time.monotonic() > end:
                raise SystemExit("%d of %d mails arrived within five minutes" % (self.arrived() - before, mails))
            time.sleep(0.05)

    def metrics(self):
        """Sums over the nodes."""
        found = {}
        for url, token in self.side.apis():
            request = urllib.request.Request(url + "/metrics", headers={"Authorization": "Bearer " + token})
            with urllib.request.urlopen(request, timeout=10) as answer:
                for line in answer.read().decode().split("\n"):
                    name, _, value = line.rpartition(" ")
                    if name and not name.startswith("#"):
                        found[name] = found.get(name, 0) + float(value)
        return found

    def waiting(self):
        return sum(v for k, v in self.metrics().items() if k.startswith("angarium_shard_messages{")) > 0

    def used(self):
        """CPU seconds and bytes to disk, of each node."""
        cpu = written = 0
        for pid in self.pids():
            fields = sides.stat_fields(pid)
            cpu += (int(fields[11]) + int(fields[12])) / sides.TICKS
            written += int(sides.read("/proc/%d/io" % pid).split("\nwrite_bytes:")[1].split()[0])
        return cpu, written


@contextlib.contextmanager
def napping(pid, nap_ms):
    """The process is stopped for so long, again and again, AWAKE_S between."""
    done = threading.Event()

    def nap():
        while not done.is_set():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(nap_ms / 1000)
            os.kill(pid, signal.SIGCONT)
            done.wait(AWAKE_S)

    thread = threading.Thread(target=nap)
    if nap_ms:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if nap_ms:
            thread.join()


def plain(o, nodes, size, mails):
    """CPU, syncs of the log, bytes on disk and wire."""
    with Rig(o, nodes) as rig:
        (cpu, written), before = rig.used(), rig.metrics()
        with napping(rig.pids()[-1], o.naps if nodes > 1 else 0):
            rig.generate(mails, size)
        (cpu2, written2), after = rig.used(), rig.metrics()
    name = "angarium_log_syncs_total"
    figures_ = {"CPU ms": (cpu2 - cpu) * 1000 / mails, "log syncs": (after[name] - before[name]) / mails,
                "on disk, bytes a byte": (written2 - written) / nodes / (mails * size)}
    if nodes > 1:
        figures_.update(wire_parts({k: after[k] - before.get(k, 0) for k in after}, (nodes - 1) * mails, size))
    return figures_


def wire_parts(grown, mails, size):
    """What goes over the wire for a mail and follower, and what it is. TLS adds 22 bytes a record, TCP and IP their heads: not counted."""
    def lane(name, what="bytes"):
        return grown.get('angarium_wire_%s_total{lane="%s",direction="out"}' % (what, name), 0) / mails

    def entry(what):
        return grown.get("angarium_raft_entry_bytes_%s_total" % what, 0) / mails

    def count(what):
        return grown.get("angarium_raft_%s_total" % what, 0) / mails

    new = entry("sent") - entry("resent")
    parts = {"heads of entries: envelope, facts, claims, outcomes": new - size, "around entries: frames, messages, leads": lane("log") - entry("sent"),
             "control lane: acknowledgements, beats": lane("control"), "bulk lane: questions between nodes": lane("bulk"),
             "entries sent again": entry("resent")}
    found = {"on the wire, bytes a byte and follower": (lane("log") + lane("control") + lane("bulk")) / size}
    found.update({"  bytes a mail, " + name: value for name, value in parts.items()})
    found.update({"  entries a mail": count("entries_sent"), "  messages a mail": count("messages_sent"),
                  "  frames a mail, log lane": lane("log", "frames"), "  frames a mail, control lane": lane("control", "frames")})
    return found


def traced(o, nodes, size, mails):
    with Rig(o, nodes) as rig:
        out = os.path.join(sides.PLACE, "strace")
        command = ["strace", "-f", "-c", "-o", out]
        for pid in rig.pids():
            command += ["-p", str(pid)]
        tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)  # it has no other way to say that it is attached
        rig.generate(mails, size)
        tracer.send_signal(signal.SIGINT)
        tracer.wait(30)
        counts = figures.strace_counts(out)
    total = counts.pop("total", sum(counts.values()))
    return {"system calls": total / mails, "of them syncs": sum(counts.get(s, 0) for s in SYNCS) / mails}


def layered(o, nodes, size, mails):
    counts = os.path.join(os.path.dirname(sides.PLACE), "bench-counts")

    def read():
        with open(counts, "rb") as file:
            return struct.unpack("=4Q", file.read(32))

    with Rig(o, nodes, {"LD_PRELOAD": find_tool(o.build, "mallocs.so"), "MALLOCS_FILE": counts}) as rig:
        before = read()
        rig.generate(mails, size)
        number, _, _, copied = (b - a for a, b in zip(before, read()))
    os.unlink(counts)
    return {"allocations": number / mails, "copied, bytes a byte": copied / (mails * size)}


def instructions(o, size, mails):
    """Of one node: two runs that differ in the number of mails, so that start and end do not count."""
    if not shutil.which("valgrind"):
        return {"instructions, thousands": None}
    totals = []
    for count in (mails, 2 * mails):
        folder = os.path.join(sides.PLACE + "-callgrind")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        sink = Sink(o.build, folder, "--quiet")
        node = figures.Node(o.binary, folder, sink.port, level="warn", retry="1s", cap="4h")
        node.start(prefix=["valgrind", "--tool=callgrind", "--callgrind-out-file=" + os.path.join(folder, "out"), "--quiet"])
        node.wait_ready(120)
        subprocess.run([find_tool(o.build, "mailgen"), "--to", "127.0.0.1:%d" % node.mx, "--from", "load@example.test",
                        "--rcpt-domain", "example.test", "--mails", str(count), "--sessions", "20", "--size", str(size)],
                       check=True, stdout=subprocess.DEVNULL, timeout=600)
        node.wait_empty(120)
        node.stop(120)
        sink.stop()
        text = sides.read(os.path.join(folder, "out"))
        totals.append(int(next(line for line in text.split("\n") if line.startswith(("summary:", "totals:"))).split()[1]))
        shutil.rmtree(folder, ignore_errors=True)
    return {"instructions, thousands": (totals[1] - totals[0]) / mails / 1000}


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh page", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--mails", type=int, default=2000, help="of 2 and 16 KiB in each run; a tenth of it of 256 KiB")
    parser.add_argument("--nodes", type=int, choices=(1, 3), help="of one alone, or of three; without: both")
    parser.add_argument("--naps", type=int, default=0, metavar="MS", help="three nodes: one of those that get no load is stopped for so long, "
                        "again and again; only CPU, log, disk and wire are counted")
    parser.add_argument("--no-instructions", action="store_true", help="callgrind takes minutes")
    parser.add_argument("--json", metavar="FILE")
    o = parser.parse_args()
    o.binary = os.path.abspath(o.binary)
    o.build = os.path.dirname(os.path.dirname(o.binary))
    if not o.no_instructions and not shutil.which("valgrind"):
        print("valgrind is not installed: instructions are not counted")
    print("load %.1f on %d cores; accepted and delivered at once, 20 sessions, no TLS to clients; a mail costs:" % (
        os.getloadavg()[0], os.cpu_count()))
    rows, columns = {}, []
    for nodes in (o.nodes,) if o.nodes else (1, 3):
        for size in (2 * KIB, 16 * KIB, 256 * KIB):
            mails = o.mails if size < 256 * KIB else max(20, o.mails // 10)
            column = "%d KiB, %d node%s" % (size // KIB, nodes, "s" if nodes > 1 else "")
            columns.append(column)
            found = plain(o, nodes, size, mails)
            if not o.naps:
                found.update(**traced(o, nodes, size, mails // 2), **layered(o, nodes, size, mails // 2))
            if nodes == 1 and not o.no_instructions:
                found.update(instructions(o, size, 100))
            for name, value in found.items():
                rows.setdefault(name, {})[column] = value
            print("  measured: %s" % column, file=sys.stderr, flush=True)
    print("%-66s" % "" + "".join("%18s" % c for c in columns))
    for name, values in rows.items():
        print("%-66s" % name + "".join("%18s" % ("-" if values.get(c) is None else "%.3g" % values[c] if values[c] < 100 else
                                                 "%.0f" % values[c]) for c in columns))
    if o.json:
        with open(o.json, "w") as file:
            file.writelines(json.dumps({"column": c, **{name: values.get(c) for name, values in rows.items()}}) + "\n" for c in columns)
    return 0


if __name__ == "__main__":
    sys.exit(main())
