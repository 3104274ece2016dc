#!/usr/bin/env python3
"""failover - three nodes under load: how long a shard takes no mail when the node that leads it is killed, drains, or is cut off.

  kill    kill -9 of a node; its shards' next 250, at another node, from the moment of the kill
  stop    SIGTERM of a node, which hands its shards over; the same
  cut     its ways to the others are cut; the same
At each node 16 sessions (some on each of its loops: a shard takes mail of its own loop first) send at a rate that leaves the machine room, so that what is measured is not the generator.
Of each fault two figures a shard that the node led: first, ms from the fault to the shard's first 250 elsewhere; gap, the longest time between
two of its 250s, whoever said them, from the last one before the fault to that first one (of stop: the node goes on until it has handed over). Beside it usual_gap, the ms between two 250s of a shard at moments before the
first faults, when nothing is wrong: less than that no gap can be on a machine that is as busy, which its load says; mails accepted per second in
the five seconds before the first faults and from them on; transactions that ended without a 250: refused (but by 421 before they began), or with the
connection gone; apart from them refused_at_start, those at a node that was started again and not ready yet.
What was due while a node was away is not sent afterwards: it would be sent as fast as the node takes it, and measured would be that.
Use: failover.py [--binary build/release/node/angarium] [--faults 30] [--rate 100] [--shards 2] [--only kill,stop,cut] [--seed N] [--json FILE]
"""

import argparse
import bisect
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "cluster-test", "scenarios"))
from faults import Faults  # noqa: E402

AROUND_S = 5
AROUND_FAULTS = 3  # of each kind
USUAL_PARTS = 10
LATEST_S = 15
BACK_S = 120
SESSIONS, SESSION_MAILS, SIZE = 16, 20, 300  # at each node
BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"


def shard_of(message):
    """The upper 20 of its 64 bits."""
    number = 0
    for letter in message:
        number = number * 32 + BASE32.index(letter)
    return number >> 44


class Load:
    """Mails to one node. Not one session for ever: when a node starts, the first of its loops would get them all."""

    def __init__(self, build, folder, node, kind, rate):
        name = os.path.join(folder, "%s-%d" % (kind, node["id"]))
        self.node, self.failed, self.rest = node["id"], name + ".failed", ""
        self.acked = open(name + ".acked", "w+", encoding="ascii")
        with open(name + ".log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [os.path.join(build, "tests/bench/mailgen"), "--to", node["mx"], "--sessions", str(SESSIONS), "--per-session", str(SESSION_MAILS),
                 "--rate", str(rate), "--seconds", "86400", "--size", str(SIZE), "--rcpt-domain", "example.test", "--id-prefix", kind + str(node["id"]),
                 "--drop-late", "--keep-trying", "--give-up", "86400", "--acked", name + ".acked", "--failed", self.failed],
                stdout=log, stderr=log)

    def news(self):
        """(when, node, shard) of each 250 since the last look."""
        lines = (self.rest + self.acked.read()).split("\n")
        self.rest = lines.pop()
        return [(int(at_ms) / 1e3, self.node, shard_of(message)) for _, message, at_ms, _ in map(str.split, lines)]

    def end(self):
        """(when, node, why) of each transaction that ended without a 250; not of one that a 421 kept from beginning."""
        self.process.terminate()
        self.process.wait()
        self.acked.close()
        with open(self.failed, encoding="ascii") as file:
            told = [line.split() for line in file]
        return [(int(at_ms) / 1e3, self.node, code if code != "0" else "gone") for _, code, at_ms, all_sent in told if code != "421" or all_sent == "1"]


class Bench(Faults):
    """A cluster for each kind: only of that which cuts do the ways lead through a relay, which takes its part of the processors."""

    def __init__(self, o, folder, kind):
        super().__init__(o, folder)
        self.kind = kind

    def before_start(self, base):
        if self.kind == "cut":
            super().before_start(base)

    def begin(self):
        self.start()
        self.close_all_but(self.o.shards)
        self.takers = {shard for n in self.cluster["nodes"] for shard in self.open_shards(n["id"])}
        self.seen, self.loads, self.starts, self.last_victim = [], [], [], 0

    def open_shards(self, node):
        return [s["id"] for s in self.get(1, "/api/v1/placements")["items"] if s["state"] == "open" and s["voters"][0] == node]

    def close_all_but(self, count):
        """So many shards a node take mail: with more of them each would get one so seldom that a gap is a time without mail."""
        for n in self.cluster["nodes"]:
            for shard in self.open_shards(n["id"])[count:]:
                ask = urllib.request.Request("http://%s/api/v1/shards/%d/close" % (n["http"], shard), method="POST",
                                             headers={"Authorization": "Bearer " + self.cluster["api_token"]})
                urllib.request.urlopen(ask, timeout=10).close()

    def load(self, kind):
        for n in self.cluster["nodes"]:
            self.loads.append(Load(self.o.build, self.folder, n, kind, self.o.rate))
        time.sleep(AROUND_S)
        self.wait_back()

    def end_load(self):
        """What failed, by reason, and how much of it at a node that had been started again and was not ready yet."""
        failed, starting = {}, 0
        while self.loads:
            for when, node, why in self.loads.pop().end():
                if any(n == node and begin <= when <= end for n, begin, end in self.starts):
                    starting += 1
                else:
                    failed[why] = failed.get(why, 0) + 1
        self.starts = []
        return failed, starting

    def look(self):
        self.seen += sorted(news for load in self.loads for news in load.news())

    def wait_back(self):
        """Each shard is led by who should, so nobody is behind: two faults at once are another test (crash/faults)."""
        end = time.monotonic() + BACK_S
        while time.monotonic() < end:
            try:
                if all(s["leader"] == s["voters"][0] for s in self.get(1, "/api/v1/placements")["items"] if s["state"] != "closed"):
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit("not all shards are led by the first of their voters")

    def fault(self, kind, node):
        if kind != "cut":
            os.kill(self.pid(node), signal.SIGKILL if kind == "kill" else signal.SIGTERM)
        else:
            out, back = self.ways(node)
            self.relay.cut_ways(out + back)

    def mend(self, kind, node):
        if self.relay:
            self.relay.mend()
        else:
            self.wait_ended(node, kind)
            begun = time.monotonic()
            self.dev("start", "--node", str(node))
            self.starts.append((node, begun, time.monotonic()))
        self.wait_back()

    def figures(self, shards, node, at, looked):
        """Of each shard the ms to its first 250 elsewhere, and the longest between two up to there; those that nobody used in LATEST_S
        are left out, and counted."""
        end = time.monotonic() + LATEST_S
        told = {}
        while len(told) < len(shards) and time.monotonic() < end:
            time.sleep(0.02)
            self.look()
            told = {shard for when, by, shard in self.seen[looked:] if when > at and by != node and shard in shards}
        first, last, gap = {}, {}, {}
        for when, by, shard in sorted(self.seen):
            if shard not in shards or shard in first:
                continue
            if when > at:
                gap[shard] = max(gap.get(shard, 0), when - last.get(shard, at))
                if by != node:
                    first[shard] = when
            last[shard] = when
        return ([(when - at) * 1e3 for when in first.values()], [gap[shard] * 1e3 for shard in first], len(shards) - len(first))

    def rate(self, begin, end):
        return sum(begin < when <= end for when, _, _ in self.seen) / (end - begin)

    def usual_gaps(self, at):
        """Of each shard the ms between its 250s around each of some moments of the seconds before."""
        told = {}
        for when, _, shard in sorted(self.seen):
            if at - AROUND_S < when < at:
                told.setdefault(shard, []).append(when)
        gaps = []
        for times in told.values():
            for moment in (at - AROUND_S * part / USUAL_PARTS for part in range(1, USUAL_PARTS)):
                next_at = bisect.bisect(times, moment)
                if 0 < next_at < len(times):
                    gaps.append((times[next_at] - times[next_at - 1]) * 1e3)
        return gaps

    def victim(self):
        """Not the one of before, so that nobody waits long for one that comes back; it leads something."""
        while True:
            node = self.rng.choice([n for n in range(1, 4) if n != self.last_victim])
            if self.leads(node):
                self.last_victim = node
                return node
            time.sleep(0.05)

    def measure(self, kind, count):
        """The first faults stand alone, with the rates around them; the others come as soon as each shard is led by who should."""
        total = {"first": [], "gap": [], "usual_gap": [], "before": [], "after": [], "unused": 0}
        self.load(kind)
        for number in range(count):
            if number < AROUND_FAULTS:
                time.sleep(AROUND_S)
            node = self.victim()
            self.look()
            shards, looked = self.leads(node) & self.takers, len(self.seen)
            at = time.monotonic()
            self.fault(kind, node)
            first, gap, unused = self.figures(shards, node, at, looked)
            total["first"] += first
            total["gap"] += gap
            total["unused"] += unused
            if number < AROUND_FAULTS:
                time.sleep(max(0, at + AROUND_S - time.monotonic()))
                self.look()
                total["usual_gap"] += self.usual_gaps(at)
                total["before"].append(self.rate(at - AROUND_S, at))
                total["after"].append(self.rate(at, at + AROUND_S))
            self.mend(kind, node)
            self.say("%s %d: node %d, %d shards, %.0f ms at most" % (kind, number + 1, node, len(shards), max(first, default=0)))
        total["failed"], total["starting"] = self.end_load()
        return self.result(kind, count, self.o.rate, total)

    @staticmethod
    def result(kind, count, rate, total):
        if not total["first"]:
            raise SystemExit("%s: no shard had a 250 elsewhere" % kind)
        result = {"fault": kind, "faults": count, "offered_per_s": 3 * rate, "shards": len(total["first"]), "shards_unused": total["unused"]}
        for name in ("first", "gap", "usual_gap"):
            ms = sorted(total[name]) or [0]
            result.update({"%s_p50_ms" % name: round(ms[len(ms) // 2], 1), "%s_p99_ms" % name: round(ms[len(ms) * 99 // 100], 1),
                           "%s_max_ms" % name: round(ms[-1], 1)})
        result.update({"mails_per_s_before": round(sum(total["before"]) / len(total["before"])),
                       "mails_per_s_after": round(sum(total["after"]) / len(total["after"])),
                       "transactions_failed": sum(total["failed"].values()), "failed_with": total["failed"],
                       "refused_at_start": total["starting"],
                       "load": round(os.getloadavg()[0], 1)})
        print(json.dumps(result), flush=True)
        return result

    def close(self):
        self.end_load()
        self.end()


def main():
    parser = argparse.ArgumentParser(description="failover")
    parser.add_argument("--binary", default="build/release/node/angarium")
    parser.add_argument("--faults", type=int, default=30, help="of each kind (30)")
    parser.add_argument("--rate", type=int, default=100, help="mails a second offered to each node (100: with 250 two cores have nothing left)")
    parser.add_argument("--shards", type=int, default=2, help="of each node, that take mail (2 of its 4)")
    parser.add_argument("--only", default="kill,stop,cut")
    parser.add_argument("--seed", type=int, default=int(time.time()) & 0xffffff)
    parser.add_argument("--json")
    o = parser.parse_args()
    kinds = o.only.split(",")
    o.build = os.path.dirname(os.path.dirname(o.binary))
    results = []
    for kind in kinds:
        folder = tempfile.mkdtemp(prefix="angarium-bench-failover-")
        bench = Bench(o, folder, kind)
        try:
            bench.begin()
            results.append(bench.measure(kind, o.faults))
        finally:
            bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    if o.json:
        with open(o.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
