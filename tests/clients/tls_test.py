"""The certificates of a running node: names (SNI), renewal by file and by SIGHUP under open sessions, broken files,
expiry, pins, tickets shared by the loops, and what no port may speak: TLS 1.0, 1.1, CBC, RSA key exchange."""
import hashlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess

import cluster

WEAK = ("AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA256",
        "DHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM", "NULL", "aNULL", "3DES", "RC4")


def openssl(*arguments, text=""):
    return subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True, check=False, timeout=30)


class Authority:
    """A CA that signs what the tests need."""

    def __init__(self, folder):
        self.folder = folder
        self.file = os.path.join(folder, "test-ca.pem")
        self.key = os.path.join(folder, "test-ca.key")
        made = openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                       self.key, "-out", self.file, "-days", "365", "-subj", "/CN=test CA", "-addext",
                       "basicConstraints=critical,CA:true")
        assert made.returncode == 0, made.stderr

    def sign(self, name, hosts, days, rsa=False):
        """Writes name.pem (leaf and CA) and name.key; returns their paths."""
        pem, key, csr, ext = (os.path.join(self.folder, name + end) for end in (".pem", ".key", ".csr", ".ext"))
        kind = ["-newkey", "rsa:2048"] if rsa else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        made = openssl("req", *kind, "-nodes", "-keyout", key, "-out", csr, "-subj", "/CN=" + hosts[0])
        assert made.returncode == 0, made.stderr
        with open(ext, "w") as f:
            f.write("subjectAltName=%s\nbasicConstraints=CA:false\nextendedKeyUsage=serverAuth\n"
                    "keyUsage=digitalSignature\ncrlDistributionPoints=URI:http://ca.example.test/ca.crl\n"
                    % ",".join("DNS:" + host for host in hosts))
        made = openssl("x509", "-req", "-in", csr, "-CA", self.file, "-CAkey", self.key, "-CAcreateserial", "-days",
                       str(days), "-extfile", ext, "-out", pem)
        assert made.returncode == 0, made.stderr
        with open(pem, "a") as f, open(self.file) as ca:
            f.write(ca.read())
        return pem, key


class Ports:
    """The three SMTP listeners, as s_client reaches them."""

    def __init__(self, c):
        self.all = [("submission", c.node["submission"], ["-starttls", "smtp"]),
                    ("submissions", c.node["submissions"], []),
                    ("mx", c.node["mx"], ["-starttls", "smtp"])]

    def ask(self, port, *options):
        """What s_client says of a handshake: (did it succeed, its output)."""
        _, address, how = port
        done = openssl("s_client", "-connect", address, *how, *options, text="QUIT\n")
        return "Cipher is (NONE)" not in done.stdout and "BEGIN CERTIFICATE" in done.stdout, done.stdout + done.stderr


def shown_name(port, ports, *options):
    ok, said = ports.ask(port, *options)
    assert ok, said
    return re.search(r"subject=CN = (\S+)", said).group(1)


def spki(pem):
    key = subprocess.run(["openssl", "x509", "-in", pem, "-pubkey", "-noout"], capture_output=True, check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, capture_output=True, check=True)
    return hashlib.sha256(der.stdout).hexdigest()


class Session:
    """An open session on submissions; says whether it lives, and which certificate it was shown."""

    def __init__(self, c, context, session=None, name=None):
        host, port = c.node["submissions"].split(":")
        self.s = context.wrap_socket(socket.create_connection((host, int(port)), 20), server_hostname=name,
                                     session=session)
        self.line()

    def line(self):
        got = b""
        while not got.endswith(b"\r\n"):
            more = self.s.recv(500)
            assert more, "the session was dropped"
            got += more
        return got

    def lives(self):
        self.s.sendall(b"NOOP\r\n")
        assert self.line().startswith(b"250 ")
        return True


def any_context(version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version:
        context.minimum_version = context.maximum_version = version
    return context


def change_settings(c, first, second):
    path = os.path.join(c.dir, "node-1.yaml")
    with open(path) as f:
        text = f.read()
    text, count = re.subn(r"(?m)^tls:.*(\n[ ].*)*\n",
                          "tls: { certificate: %s, key: %s }\ncertificates:\n  - { certificate: %s, key: %s }\n"
                          % (*first, *second), text)
    assert count == 1, text
    with open(path, "w") as f:
        f.write(text)


def check_names(ports):
    for port in ports.all:
        assert shown_name(port, ports, "-noservername") == "mx.one.test", port
        assert shown_name(port, ports, "-servername", "unknown.test") == "mx.one.test", port
        assert shown_name(port, ports, "-servername", "mx.two.test") == "mx.two.test", port
        assert shown_name(port, ports, "-servername", "a.star.test") == "mx.two.test", port


def check_chain(ports, ca):
    """Both certificates come, and a client that trusts the root alone is content."""
    for port in ports.all:
        ok, said = ports.ask(port, "-servername", "mx.two.test", "-verify_hostname", "mx.two.test", "-CAfile", ca.file,
                             "-verify_return_error", "-showcerts")
        assert ok and "Verify return code: 0 (ok)" in said and said.count("BEGIN CERTIFICATE") == 2, said


def check_strength(ports):
    for port in ports.all:
        for version in ("-tls1", "-tls1_1"):
            ok, said = ports.ask(port, version, "-cipher", "ALL:@SECLEVEL=0")
            assert not ok, (port, version, said)
        for suite in WEAK:
            ok, said = ports.ask(port, "-tls1_2", "-cipher", suite + ":@SECLEVEL=0")
            assert not ok, (port, suite, said)
        ok, said = ports.ask(port, "-tls1_2", "-comp")
        assert ok and "Compression: NONE" in said and "Secure Renegotiation IS supported" in said, said


def check_tickets(c):
    """A ticket of one loop is taken by the others: the kernel spreads the connections."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = any_context(version)
        last = Session(c, context, name="mx.two.test")
        assert not last.s.session_reused
        for _ in range(12):
            last = Session(c, context, session=last.s.session, name="mx.two.test")
            assert last.s.session_reused, version
    return context, last.s.session


def metric(c, name):
    import urllib.request
    with urllib.request.urlopen("http://%s/metrics" % c.node["http"], timeout=10) as answer:
        lines = answer.read().decode().split("\n")
    return [line for line in lines if line.startswith(name)]


def main():
    place = cluster.place_for("tls")
    ca = Authority(place)
    first = ca.sign("first", ["mx.one.test"], 90, rsa=True)
    second = ca.sign("second", ["mx.two.test", "*.star.test"], 90)
    c = cluster.Cluster(cluster.build_dir(), place)

    def log():
        with open(c.node["log_file"]) as f:
            return f.read()

    try:
        ports = Ports(c)
        opened = Session(c, any_context())
        change_settings(c, first, second)
        os.kill(c.node["pid"], signal.SIGHUP)
        cluster.wait_until(lambda: shown_name(ports.all[0], ports, "-noservername") == "mx.one.test", "SIGHUP's certificate")
        assert opened.lives()
        cluster.wait_until(lambda: all(shown_name(p, ports, "-noservername") == "mx.one.test" for p in ports.all * 4),
                           "the certificate on every loop")
        check_names(ports)
        check_chain(ports, ca)
        check_strength(ports)
        context, session = check_tickets(c)
        # renewal by file, the key first: what is in force serves until both are there
        third = ca.sign("third", ["mx.one.test", "mx.three.test"], 5)
        os.rename(third[1], first[1])
        cluster.wait_until(lambda: "tls.reload_refused" in log(), "the half-changed pair is told")
        assert shown_name(ports.all[1], ports, "-servername", "mx.two.test") == "mx.two.test"
        os.rename(third[0], first[0])
        cluster.wait_until(lambda: "tls.reloaded" in log(), "the new file is noticed")
        cluster.wait_until(lambda: "tls.certificate_expires" in log(), "5 days are few")
        assert opened.lives(), "the session from before two reloads"
        assert Session(c, context, session=session, name="mx.two.test").s.session_reused, "tickets outlive a reload"
        days = [line for line in metric(c, "angarium_tls_certificate_days_left") if "first.pem" in line]
        assert len(days) == 1 and days[0].endswith(" 4"), days
        shown = json.loads(c.run("certificates", "-o", "json").stdout)["items"][0]["certificates"]
        pins = {os.path.basename(x["file"]): x["spki_sha256"] for x in shown}
        assert pins == {"first.pem": spki(first[0]), "second.pem": spki(second[0])}, pins
        assert all(pin in log() for pin in pins.values())
        # not a certificate at all
        refused = log().count("tls.reload_refused")
        with open(second[0], "w") as f:
            f.write("nonsense\n")
        cluster.wait_until(lambda: log().count("tls.reload_refused") == refused + 1, "nonsense is told")
        assert shown_name(ports.all[2], ports, "-servername", "mx.two.test") == "mx.two.test"
        os.kill(c.node["pid"], signal.SIGHUP)
        cluster.wait_until(lambda: "node.reload_refused" in log(), "SIGHUP refuses it, too")
        assert opened.lives()
    finally:
        c.stop()
    print("names, renewal under open sessions, expiry, pins, tickets; nothing below TLS 1.2 on three ports")


if __name__ == "__main__":
    main()
