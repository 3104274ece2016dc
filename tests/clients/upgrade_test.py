"""From one version to the next, node by node under load, and back, and on: no mail is lost, no client sees anything but 421 and 451;
what the older version cannot read is written only after `cluster upgrade finalize`, which is refused while somebody does not know
it. Two real builds of neighbouring format versions: build/previous (or the second argument's), and the first argument's."""
import collections
import json
import os
import re
import subprocess
import sys
import urllib.request

import cluster

sys.path.insert(0, os.path.join(cluster.ROOT, "cluster-test", "lib"))
import load  # noqa: E402
from ledger import Ledger, read_doubts  # noqa: E402
from node import find_binary  # noqa: E402

NODES = 3
OLD, NEW = 1, 2


class Town:
    def __init__(self, place):
        previous = sys.argv[2] if len(sys.argv) > 2 else os.path.join(cluster.ROOT, "build", "previous")
        self.place, self.generators = place, []
        self.sink = load.Sink(cluster.build_dir(), place)
        self.c = cluster.Cluster(previous, place, next_hop=self.sink.port, nodes=NODES)
        self.binary = {OLD: self.c.binary, NEW: find_binary(cluster.build_dir())}
        self.nodes = self.c.json["nodes"]

    def dev(self, version, *words):
        return subprocess.run([self.binary[version], "dev", *words, "--dir", self.c.dir], capture_output=True, text=True,
                              timeout=90, check=False)

    def stop(self, node):
        """Politely; waits until the process has gone."""
        with open(os.path.join(self.c.dir, "cluster.json")) as f:
            pid = json.load(f)["nodes"][node - 1]["pid"]
        self.dev(OLD, "kill", "--node", str(node), "--signal", "TERM")
        cluster.wait_until(lambda: not runs(pid), "node %d has ended" % node)

    def start(self, node, version):
        done = self.dev(version, "start", "--node", str(node))
        assert done.returncode == 0, done.stderr

    def restart(self, node, version):
        self.stop(node)
        self.start(node, version)
        cluster.wait_until(self.all_up, "all lanes are up")

    def all_up(self):
        return all(self.lanes(n) == 3 * (NODES - 1) for n in range(1, NODES + 1))

    def lanes(self, node):
        ask = urllib.request.Request("http://%s/metrics" % self.nodes[node - 1]["http"],
                                     headers={"Authorization": "Bearer " + self.c.json["api_token"]})
        with urllib.request.urlopen(ask, timeout=10) as answer:
            return int(re.search(r"^angarium_wire_lanes_up (\d+)", answer.read().decode(), re.M).group(1))

    def upgrade(self, version, *words, of=range(1, NODES + 1)):
        """Asks the nodes until one does not say that another one leads: (exit code, stdout and stderr)."""
        for node in of:
            done = subprocess.run([self.binary[version], "cluster", "upgrade", *words, "--dir", self.c.dir, "--endpoint",
                                   "http://" + self.nodes[node - 1]["http"]], capture_output=True, text=True, timeout=60,
                                  check=False)
            if done.returncode != 7:
                break
        return done.returncode, done.stdout + done.stderr

    def formats(self, node):
        code, text = self.upgrade(NEW, "status", "-o", "json", of=[node])
        assert code == 0, text
        return json.loads(text)

    def digests(self, node):
        ask = urllib.request.Request("http://%s/api/v1/shards?scope=node" % self.nodes[node - 1]["http"],
                                     headers={"Authorization": "Bearer " + self.c.json["api_token"]})
        with urllib.request.urlopen(ask, timeout=10) as answer:
            return {s["id"]: s["digest"] for s in json.loads(answer.read())["items"]}

    def drain_region(self, version):
        done = subprocess.run([self.binary[version], "region", "drain", "nowhere", "--dir", self.c.dir, "--endpoint",
                               "http://" + self.nodes[0]["http"]], capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    def log(self, node):
        with open(self.nodes[node - 1]["log_file"]) as f:
            return f.read()

    def load(self):
        self.generators = [load.Generator(cluster.build_dir(), self.place, "g%d" % n["id"], int(n["mx"].split(":")[1]),
                                          "--sessions", "3", "--rate", "40", "--size", "1000-400000", "--rcpt-domain",
                                          "example.test", "--keep-trying", "--seconds", "3600") for n in self.nodes]


def runs(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def refused(answer, word):
    code, text = answer
    assert code == 5 and word in text, answer


def backed_up(t, version, name):
    """A backup by the program of that version; what its manifest says."""
    directory = os.path.join(t.place, name)
    done = subprocess.run([t.binary[version], "cluster", "backup", directory, "--dir", t.c.dir], capture_output=True, text=True,
                          timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    with open(os.path.join(directory, "manifest.json")) as f:
        return directory, json.load(f)


def verified(t, version, directory):
    done = subprocess.run([t.binary[version], "cluster", "backup", "verify", directory], capture_output=True, text=True,
                          timeout=90, check=False)
    return done.returncode, done.stdout + done.stderr


def backups(t, in_force):
    """Of the format in force, whoever takes it; the older version reads it as long as it knows that."""
    directory, manifest = backed_up(t, NEW, "backup-%d" % in_force)
    assert manifest["state_format"] == in_force, manifest
    code, text = verified(t, NEW, directory)
    assert code == 0, text
    code, text = verified(t, OLD, directory)
    if in_force == OLD:
        assert code == 0, text
    else:
        assert code == 1 and "this program knows 1.1; use a newer one" in text, (code, text)


def roll(t):
    """Each node in turn; in between old and new ones work together, and one goes back."""
    refused(t.upgrade(OLD, "finalize"), "knows no newer one")
    t.restart(1, NEW)
    refused(t.upgrade(NEW, "finalize", of=[1]), "knows formats up to 1, not 2")
    state = t.formats(1)
    assert state["format"] == OLD and state["known"] == NEW and not state["may_finalize"], state
    for version in (OLD, NEW):
        refused(t.drain_region(version), "cluster upgrade finalize")
    t.restart(1, OLD)
    refused(t.drain_region(OLD), "cluster upgrade finalize")
    for node in range(1, NODES + 1):
        t.restart(node, NEW)
    assert all(t.formats(n)["format"] == OLD for n in range(1, NODES + 1)), "nobody was asked yet"


def finalize(t):
    t.stop(3)
    refused(t.upgrade(NEW, "finalize", of=[1, 2]), "node 3 is down")
    t.start(3, NEW)
    cluster.wait_until(t.all_up, "all lanes are up")
    cluster.wait_until(lambda: t.formats(1)["may_finalize"], "all have said what they know")
    assert t.upgrade(NEW, "finalize", "--dry-run", of=[1])[0] == 0
    assert t.formats(1)["format"] == OLD, "a dry run changes nothing"
    code, text = t.upgrade(NEW, "finalize")
    assert code == 0, text
    cluster.wait_until(lambda: all(t.formats(n)["format"] == NEW for n in range(1, NODES + 1)), "the format in force everywhere")
    cluster.wait_until(lambda: all("event=cluster.format format=2" in t.log(n) for n in range(1, NODES + 1)),
                       "the format on all disks")
    refused(t.upgrade(NEW, "finalize"), "knows no newer one")
    code, text = t.drain_region(NEW)
    assert code == 3 and "finalize" not in text, (code, text)


def no_way_back(t):
    t.stop(2)
    done = t.dev(OLD, "start", "--node", "2")
    assert done.returncode != 0
    assert "the cluster writes format 2, this angarium knows formats up to 1" in t.log(2), t.log(2)[-500:]
    t.start(2, NEW)
    cluster.wait_until(t.all_up, "all lanes are up")


def settle(t):
    codes = collections.Counter()
    for generator in t.generators:
        codes.update(json.loads(re.search(r"errors (\{.*\})", generator.stop()).group(1)))
    assert set(codes) <= {"421", "451"}, "clients saw %s" % dict(codes)

    def queued():
        return max(json.loads(t.c.run("queue", "-o", "json", "--endpoint", "http://" + n["http"]).stdout)["counts"]["messages"]
                   for n in t.nodes)

    cluster.wait_until(lambda: queued() == 0, "an empty queue", 60)
    doubts = set().union(*(read_doubts(n["log_file"]) for n in t.nodes))
    ledger = Ledger([g.acked for g in t.generators], [g.unsure for g in t.generators], t.sink.log_path, doubts)
    assert ledger.acked and ledger.is_good(), "\n".join([ledger.summary(), *ledger.complaints()])
    print("%s; clients saw %s" % (ledger.summary(), dict(codes)))


def same(t):
    """Whoever applied what, with whichever program: the same states, that hold together."""
    def equal():
        seen = [t.digests(n) for n in range(1, NODES + 1)]
        return len(seen[0]) > 0 and all(s == seen[0] for s in seen)

    cluster.wait_until(equal, "the same digests everywhere")
    t.c.stop()
    for node in t.nodes:
        done = subprocess.run([t.binary[NEW], "audit", node["data_dir"]], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def main():
    t = Town(cluster.place_for("upgrade"))
    try:
        t.load()
        roll(t)
        backups(t, OLD)
        finalize(t)
        backups(t, NEW)
        no_way_back(t)
        settle(t)
        same(t)
    finally:
        for process in [g.process for g in t.generators]:
            process.kill()
            process.wait()
        t.c.stop()
        t.sink.process.kill()
        t.sink.process.wait()
    print("upgraded, back, upgraded, finalized under load")


if __name__ == "__main__":
    main()
