"""dev - a dev cluster of several nodes under test, by the command line of operators."""

import json
import os
import shutil
import subprocess
import time
import urllib.request

from node import free_port_run

PORTS = 100  # of a cluster


class Failed(Exception):
    """A promise was broken."""


class Dev:
    def __init__(self, binary, folder, name, sink_port, base=None):
        self.binary, self.dir = binary, os.path.join(folder, name)
        self.sink_port = sink_port
        self.base = base or free_port_run(PORTS)
        self.cluster = None

    def run(self, words, exit=0, timeout=90):
        """The command, which must end so."""
        done = subprocess.run([self.binary, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=timeout)
        if done.returncode != exit:
            raise Failed("angarium %s ended with %d, not %d:\n%s%s" %
                         (" ".join(words), done.returncode, exit, done.stdout[-2000:], done.stderr[-2000:]))
        return done

    def dev(self, *words):
        return self.run(["dev", *words, "--dir", self.dir])

    def start(self, nodes):
        """All nodes, new or with the disks that they have."""
        self.dev("--nodes", str(nodes), "--base-port", str(self.base), "--next-hop", "127.0.0.1:%d" % self.sink_port,
                 "--set", "delivery.retry_base_ms=100ms", "--set", "delivery.retry_cap_ms=400ms",
                 "--set", "limits.session_transactions_max=1000000", "--set", "limits.disk_reserve_bytes=0", "--detach")
        with open(os.path.join(self.dir, "cluster.json")) as file:
            self.cluster = json.load(file)

    def node(self, node):
        return self.cluster["nodes"][node - 1]

    def port(self, node, kind):
        return int(self.node(node)[kind].rsplit(":", 1)[1])

    def settings(self, node):
        return os.path.join(self.dir, "node-%d.yaml" % node)

    def data_dir(self, node):
        return os.path.join(self.dir, "node-%d" % node)

    def forget(self, *nodes):
        """Their disks are lost, and the tokens they came with."""
        for node in nodes:
            shutil.rmtree(self.data_dir(node))
            token = os.path.join(self.dir, "node-%d.token" % node)
            if os.path.exists(token):
                os.remove(token)

    def add_node(self, number, like, ask):
        """Settings, a certificate and a token of one more node, with the ports of another one; `ask` leads control."""
        path = os.path.join(self.dir, "node-%d" % number)
        with open(self.settings(like)) as file:
            text = file.read()
        text = text.replace("node-%d" % like, "node-%d" % number).replace("id: %d," % like, "id: %d," % number)
        with open(self.settings(number), "w") as file:
            file.write(text)
        with open(os.path.join(self.dir, "cluster.id")) as file:
            cluster = file.read()[:32]
        with open(path + ".ext", "w") as file:
            file.write("subjectAltName=DNS:node-%d.example.test,IP:127.0.0.1,URI:angarium://%s/node/%d\n"
                       "extendedKeyUsage=serverAuth,clientAuth\n" % (number, cluster, number))
        for words in (("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path + ".key",
                       "-out", path + ".csr", "-subj", "/CN=node %d" % number),
                      ("x509", "-req", "-in", path + ".csr", "-CA", os.path.join(self.dir, "ca.pem"), "-CAkey",
                       os.path.join(self.dir, "ca.key"), "-CAcreateserial", "-days", "30", "-extfile", path + ".ext",
                       "-out", path + ".pem")):
            subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        token = self.run(["cluster", "token", "--endpoint", "http://" + self.node(ask)["http"], "--token-file",
                          os.path.join(self.dir, "api.token")]).stdout
        with open(path + ".token", "w") as file:
            file.write(token)

    def get(self, node, path):
        ask = urllib.request.Request("http://%s%s" % (self.node(node)["http"], path),
                                     headers={"Authorization": "Bearer " + self.cluster["api_token"]})
        with urllib.request.urlopen(ask, timeout=5) as answer:
            return json.load(answer)

    def audit_list(self, data_dir):
        """Lines of `angarium audit --list`: id recipient state attempts doubts."""
        done = self.run(["audit", "--list", data_dir])
        return [words for words in (line.split() for line in done.stdout.split("\n")) if len(words) == 5]

    # waiting for a fact

    def wait(self, what, fact, seconds=30):
        """Until nothing is left. What is left must change within the time, for a busy machine is slow; all of it may take three times so long."""
        begun = moved = time.monotonic()
        before = None
        while True:
            left = fact()
            if not left:
                return
            if left != before:
                moved, before = time.monotonic(), left
            if time.monotonic() > min(moved + seconds, begun + 3 * seconds):
                raise Failed("after %d s: %s: %s" % (time.monotonic() - begun, what, left))
            time.sleep(0.1)

    def digests(self, count, nodes=None):
        """shard -> digests, one of each node that holds it and answers."""
        found = {}
        for node in nodes or range(1, count + 1):
            try:
                shards = self.get(node, "/api/v1/shards?scope=node")["items"]
            except OSError:
                continue
            for shard in shards:
                found.setdefault(shard["id"], []).append(shard["digest"])
        return found

    def wait_shared(self, nodes):
        """Every shard has so many voters, in force."""
        def missing():
            shards = [self.get(1, "/api/v1/shards/%d" % s) for s in self.digests(nodes)]
            return [s["id"] for s in shards if len(s["voters"]) < nodes or not s["in_force"]]
        self.wait("shards without all their voters", missing)

    def wait_empty(self, count, nodes=None):
        self.wait("messages in the queue", lambda: max(
            self.get(node, "/api/v1/queue?limit=1")["counts"]["messages"] for node in nodes or range(1, count + 1)))

    def same_digests(self, nodes):
        self.wait("replicas differ", lambda: [s for s, d in self.digests(nodes).items() if len(set(d)) > 1], 20)

    def end(self):
        """Nothing of ours keeps running."""
        subprocess.run([self.binary, "dev", "stop", "--dir", self.dir], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=90)
