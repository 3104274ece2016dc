"""crash - the rounds that kill9 and powercut share: load, a node that dies again and again, the reckoning.

A round: start the node on the same data, wait until it is ready (or not), let the load run up to a moment
drawn from the seed, kill -9, and do what the scenario does to the disk. Moments: some milliseconds after
ready; some answered mails or some arrivals after ready; some milliseconds after exec, in the middle of
the replay. At the end the queue drains, the node stops politely, the audit and the ledger must agree.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time

from ledger import Ledger, read_audit, read_doubts
from load import Generator, Sink, file_size, find_tool
from node import Node, NodeFailed, find_binary

MOMENT_MOST_S = 1.0  # for a moment that is keyed to events, when none happen
STARTING_MOST_S = 0.12


class Failed(Exception):
    """A promise was broken."""


def options(name, rounds, audit_every):
    parser = argparse.ArgumentParser(description=name)
    parser.add_argument("--build", default="build/dev", help="a build directory (build/dev)")
    parser.add_argument("--rounds", type=int, default=rounds, help="kills (%d)" % rounds)
    parser.add_argument("--seed", type=int, default=int(time.time()) & 0xffffff, help="replays a run")
    parser.add_argument("--audit-every", type=int, default=audit_every, metavar="K",
                        help="rounds between audits of the dead node's data (%d)" % audit_every)
    parser.add_argument("--dir", help="keeps everything there (default: a temporary directory, removed when good)")
    parser.add_argument("--drain-s", type=float, default=90, help="longest wait for an empty queue (90)")
    return parser.parse_args()


class Moment:
    """When to kill."""

    def __init__(self, rng):
        kind = rng.random()
        self.while_starting = kind < 0.08
        self.acks = rng.randint(1, 60) if 0.08 <= kind < 0.25 else 0
        self.arrivals = rng.randint(1, 60) if 0.25 <= kind < 0.42 else 0
        self.seconds = rng.uniform(0.005, 0.150)
        if self.while_starting:
            self.seconds = rng.uniform(0.001, STARTING_MOST_S)

    def __str__(self):
        if self.while_starting:
            return "%.1f ms after exec" % (self.seconds * 1e3)
        if self.acks or self.arrivals:
            return "%d %s after ready" % (self.acks or self.arrivals, "acks" if self.acks else "arrivals")
        return "%.1f ms after ready" % (self.seconds * 1e3)


def grown(path, start, lines):
    """Have about so many lines been added to the file since it had `start` bytes?"""
    return file_size(path) >= start + lines * 24


class Crash:
    """env: of the node; after_kill(self, round): what happens to the disk; say(text): progress."""

    def __init__(self, name, o, env=None, after_kill=None, ready_s=20.0):
        self.name, self.o, self.env, self.after_kill, self.ready_s = name, o, env, after_kill, ready_s
        self.rng = random.Random(o.seed)
        binary = find_binary(o.build)
        find_tool(o.build, "mailgen")
        self.folder = o.dir or tempfile.mkdtemp(prefix="angarium-%s-" % name)
        os.makedirs(self.folder, exist_ok=True)
        if os.listdir(self.folder):
            raise SystemExit("%s: not empty" % self.folder)
        self.sink = Sink(o.build, self.folder, "--refuse-permille", "5", "--drop-permille", "5",
                         "--seed", str(o.seed))
        self.node = Node(binary, self.folder, self.sink.port)
        self.generators = []
        self.begun = time.monotonic()
        self.ready_times = []
        self.audits = 0
        self.doubts = set()

    def say(self, text):
        print("%6.1f s  %s" % (time.monotonic() - self.begun, text), flush=True)

    # load

    def start_load(self):
        seed = str(self.o.seed)
        each = ("--keep-trying", "--seed", seed, "--seconds", "3600")
        mx, submission = self.node.mx, self.node.submission
        self.generators = [
            Generator(self.o.build, self.folder, "small", mx, "--sessions", "4", "--size", "1024-8192",
                      "--recipients", "2", "--rate", "400", *each),
            Generator(self.o.build, self.folder, "large", mx, "--sessions", "3", "--size", "1024-614400", "--bdat",
                      "--rate", "60", *each),
            Generator(self.o.build, self.folder, "plain", mx, "--sessions", "2", "--size", "65536-614400",
                      "--no-pipelining", "--per-session", "5", "--rate", "30", *each),
            Generator(self.o.build, self.folder, "login", submission, "--sessions", "2", "--size", "1024-65536",
                      "--rate", "60", *each, login=True),
        ]

    def stop_load(self):
        for generator in self.generators:
            generator.stop()

    # rounds

    def wait_moment(self, moment):
        acked, acked_at = self.generators[0].acked, file_size(self.generators[0].acked)
        sink_at = file_size(self.sink.log_path)
        begun = time.monotonic()
        end = begun + (MOMENT_MOST_S if moment.acks or moment.arrivals else moment.seconds)
        while time.monotonic() < end and self.node.is_running():
            if moment.acks and grown(acked, acked_at, moment.acks):
                return
            if moment.arrivals and grown(self.sink.log_path, sink_at, moment.arrivals * 3):
                return
            time.sleep(0.001)

    def one_round(self, number):
        moment = Moment(self.rng)
        self.node.start(self.env)
        if not moment.while_starting:
            self.ready_times.append(self.node.wait_ready(self.ready_s))
        self.wait_moment(moment)
        if not self.node.kill():
            raise Failed("round %d (%s): the node ended by itself:\n%s" % (number, moment, self.node.log_tail()))
        told = self.after_kill(self, number) if self.after_kill else ""
        if number % self.o.audit_every == 0:
            self.check_audit("round %d" % number)
        if number % max(1, self.o.rounds // 20) == 0:
            self.say("%d kills, last %s%s; %d acked, %d arrived" % (
                number, moment, told, self.lines(g.acked for g in self.generators), self.lines([self.sink.log_path])))

    @staticmethod
    def lines(paths):
        count = 0
        for path in paths:
            if os.path.exists(path):
                with open(path, "rb") as file:
                    count += sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
        return count

    def check_audit(self, when, *extra):
        code, out, err = self.node.audit(*extra)
        self.audits += 1
        if code != 0:
            raise Failed("%s: angarium audit ended with %d\n%s%s" % (when, code, out[-3000:], err[-3000:]))
        return out

    # the end

    def drain(self):
        self.node.start(self.env)
        self.node.wait_ready(self.ready_s)
        time.sleep(0.3)
        self.stop_load()
        left = self.node.wait_empty(self.o.drain_s)
        if left != 0:
            raise Failed("%d messages are still in the queue after %.0f s\n%s" %
                         (left, self.o.drain_s, self.node.log_tail()))
        code = self.node.stop()
        if code != 0:
            raise Failed("the node ended with %d after SIGTERM\n%s" % (code, self.node.log_tail()))

    def reckon(self):
        listed = self.check_audit("at the end", "--list")
        self.doubts = read_doubts(self.node.log_path) | read_audit(listed)
        ledger = Ledger([g.acked for g in self.generators], [g.unsure for g in self.generators],
                        self.sink.log_path, self.doubts)
        for line in ledger.complaints():
            print("  " + line)
        if not ledger.is_good():
            raise Failed(ledger.summary())
        return ledger

    def run(self):
        self.say("seed %d, %s" % (self.o.seed, self.folder))
        self.start_load()
        for number in range(1, self.o.rounds + 1):
            self.one_round(number)
        self.drain()
        ledger = self.reckon()
        times = sorted(self.ready_times)
        self.say("ready after p50 %.0f ms, most %.0f ms; %d audits" %
                 (times[len(times) // 2] * 1e3, times[-1] * 1e3, self.audits))
        print("%s: %d kills, %s" % (self.name, self.o.rounds, ledger.summary()))

    def end(self):
        """Nothing of ours keeps running."""
        for process in [g.process for g in self.generators] + [self.sink.process, self.node.process]:
            if process and process.poll() is None:
                process.kill()
                process.wait()


def finish(crash):
    """Runs the scenario; returns the exit code."""
    o = crash.o
    try:
        crash.run()
    except (Failed, NodeFailed) as failure:
        print("%s FAILED: %s" % (crash.name, failure))
        print("replay: %s --build %s --rounds %d --seed %d; everything is in %s" %
              (sys.argv[0], o.build, o.rounds, o.seed, crash.folder))
        return 1
    finally:
        crash.end()
    if not o.dir:
        shutil.rmtree(crash.folder, ignore_errors=True)
    return 0
