"""testssl.sh against a running node: nothing below TLS 1.2, nothing that it calls NOT ok. With the argument `all` (by
./tests/run.sh manual/testssl) every check on submission, submissions and MX; else the essential ones on submission."""
import concurrent.futures
import os
import re
import signal
import subprocess
import sys

import cluster
import foreign
from tls_test import Authority

QUICK = ["-p", "-s", "-H", "-I", "-R", "-C"]  # protocols, kinds of ciphers, Heartbleed, CCS, renegotiation, CRIME
FINDING = re.compile(r"NOT ok|VULNERABLE|not ok|(?:TLS 1|TLS 1\.1|SSLv[23]) +offered")


def scan(c, ca, key, checks):
    """What testssl.sh says of one port."""
    how = [] if key == "submissions" else ["--starttls", "smtp"]
    place = foreign.unpack("testssl.sh")
    environment = {**os.environ, "TESTSSL_INSTALL_DIR": os.path.join(place, "etc", "testssl"), "TERM": "dumb"}
    port = c.node[key].split(":")[1]
    done = subprocess.run([os.path.join(place, "usr/bin/testssl"), "--quiet", "--color", "0", "--warnings", "batch",
                           "--add-ca", ca.file, "--ip", "127.0.0.1", *checks, *how, "localhost:" + port],
                          capture_output=True, text=True, env=environment, check=False, stdin=subprocess.DEVNULL)
    assert "Done 20" in done.stdout, done.stdout + done.stderr
    return done.stdout


def check(place, port, said):
    with open(os.path.join(place, port + ".txt"), "w") as f:
        f.write(said)
    assert "TLS 1.3" in said and re.search(r"TLS 1\.2 +offered \(OK\)", said), said
    bad = [line for line in said.split("\n") if FINDING.search(line)]
    assert not bad, "%s:\n%s" % (port, "\n".join(bad))


def main():
    everything = sys.argv[2:] == ["all"]
    place = cluster.place_for("testssl")
    ca = Authority(place)
    pem, key = ca.sign("relay", ["localhost"], 90)
    c = cluster.Cluster(cluster.build_dir(), place)
    try:
        os.replace(pem, os.path.join(c.dir, "node.pem"))
        os.replace(key, os.path.join(c.dir, "node.key"))
        os.kill(c.node["pid"], signal.SIGHUP)
        with open(c.node["log_file"]) as log:
            cluster.wait_until(lambda: "node.reloaded" in log.read(), "the certificate of the test")
        ports = ["submission", "submissions", "mx"] if everything else ["submission"]
        with concurrent.futures.ThreadPoolExecutor(len(ports)) as pool:  # testssl.sh mostly waits
            for port, said in zip(ports, pool.map(lambda p: scan(c, ca, p, [] if everything else QUICK), ports)):
                check(place, port, said)
    finally:
        c.stop()
    print("%s: nothing NOT ok, nothing below TLS 1.2" % ", ".join(ports))


if __name__ == "__main__":
    main()
