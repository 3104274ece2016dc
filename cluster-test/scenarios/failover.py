#!/usr/bin/env python3
"""failover - three nodes under load; one after the other is killed (or stopped for a while) and started again.

Checks at the end: every mail answered 250, by whichever node, arrived with all its recipients and unchanged; what arrived
twice was in doubt; nothing arrived that was not sent; the audits of all replicas agree.
Use: failover.py [--build build/dev] [--rounds 4] [--seed N] [--dir DIR]
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from ledger import Ledger, read_audit, read_doubts  # noqa: E402
from load import Generator, Sink  # noqa: E402
from node import find_binary, free_port_run  # noqa: E402

NODES = 3
STOPPED_S = 2.5  # longer than an election takes
STILL_S = 20  # a replica that is behind and has not moved for so long is stuck
AGREE_S = 90
ENDS_S = 20  # a node that is told to end, or whose disk is sick or full, has ended by then


class Failed(Exception):
    """A promise was broken."""


def options(name, rounds, more=None):
    parser = argparse.ArgumentParser(description=name)
    parser.add_argument("--build", default="build/dev", help="a build directory (build/dev)")
    parser.add_argument("--rounds", type=int, default=rounds, help="faults (%d)" % rounds)
    parser.add_argument("--seed", type=int, default=int(time.time()) & 0xffffff, help="draws nodes and moments")
    parser.add_argument("--dir", help="keeps everything there (default: a temporary directory, removed when good)")
    parser.add_argument("--drain-s", type=float, default=60, help="longest wait for an empty queue (60)")
    if more:
        more(parser)
    return parser.parse_args()


class Town:
    nodes = NODES
    layout = ()  # what else `angarium dev` is told
    rates = (("small", "1024-8192", "60"), ("large", "262144-614400", "4"))  # to each node: name, size, mails a second
    env = None  # of the nodes; None: the test's own

    def __init__(self, o, folder):
        self.o, self.folder = o, folder
        self.dir = os.path.join(folder, "dev")
        self.rng = random.Random(o.seed)
        self.binary = find_binary(o.build)
        self.sink = Sink(o.build, folder, "--refuse-permille", "5", "--drop-permille", "5", "--seed", str(o.seed))
        self.generators = []
        self.begun = time.monotonic()

    def say(self, text):
        print("%6.1f s  %s" % (time.monotonic() - self.begun, text), flush=True)

    def dev(self, *words, timeout=90):
        done = subprocess.run([self.binary, "dev", *words, "--dir", self.dir], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, timeout=timeout, env=self.env)
        if done.returncode != 0:
            raise Failed("dev %s ended with %d: %s" % (" ".join(words), done.returncode, done.stderr))

    def start(self):
        base = free_port_run(100)
        self.before_start(base)
        self.dev("--nodes", str(self.nodes), *self.layout, "--base-port", str(base), "--next-hop", "127.0.0.1:%d" % self.sink.port,
                 "--set", "delivery.retry_base_ms=100ms", "--set", "delivery.retry_cap_ms=400ms",
                 "--set", "limits.session_transactions_max=1000000", "--set", "limits.disk_reserve_bytes=0", "--detach")
        with open(os.path.join(self.dir, "cluster.json")) as file:
            self.cluster = json.load(file)
        self.say("%d nodes are ready, seed %d, %s" % (self.nodes, self.o.seed, self.folder))

    def before_start(self, base):
        """What else a scenario needs."""

    def start_load(self):
        for node in self.cluster["nodes"]:
            port = int(node["mx"].rsplit(":", 1)[1])
            for name, size, rate in self.rates:
                self.generators.append(Generator(
                    self.o.build, self.folder, "%s%d" % (name, node["id"]), port, "--sessions", "2", "--size", size,
                    "--rate", rate, "--keep-trying", "--seed", str(self.o.seed), "--seconds", "3600"))
                self.generators[-1].node = node["id"]

    # ---- processes

    def pid(self, node):
        with open(os.path.join(self.dir, "cluster.json")) as file:
            return json.load(file)["nodes"][node - 1]["pid"]

    def is_running(self, node):
        try:
            with open("/proc/%d/stat" % self.pid(node)) as file:
                fields = file.read().rsplit(")", 1)[1].split()
            # the first thread is a zombie while others end, which hold the log's lock until then
            return fields[0] not in ("Z", "X") or int(fields[17]) > 1
        except OSError:
            return False

    def wait_ended(self, node, why):
        end = time.monotonic() + ENDS_S
        while self.is_running(node):
            if time.monotonic() > end:
                raise Failed("node %d does not end: %s" % (node, why))
            time.sleep(0.02)

    def kill_at_once(self, nodes):
        """kill -9 of all of them within milliseconds."""
        pids = [self.pid(node) for node in nodes]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for node in nodes:
            self.wait_ended(node, "SIGKILL")

    # ---- questions

    def wait(self, what, fact, seconds=30):
        end, unheard = time.monotonic() + seconds, ""
        while time.monotonic() < end:
            try:
                if fact():
                    return
                unheard = ""
            except OSError as error:
                unheard = " (the last question: %s)" % error
            time.sleep(0.05)
        raise Failed("not within %d s: %s%s" % (seconds, what, unheard))

    def cli(self, *words):
        return subprocess.run([self.binary, "--dir", self.dir, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=90)

    def get(self, node, path, timeout=5):
        ask = urllib.request.Request("http://%s%s" % (self.cluster["nodes"][node - 1]["http"], path),
                                     headers={"Authorization": "Bearer " + self.cluster["api_token"]})
        with urllib.request.urlopen(ask, timeout=timeout) as answer:
            return json.load(answer)

    def one_round(self, number):
        node = self.rng.randint(1, NODES)
        stops = number % 3 == 0
        time.sleep(self.rng.uniform(0.2, 1.2))
        if stops:
            self.dev("kill", "--node", str(node), "--signal", "STOP")
            time.sleep(STOPPED_S)
            self.dev("kill", "--node", str(node), "--signal", "CONT")
        else:
            self.dev("kill", "--node", str(node))
            time.sleep(self.rng.uniform(0.5, 2.0))
            self.dev("start", "--node", str(node))
        self.say("round %d: node %d %s" % (number, node, "stopped and went on" if stops else "killed, started"))

    def members(self):
        return range(1, self.nodes + 1)

    def wait_empty(self):
        end = time.monotonic() + self.o.drain_s
        while time.monotonic() < end:
            left = max(self.get(i, "/api/v1/queue?limit=1")["counts"]["messages"] for i in self.members())
            if left == 0:
                return
            time.sleep(0.1)
        raise Failed("%d messages are still in the queue after %.0f s" % (left, self.o.drain_s))

    def same_digests(self):
        """All replicas hold the same state, shard by shard. On a busy machine that takes long: who is behind comes nearer."""
        begun = moved = time.monotonic()
        places = None
        while True:
            found = {}
            for i in self.members():
                for shard in self.get(i, "/api/v1/shards?scope=node")["items"]:
                    found.setdefault(shard["id"], []).append((shard["applied"], shard["digest"]))
            differ = [shard for shard, held in found.items() if len({digest for _, digest in held}) > 1]
            if not differ:
                return len(found)
            before, places = places, {shard: min(found[shard])[0] for shard in differ}  # of the last one
            if places != before:
                moved = time.monotonic()
            if time.monotonic() > min(moved + STILL_S, begun + AGREE_S):
                raise Failed("replicas differ: %s" % {shard: found[shard] for shard in differ})
            time.sleep(0.1)

    def audit(self):
        listed = set()
        for node in self.cluster["nodes"]:
            done = subprocess.run([self.binary, "audit", "--list", node["data_dir"]], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=120)
            if done.returncode != 0:
                raise Failed("audit of node %d ended with %d\n%s%s" % (node["id"], done.returncode,
                                                                       done.stdout[-2000:], done.stderr[-2000:]))
            listed |= read_audit(done.stdout)
        return listed

    def run(self):
        self.start()
        self.start_load()
        for number in self.rounds():
            self.one_round(number)
        time.sleep(1)
        for generator in self.generators:
            generator.closing = generator.stop()
            self.say(generator.closing)
        self.after_load()
        self.wait_empty()
        shards = self.same_digests()
        self.dev("stop")
        doubts = self.audit()
        for node in self.cluster["nodes"]:
            doubts |= read_doubts(node["log_file"])
        ledger = Ledger([g.acked for g in self.generators], [g.unsure for g in self.generators], self.sink.log_path,
                        doubts)
        for line in ledger.complaints():
            print("  " + line)
        if not ledger.is_good() or not ledger.acked:
            raise Failed(ledger.summary())
        print("%s, %d shards, %s" % (self.verdict(), shards, ledger.summary()))

    def rounds(self):
        return range(1, self.o.rounds + 1)

    def after_load(self):
        """What else a scenario looks at."""

    def verdict(self):
        return "failover: %d faults" % self.o.rounds

    def end(self):
        """Nothing of ours keeps running."""
        subprocess.run([self.binary, "dev", "stop", "--dir", self.dir], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=90)
        for process in [g.process for g in self.generators] + [self.sink.process]:
            if process.poll() is None:
                process.kill()
                process.wait()


def main(kind=Town, name="failover", rounds=4, more=None):
    o = options(name, rounds, more)
    folder = o.dir or tempfile.mkdtemp(prefix="angarium-%s-" % name)
    os.makedirs(folder, exist_ok=True)
    town = kind(o, folder)
    try:
        town.run()
    except (Failed, OSError, subprocess.TimeoutExpired) as failure:
        print("%s FAILED: %s" % (name, failure))
        print("again: %s --build %s --rounds %d --seed %d; everything is in %s" %
              (sys.argv[0], o.build, o.rounds, o.seed, folder))
        return 1
    finally:
        town.end()
    if not o.dir:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
