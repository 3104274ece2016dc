#!/usr/bin/env python3
"""rescue - a cluster is backed up under load and lost whole; another one begins with the backup and grows.

Two nodes of that are lost for good, the third goes on, a lost one comes back in vain, a new one is taken in.

Checks: a damaged backup is refused, and a target that is not empty; a backup under load is whole; all mails answered 250 before it
began are in the restored node, and arrive; what the backup says was delivered is not sent again; what the third
node had arrives, what recover tells is so, and it refuses what it must; the audits are clean.
Use: rescue.py [--build build/dev] [--seed N] [--dir DIR]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from dev import PORTS, Dev, Failed  # noqa: E402
from ledger import read_arrivals, read_promises  # noqa: E402
from load import Generator, Sink  # noqa: E402
from node import find_binary, free_port_run  # noqa: E402

REFUSED, USAGE = 5, 2
LEFT = 3  # the node that is left; lower numbers dial, so a lost one that returns is heard of


def options():
    parser = argparse.ArgumentParser(description="rescue")
    parser.add_argument("--build", default="build/dev", help="a build directory (build/dev)")
    parser.add_argument("--seed", type=int, default=int(time.time()) & 0xffffff)
    parser.add_argument("--dir", help="keeps everything there (default: a temporary directory, removed when good)")
    return parser.parse_args()


class Rescue:
    def __init__(self, o, folder):
        self.o, self.folder = o, folder
        self.binary = find_binary(o.build)
        # much is refused for now, so that there is always something pending
        self.sink = Sink(o.build, folder, "--refuse-permille", "300", "--drop-permille", "20", "--seed", str(o.seed))
        base = free_port_run(2 * PORTS)
        self.old = Dev(self.binary, folder, "old", self.sink.port, base)
        self.new = Dev(self.binary, folder, "new", self.sink.port, base + PORTS)
        self.backup = os.path.join(folder, "backup")
        self.generators, self.processes = [], []
        self.unprepared = None
        self.begun = time.monotonic()

    def say(self, text):
        print("%6.1f s  %s" % (time.monotonic() - self.begun, text), flush=True)

    # the old cluster

    def load(self, dev, name, nodes):
        for node in nodes:
            for kind, size, rate in (("small", "1024-8192", "60"), ("large", "262144-614400", "3")):
                self.generators.append(Generator(
                    self.o.build, self.folder, "%s-%s-%d" % (name, kind, node), dev.port(node, "mx"), "--sessions", "2",
                    "--size", size, "--rate", rate, "--keep-trying", "--seed", str(self.o.seed), "--seconds", "3600"))

    def acked(self):
        return read_promises([g.acked for g in self.generators])

    def take_backup(self):
        before = self.acked()
        done = self.old.run(["cluster", "backup", self.backup, "--dir", self.old.dir])
        self.say(done.stdout.strip())
        self.old.run(["cluster", "backup", "verify", self.backup])
        self.old.run(["cluster", "backup", self.backup, "--dir", self.old.dir], exit=REFUSED)
        return before

    def lose_all(self):
        time.sleep(0.5)
        for node in (1, 2, 3):
            self.old.dev("kill", "--node", str(node))
        for generator in self.generators:
            generator.process.kill()
            generator.process.wait()

    # the new one

    def prepare(self):
        """Settings, certificates and secrets of another cluster, whose disks are then gone. In a thread of its own."""
        try:
            self.new.start(3)
            self.new.dev("stop")
            self.new.forget(1, 2, 3)
        except Failed as failure:
            self.unprepared = failure

    def damaged(self):
        bad = os.path.join(self.folder, "bad")
        shutil.copytree(self.backup, bad)
        largest = max((os.path.getsize(os.path.join(bad, n)), n) for n in os.listdir(bad) if n.startswith("shard"))[1]
        with open(os.path.join(bad, largest), "r+b") as file:
            file.seek(os.path.getsize(file.name) // 2)
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 4]))
        self.new.run(["cluster", "backup", "verify", bad], exit=1)
        self.restore("--in-doubt", "retry", source=bad, exit=1)
        self.new.forget(1)

    def restore(self, *words, source=None, exit=0, settings=None):
        return self.new.run(["cluster", "restore", source or self.backup, "-c", settings or self.new.settings(1), *words],
                            exit=exit)

    def check_refusals(self):
        self.restore(exit=USAGE)
        self.restore("--in-doubt", "hold", "--data-dir", os.path.join(self.folder, "same"), exit=REFUSED,
                     settings=self.old.settings(1))
        self.restore("--in-doubt", "hold", "--dry-run")
        if os.path.exists(self.new.data_dir(1)):
            raise Failed("a dry run made a directory")

    def check_held(self):
        held = os.path.join(self.folder, "held")
        self.restore("--in-doubt", "hold", "--data-dir", held)
        states = {words[2] for words in self.new.audit_list(held)}
        if states & {"waiting", "claimed"} or "held" not in states:
            raise Failed("restored with hold, recipients are %s" % sorted(states))

    def check_restored(self, before):
        """All that was promised is there; gives (id, recipient) of what was delivered."""
        listed = self.new.audit_list(self.new.data_dir(1))
        known = {words[0] for words in listed}
        missing = [promise for promise in before.values() if promise[0] not in known]
        if missing or not before:
            raise Failed("of %d mails answered before the backup %d are not in it: %s" %
                         (len(before), len(missing), missing[:5]))
        pending = sum(words[2] in ("waiting", "held") for words in listed)
        if pending == 0:
            raise Failed("nothing was pending in the backup: the test shows too little")
        self.say("%d mails of before are restored, %d recipients are pending" % (len(before), pending))
        return {(words[0], words[1]) for words in listed if words[2] == "delivered"}

    def arrived(self):
        """(id, recipient) -> how often."""
        found = {}
        for test_id, arrivals in read_arrivals(self.sink.log_path).items():
            for arrival in arrivals:
                for name in arrival.recipients.split(","):
                    found[test_id, name] = found.get((test_id, name), 0) + 1
        return found

    def check_delivered(self, before, arrivals, delivered):
        now = self.arrived()
        lost = [test_id for test_id, (_, recipients) in before.items()
                if len({name for known, name in now if known == test_id}) < recipients]
        again = [key for key in now if key[0] in before and (before[key[0]][0], key[1]) in delivered and
                 now[key] > arrivals.get(key, 0)]
        if lost or again:
            raise Failed("lost: %s; sent again though delivered: %s" % (lost[:5], again[:5]))

    # two of three nodes are lost

    def lose_two(self):
        """Under load, all at once. Gives (id, recipient) of what the one that is left has."""
        self.generators = []
        self.load(self.new, "new", (1, 2, 3))
        time.sleep(1.2)
        self.new.run(["recover", self.new.data_dir(LEFT), "--lost", "1,2", "--dry-run"], exit=REFUSED)  # it runs
        for node in (1, 2, LEFT):
            self.new.dev("kill", "--node", str(node))
        for generator in self.generators:
            generator.process.kill()
            generator.process.wait()
        had = {(words[0], words[1]) for words in self.new.audit_list(self.new.data_dir(LEFT))}
        self.refuse()
        self.kept = os.path.join(self.folder, "node-1-kept")
        os.rename(self.new.data_dir(1), self.kept)
        shutil.rmtree(self.new.data_dir(2))
        return had

    def refuse(self):
        one, two = self.new.data_dir(LEFT), self.new.data_dir(2)
        for words, exit in (((one, "--lost", "1,2"), USAGE),
                            ((one, "--lost", "1", "--dry-run"), REFUSED),        # and where is 2?
                            ((one, two, "--lost", "1", "--dry-run"), REFUSED),   # a majority is left
                            ((one, two, "--lost", "1,2", "--dry-run"), REFUSED),  # lost, and here
                            ((one, self.old.data_dir(2), "--lost", "1,2", "--dry-run"), REFUSED),  # another cluster
                            ((one, "--lost", "1,2,9", "--dry-run"), 3)):
            self.new.run(["recover", *words], exit=exit)

    def recover(self, had):
        words = ["recover", self.new.data_dir(LEFT), "--lost", "1,2"]
        ends = {int(line.split()[0]): int(line.split()[1]) for line in
                self.new.run(["audit", self.new.data_dir(LEFT)]).stdout.split("\n") if line.strip()[:1].isdigit()}
        told = json.loads(self.new.run([*words, "--dry-run", "-o", "json"]).stdout)
        again = json.loads(self.new.run([*words, "--dry-run", "-o", "json"]).stdout)
        if told != again or told["done"]:
            raise Failed("a dry run changed something")
        for group in told["groups"]:
            end = group["logs"][0]["last"]
            if group["verdict"] != "recovers" or group["members"] != [LEFT] or group["from"] != LEFT or \
                    group["had_quorum"] or end < ends.get(group["group"], 0):
                raise Failed("recover tells of group %d: %s" % (group["group"], group))
        self.new.run([*words, "--yes-data-may-be-lost"])
        self.new.run([*words, "--yes-data-may-be-lost"], exit=REFUSED)
        self.new.dev("start", "--node", str(LEFT))
        self.new.wait_empty(LEFT, nodes=(LEFT,))
        states = {node["id"]: node["state"] for node in self.new.get(LEFT, "/api/v1/nodes")["items"]}
        if states != {1: "gone", 2: "gone", LEFT: "serving"}:
            raise Failed("nodes are %s" % states)
        now = {(a.queue_id, name) for list_ in read_arrivals(self.sink.log_path).values() for a in list_
               for name in a.recipients.split(",")}
        acked = {queue_id for queue_id, _ in read_promises([g.acked for g in self.generators]).values()}
        missing = [key for key in had if key[0] in acked and key not in now]
        if missing or not acked:
            raise Failed("node 3 had %s, and it did not arrive" % missing[:5])
        self.say("node 3 goes on alone with %d groups" % len(told["groups"]))

    def start_node(self, number):
        with open(os.path.join(self.folder, "node-%d.out" % number), "ab") as out:
            process = subprocess.Popen([self.binary, "node", "-c", self.new.settings(number)], stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=out)
        self.processes.append(process)
        return process

    def come_back(self):
        """A lost node returns with its disk: nobody talks to it."""
        os.rename(self.kept, self.new.data_dir(1))
        back = self.start_node(1)
        log = os.path.join(self.folder, "node-1.out")

        def is_heard():
            with open(log, errors="replace") as file:
                return not any("event=wire.refused_by_peer" in line and "peer=%d" % LEFT in line for line in file)
        self.new.wait("node 3 has not refused node 1", is_heard)
        back.kill()
        back.wait()
        left = self.new.get(LEFT, "/api/v1/queue?limit=1")["counts"]["messages"]
        leads = next(n for n in self.new.get(LEFT, "/api/v1/nodes")["items"] if n["id"] == LEFT)["leads"]
        if left or not leads:
            raise Failed("node 3 leads %d shards, %d messages are left" % (leads, left))

    def take_in(self):
        """A new node, with the ports of node 2, gets replicas of everything."""
        self.new.add_node(4, like=2, ask=LEFT)
        self.start_node(4)
        self.new.wait("not all shards are on two nodes", lambda: [
            shard for shard, digests in self.new.digests(3, nodes=(2, LEFT)).items() if len(digests) < 2])
        self.new.wait("replicas differ", lambda: [
            shard for shard, digests in self.new.digests(3, nodes=(2, LEFT)).items() if len(set(digests)) > 1])

    def run(self):
        preparing = threading.Thread(target=self.prepare)
        preparing.start()
        self.old.start(3)
        self.load(self.old, "old", (1, 2, 3))
        time.sleep(1.5)
        before = self.take_backup()
        self.lose_all()
        self.say("the old cluster is lost; %d mails were answered before the backup" % len(before))
        preparing.join()
        if self.unprepared:
            raise self.unprepared
        self.check_refusals()
        self.damaged()
        self.check_held()
        self.restore("--in-doubt", "retry")
        self.restore("--in-doubt", "retry", exit=REFUSED)
        delivered = self.check_restored(before)
        arrivals = self.arrived()
        self.new.start(3)
        self.new.wait_shared(3)
        self.new.wait_empty(3)
        self.new.same_digests(3)
        self.check_delivered(before, arrivals, delivered)
        had = self.lose_two()
        self.recover(had)
        self.come_back()
        self.take_in()
        print("rescue: %d mails of before the backup, %d recipients delivered then and not again, all arrived; "
              "%d mails of one node of three, all arrived; a fourth came" % (len(before), len(delivered), len(had)))

    def end(self):
        for dev in (self.old, self.new):
            dev.end()
        for process in [g.process for g in self.generators] + [self.sink.process] + self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def main():
    o = options()
    folder = o.dir or tempfile.mkdtemp(prefix="angarium-rescue-")
    os.makedirs(folder, exist_ok=True)
    rescue = Rescue(o, folder)
    try:
        rescue.run()
    except Failed as failure:
        print("rescue FAILED: %s" % failure)
        print("again: %s --build %s --seed %d; everything is in %s" % (sys.argv[0], o.build, o.seed, folder))
        return 1
    finally:
        rescue.end()
    if not o.dir:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
