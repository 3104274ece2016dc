#!/usr/bin/env python3
"""newdisk - three nodes under load; one is killed and its disk is lost; its machine comes back as a new node, and the old one is removed.

Checks: mail goes on meanwhile; with an empty disk the old number and its used token are not let in; the lost node is drained while it is
down, and removed; a new number with a new token is let in, at the same address, and gets replicas; at the end as in failover: nothing
answered 250 is missing, twice only what was in doubt, the replicas of the three agree, audits are clean.
Use: newdisk.py [--build build/dev] [--rounds 1] [--seed N] [--dir DIR]
"""

import os
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from failover import Failed, Town, main  # noqa: E402
from dev import Dev  # noqa: E402
from load import file_size  # noqa: E402


class NewDisk(Town):
    rates = (("small", "1024-8192", "40"), ("large", "262144-614400", "2"))

    def __init__(self, o, folder):
        super().__init__(o, folder)
        self.processes = {}  # by number, of nodes that `angarium dev` does not know
        self.newest = self.nodes

    # ---- nodes by place: cluster["nodes"][place] is who is there now

    def number(self, place):
        return self.cluster["nodes"][place]["id"]

    def read(self, place, path):
        return self.get(place + 1, path)

    def run_node(self, number, log_name):
        log = os.path.join(self.dir, log_name)
        with open(log, "ab") as out:
            process = subprocess.Popen([self.binary, "node", "-c", os.path.join(self.dir, "node-%d.yaml" % number)],
                                       cwd=self.dir, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        return process, log

    def kill(self, place):
        number = self.number(place)
        if number in self.processes:
            self.processes[number].kill()
            self.processes.pop(number).wait()
        else:
            self.kill_at_once([number])

    def answered(self):
        return sum(file_size(g.acked) for g in self.generators)

    # ---- the steps

    def comes_in_vain(self, number):
        """The old number on an empty disk: its token was used, its number is a member's."""
        data = os.path.join(self.dir, "node-%d" % number)
        process, log = self.run_node(number, "node-%d.again" % number)
        try:
            self.wait("the old number is refused", lambda: process.poll() is not None)
            if process.returncode == 0:
                raise Failed("node %d ended well on an empty disk" % number)
        finally:
            process.kill()
            process.wait()
        with open(log, errors="replace") as file:
            self.say("node %d on an empty disk: %s" % (number, file.read().strip().split("\n")[-1][:150]))
        shutil.rmtree(data, ignore_errors=True)

    def take_in(self, place, ask):
        """A new number on the machine of the lost one."""
        self.newest += 1
        number, old = self.newest, self.number(place)
        dev = Dev(self.binary, self.folder, "dev", self.sink.port)
        dev.cluster = {"nodes": [{"http": self.cluster["nodes"][ask]["http"]}]}
        dev.add_node(number, like=old, ask=1)
        self.processes[number], log = self.run_node(number, "node-%d.log" % number)
        self.cluster["nodes"][place] = dict(self.cluster["nodes"][place], id=number, log_file=log,
                                            data_dir=os.path.join(self.dir, "node-%d" % number))
        self.wait("node %d serves" % number, lambda: self.read(ask, "/api/v1/nodes/%d" % number)["state"] == "serving", 40)

    def verb(self, ask, *words):
        done = self.cli(*words, "--endpoint", "http://" + self.cluster["nodes"][ask]["http"])
        if done.returncode != 0:
            raise Failed("%s ended with %d: %s%s" % (" ".join(words), done.returncode, done.stdout, done.stderr))

    def is_whole(self, ask):
        """Every shard has all three as voters, in force, and each of them holds it."""
        here = sorted(n["id"] for n in self.cluster["nodes"])
        placements = [p for p in self.read(ask, "/api/v1/placements")["items"] if p["state"] != "closed"]
        return placements and all(p["in_force"] and sorted(p["voters"]) == here for p in placements)

    def one_round(self, number):
        place = self.rng.randint(0, self.nodes - 1)
        ask = (place + 1) % self.nodes
        lost = self.number(place)
        self.wait("all shards are on the three before", lambda: self.is_whole(ask), 60)  # one of two voters is no quorum
        time.sleep(self.rng.uniform(0.5, 1.2))
        self.kill(place)
        shutil.rmtree(self.cluster["nodes"][place]["data_dir"])
        before = self.answered()
        self.wait("mail goes on", lambda: self.answered() > before)
        self.comes_in_vain(lost)
        self.verb(ask, "node", "drain", str(lost))
        self.verb(ask, "node", "remove", str(lost))
        self.take_in(place, ask)
        self.wait("all shards are on the three", lambda: self.is_whole(ask), 60)
        self.wait("control has let go of node %d" % lost,
                  lambda: self.read(ask, "/api/v1/nodes/%d" % lost)["control"] == "learner")
        self.say("round %d: node %d lost its disk and was removed, node %d is there" % (number, lost, self.number(place)))

    # ---- the end

    def same_digests(self):
        shards = super().same_digests()
        for number, process in self.processes.items():
            process.terminate()
            if process.wait(20) != 0:
                raise Failed("node %d ended with %d" % (number, process.returncode))
        return shards

    def verdict(self):
        return "newdisk: %d disks lost, a new node for each" % self.o.rounds

    def end(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        super().end()


if __name__ == "__main__":
    sys.exit(main(NewDisk, "newdisk", 1))
