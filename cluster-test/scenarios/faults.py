#!/usr/bin/env python3
"""faults - three nodes under load, and what can go wrong with them without special rights, one fault after the other from a seed.

kill: kill -9, start. stop: SIGSTOP, SIGCONT. polite: SIGTERM, start. cut: no way to the others and back. one-way: others do not hear a
node, which hears them; or the reverse. slow-net: its ways take 40 ms and more. full: no room on its disk. sick: syncs fail, it ends and is
started on a disk that is well again. slow-disk: each sync takes 300 ms longer. naps: one that leads is stopped until another one
leads its shards, and wakes, five times. all: kill -9 of all at once, start. power: the same, and all disks lose what was not synced.
At the end as in failover: nothing answered 250 is missing, twice only what was in doubt, replicas agree, audits are clean.
Use: faults.py [--build build/dev] [--rounds 10] [--seed N] [--only NAME,..] [--dir DIR]
"""

import os
import shutil
import sys
import time

sys.dont_write_bytecode = True
from failover import STOPPED_S, Town, main  # noqa: E402
import powercut_apply  # noqa: E402
from load import file_size  # noqa: E402
from relay import Relay  # noqa: E402

NAPS = 5
JOURNAL_MAX = 32 << 20  # bytes


class Faults(Town):
    kinds = ("kill", "stop", "polite", "cut", "one-way", "slow-net", "full", "sick", "slow-disk", "naps", "all", "power")
    relay = None

    def __init__(self, o, folder):
        layers = [os.path.join(os.path.abspath(o.build), "cluster-test", name) for name in ("faults.so", "powercut.so")]
        for layer in layers:
            if not os.path.exists(layer):
                raise SystemExit("%s: not there; build it first (cmake --build %s --target faults powercut)" % (layer, o.build))
        super().__init__(o, folder)
        self.faults_dir = os.path.join(folder, "faults")
        os.makedirs(self.faults_dir)
        if o.only:
            self.kinds = o.only.split(",")
        self.loses_power = "power" in self.kinds
        self.env = dict(os.environ, LD_PRELOAD=" ".join(layers if self.loses_power else layers[:1]), FAULTS_DIR=self.faults_dir)
        self.cut_bytes = 0
        if self.loses_power:
            self.prepare_power()
        self.counts = dict.fromkeys(self.kinds, 0)
        self.bag = []

    # ---- ways

    def before_start(self, base):
        """Each node's ways to the others lead through the relay."""
        self.relay = Relay({i: base + 10 * (i - 1) + 4 for i in range(1, self.nodes + 1)})
        for a in range(1, self.nodes + 1):
            with open(os.path.join(self.faults_dir, "node-%d.ways" % a), "w") as file:
                for b in range(1, self.nodes + 1):
                    if a != b:
                        file.write("%d %d\n" % (self.relay.peer_ports[b], self.relay.ports[(a, b)]))

    def ways(self, node):
        """(from it, to it)"""
        others = [i for i in range(1, self.nodes + 1) if i != node]
        return [(node, i) for i in others], [(i, node) for i in others]

    # ---- disks

    def disk(self, node, what):
        path = os.path.join(self.faults_dir, "node-%d.disk" % node)
        if what:
            with open(path + ".new", "w") as file:
                file.write(what)
            os.rename(path + ".new", path)
        elif os.path.exists(path):
            os.remove(path)

    def last_word(self, node):
        with open(self.cluster["nodes"][node - 1]["log_file"], "rb") as file:
            return file.read().decode("utf-8", "replace").strip().split("\n")[-1]

    # ---- the faults

    def do_kill(self, node):
        self.dev("kill", "--node", str(node))
        time.sleep(self.rng.uniform(0.3, 1.2))
        self.dev("start", "--node", str(node))

    def do_stop(self, node):
        self.dev("kill", "--node", str(node), "--signal", "STOP")
        time.sleep(self.rng.uniform(1, STOPPED_S))
        self.dev("kill", "--node", str(node), "--signal", "CONT")

    def do_polite(self, node):
        self.dev("kill", "--node", str(node), "--signal", "TERM")
        self.wait_ended(node, "SIGTERM")
        self.dev("start", "--node", str(node))

    def for_a_while(self):
        time.sleep(self.rng.uniform(0.8, 2.5))
        self.relay.mend()

    def do_cut(self, node):
        out, back = self.ways(node)
        self.relay.cut_ways(out + back)
        self.for_a_while()

    def do_one_way(self, node):
        self.relay.cut_ways(self.ways(node)[self.rng.randint(0, 1)])
        self.for_a_while()

    def do_slow_net(self, node):
        out, back = self.ways(node)
        self.relay.slow_ways(out + back, self.rng.uniform(0.04, 0.15))
        self.for_a_while()

    def do_slow_disk(self, node):
        self.disk(node, "slow 300")
        time.sleep(self.rng.uniform(1, 3))
        self.disk(node, None)

    def ends_by(self, node, what):
        self.disk(node, what)
        self.wait_ended(node, "its disk is %s" % what)
        word = self.last_word(node)
        self.disk(node, None)
        time.sleep(self.rng.uniform(0, 0.5))
        self.dev("start", "--node", str(node))
        self.say("   its last word: %s" % word[:160])

    def do_full(self, node):
        self.ends_by(node, "full")

    def do_sick(self, node):
        self.ends_by(node, "sick")

    def leads(self, node):
        """What it leads, as it says itself."""
        return {s["id"] for s in self.get(node, "/api/v1/shards?scope=node")["items"] if s["leads"]}

    def is_whole(self, node, shard):
        """All who shall vote do. Before that others may be no quorum: a shard begins with the one voter that founded it."""
        placement = self.get(node, "/api/v1/shards/%d" % shard)
        return placement["in_force"] and len(placement["voters"]) == self.nodes

    def draw_leader(self):
        """A node, and what it leads that others can lead, too."""
        found = {}

        def look():
            found.clear()
            for node in range(1, self.nodes + 1):
                shards = {shard for shard in self.leads(node) if self.is_whole(node, shard)}
                if shards:
                    found[node] = shards
            return found

        self.wait("somebody leads a shard that has all its voters", look)
        node = self.rng.choice(sorted(found))
        return node, found[node]

    def do_naps(self, _):
        """The one that wakes had claims in the air; another one leads by then, and sends."""
        for _ in range(NAPS):
            node, shards = self.draw_leader()
            others = [n for n in range(1, self.nodes + 1) if n != node]
            self.dev("kill", "--node", str(node), "--signal", "STOP")
            try:
                self.wait("others lead the shards of node %d" % node,
                          lambda: shards <= set().union(*(self.leads(n) for n in others)))
            finally:
                self.dev("kill", "--node", str(node), "--signal", "CONT")
            time.sleep(self.rng.uniform(0, 0.3))

    def do_all(self, _):
        self.kill_at_once(range(1, self.nodes + 1))
        self.dev("--detach")  # all at once: one alone is not ready

    # ---- power

    def journal(self, node):
        return os.path.join(self.folder, "journal", "node-%d" % node)

    def prepare_power(self):
        self.env.update(POWERCUT_DIR=os.path.join(self.dir, "%"), POWERCUT_JOURNAL=os.path.join(self.folder, "journal", "%"))
        for node in range(1, self.nodes + 1):
            os.makedirs(self.journal(node))
            os.makedirs(os.path.join(self.dir, "node-%d" % node))

    def do_power(self, _):
        """Each disk keeps what it likes of what no sync covered; one of them nothing."""
        self.kill_at_once(range(1, self.nodes + 1))
        worst = self.rng.randint(1, self.nodes)
        for node in range(1, self.nodes + 1):
            cut = powercut_apply.apply(self.cluster["nodes"][node - 1]["data_dir"], self.journal(node),
                                       self.rng.getrandbits(32), "worst" if node == worst else "random")
            self.cut_bytes += cut.bytes_lost
            with open(os.path.join(self.folder, "cuts.log"), "a") as file:
                file.write("".join("node %d: %s\n" % (node, line) for line in cut.lines))
        self.dev("--detach")

    def forget_old(self):
        """So that a long run does not keep all that it ever wrote: what is old counts as synced, of nodes that do not run."""
        for node in range(1, self.nodes + 1):
            if self.loses_power and not self.is_running(node) and file_size(os.path.join(self.journal(node), "journal")) > JOURNAL_MAX:
                shutil.rmtree(self.journal(node))
                os.makedirs(self.journal(node))

    def dev(self, *words, timeout=90):
        if words[0] in ("start", "--detach"):
            self.forget_old()
        super().dev(*words, timeout=timeout)

    def draw(self):
        """Each kind once before any comes again."""
        if not self.bag:
            self.bag = list(self.kinds)
            self.rng.shuffle(self.bag)
        return self.bag.pop()

    def one_round(self, number):
        kind, node = self.draw(), self.rng.randint(1, self.nodes)
        time.sleep(self.rng.uniform(0.2, 0.8))
        self.say("round %d: %s, node %d" % (number, kind, node))
        getattr(self, "do_" + kind.replace("-", "_"))(node)
        self.counts[kind] += 1

    def verdict(self):
        power = ", %d bytes were lost with the power" % self.cut_bytes if self.loses_power else ""
        return "faults: seed %d, %s%s" % (self.o.seed, ", ".join("%s %d" % item for item in sorted(self.counts.items()) if item[1]),
                                          power)

    def end(self):
        for node in range(1, self.nodes + 1):
            self.disk(node, None)
        if self.relay:
            self.relay.mend()
        super().end()
        if self.relay:
            self.relay.end()


def more(parser):
    parser.add_argument("--only", help="kinds of faults, with commas between: %s" % " ".join(Faults.kinds))


if __name__ == "__main__":
    sys.exit(main(Faults, "faults", 10, more))
