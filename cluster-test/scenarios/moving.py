#!/usr/bin/env python3
"""moving - three nodes under load; a fourth joins and gets its share; shards are born, moved, handed over and closed; one node is
stopped politely and comes back; another one is drained and removed.

Checks at the end, as failover.py does: every mail answered 250 arrived with all its recipients and unchanged; what arrived twice
was in doubt; the audits of all replicas agree. Besides: clients heard nothing but 250 and replies that a retry cures; the fourth
node holds and leads shards; the drained one holds nothing, not on its disk either, and knows that it was removed, also when it is started
again; what would lose a quorum is refused.
Use: moving.py [--build build/dev] [--seed N] [--dir DIR]
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from failover import Failed, Town, main  # noqa: E402

REFUSED, NOT_FOUND = 5, 3


class Moving(Town):
    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self.own = {}  # processes that `dev` did not start

    def verb(self, *words, expect=0):
        done = self.cli(*words)
        if done.returncode != expect:
            raise Failed("%s ended with %d, not %d: %s%s" % (" ".join(words), done.returncode, expect, done.stdout,
                                                            done.stderr))
        self.say("%s: %s" % (" ".join(words), (done.stderr.strip() or done.stdout.strip()).split("\n")[-1]))
        return done.stdout

    def shown(self, node):
        return self.get(1, "/api/v1/nodes/%d" % node)

    def placements(self):
        return [p for p in self.get(1, "/api/v1/placements")["items"] if p["state"] != "closed"]

    # ---- the fourth node: what `angarium dev` wrote for the third, with its own number, ports and certificate

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as file:
            file.write(text)

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.dir, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def certify(self, cluster_id):
        self.write("node-4.ext", "subjectAltName=URI:angarium://%s/node/4,DNS:node-4.example.test,IP:127.0.0.1\n"
                   "extendedKeyUsage=serverAuth,clientAuth\n" % cluster_id)
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "node-4.key",
                     "-out", "node-4.csr", "-subj", "/CN=node 4")
        self.openssl("x509", "-req", "-in", "node-4.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "400",
                     "-days", "30", "-extfile", "node-4.ext", "-out", "node-4.pem")

    def join(self):
        with open(os.path.join(self.dir, "node-3.yaml")) as file:
            settings = file.read()
        base = int(self.cluster["nodes"][0]["submission"].rsplit(":", 1)[1])
        for k in range(6):
            settings = settings.replace(":%d\"" % (base + 20 + k), ":%d\"" % (base + 30 + k))
        settings = settings.replace("id: 3,", "id: 4,").replace("node-3", "node-4").replace("zone-3", "zone-4")
        self.write("node-4.yaml", settings)
        self.certify(re.search(r'id: "([0-9a-f]{32})"', settings).group(1))
        token = self.cli("cluster", "token").stdout
        self.write("node-4.token", token)
        log = os.path.join(self.dir, "node-4.log")
        self.start_own(4, log)
        node = {"id": 4, "data_dir": os.path.join(self.dir, "node-4"), "log_file": log}
        for name, k in (("http", 2), ("mx", 3)):
            node[name] = "127.0.0.1:%d" % (base + 30 + k)
        self.cluster["nodes"].append(node)
        self.nodes = 4
        self.wait("node 4 serves", lambda: self.shown(4)["state"] == "serving", 40)

    def start_own(self, node, log):
        with open(log, "a") as file:
            self.own[node] = subprocess.Popen(
                [self.binary, "node", "-c", os.path.join(self.dir, "node-%d.yaml" % node)], cwd=self.dir,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file)

    def has_its_share(self):
        shown = self.shown(4)
        most = max(len(self.shown(i)["holds"]) for i in (1, 2, 3))
        return all(p["in_force"] for p in self.placements()) and most - len(shown["holds"]) <= 2 and \
            shown["first_of"] >= 3

    # ---- what is done while mail flows

    def one_round(self, number):
        if number > 1:
            return
        time.sleep(1)
        self.join()
        self.wait("node 4 has its share", self.has_its_share, 60)
        self.say("node 4 holds %d shards" % len(self.shown(4)["holds"]))
        self.wait("what moved to it has gone from the others",
                  lambda: all(self.to_remove(i) == 0 for i in (1, 2, 3)) and self.removed((1, 2, 3)) > 0, 60)
        self.shards()
        self.dev("kill", "--node", "1", "--signal", "TERM")
        self.wait_stopped(1)
        self.dev("start", "--node", "1")
        self.verb("node", "remove", "3", expect=REFUSED)
        self.verb("node", "show", "9", expect=NOT_FOUND)
        self.verb("node", "drain", "3", "--dry-run")
        self.verb("node", "drain", "3")
        if self.shown(3)["holds"] or any(3 in p["voters"] + p["holders"] for p in self.placements()):
            raise Failed("node 3 is drained and holds something")
        self.wait("nothing of what it held is left on node 3",
                  lambda: self.to_remove(3) == 0 and self.shards_on(3) == [], 60)
        self.verb("node", "remove", "3")
        self.wait("control has let go of node 3", lambda: self.shown(3)["control"] == "learner")
        self.wait("node 3 knows that it is removed", lambda: self.knows_it_is_removed(1))
        self.dev("kill", "--node", "3", "--signal", "KILL")
        self.wait_ended(3, "it was killed")
        self.start_own(3, self.cluster["nodes"][2]["log_file"])
        self.wait("node 3 knows it after a restart, too", lambda: self.knows_it_is_removed(2))

    def removed(self, nodes):
        logs = [open(self.cluster["nodes"][i - 1]["log_file"]).read() for i in nodes]
        return sum(len(re.findall(r"event=shard.removed shard=\d+ reason=moved", log)) for log in logs)

    def to_remove(self, node):
        """Shards that moved away and are on its disk yet, as it says itself; None: it does not answer."""
        return next(n for n in self.get(1, "/api/v1/nodes")["items"] if n["id"] == node).get("to_remove")

    def shards_on(self, node):
        return [s["id"] for s in self.get(node, "/api/v1/shards?scope=node")["items"]]

    def knows_it_is_removed(self, times):
        with open(self.cluster["nodes"][2]["log_file"]) as log:
            if log.read().count("event=node.removed node=3 ") != times:
                return False
        try:
            urllib.request.urlopen("http://%s/readyz" % self.cluster["nodes"][2]["http"], timeout=5)
        except urllib.error.HTTPError as refused:
            return refused.code == 503 and "was removed from the cluster" in refused.read().decode()
        except OSError:
            return False
        return False

    def shards(self):
        made = int(re.search(r"shard (\d+)$", self.verb("shard", "create", "--node", "2").strip()).group(1))
        self.wait("the new shard is led", lambda: self.get(1, "/api/v1/shards/%d" % made)["leader"] == 2)
        voters = self.get(1, "/api/v1/shards/%d" % made)["voters"]
        self.verb("shard", "transfer", str(made), "--to", str(voters[1]))
        other = next(i for i in (1, 2, 3, 4) if i not in voters)
        self.verb("shard", "move", str(made), "--voters", ",".join(str(i) for i in [other] + voters[1:]))
        self.verb("shard", "close", str(made))
        self.wait("the closed shard is gone",
                  lambda: self.get(1, "/api/v1/shards/%d" % made)["state"] in ("closing", "closed"))

    def wait_stopped(self, node):
        log = self.cluster["nodes"][node - 1]["log_file"]
        self.wait("node %d has stopped" % node, lambda: "event=node.stopped" in open(log).read(), 20)
        self.wait_ended(node, "it said that it has stopped")
        left = [line for line in open(log) if "event=node.left" in line]
        if not left or "leads=0" not in left[-1]:
            raise Failed("node %d stopped and led shards yet: %s" % (node, left))

    # ---- the end

    def members(self):
        return 1, 2, 4  # the others refuse node 3, which is removed and has been down

    def same_digests(self):
        """Of the replicas that count; those that moved away are not there."""
        end = time.monotonic() + 20
        while True:
            seen = {i: {s["id"]: s["digest"] for s in self.get(i, "/api/v1/shards?scope=node")["items"]}
                    for i in self.members()}
            differ = [p["id"] for p in self.placements()
                      if len({seen[i].get(p["id"]) for i in p["voters"]}) > 1]
            if not differ:
                count = len(self.placements())
                self.stop_own()
                return count
            if time.monotonic() > end:
                raise Failed("replicas of shards %s differ" % differ)
            time.sleep(0.1)

    def audit(self):
        done = subprocess.run([self.binary, "audit", "-o", "json", self.cluster["nodes"][2]["data_dir"]],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
        if json.loads(done.stdout)["shards"]:
            raise Failed("node 3 was drained, and its disk holds shards: %s" % done.stdout[:2000])
        return super().audit()

    def stop_own(self):
        for node, process in self.own.items():
            process.terminate()
            if process.wait(20) != 0:
                raise Failed("node %d ended with %d" % (node, process.returncode))

    def verdict(self):
        return "moving: a node came, one was drained and removed, one was stopped and came back"

    def end(self):
        for process in self.own.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        super().end()


if __name__ == "__main__":
    sys.exit(main(Moving, "moving", 1))
