#!/usr/bin/env python3
"""failover - three nodes under load: how long a shard takes no mail when the node that leads it is killed, drains, or is cut off.

  kill    kill -9 of a node; its shards' next 250, at another node, from the moment of the kill
  stop    SIGTERM of a node, which hands its shards over; the same, and how many mails got no 250 meanwhile
  cut     its ways to the others are cut; the same
Of each fault one figure a shard that the node led. Beside it mails accepted per second in the five seconds before the fault and from it on.
Use: failover.py [--binary build/release/node/angarium] [--faults 30] [--only kill,stop,cut] [--seed N] [--json FILE]
"""

import argparse
import json
import os
import shutil
import smtplib
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "cluster-test", "scenarios"))
from faults import Faults  # noqa: E402

AROUND_S = 5
LATEST_S = 15
BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"
MAIL = b"Subject: failover\r\n\r\n" + b"x" * 70 + b"\r\n"


def shard_of(message):
    """The upper 20 of its 64 bits."""
    number = 0
    for letter in message:
        number = number * 32 + BASE32.index(letter)
    return number >> 44


class Client(threading.Thread):
    """A session at one node, mail after mail; a new one when it ends."""

    def __init__(self, node, address, seen):
        super().__init__(daemon=True)
        self.node, self.address, self.seen, self.failed, self.goes_on = node, address, seen, [], True

    def run(self):
        host, port = self.address.split(":")
        while self.goes_on:
            try:
                with smtplib.SMTP(host, int(port), timeout=5) as s:
                    s.ehlo()
                    while self.goes_on:
                        self.mail(s)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.01)

    def mail(self, s):
        s.mail("a@elsewhere.example")
        s.rcpt("u@example.test")
        try:
            code, text = s.data(MAIL)
        except (OSError, smtplib.SMTPException):
            self.failed.append(time.monotonic())
            raise
        if code == 250:
            self.seen.append((time.monotonic(), self.node, shard_of(text.decode().split()[-1])))
        else:
            self.failed.append(time.monotonic())
            s.rset()


class Bench(Faults):
    def begin(self):
        self.start()
        self.seen = []
        self.clients = [Client(n["id"], n["mx"], self.seen) for n in self.cluster["nodes"] for _ in range(8)]
        for client in self.clients:
            client.start()
        time.sleep(AROUND_S)

    def wait_back(self, node):
        """It leads something again."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if self.leads(node):
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit("node %d leads nothing" % node)

    def fault(self, kind, node):
        if kind == "kill":
            self.dev("kill", "--node", str(node))
        elif kind == "stop":
            self.dev("kill", "--node", str(node), "--signal", "TERM")
        else:
            out, back = self.ways(node)
            self.relay.cut_ways(out + back)

    def mend(self, kind, node):
        self.relay.mend()
        if kind != "cut":
            self.wait_ended(node, kind)
            self.dev("start", "--node", str(node))
        self.wait_back(node)

    def figures(self, shards, node, at):
        """Of each shard the ms to its first 250 elsewhere; those that nobody used in LATEST_S are left out, and counted."""
        end = time.monotonic() + LATEST_S
        first = {}
        looked = 0
        while len(first) < len(shards) and time.monotonic() < end:
            while looked < len(self.seen):
                when, by, shard = self.seen[looked]
                looked += 1
                if when > at and by != node and shard in shards:
                    first.setdefault(shard, (when - at) * 1e3)
            time.sleep(0.01)
        return list(first.values()), len(shards) - len(first)

    def rate(self, begin, end):
        return sum(begin < when <= end for when, _, _ in self.seen) / (end - begin)

    def measure(self, kind, count):
        gaps, unused, before, after, failed = [], 0, [], [], 0
        for number in range(count):
            node = self.rng.randint(1, 3)
            self.wait_back(node)
            shards = self.leads(node)
            at = time.monotonic()
            self.fault(kind, node)
            found, missing = self.figures(shards, node, at)
            gaps += found
            unused += missing
            time.sleep(max(0, at + AROUND_S - time.monotonic()))
            before.append(self.rate(at - AROUND_S, at))
            after.append(self.rate(at, at + AROUND_S))
            failed += sum(at < when <= at + AROUND_S for c in self.clients for when in c.failed)
            self.mend(kind, node)
            time.sleep(AROUND_S)
            self.say("%s %d: node %d, %d shards" % (kind, number + 1, node, len(shards)))
        if not gaps:
            raise SystemExit("%s: no shard had a 250 elsewhere" % kind)
        gaps.sort()
        result = {"fault": kind, "faults": count, "shards": len(gaps), "shards_unused": unused,
                  "p50_ms": round(gaps[len(gaps) // 2], 1), "p99_ms": round(gaps[len(gaps) * 99 // 100], 1),
                  "max_ms": round(gaps[-1], 1), "mails_per_s_before": round(sum(before) / count),
                  "mails_per_s_after": round(sum(after) / count), "transactions_failed": failed}
        print(json.dumps(result), flush=True)
        return result

    def close(self):
        for client in self.clients:
            client.goes_on = False
        self.end()


def main():
    parser = argparse.ArgumentParser(description="failover")
    parser.add_argument("--binary", default="build/release/node/angarium")
    parser.add_argument("--faults", type=int, default=30, help="of each kind (30)")
    parser.add_argument("--only", default="kill,stop,cut")
    parser.add_argument("--seed", type=int, default=int(time.time()) & 0xffffff)
    parser.add_argument("--json")
    o = parser.parse_args()
    kinds = o.only.split(",")
    o.build = os.path.dirname(os.path.dirname(o.binary))
    folder = tempfile.mkdtemp(prefix="angarium-bench-failover-")
    bench = Bench(o, folder)
    try:
        bench.begin()
        results = [bench.measure(kind, o.faults) for kind in kinds]
    finally:
        bench.close()
    shutil.rmtree(folder, ignore_errors=True)
    if o.json:
        with open(o.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
