"""node - one relay node under test: its settings, start, kill, politely stop, audit, metrics.

The node relays everything to one host (a mailsink) in clear and retries fast. It listens for the MX
service of example.test without TLS, for submission with STARTTLS and AUTH, and for HTTP.
"""

import http.client
import os
import random
import re
import signal
import socket
import subprocess
import time

USER, PASSWORD = "load", "brass-courier-9"
PASSWORD_HASH = ("$argon2id$v=19$m=19456,t=2,p=1$oZNibCz68YF/Qg61GRBCbA"
                 "$HSMQgzhfwVsi7GfYwOaLjDiN8GyAwa8pTLI2KgPW7a8")
TOKEN = "token-of-a-node-under-test"
DOMAIN = "example.test"

SETTINGS = """\
node: {{ id: 1, hostname: relay.example.test, data_dir: {folder}/node, shards: {shards} }}
listeners:
  - {{ kind: mx, address: "127.0.0.1:{mx}" }}
  - {{ kind: submission, address: "127.0.0.1:{submission}" }}
http: {{ address: "127.0.0.1:{http}", token_file: {folder}/api.token }}
tls: {{ certificate: {folder}/node.pem, key: {folder}/node.key }}
tenants: [ {{ name: load, domains: [ example.test ] }} ]
credentials: [ {{ username: load, tenant: load, password_hash: "{hash}" }} ]
routes: [ {{ match: "*", via: host, host: "127.0.0.1:{sink}", tls: none }} ]
log: {{ level: {level} }}
limits: {{ disk_reserve_bytes: 0, session_transactions_max: 1000000, address_sessions_max: 1000000, address_rate_max: 1000000,
  credential_sessions_max: 1000000 }}
delivery: {{ retry_base_ms: {retry}, retry_cap_ms: {cap}, connect_timeout_ms: 5s }}
"""


class NodeFailed(Exception):
    """The node ended by itself, or did not become ready in time."""


def free_ports(count, seed=None):
    """Ports that nobody listens on, below those that the kernel gives to outgoing connections."""
    rng = random.Random(seed)
    ports = []
    while len(ports) < count:
        port = rng.randrange(14000, 32000)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def free_port_run(count):
    """The first of so many ports in a row that nobody listens on."""
    while True:
        base = free_ports(1)[0]
        sockets = [socket.socket() for _ in range(count)]
        try:
            for k, s in enumerate(sockets):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", base + k))
            return base
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()


def find_binary(build):
    """The node's binary in a build directory."""
    for path in (os.path.join(build, "node", "angarium"), os.path.join(build, "angarium")):
        if os.path.exists(path):
            return os.path.abspath(path)
    raise SystemExit("%s: no angarium there; build it first (cmake --build --preset dev)" % build)


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", os.path.join(folder, "node.key"), "-out", os.path.join(folder, "node.pem"),
                    "-days", "30", "-subj", "/CN=relay.example.test",
                    "-addext", "subjectAltName=DNS:relay.example.test,IP:127.0.0.1"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Node:
    def __init__(self, binary, folder, sink_port, shards=4, level="info", retry="100ms", cap="400ms"):
        self.binary, self.folder = binary, folder
        self.data_dir = os.path.join(folder, "node")
        self.settings = os.path.join(folder, "node.yaml")
        self.log_path = os.path.join(folder, "node.log")
        self.mx, self.submission, self.http = free_ports(3)
        self.process = None
        make_certificate(folder)
        with open(os.path.join(folder, "api.token"), "w") as file:
            file.write(TOKEN + "\n")
        os.chmod(os.path.join(folder, "api.token"), 0o600)
        os.makedirs(self.data_dir, exist_ok=True)
        with open(self.settings, "w") as file:
            file.write(SETTINGS.format(folder=folder, mx=self.mx, submission=self.submission, http=self.http,
                                       hash=PASSWORD_HASH, sink=sink_port, shards=shards, level=level,
                                       retry=retry, cap=cap))

    # life

    def start(self, env=None, prefix=()):
        """Starts the process; it is not ready yet. prefix: a command that runs it (strace ..)."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(list(prefix) + [self.binary, "node", "-c", self.settings],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=dict(os.environ, **(env or {})))

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def get(self, path, timeout=1.0):
        """(status, text), or (0, "") when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Authorization": "Bearer " + TOKEN})
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    def wait_ready(self, timeout=20.0):
        """Waits until readyz is green; returns the seconds it took."""
        begun = time.monotonic()
        while time.monotonic() < begun + timeout:
            if not self.is_running():
                raise NodeFailed("the node ended with %s: %s\nthe end of its log:\n%s" %
                                 (self.process.returncode, self.log_tail(1).strip(), self.log_tail()))
            if self.get("/readyz")[0] == 200:
                return time.monotonic() - begun
            time.sleep(0.003)
        raise NodeFailed("not ready after %.0f s; readyz says %r; the end of its log:\n%s" %
                         (timeout, self.get("/readyz?verbose"), self.log_tail()))

    def kill(self):
        """SIGKILL. Returns False when it had already ended by itself."""
        was_running = self.is_running()
        if was_running:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        return was_running

    def stop(self, timeout=20.0):
        """SIGTERM; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise NodeFailed("the node did not end within %.0f s of SIGTERM:\n%s" % (timeout, self.log_tail()))

    def log_tail(self, lines=15):
        with open(self.log_path, "rb") as file:
            file.seek(max(0, os.path.getsize(self.log_path) - 16384))
            return "\n".join(file.read().decode("utf-8", "replace").split("\n")[-lines - 1:])

    # seeing

    def metrics(self):
        """{"angarium_queue_messages": 3.0, 'angarium_attempts_total{result="delivered"}': 7.0, ..}"""
        found = {}
        for line in self.get("/metrics")[1].split("\n"):
            match = re.match(r"([a-z_]+(?:\{[^}]*\})?) ([0-9.e+-]+)$", line)
            if match:
                found[match.group(1)] = float(match.group(2))
        return found

    def pending(self):
        """Messages with recipients pending, of all shards; -1 when the node does not say."""
        counts = [v for k, v in self.metrics().items() if k.startswith("angarium_shard_messages{")]
        return int(sum(counts)) if counts else -1

    def wait_empty(self, timeout=60.0):
        """Waits until no recipient is pending; returns what is left (0 when it is empty)."""
        end = time.monotonic() + timeout
        left, empty_seen = -1, 0
        while time.monotonic() < end:
            left = self.pending()
            empty_seen = empty_seen + 1 if left == 0 else 0
            if empty_seen == 3:
                return 0
            if not self.is_running():
                raise NodeFailed("the node ended while it drained:\n" + self.log_tail())
            time.sleep(0.05)
        return left

    def audit(self, *options):
        """Runs `angarium audit` on the stopped node's data: (exit code, stdout, stderr)."""
        done = subprocess.run([self.binary, "audit", *options, self.data_dir], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr
