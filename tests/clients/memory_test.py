"""What a node's memory is spent on. One mail of 50 MiB costs at most 2 MiB while it comes in and while it goes out; 100 large
ones at once stay under 600 MiB in all; an idle TLS session costs at most 40 KiB. What sessions are estimated to hold
(limits.sessions_memory_max) is at most twice, and at least half, of what they take.

A body passes in chunks, so that the size of 100 mails does not matter, only that all are on their way together: here they
have 3 MiB (with the argument `full`: 50 MiB, and 10,000 sessions instead of 1,000). Bodies are counted by the node
(angarium_bodies_bytes); the memtables of its two stores are node-wide and in the resident set only."""
import os
import re
import resource
import socket
import ssl
import sys
import time

import cluster

sys.path.insert(0, os.path.join(cluster.ROOT, "cluster-test", "lib"))
import load  # noqa: E402
import node  # noqa: E402

MIB = 1 << 20
FULL = sys.argv[2:] == ["full"]
LARGE = 52428800 - 4096
AT_ONCE = 100
SESSIONS = 10000 if FULL else 1000
RESIDENT_MAX = 600 * MIB
MAIL_MAX = 2 * MIB
SESSION_MAX = 40 * 1024
WEIGHED = 500


class Watched:
    """A node whose memory is looked at."""

    def __init__(self, place, name):
        folder = os.path.join(place, name)
        os.makedirs(folder)
        self.folder = folder
        self.sink = load.Sink(cluster.build_dir(), folder)
        self.node = node.Node(node.find_binary(cluster.build_dir()), folder, self.sink.port)
        with open(self.node.settings) as f:
            text = f.read().replace("limits: {", "limits: { sessions_max: %d, session_idle_ms: 1h," % (SESSIONS + 100))
        with open(self.node.settings, "w") as f:
            f.write(text)
        self.node.start()
        self.node.wait_ready()

    def memory(self, what):
        with open("/proc/%d/status" % self.node.process.pid) as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith(what + ":"))

    def metric(self, name):
        """A busy node may take its time."""
        status, text = self.node.get("/metrics", timeout=60)
        assert status == 200, "no metrics: " + self.node.log_tail()
        return float(re.search(r"(?m)^%s (\S+)$" % re.escape(name), text).group(1))

    def bodies(self):
        return self.metric("angarium_bodies_bytes")

    def send(self, count, size):
        """Sends mails all at once; returns the largest sum of bodies seen while they came in, and while they went out."""
        generator = load.Generator(cluster.build_dir(), self.folder, "m", self.node.submission, "--sessions", str(count),
                                   "--mails", str(count), "--size", str(size), "--tls", "starttls", "--ca",
                                   os.path.join(self.folder, "node.pem"), "--give-up", "900", login=True)
        peak_in = peak_out = 0
        while generator.process.poll() is None:
            peak_in = max(peak_in, self.bodies())
            time.sleep(0.02)
        assert generator.process.returncode == 0, "mailgen: exit %s" % generator.process.returncode
        while self.metric("angarium_queue_messages") > 0:
            peak_out = max(peak_out, self.bodies())
            time.sleep(0.02)
        return peak_in, peak_out

    def stop(self):
        self.node.stop()
        self.sink.stop()


def check_one(place):
    w = Watched(place, "one")
    try:
        peak_in, peak_out = w.send(1, LARGE)
        assert 0 < peak_in <= MAIL_MAX and peak_out <= MAIL_MAX, (peak_in, peak_out)
        assert w.bodies() <= MAIL_MAX, "bodies stay in memory after the mail is delivered"
    finally:
        w.stop()
    return "one of 50 MiB: %.2f MiB in, %.2f MiB out" % (peak_in / MIB, peak_out / MIB)


def check_many(place):
    w = Watched(place, "many")
    try:
        size = LARGE if FULL else 3 * MIB
        peak, _ = w.send(AT_ONCE, size)
        resident = w.memory("VmHWM")
        assert w.metric("angarium_mails_accepted_total") == AT_ONCE
        assert peak > 10 * MIB, "they did not come at once: %d bytes of bodies" % peak
        assert peak <= AT_ONCE * MAIL_MAX, peak
        assert resident < RESIDENT_MAX, "%d MiB resident" % (resident // MIB)
    finally:
        w.stop()
    return "%d at once of %d MiB: %.0f MiB of bodies, %d MiB resident" % (AT_ONCE, size // MIB, peak / MIB, resident // MIB)


def answer(s, end):
    got = b""
    while not (got.endswith(b"\r\n") and any(line.startswith(end) for line in got.split(b"\r\n"))):
        more = s.recv(4096)
        assert more, "the session was closed: %r" % got
        got += more


def begin_mail(s):
    for line, end in ((b"MAIL FROM:<a@example.test>", b"250 "), (b"RCPT TO:<b@example.test>", b"250 "), (b"DATA", b"354 ")):
        s.sendall(line + b"\r\n")
        answer(s, end)
    s.sendall(b"Subject: x\r\n\r\nx\r\n")
    return s


def open_clear(w, port=None):
    s = socket.create_connection(("127.0.0.1", port or w.node.mx), 30)
    answer(s, b"220 ")
    s.sendall(b"EHLO idle.example.test\r\n")
    answer(s, b"250 ")
    return s


def open_tls(w, context, port=None):
    s = open_clear(w, port)
    s.sendall(b"STARTTLS\r\n")
    answer(s, b"220 ")
    s = context.wrap_socket(s)
    s.sendall(b"EHLO idle.example.test\r\n")
    answer(s, b"250 ")
    return s


def check_idle(place):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    w = Watched(place, "idle")
    try:
        before = w.memory("VmRSS")
        sessions = [open_tls(w, context, w.node.submission) for _ in range(SESSIONS)]
        each = (w.memory("VmRSS") - before) / SESSIONS
        assert w.metric("angarium_smtp_sessions") == SESSIONS
        assert each <= SESSION_MAX, "%d bytes for an idle TLS session" % each
        for s in sessions[::SESSIONS // 10]:
            s.sendall(b"NOOP\r\n")
            answer(s, b"250 ")
        for s in sessions:
            s.close()
    finally:
        w.stop()
    return "%d idle TLS sessions: %.1f KiB each" % (SESSIONS, each / 1024)


def check_estimate(place):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    told = []
    for name, begin in (("clear", open_clear), ("clear, in DATA", lambda w: begin_mail(open_clear(w))),
                        ("TLS", lambda w: open_tls(w, context)),
                        ("TLS, in DATA", lambda w: begin_mail(open_tls(w, context)))):
        w = Watched(place, "estimate-" + str(len(told)))
        try:
            before = w.memory("VmRSS")
            sessions = [begin(w) for _ in range(WEIGHED)]
            taken = (w.memory("VmRSS") - before - w.bodies()) / WEIGHED
            estimate = w.metric("angarium_smtp_sessions_memory_bytes") / WEIGHED
            assert taken / 2 <= estimate <= 2 * taken, "%s: %d bytes are taken for %d" % (name, taken, estimate)
            for s in sessions:
                s.close()
        finally:
            w.stop()
        told.append("%s %.1f for %.1f" % (name, estimate / 1024, taken / 1024))
    return "KiB estimated for KiB taken: " + ", ".join(told)


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < SESSIONS + 200:
        raise SystemExit("at least %d open files are needed (ulimit -n)" % (SESSIONS + 200))
    place = cluster.place_for("memory")
    print("; ".join(check(place) for check in (check_one, check_many, check_idle, check_estimate)))


if __name__ == "__main__":
    main()
