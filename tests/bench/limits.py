"""limits - what this machine can do, measured in the run itself, and how much of it a run of ours took. Whatever is nearest to
its limit binds: the others have room.

Limits: synced appends, one at a time, at sizes of a log's batches; bytes through a loopback connection; full TLS handshakes
with both ends on this machine (P-256, TLS 1.3: a pair of openssl s_server and s_time a core); the processors: what nodes,
generator and sink had of them beside what was idle, so other work on the machine is left out."""
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request

KIB = 1024
APPENDS = (4 * KIB, 64 * KIB, 1024 * KIB, 8192 * KIB)
DISK, LOOPBACK, HANDSHAKES, PROCESSORS = "synced appends", "loopback", "TLS handshakes", "processors"


def synced_appends(path, size, seconds=1):
    """A second."""
    block, count, begun = os.urandom(size), 0, time.monotonic()
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    while time.monotonic() - begun < seconds:
        os.write(fd, block)
        os.fdatasync(fd)
        count += 1
    took = time.monotonic() - begun
    os.close(fd)
    os.unlink(path)
    return count / took


def loopback_rate(seconds=1):
    """Bytes a second, from a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = ("import socket, time\ns = socket.create_connection(('127.0.0.1', %d))\nblock, end = bytes(1 << 18), time.monotonic() + %r\n"
                "while time.monotonic() < end: s.sendall(block)\n" % (server.getsockname()[1], seconds))
        sender = subprocess.Popen([sys.executable, "-c", code])
        taker, _ = server.accept()
        room, total, begun = bytearray(1 << 18), 0, time.monotonic()
        with taker:
            while n := taker.recv_into(room):
                total += n
        sender.wait()
    return total / (time.monotonic() - begun)


def tls_handshakes(certificate, key, ports, seconds=2):
    """A second, all pairs together."""
    found = []

    def pair(port):
        server = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:%d" % port, "-cert", certificate, "-key", key, "-quiet"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_listening(port)
            begun = time.monotonic()
            said = subprocess.run(["openssl", "s_time", "-connect", "127.0.0.1:%d" % port, "-new", "-tls1_3", "-time", str(seconds)],
                                  capture_output=True, text=True, check=False).stdout
            took = time.monotonic() - begun
            count = re.search(r"(\d+) connections in", said)
            found.append(int(count.group(1)) / took if count else 0)
        finally:
            server.kill()
            server.wait()

    threads = [threading.Thread(target=pair, args=(port,)) for port in ports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(found)


def wait_listening(port):
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


class Limits:
    """Measured when it is made; says what it found."""

    def __init__(self, folder, make_certificate, ports):
        self.appends = {size: synced_appends(os.path.join(folder, "syncs"), size) for size in APPENDS}
        for size, rate in self.appends.items():
            print("this machine: %7.0f synced appends a second of %4d KiB (%.0f MB/s)" % (rate, size // KIB, size * rate / 1e6))
        self.loopback = loopback_rate()
        make_certificate(folder)
        self.handshakes = tls_handshakes(os.path.join(folder, "node.pem"), os.path.join(folder, "node.key"), ports)
        print("this machine: %7.0f MB/s through a loopback connection; %.0f full TLS handshakes a second, both ends here" % (
            self.loopback / 1e6, self.handshakes), flush=True)

    def append_s(self, size):
        """How long one synced append of that size takes: a line between the measured sizes, on through the last two."""
        sizes = sorted(self.appends)
        for a, b in zip(sizes, sizes[1:]):
            if size <= b or b == sizes[-1]:
                at_a, at_b = 1 / self.appends[a], 1 / self.appends[b]
                return max(0.0, at_a + (at_b - at_a) * (size - a) / (b - a))
        raise ValueError(size)


def idle_s():
    """Of all cores since the start."""
    with open("/proc/stat") as file:
        ticks = file.readline().split()
    return (int(ticks[4]) + int(ticks[5])) / os.sysconf("SC_CLK_TCK")


def cpu_s(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def metrics(side):
    """Sums over the side's nodes."""
    found = {}
    for url, token in side.apis():
        request = urllib.request.Request(url + "/metrics", headers={"Authorization": "Bearer " + token})
        with urllib.request.urlopen(request, timeout=10) as answer:
            for line in answer.read().decode().split("\n"):
                name, _, value = line.rpartition(" ")
                if name and not name.startswith("#"):
                    found[name] = found.get(name, 0) + float(value)
    return found


class Probe:
    """Begins when it is made."""

    def __init__(self, side, sink):
        self.side, self.sink, self.before = side, sink, metrics(side)
        self.idle, self.work = idle_s(), self.work_s()
        self.begun = time.monotonic()

    def work_s(self):
        """Of the nodes, the sink, and generators that have ended."""
        spent = os.times()
        return self.side.cpu_s() + cpu_s(self.sink) + spent.children_user + spent.children_system

    def shares(self, limits, mails, size, crossings):
        """How much of each limit was used: mails of `size` that crossed loopback so often."""
        took = time.monotonic() - self.begun
        idle, work = idle_s() - self.idle, self.work_s() - self.work
        after = metrics(self.side)

        def grown(name):
            return after.get(name, 0) - self.before.get(name, 0)

        syncs = grown("angarium_log_syncs_total")
        batch = grown("angarium_log_bytes_total") / max(1, syncs)
        return {DISK: syncs * limits.append_s(batch) / took,
                LOOPBACK: mails * size * crossings / took / limits.loopback,
                HANDSHAKES: grown('angarium_tls_handshakes_total{session="new"}') / took / max(1, limits.handshakes),
                PROCESSORS: work / max(0.01, work + idle)}
