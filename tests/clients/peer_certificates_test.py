"""Nodes talk by mutual TLS only. Three real nodes: strangers at the port for peers get nowhere, each is counted by its reason and
logged, not more than a line a second; certificates and the CA are replaced while mail flows, without a restart."""
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request

import cluster

sys.path.insert(0, os.path.join(cluster.ROOT, "cluster-test", "lib"))
import load  # noqa: E402
from ledger import Ledger, read_doubts  # noqa: E402

NODES = 3
LANES = 6  # at each node: three to each of two others
GARBAGE = 40


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Authority:
    """A CA, and certificates of it: (certificate file, key file)."""

    def __init__(self, folder, name, existing=None):
        self.folder, self.name = folder, name
        self.pem, self.key = existing or (self.at("pem"), self.at("key"))
        if not existing:
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key,
                    "-out", self.pem, "-days", "30", "-subj", "/CN=" + name)

    def at(self, suffix, leaf=""):
        return os.path.join(self.folder, "%s%s.%s" % (self.name, leaf, suffix))

    def leaf(self, label, uri, days=30, hosts=""):
        key, request, extensions, pem = (self.at(s, "-" + label) for s in ("key", "csr", "ext", "pem"))
        with open(extensions, "w") as f:
            f.write("extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=URI:%s%s\n" % (uri, hosts))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request,
                "-subj", "/CN=" + label)
        openssl("x509", "-req", "-in", request, "-CA", self.pem, "-CAkey", self.key, "-CAcreateserial", "-days", str(days),
                "-extfile", extensions, "-out", pem)
        return pem, key


class Town:
    def __init__(self, place):
        self.place, self.generators = place, []
        self.sink = load.Sink(cluster.build_dir(), place)
        self.c = cluster.Cluster(cluster.build_dir(), place, next_hop=self.sink.port, nodes=NODES)
        self.nodes = self.c.json["nodes"]
        with open(os.path.join(self.c.dir, "cluster.id")) as f:
            self.id = f.read().strip()[:32]
        self.ca = Authority(place, "now", (self.at("ca.pem"), self.at("ca.key")))

    def at(self, name):
        return os.path.join(self.c.dir, name)

    def uri(self, node, cluster_id=None):
        return "angarium://%s/node/%d" % (cluster_id or self.id, node)

    def metrics(self, node):
        ask = urllib.request.Request("http://%s/metrics" % self.nodes[node - 1]["http"],
                                     headers={"Authorization": "Bearer " + self.c.json["api_token"]})
        with urllib.request.urlopen(ask, timeout=10) as answer:
            return dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#")

    def metric(self, node, name):
        return int(float(self.metrics(node).get("angarium_" + name, "0")))

    def refused(self, node, reason):
        return self.metric(node, 'wire_refused_total{reason="%s"}' % reason)

    def log(self, node):
        with open(self.nodes[node - 1]["log_file"]) as f:
            return f.read()

    def peer_port(self, node):
        host, port = self.nodes[node - 1]["peer"].split(":")
        return host, int(port)

    def all_up(self):
        return all(self.metric(n, "wire_lanes_up") == LANES for n in range(1, NODES + 1))

    def put(self, name, *sources):
        """The file is another one, at once."""
        with open(self.at(name + ".new"), "w") as out:
            os.chmod(self.at(name + ".new"), 0o600)
            for source in sources:
                with open(source) as f:
                    out.write(f.read())
        os.rename(self.at(name + ".new"), self.at(name))


def knock(t, node, pair):
    """Talks TLS to a node's port for peers, as who has the pair of files, and says no hello. Returns its certificate (DER)
    when the handshake ended well on this side, then waits for the end of the connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if pair:
        context.load_cert_chain(*pair)
    shown = None
    with socket.create_connection(t.peer_port(node), timeout=20) as raw:
        try:
            with context.wrap_socket(raw) as s:
                shown = s.getpeercert(binary_form=True)
                while s.recv(4096):
                    pass
        except (ssl.SSLError, ConnectionError):
            pass
    return shown


def check_strangers(t):
    """Everybody without exactly the right certificate: refused by node 2, which node 1 dials and which dials node 3."""
    foreign = Authority(t.place, "foreign")
    other_cluster = "0123456789abcdef0123456789abcdef"
    for reason, pair in (("certificate", None),
                         ("certificate", foreign.leaf("one", t.uri(1))),
                         ("expired", t.ca.leaf("old", t.uri(1), days=-1)),
                         ("cluster", t.ca.leaf("copied", t.uri(1, other_cluster))),
                         ("name", t.ca.leaf("nameless", "https://node.example.test")),
                         ("node", t.ca.leaf("itself", t.uri(2))),
                         ("node", t.ca.leaf("higher", t.uri(3))),
                         ("node", t.ca.leaf("unknown", t.uri(77)))):
        before = t.refused(2, reason)
        knock(t, 2, pair)
        cluster.wait_until(lambda: t.refused(2, reason) == before + 1, "one more refusal: " + reason)
    assert t.all_up(), "strangers do not disturb who belongs here"


def check_garbage(t):
    before, lines, begun = t.refused(2, "tls"), t.log(2).count("event=wire.refused "), time.monotonic()
    for i in range(GARBAGE):
        with socket.create_connection(t.peer_port(2), timeout=20) as s:
            s.sendall((b"GET / HTTP/1.1\r\n\r\n", b"EHLO there\r\n", b"\x16\x03\x01\xff\xff", bytes(50))[i % 4])
            try:
                while s.recv(4096):
                    pass
            except ConnectionError:
                pass
    cluster.wait_until(lambda: t.refused(2, "tls") == before + GARBAGE, "each of them is counted")
    lines = t.log(2).count("event=wire.refused ") - lines
    assert lines <= time.monotonic() - begun + 1, "a line a second at most, not %d" % lines
    found = [line for line in t.log(2).splitlines() if "event=wire.refused " in line]
    assert found and all(re.search(r'from=127\.0\.0\.1:\d+ .*why="[a-z]', line) for line in found), found
    assert t.all_up()


def renewed(t, since):
    """Each node has taken the files, and each of its lanes has come up anew."""
    return t.all_up() and all(t.metric(n, "wire_ups_total") >= since[n] + LANES for n in since)


def ups(t):
    return {n: t.metric(n, "wire_ups_total") for n in range(1, NODES + 1)}


def shown_by(t, node, pair):
    der = knock(t, node, pair)
    return ssl.DER_cert_to_PEM_cert(der).strip()


def content(path):
    with open(path) as f:
        return f.read().strip()


def leaves(t, ca, label):
    hosts = ",DNS:localhost,IP:127.0.0.1"
    return {n: ca.leaf("%s%d" % (label, n), t.uri(n), hosts=hosts) for n in range(1, NODES + 1)}


def put_leaves(t, pairs):
    for n, (pem, key) in pairs.items():
        t.put("node-%d.key" % n, key)
        t.put("node-%d.pem" % n, pem)


def hang_up(t):
    for node in t.nodes:
        os.kill(node["pid"], signal.SIGHUP)


def check_rotation(t):
    """Files change, nobody is told: they are looked at. The peers see the new certificates on new connections."""
    since, fresh = ups(t), leaves(t, t.ca, "fresh")
    put_leaves(t, fresh)
    cluster.wait_until(lambda: renewed(t, since), "lanes under the new certificates", 60)
    assert shown_by(t, 3, fresh[1]) == content(fresh[3][0])
    for n in range(1, NODES + 1):
        assert 'event=tls.reloaded use=peers' in t.log(n)


def check_half_a_change(t):
    """A certificate without its key changes nothing, is told, and SIGHUP refuses the whole file for it."""
    since, others = ups(t), leaves(t, t.ca, "half")
    kept = [shutil.copy(t.at("node-2.pem"), os.path.join(t.place, "kept.pem"))]
    t.put("node-2.pem", others[2][0])
    os.kill(t.nodes[1]["pid"], signal.SIGHUP)
    cluster.wait_until(lambda: "event=node.reload_refused" in t.log(2), "the refusal")
    refusal = next(line for line in t.log(2).splitlines() if "event=node.reload_refused" in line)
    assert "node-2.key" in refusal and "node-2.pem" in refusal, refusal
    assert t.all_up() and ups(t) == since
    t.put("node-2.pem", *kept)
    os.kill(t.nodes[1]["pid"], signal.SIGHUP)
    cluster.wait_until(lambda: "event=node.reloaded" in t.log(2), "what was in force before")


def check_rollover(t):
    """One CA makes room for another: first both are trusted, then certificates of the new one, then it alone."""
    new, old = Authority(t.place, "next"), t.ca
    since = ups(t)
    shutil.copy(old.pem, os.path.join(t.place, "old-ca.pem"))
    kept = os.path.join(t.place, "old-ca.pem")
    t.put("ca.pem", kept, new.pem)
    hang_up(t)
    cluster.wait_until(lambda: renewed(t, since), "lanes under both CAs", 60)
    since, fresh = ups(t), leaves(t, new, "next")
    put_leaves(t, fresh)
    hang_up(t)
    cluster.wait_until(lambda: renewed(t, since), "lanes under certificates of the new CA", 60)
    since = ups(t)
    t.put("ca.pem", new.pem)
    hang_up(t)
    cluster.wait_until(lambda: renewed(t, since), "lanes under the new CA alone", 60)
    assert shown_by(t, 3, fresh[1]) == content(fresh[3][0])
    before = t.refused(3, "certificate")
    knock(t, 3, (old.at("pem", "-fresh1"), old.at("key", "-fresh1")))
    cluster.wait_until(lambda: t.refused(3, "certificate") == before + 1, "the old CA counts no more")


def check_under_load(t):
    t.generators = generators = [load.Generator(cluster.build_dir(), t.place, "g%d" % n["id"], int(n["mx"].split(":")[1]),
                                              "--sessions", "2", "--rate", "30", "--size", "1000-50000",
                                              "--rcpt-domain", "example.test", "--keep-trying", "--seconds", "3600") for n in t.nodes]
    check_rotation(t)
    check_half_a_change(t)
    check_rollover(t)
    for generator in generators:
        closing = generator.stop()
        assert ", 0 lost" in closing, closing

    def queued():
        return max(json.loads(t.c.run("queue", "-o", "json", "--endpoint", "http://" + n["http"]).stdout)["counts"]["messages"]
                   for n in t.nodes)

    cluster.wait_until(lambda: queued() == 0, "an empty queue", 60)
    doubts = set().union(*(read_doubts(n["log_file"]) for n in t.nodes))
    ledger = Ledger([g.acked for g in generators], [g.unsure for g in generators], t.sink.log_path, doubts)
    assert ledger.acked and ledger.is_good(), "\n".join([ledger.summary(), *ledger.complaints()])
    print(ledger.summary())


def main():
    t = Town(cluster.place_for("peer_certificates"))
    try:
        cluster.wait_until(t.all_up, "all lanes are up")
        check_strangers(t)
        check_garbage(t)
        check_under_load(t)
    finally:
        t.c.stop()
        for process in [g.process for g in t.generators] + [t.sink.process]:
            process.kill()
            process.wait()
    print("strangers refused; certificates and CA replaced under load")


if __name__ == "__main__":
    main()
