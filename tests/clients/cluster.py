"""A dev cluster and a foreign receiver for the tests of this folder.

The receiver is Postfix's smtp-sink, unpacked from its Debian package into the build directory: nothing becomes this
machine's mail system. Everything listens on 127.0.0.1; what is started here is ended here, by pid.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import foreign

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def free_port_base(count=10):
    """A base such that count ports from it on can be listened on."""
    for base in range(20000 + os.getpid() % 5000, 60000, 20):
        sockets = []
        try:
            for k in range(count):
                s = socket.socket()
                sockets.append(s)
                s.bind(("127.0.0.1", base + k))
            return base
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()
    raise SystemExit("not so many free ports in a row")


def wait_port(port, what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"{what} does not listen on port {port}")


def wait_until(fact, what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = fact()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


def smtp_sink():
    """The path of smtp-sink and its library path."""
    return (foreign.program("postfix", "usr/sbin/smtp-sink"),
            os.path.join(foreign.unpack("postfix"), "usr/lib/postfix"))


class Sink:
    """smtp-sink that keeps every message as a file; messages() gives (envelope lines, content)."""

    def __init__(self, extra=()):
        # as root smtp-sink wants to be somebody else, who may not reach the build directory
        self.dir = tempfile.mkdtemp(prefix="angarium-sink-")
        os.chmod(self.dir, 0o777)
        self.port = free_port_base() + 7
        binary, libraries = smtp_sink()
        command = [binary, *extra, "-d", os.path.join(self.dir, "m.%H%M%S."), f"127.0.0.1:{self.port}", "200"]
        if os.getuid() == 0:
            command[1:1] = ["-u", "nobody"]
        self.process = subprocess.Popen(command, env={**os.environ, "LD_LIBRARY_PATH": libraries},
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_port(self.port, "smtp-sink")

    def messages(self):
        found = []
        for name in sorted(os.listdir(self.dir)):
            with open(os.path.join(self.dir, name), "rb") as f:
                lines = f.read().split(b"\n")
            n = 0
            while n < len(lines) and lines[n].startswith(b"X-"):
                n += 1
            envelope = lines[:n]
            # the sink's own Received field stands in front of what it was sent
            n += 1
            while n < len(lines) and lines[n][:1] in (b"\t", b" "):
                n += 1
            found.append((envelope, b"\n".join(lines[n:])))
        return found

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.dir, ignore_errors=True)


class Cluster:
    """`angarium dev` with one node or several, relaying to next_hop (a port) or to its inbox."""

    def __init__(self, build, place, next_hop=None, extra=(), nodes=1):
        self.binary = os.path.join(build, "node", "angarium")
        self.dir = os.path.join(place, "dev")
        self.base = free_port_base(10 * nodes)
        command = [self.binary, "dev", "--nodes", str(nodes), "--dir", self.dir, "--base-port", str(self.base), "--detach",
                   *extra]
        if next_hop:
            command += ["--next-hop", f"127.0.0.1:{next_hop}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=90)
        with open(os.path.join(self.dir, "cluster.json")) as f:
            self.json = json.load(f)
        self.node = self.json["nodes"][0]

    def run(self, *arguments, check=True, data=None):
        return subprocess.run([self.binary, "--dir", self.dir, *arguments], check=check, input=data,
                              capture_output=True, timeout=60)

    def message(self, mail_id):
        return json.loads(self.run("message", mail_id, "-o", "json").stdout)

    def audit(self):
        """Offline: stop() first."""
        return subprocess.run([self.binary, "audit", self.node["data_dir"]], capture_output=True, check=True,
                              timeout=60).stdout

    def stop(self):
        subprocess.run([self.binary, "dev", "stop", "--dir", self.dir], check=False, stdout=subprocess.DEVNULL,
                       timeout=60)


def place_for(name):
    place = os.path.join(ROOT, "build", "clients", name)
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(place)
    return place


def build_dir():
    return os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build", "release"))
