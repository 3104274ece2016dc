"""The commands of docs/operating/cluster.md run as they are written, in their order, on a cluster that is set up by them: four machines
are directories here, each with its own loopback address. What is left out is listed, so that it does not grow unseen."""
import os
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request

import cluster

PAGE = os.path.join(cluster.ROOT, "docs", "operating", "cluster.md")
MACHINES = (1, 2, 3, 4)

# what is on the page: what it is here
NAMES = {"/var/lib/angarium": "data", "10.0.0.": "127.0.9."}
# what a node needs besides, which the page on a single node tells
BESIDES = """http: { address: "127.0.9.%(n)d:%(http)d", token_file: api.token }
listeners: [ { kind: mx, address: "127.0.9.%(n)d:%(mx)d" } ]
"""
# commands that end otherwise than with 0: there is no newer format in one version
REFUSED = {"angarium cluster upgrade finalize": 5, "angarium cluster upgrade finalize --dry-run": 5}
# what commands print must match
SHAPES = {"angarium node ls": r"(?s)\b1\b.*\b2\b.*\b3\b.*\b4\b", "angarium shard ls": r"(?m)^ *1\b",
          "angarium cluster upgrade status": r"format"}
BLOCKS = {"sh": 7, "yaml": 1}


def blocks():
    with open(PAGE) as f:
        return re.findall(r"^```(\w*)\n(.*?)^```$", f.read(), re.M | re.S)


def commands(text):
    """Its lines, without remarks; those that go on are one."""
    joined = text.replace("\\\n", " ")
    return [line for line in (re.sub(r"\s+#.*", "", x).strip() for x in joined.splitlines()) if line]


class Machines:
    def __init__(self, place):
        self.place, self.processes, self.id = place, {}, os.urandom(16).hex()
        self.http, self.mx, self.peer = (port_on_all() for _ in range(3))
        os.makedirs(os.path.join(place, "bin"))
        os.symlink(os.path.abspath(os.path.join(cluster.build_dir(), "node", "angarium")), os.path.join(place, "bin", "angarium"))
        for n in MACHINES:
            os.mkdir(self.path(n))
            with open(self.path(n, "api.token"), "w") as f:
                f.write("a token of the page's test\n")

    def path(self, n, *names):
        return os.path.join(self.place, "machine-%d" % n, *names)

    def here(self, text, n=1):
        for name, mine in NAMES.items():
            text = text.replace(name, mine)
        return text.replace(":8080", ":%d" % self.http).replace(":2600", ":%d" % self.peer)

    def run(self, line, n=1):
        """One line of the page, on machine n."""
        if line.startswith("angarium node -c"):
            return self.start(n, self.here(line))
        env = {**os.environ, "PATH": "%s:%s" % (os.path.join(self.place, "bin"), os.environ["PATH"]), "ID": self.id,
               "ANGARIUM_ENDPOINT": "http://127.0.9.%d:%d" % (n, self.http), "ANGARIUM_TOKEN": "a token of the page's test"}
        done = subprocess.run(["sh", "-c", self.here(line)], cwd=self.path(n), env=env, capture_output=True, text=True, timeout=90,
                              check=False)
        assert done.returncode == REFUSED.get(line, 0), (line, done.returncode, done.stdout, done.stderr)
        assert re.search(SHAPES.get(line, ""), done.stdout), (line, done.stdout)
        return done

    def start(self, n, line):
        with open(self.path(n, "log"), "w") as log:
            self.processes[n] = subprocess.Popen([os.path.join(self.place, "bin", "angarium"), *line.split()[1:]], cwd=self.path(n),
                                                 stdout=log, stderr=log)
        cluster.wait_until(lambda: self.is_ready(n), "node %d is ready" % n)

    def is_ready(self, n):
        assert self.processes[n].poll() is None, open(self.path(n, "log")).read()
        try:
            with urllib.request.urlopen("http://127.0.9.%d:%d/readyz" % (n, self.http), timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(30)


def port_on_all():
    """One that is free on the addresses of all machines."""
    while True:
        sockets = [socket.socket() for _ in MACHINES]
        try:
            sockets[0].bind(("127.0.9.1", 0))
            port = sockets[0].getsockname()[1]
            for n, s in zip(MACHINES[1:], sockets[1:]):
                s.bind(("127.0.9.%d" % n, port))
            return port
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()


def certify(m, text):
    """The block as it is on the first machine; on the others without its first line, which makes the CA."""
    lines = commands(text)
    for n in MACHINES:
        for line in lines if n == 1 else lines[1:]:
            m.run(line.replace("node 1", "node %d" % n).replace("/node/1", "/node/%d" % n), n)
        for name in ("ca.pem", "ca.key"):
            if n < MACHINES[-1]:
                shutil.copy(m.path(n, name), m.path(n + 1, name))


def configure(m, text):
    for n in MACHINES:
        mine = re.sub(r'id: "\w+"', 'id: "%s"' % m.id, text.replace("id: 1", "id: %d" % n).replace("relay1", "relay%d" % n))
        mine = mine.replace('address: "10.0.0.1', 'address: "10.0.0.%d' % n)
        if n > 1: # any node that is there will do
            mine = re.sub(r'seeds: ".*"', 'seeds: "http://10.0.0.1:8080"', mine)
        with open(m.path(n, "node.yaml"), "w") as f:
            f.write(m.here(mine) + BESIDES % {"n": n, "http": m.http, "mx": m.mx})


def let_in(m, text):
    for n in MACHINES[1:]:
        for line in commands(text):
            m.run(line)
        shutil.copy(m.path(1, "join.token"), m.path(n, "join.token"))
        m.run("angarium node -c node.yaml", n)


def main():
    found = blocks()
    counts = {kind: sum(1 for k, _ in found if k == kind) for kind in {k for k, _ in found}}
    assert counts == BLOCKS, "the page has other blocks than this test knows: %s" % counts
    m = Machines(cluster.place_for("page"))
    try:
        ran = 0
        for kind, text in found:
            if kind == "yaml":
                configure(m, text)
            elif "openssl" in text:
                certify(m, text)
            elif "cluster token" in text:
                let_in(m, text)
            else:
                for line in commands(text):
                    m.run(line)
                    ran += 1
    finally:
        m.stop()
    print("%d commands ran as they are written" % ran)


if __name__ == "__main__":
    main()
