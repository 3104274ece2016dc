#!/usr/bin/env python3
"""figures - measures one node on this machine; tests/bench/run.sh starts it.

Load generator, node and sink share the cores: read ratios, not absolutes. "held": the next hop refuses
connections, so that only acceptance is measured; "relayed": a mailsink takes everything at the same time.
"""

import argparse
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "cluster-test", "lib"))
from load import Sink, find_tool  # noqa: E402
from node import PASSWORD, USER, Node, free_ports  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
SYSCALLS_SHOWN = 8


class Rig:
    """A fresh node (and sink, if it relays) in a temporary directory."""

    def __init__(self, o, relays, env=None):
        self.o = o
        self.folder = tempfile.mkdtemp(prefix="angarium-bench-")
        self.sink = Sink(o.build, self.folder) if relays else None
        port = self.sink.port if relays else free_ports(1)[0]
        self.node = Node(o.binary, self.folder, port, level="warn", retry="1s" if relays else "1h", cap="4h")
        self.node.start(env)
        self.node.wait_ready()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.node.kill()
        if self.sink:
            self.sink.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def generate(self, *options, login=False):
        """Runs mailgen to its end; returns what its --json says."""
        told = os.path.join(self.folder, "mailgen.json")
        port = self.node.submission if login else self.node.mx
        command = [find_tool(self.o.build, "mailgen"), "--to", "127.0.0.1:%d" % port, "--json", told, *options]
        if login:
            command += ["--tls", "starttls", "--user", USER, "--password", PASSWORD]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
        with open(told) as file:
            return json.load(file)

    # what the process has used

    def proc(self, name):
        with open("/proc/%d/%s" % (self.node.process.pid, name)) as file:
            return file.read()

    def cpu_ms(self):
        fields = self.proc("stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1000.0 / TICKS

    def written_bytes(self):
        return int(self.proc("io").split("\nwrite_bytes:")[1].split()[0])

    def rss_mib(self, key="VmRSS"):
        return int(self.proc("status").split(key + ":")[1].split()[0]) / 1024.0


class Table:
    def row(self, name, value, unit, note=""):
        print("%-58s %10s %-10s %s" % (name, value, unit, note), flush=True)

    def head(self, text):
        print("\n== " + text, flush=True)


def median_run(o, relays, *options, login=False):
    """The run with the median rate."""
    runs = []
    for _ in range(o.reps):
        with Rig(o, relays) as rig:
            rig.generate("--mails", "20", "--id-prefix", "warm", login=login)
            runs.append(rig.generate("--seconds", str(o.seconds), *options, login=login))
    runs.sort(key=lambda run: run["mails_per_s"])
    return runs[len(runs) // 2]


def rates(o, t):
    t.head("accepted, queue held; answered means synced (20 sessions)")
    for size in (2048, 16384):
        for name, login, more in (("MX, no TLS", False, ()), ("submission, TLS + AUTH", True, ()),
                                  ("submission, TLS + AUTH, a connection per mail", True, ("--per-session", "1"))):
            run = median_run(o, False, "--sessions", "20", "--size", str(size), *more, login=login)
            t.row("%s, %d KiB" % (name, size // 1024), "%.0f" % run["mails_per_s"], "mails/s",
                  "MAIL..250 p50 %.1f p99 %.1f ms; dot..250 p50 %.1f p99 %.1f ms%s" % (
                      run["whole_ms"]["p50"], run["whole_ms"]["p99"], run["dot_ms"]["p50"], run["dot_ms"]["p99"],
                      "; errors %s" % run["errors"] if run["errors"] else ""))


def ordinary_client(o, t):
    t.head("an ordinary client: 1 session, one mail at a time, no TCP_QUICKACK, no TCP_NODELAY")
    for name, more in (("pipelining", ()), ("no pipelining", ("--no-pipelining",)), ("BDAT", ("--bdat",))):
        run = median_run(o, False, "--sessions", "1", *more)
        t.row("%s, 2 KiB" % name, "%.0f" % run["mails_per_s"], "mails/s",
              "MAIL..250 p50 %.2f p99 %.2f max %.1f ms" % (run["whole_ms"]["p50"], run["whole_ms"]["p99"],
                                                           run["whole_ms"]["max"]))
    for size in (2048, 16384):
        run = median_run(o, False, "--sessions", "1", "--size", str(size), login=True)
        t.row("TLS + AUTH, %d KiB" % (size // 1024), "%.0f" % run["mails_per_s"], "mails/s",
              "MAIL..250 p50 %.2f p99 %.2f max %.1f ms" % (run["whole_ms"]["p50"], run["whole_ms"]["p99"],
                                                           run["whole_ms"]["max"]))


def arrivals(path):
    with open(path) as file:
        times = [int(line.split()[2]) for line in file]
    return len(times), (max(times) - min(times)) / 1000.0


def end_to_end(o, t):
    t.head("relayed: accepted, synced, claimed, sent, outcome recorded (20 sessions in)")
    for size in (2048, 16384):
        found = []
        for _ in range(o.reps):
            with Rig(o, True) as rig:
                run = rig.generate("--seconds", str(o.seconds + 1), "--sessions", "20", "--size", str(size))
                left = rig.node.wait_empty(60)
                count, seconds = arrivals(rig.sink.log_path)
                found.append((count / seconds if seconds else 0, run["mails_per_s"], left))
        found.sort()
        rate, accepted, left = found[len(found) // 2]
        t.row("MX to mailsink, %d KiB" % (size // 1024), "%.0f" % rate, "mails/s",
              "accepted %.0f mails/s meanwhile%s" % (accepted, "; %d LEFT" % left if left else ""))


def costs(o, t, relays):
    t.head("what a mail costs (20 sessions, 2 KiB, %s)" % ("relayed" if relays else "held"))
    with Rig(o, relays) as rig:
        idle = rig.rss_mib()
        rig.generate("--mails", "200", "--sessions", "20", "--id-prefix", "warm")
        if relays:
            rig.node.wait_empty(30)
        cpu, written, metrics = rig.cpu_ms(), rig.written_bytes(), rig.node.metrics()
        run = rig.generate("--seconds", str(o.seconds), "--sessions", "20")
        if relays:
            rig.node.wait_empty(60)
        cpu, written = rig.cpu_ms() - cpu, rig.written_bytes() - written
        after = rig.node.metrics()
        t.row("CPU", "%.3f" % (cpu / run["acked"]), "ms/mail")
        t.row("written to disk per accepted byte", "%.2f" % (written / run["bytes"]), "bytes",
              "%.0f bytes a mail" % (written / run["acked"]))
        name = "angarium_log_syncs_total"
        t.row("syncs of the log", "%.3f" % ((after.get(name, 0) - metrics.get(name, 0)) / run["acked"]), "/mail")
        name = "angarium_log_entries_total"
        t.row("entries of the log", "%.2f" % ((after.get(name, 0) - metrics.get(name, 0)) / run["acked"]), "/mail")
        t.row("memory idle / now / most", "%.0f / %.0f / %.0f" % (idle, rig.rss_mib(), rig.rss_mib("VmHWM")), "MiB RSS")


def system_calls(o, t, relays):
    if not shutil.which("strace"):
        t.row("system calls", "-", "", "strace is not installed")
        return
    with Rig(o, relays) as rig:
        out = os.path.join(rig.folder, "strace")
        rig.generate("--mails", "50", "--sessions", "20", "--id-prefix", "warm")
        tracer = subprocess.Popen(["strace", "-f", "-c", "-o", out, "-p", str(rig.node.process.pid)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        run = rig.generate("--mails", "1000", "--sessions", "20")
        if relays:
            rig.node.wait_empty(30)
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
        counts = strace_counts(out)
    total = counts.pop("total", 0)
    most = sorted(counts.items(), key=lambda item: -item[1])[:SYSCALLS_SHOWN]
    t.row("system calls (under strace)", "%.1f" % (total / run["acked"]), "/mail",
          ", ".join("%s %.1f" % (name, n / run["acked"]) for name, n in most))


def strace_counts(path):
    counts = {}
    with open(path) as file:
        for line in file:
            fields = line.split()
            if len(fields) >= 4 and fields[0][0].isdigit():
                counts[fields[-1]] = int(fields[3])
    return counts


def allocations(o, t, relays):
    layer = find_tool(o.build, "mallocs.so")
    folder = tempfile.mkdtemp(prefix="angarium-bench-")
    counts = os.path.join(folder, "counts")

    def read():
        with open(counts, "rb") as file:
            return struct.unpack("=4Q", file.read(32))

    try:
        with Rig(o, relays, {"LD_PRELOAD": layer, "MALLOCS_FILE": counts}) as rig:
            rig.generate("--mails", "500", "--sessions", "20", "--id-prefix", "warm")
            if relays:
                rig.node.wait_empty(30)
            before = read()
            run = rig.generate("--mails", "3000", "--sessions", "20")
            if relays:
                rig.node.wait_empty(30)
            number, size, _, copied = (b - a for a, b in zip(before, read()))
        t.row("allocations", "%.1f" % (number / run["acked"]), "/mail", "%.0f bytes asked for" % (size / run["acked"]))
        t.row("copied in memory per accepted byte", "%.1f" % (copied / run["bytes"]), "bytes")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description="measures one node on this machine")
    parser.add_argument("--binary", required=True)
    parser.add_argument("--build", help="where mailgen and mailsink are (the binary's build directory)")
    parser.add_argument("--mode", choices=("quick", "full"), default="quick")
    o = parser.parse_args()
    o.binary = os.path.abspath(o.binary)
    o.build = o.build or os.path.dirname(os.path.dirname(o.binary))
    o.reps, o.seconds = (1, 2) if o.mode == "quick" else (5, 3)
    t = Table()
    begun = time.monotonic()
    print("%s, %s; load %.1f on %d cores" % (o.binary, o.mode, os.getloadavg()[0], os.cpu_count()))
    rates(o, t)
    ordinary_client(o, t)
    end_to_end(o, t)
    for relays in (False, True):
        costs(o, t, relays)
        system_calls(o, t, relays)
        allocations(o, t, relays)
    print("\nmeasured in %.0f s" % (time.monotonic() - begun))
    return 0


if __name__ == "__main__":
    sys.exit(main())
