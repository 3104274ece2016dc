"""SIGHUP: credentials, routes, limits and listeners that have changed are in force without a restart, sessions that are open
go on, a wrong file changes nothing. Under load nothing is lost. SIGTERM: a session that waits is told 421, the process ends
with 0."""
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time

import cluster

sys.path.insert(0, os.path.join(cluster.ROOT, "cluster-test", "lib"))
import load  # noqa: E402
import node  # noqa: E402


def can_login(c, user):
    context = ssl.create_default_context(cafile=c.json["ca_file"])
    host, port = c.node["submissions"].split(":")
    with smtplib.SMTP_SSL(host, int(port), timeout=20, context=context) as s:
        try:
            s.login(user, c.json["password"])
            return True
        except smtplib.SMTPAuthenticationError:
            return False


def check_credentials(place):
    c = cluster.Cluster(cluster.build_dir(), place)
    settings = os.path.join(c.dir, "node-1.yaml")
    try:
        host, port = c.node["mx"].split(":")
        opened = socket.create_connection((host, int(port)))
        assert opened.recv(200).startswith(b"220 ")
        assert can_login(c, "demo") and not can_login(c, "renamed")
        with open(settings) as f:
            text = f.read()
        assert text.count("username: demo") + text.count("username: \"demo\"") == 1, text
        with open(settings, "w") as f:
            f.write(text.replace("username: demo", "username: renamed").replace('username: "demo"', "username: renamed"))
        os.kill(c.node["pid"], signal.SIGHUP)
        cluster.wait_until(lambda: can_login(c, "renamed"), "the new credential in force")
        assert not can_login(c, "demo")
        token_file = os.path.join(c.dir, "api.token")
        with open(token_file, "w") as f:
            f.write("another-token-that-is-long-enough\n")
        os.kill(c.node["pid"], signal.SIGHUP)

        def api(token):
            return subprocess.run([c.binary, "status", "--endpoint", "http://" + c.node["http"]], check=False,
                                  capture_output=True, env={**os.environ, "ANGARIUM_TOKEN": token}).returncode

        cluster.wait_until(lambda: api("another-token-that-is-long-enough") == 0, "the new API token in force")
        assert api(c.json["api_token"]) == 4, "the old token is refused"
        with open(settings, "a") as f:
            f.write("\nnonsense: true\n")
        os.kill(c.node["pid"], signal.SIGHUP)

        def log():
            with open(c.node["log_file"]) as f:
                return f.read()

        cluster.wait_until(lambda: "node.reload_refused" in log(), "the refusal of a wrong file")
        assert "nonsense" in log() and can_login(c, "renamed")
        opened.sendall(b"NOOP\r\n")
        assert opened.recv(200).startswith(b"250 ")
        os.kill(c.node["pid"], signal.SIGTERM)
        assert opened.recv(200).startswith(b"421 4.3.2"), "the open session is told"
        assert opened.recv(200) == b""
        cluster.wait_until(lambda: "node.stopped" in log(), "the end of the process")
    finally:
        c.stop()


class Server:
    """A node between a client and two sinks, its settings file in pieces."""

    def __init__(self, place):
        self.sinks = []
        for name in ("one", "two"):
            folder = os.path.join(place, name)
            os.makedirs(folder)
            self.sinks.append(load.Sink(cluster.build_dir(), folder))
        self.folder = os.path.join(place, "node")
        os.makedirs(self.folder)
        self.node = node.Node(node.find_binary(cluster.build_dir()), self.folder, self.sinks[0].port)
        with open(self.node.settings) as f:
            self.text = f.read()
        self.node.start()
        self.node.wait_ready()

    def stop(self):
        self.node.stop()
        for sink in self.sinks:
            sink.stop()

    def log(self):
        with open(self.node.log_path) as f:
            return f.read()

    def metric(self, result):
        return self.node.metrics()['angarium_settings_reloads_total{result="%s"}' % result]

    def reload(self, text, result="ok"):
        """The file becomes `text`; returns when SIGHUP has had that result."""
        with open(self.node.settings, "w") as f:
            f.write(text)
        before = self.metric(result)
        self.node.process.send_signal(signal.SIGHUP)
        cluster.wait_until(lambda: self.metric(result) == before + 1, "reload: " + result)


def read_line(s):
    got = b""
    while not got.endswith(b"\r\n"):
        more = s.recv(1)
        assert more, "the session was closed: %r" % got
        got += more
    return got.decode()


def reply(s):
    lines = [read_line(s)]
    while lines[-1][3] == "-":
        lines.append(read_line(s))
    return "".join(lines)


def said(port, *lines):
    """What the server says to these lines."""
    with socket.create_connection(("127.0.0.1", port), 20) as s:
        got = reply(s)
        for line in lines:
            s.sendall(line.encode() + b"\r\n")
            got += reply(s)
    return got


def is_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def check_listeners_and_limits(s):
    n, extra = s.node, node.free_ports(1)[0]
    kept = socket.create_connection(("127.0.0.1", n.mx), 20)
    reply(kept)
    added = s.text.replace("listeners:\n", 'listeners:\n  - { kind: mx, address: "127.0.0.1:%d" }\n' % extra)
    added = added.replace("limits: {", "limits: { message_size_max: 4711,")
    assert not is_open(extra) and "SIZE 52428800" in said(n.mx, "EHLO a.test")
    s.reload(added)
    assert "SIZE 4711" in said(extra, "EHLO a.test") and "SIZE 4711" in said(n.mx, "EHLO a.test")
    kept.sendall(b"EHLO a.test\r\n")
    assert "SIZE 52428800" in reply(kept), "a session keeps the limits of its begin"
    # its listener goes, and it stays; another one changes what it is
    moved = s.text.replace('kind: mx, address: "127.0.0.1:%d"' % n.mx, 'kind: mx, address: "127.0.0.1:%d"' % extra)
    assert moved != s.text
    s.reload(moved)
    assert not is_open(n.mx)
    kept.sendall(b"NOOP\r\n")
    assert reply(kept).startswith("250 ")
    assert "503" not in said(extra, "EHLO a.test", "MAIL FROM:<a@b.test>")
    s.reload(moved.replace("kind: mx", "kind: submission"))
    assert "530" in said(extra, "EHLO a.test", "MAIL FROM:<a@b.test>"), "it is a submission listener now"
    s.reload(s.text)
    assert is_open(n.mx)
    assert not is_open(extra)
    kept.close()


def check_all_or_nothing(s):
    """One thing cannot change: nothing of the file counts, also not the listener that could be opened."""
    n = s.node
    extra, taken = node.free_ports(1)[0], s.sinks[1].port
    since = n.metrics()["angarium_settings_time_seconds"]
    assert abs(since - time.time()) < 3600
    wanted = s.text.replace("listeners:\n", 'listeners:\n  - { kind: mx, address: "127.0.0.1:%d" }\n' % extra)
    wanted = wanted.replace("limits: {", "limits: { message_size_max: 4711,")
    for wrong, word in ((wanted.replace("shards: 4", "shards: 5"), "node.shards: cannot change"),
                        (wanted.replace("hostname: relay.", "hostname: other."), "node.hostname: cannot change"),
                        (wanted.replace("listeners:\n", 'listeners:\n  - { kind: mx, address: "127.0.0.1:%d" }\n' % taken),
                         "port %d: address already in use" % taken),
                        (wanted + "nonsense: true\n", "nonsense")):
        s.reload(wrong, "refused")
        cluster.wait_until(lambda: word in s.log(), "the refusal names " + word)
        assert not is_open(extra) and "SIZE 52428800" in said(n.mx, "EHLO a.test")
    assert n.metrics()["angarium_settings_time_seconds"] == since
    with open(n.settings, "w") as f:
        f.write(s.text)


def check_under_load(s, mails=400, reloads=12):
    """Routes and listeners change while mail comes and goes: no session is dropped, each mail arrives once."""
    extra = node.free_ports(1)[0]
    generator = load.Generator(cluster.build_dir(), s.folder, "r", s.node.mx, "--sessions", "6", "--mails", str(mails),
                               "--rate", "150", "--size", "1000-300000", "--rcpt-domain", "example.test")
    for i in range(reloads):
        text = s.text.replace('127.0.0.1:%d", tls' % s.sinks[0].port, '127.0.0.1:%d", tls' % s.sinks[i % 2].port)
        if i % 2:
            text = text.replace("listeners:\n", 'listeners:\n  - { kind: mx, address: "127.0.0.1:%d" }\n' % extra)
        s.reload(text)
    closing = generator.process.communicate(timeout=60)[0]
    assert generator.process.returncode == 0 and "0 unsure, 0 lost" in closing, closing
    assert s.node.wait_empty() == 0
    rows = []
    for sink in s.sinks:
        with open(sink.log_path) as f:
            arrived = [line.split()[:2] for line in f]
        assert arrived, "no mail took one of the two routes"
        rows += arrived
    assert all(state == "ok" for _, state in rows)
    assert len(rows) == len({mail for mail, _ in rows}) == mails, len(rows)


def main():
    place = cluster.place_for("reload")
    check_credentials(place)
    s = Server(place)
    try:
        check_listeners_and_limits(s)
        check_all_or_nothing(s)
        check_under_load(s)
    finally:
        s.stop()
    print("reload and leave")


if __name__ == "__main__":
    main()
