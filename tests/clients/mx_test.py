"""Routing by MX through a DNS server of our own: preference, a dead first exchanger, A fallback, null MX, no such domain."""
import os
import socket
import struct
import threading

import cluster

ZONE = {
    ("two.test", "MX"): [(10, "dead.two.test"), (20, "live.two.test")],
    ("dead.two.test", "A"): ["127.0.0.66"],
    ("live.two.test", "A"): ["127.0.0.1"],
    ("plain.test", "A"): ["127.0.0.1"],
    ("null.test", "MX"): [(0, "")],
}
TYPES = {1: "A", 15: "MX", 28: "AAAA"}


def name_bytes(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".") if p) + b"\0"


class Dns(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def answer(self, query):
        at, parts = 12, []
        while query[at]:
            parts.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        qtype = struct.unpack(">H", query[at + 1:at + 3])[0]
        name, kind = ".".join(parts), TYPES.get(qtype)
        known = any(name == n or n.endswith("." + name) for n, _ in ZONE)
        records = ZONE.get((name, kind), [])
        out = query[:2] + struct.pack(">HHHHH", 0x8580 | (0 if known else 3), 1, len(records), 0, 0)
        out += query[12:at + 5]
        for r in records:
            data = socket.inet_aton(r) if kind == "A" else struct.pack(">H", r[0]) + name_bytes(r[1])
            out += b"\xc0\x0c" + struct.pack(">HHIH", qtype, 1, 60, len(data)) + data
        return out

    def run(self):
        while True:
            query, peer = self.socket.recvfrom(2048)
            self.socket.sendto(self.answer(query), peer)


def main():
    place = cluster.place_for("mx")
    sink = cluster.Sink()
    dns = Dns()
    dns.start()
    c = cluster.Cluster(cluster.build_dir(), place,
                        extra=["--resolver", f"127.0.0.1:{dns.port}", "--mx-port", str(sink.port)])
    try:
        text = os.path.join(c.dir, "text")
        with open(text, "w") as f:
            f.write("by mx\n")
        ids = {}
        for domain in ("two.test", "plain.test", "null.test", "none.test"):
            out = c.run("send", "--from", "a@example.test", "--to", "b@" + domain, "--subject", domain, "--text",
                        "by mx").stdout.decode()
            ids[domain] = out.split()[-1]

        def state(domain):
            return c.message(ids[domain])["recipients"][0]

        for domain in ("two.test", "plain.test"):
            cluster.wait_until(lambda: state(domain)["state"] == "delivered", f"delivery to {domain}: {state(domain)}")
        for domain in ("null.test", "none.test"):
            cluster.wait_until(lambda: state(domain)["state"] == "bounced", f"bounce of {domain}: {state(domain)}")
        assert len(sink.messages()) == 2, sink.messages()
        story = c.run("message", ids["null.test"]).stdout.decode()
        assert "MX" in story or "no mail" in story, story
    finally:
        c.stop()
        sink.stop()
    print("MX order, address fallback, null MX and no such domain")


if __name__ == "__main__":
    main()
