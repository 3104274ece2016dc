"""Tenants, credentials, domains, routes and rules of a cluster of three: changed on one node, in force on all; known to a node that is
cut off, also when it starts so; kept by all through kill -9. Settings files hold none of them."""
import concurrent.futures
import json
import os
import re
import shutil
import signal
import smtplib
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import cluster

NODES = (1, 2, 3)
WAIT_S = 20


class Town:
    def __init__(self, place, first, second):
        self.first, self.second = first, second
        self.c = cluster.Cluster(cluster.build_dir(), place, next_hop=first.port, nodes=3,
                                 extra=("--set", "limits.auth_delay_ms=0", "--set", "limits.auth_failures_max=100000",
                                        "--set", "delivery.retry_base_ms=200ms"))
        self.context = ssl.create_default_context(cafile=self.c.json["ca_file"])

    def node(self, number):
        return self.c.json["nodes"][number - 1]

    def run(self, number, *words, data=None, check=0):
        done = subprocess.run([self.c.binary, *words, "--endpoint", "http://" + self.node(number)["http"]], input=data,
                              capture_output=True, text=True, check=False, timeout=60,
                              env={**os.environ, "ANGARIUM_TOKEN": self.c.json["api_token"]})
        assert done.returncode == check, (words, done.returncode, done.stderr)
        return done.stdout

    def request(self, number, method, path, body=None, headers=None):
        """Status, JSON, ETag."""
        r = urllib.request.Request("http://" + self.node(number)["http"] + "/api/v1/" + path, method=method,
                                   data=json.dumps(body).encode() if body is not None else None,
                                   headers={"Authorization": "Bearer " + self.c.json["api_token"], **(headers or {})})
        try:
            with urllib.request.urlopen(r, timeout=30) as a:
                return a.status, json.load(a), a.headers.get("ETag")
        except urllib.error.HTTPError as e:
            with e:
                return e.code, json.load(e), None

    def entry_in_force(self, number):
        """Of control's log, as the node's log says."""
        with open(self.node(number)["log_file"]) as f:
            entries = re.findall(r"event=control\.in_force entry=(\d+)", f.read())
        return int(entries[-1]) if entries else 0

    def session(self, number):
        host, port = self.node(number)["submissions"].split(":")
        return smtplib.SMTP_SSL(host, int(port), timeout=20, context=self.context)

    def can_login(self, number, user, password):
        with self.session(number) as s:
            try:
                s.login(user, password)
                return True
            except smtplib.SMTPAuthenticationError as e:
                assert e.smtp_code == 535, e
                return False

    def send(self, number, user, password, sender, subject):
        with self.session(number) as s:
            s.login(user, password)
            s.sendmail(sender, ["you@elsewhere.test"], f"From: {sender}\r\nSubject: {subject}\r\n\r\nHello\r\n")


def until_on_all(town, fact, what, began, nodes=NODES):
    """Waits for the fact on all nodes at once; says how long that took since the change was asked for."""
    took = {}

    def watch(number):
        cluster.wait_until(lambda: fact(number), f"{what} on node {number}", WAIT_S)
        took[number] = (time.monotonic() - began) * 1000

    with concurrent.futures.ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(watch, nodes))
    print(what + ": " + ", ".join(f"node {n} after {ms:.0f} ms" for n, ms in sorted(took.items())), flush=True)


def check_credentials(town):
    began = time.monotonic()
    status, record, etag = town.request(2, "PUT", "credentials/app1", {"tenant": "demo", "password": "correct horse"})
    assert status == 200 and etag == f'"{record["version"]}"' and "password_hash" not in record, (status, record)
    until_on_all(town, lambda n: town.can_login(n, "app1", "correct horse"), "a credential of node 2 lets in", began)
    assert not town.can_login(3, "app1", "another horse")
    # a change without a password keeps it; the version is a fence
    status, changed, _ = town.request(3, "PUT", "credentials/app1", {"tenant": "demo", "addresses": "127.0.0.0/8"},
                                      {"If-Match": etag})
    assert status == 200, changed
    status, problem, _ = town.request(1, "DELETE", "credentials/app1", headers={"If-Match": etag})
    assert status == 412 and problem["type"].endswith(":changed"), problem
    assert town.can_login(1, "app1", "correct horse")
    began = time.monotonic()
    assert town.request(3, "DELETE", "credentials/app1")[0] == 200
    until_on_all(town, lambda n: not town.can_login(n, "app1", "correct horse"), "its removal on node 3 shuts out", began)
    town.run(1, "credential", "rm", "app1", check=3)
    password = town.run(1, "credential", "set", "app2", "--tenant", "demo", "--generate").strip()
    until_on_all(town, lambda n: town.can_login(n, "app2", password), "a password that was made", time.monotonic())


def check_tenants(town):
    """A tenant with a domain of its own may send from that one, and from no other."""
    town.run(1, "tenant", "set", "acme")
    town.run(2, "domain", "set", "Acme.Test", "--tenant", "acme")
    town.run(3, "credential", "set", "acme-app", "--tenant", "acme", "--password-file", "-", data="acme's own\n")
    town.run(1, "domain", "set", "acme.test", "--tenant", "demo", check=5)
    town.run(1, "domain", "set", "x.test", "--tenant", "nobody", check=3)
    town.run(2, "tenant", "rm", "acme", check=5)
    until_on_all(town, lambda n: town.can_login(n, "acme-app", "acme's own"), "a tenant's credential", time.monotonic())
    town.send(3, "acme-app", "acme's own", "me@acme.test", "from acme")
    try:
        town.send(3, "acme-app", "acme's own", "me@example.test", "not from acme")
        raise AssertionError("another tenant's domain")
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError, smtplib.SMTPRecipientsRefused):
        pass
    listed = json.loads(town.run(2, "credential", "ls", "--tenant", "acme", "-o", "json"))["items"]
    assert [c["name"] for c in listed] == ["acme-app"], listed
    status, page, _ = town.request(3, "GET", "credentials?limit=2")
    assert status == 200 and len(page["items"]) == 2 and page["next_cursor"] == page["items"][1]["name"], page
    status, rest, _ = town.request(3, "GET", "credentials?limit=2&cursor=" + page["next_cursor"])
    assert [c["name"] for c in page["items"] + rest["items"]] == ["acme-app", "app2", "demo"], (page, rest)


def has(sink, subject):
    return any(f"Subject: {subject}".encode() in content for _, content in sink.messages())


def check_routes_and_rules(town):
    c = town.c
    town.send(1, "demo", c.json["password"], "me@example.test", "by the first route")
    cluster.wait_until(lambda: has(town.first, "by the first route"), "a mail at the first next hop", WAIT_S)
    began = time.monotonic()
    status, route, _ = town.request(2, "PUT", "routes/%2A", {"via": "host", "host": f"127.0.0.1:{town.second.port}",
                                                             "tls": "none"})
    assert status == 200, route
    until_on_all(town, lambda n: town.entry_in_force(n) >= route["version"], "a route of node 2", began)
    assert town.run(3, "route", "ls").count(str(town.second.port)) == 1
    for number in NODES:
        town.send(number, "demo", c.json["password"], "me@example.test", f"by node {number}")
        cluster.wait_until(lambda n=number: has(town.second, f"by node {n}"), f"the mail of node {number} at the other hop",
                           WAIT_S)
        assert not has(town.first, f"by node {number}")
    town.run(3, "rule", "set", "no-offers", "part=header", "field=Subject", "match=*cheap*", "text=no offers, please")

    def is_refused(number):
        try:
            town.send(number, "demo", c.json["password"], "me@example.test", "very cheap")
            return False
        except smtplib.SMTPDataError as e:
            assert e.smtp_code == 554 and b"no-offers" in e.smtp_error, e
            return True

    until_on_all(town, is_refused, "a content rule", time.monotonic())
    town.run(1, "rule", "set", "wrong", "part=header", "match=x", check=1)
    town.run(1, "setting", "set", "delivery.expire_ms", "1h")
    town.run(1, "setting", "set", "node.hostname", "x", check=1)


def check_missing_file(town, place):
    """A CA file that is gone closes its route, and holds nothing else up; SIGHUP opens it when the file is back."""
    ca = os.path.join(place, "ca-of-a-route.pem")
    town.run(1, "route", "set", "closed.test", "via=host", "host=127.0.0.1:9", "tls=verify", f"tls_ca_file={ca}", check=1)
    shutil.copy(town.c.json["ca_file"], ca)
    town.run(1, "route", "set", "closed.test", "via=host", "host=127.0.0.1:9", "tls=verify", f"tls_ca_file={ca}")
    os.rename(ca, ca + ".gone")
    town.run(1, "route", "set", "other.test", "via=inbox")
    version = town.request(1, "PUT", "credentials/late", {"tenant": "demo", "password": "late but there"})[1]["version"]
    until_on_all(town, lambda n: town.entry_in_force(n) >= version, "a change beside a route without its CA", time.monotonic())
    assert town.can_login(2, "late", "late but there")

    def closed(number):
        with open(town.node(number)["log_file"]) as f:
            return f.read().count("event=control.route_closed match=closed.test")

    assert all(closed(n) > 0 for n in NODES)
    os.rename(ca + ".gone", ca)
    before = closed(2)
    os.kill(town.node(2)["pid"], signal.SIGHUP)

    def reloaded():
        with open(town.node(2)["log_file"]) as f:
            return "event=node.reloaded" in f.read()

    cluster.wait_until(reloaded, "the reload of node 2", WAIT_S)
    assert closed(2) == before and town.can_login(2, "late", "late but there")
    for kind, name in (("route", "closed.test"), ("route", "other.test"), ("credential", "late")):
        town.run(3, kind, "rm", name)


def check_cut_off(town):
    """The two others sleep: node 3 lets in whom it knows, and changes nothing."""
    for number in (1, 2):
        os.kill(town.node(number)["pid"], signal.SIGSTOP)
    try:
        assert town.can_login(3, "demo", town.c.json["password"]) and town.can_login(3, "acme-app", "acme's own")
        assert not town.can_login(3, "app1", "correct horse")
        assert town.request(3, "GET", "tenants/acme")[0] == 200
    finally:
        for number in (1, 2):
            os.kill(town.node(number)["pid"], signal.SIGCONT)


def check_kept(town):
    """kill -9 of all; node 3 starts alone and knows all; with the others all is as it was."""
    for number in NODES:
        os.kill(town.node(number)["pid"], signal.SIGKILL)

    def is_gone(pid):
        """Its last thread as well, which has the sockets."""
        try:
            with open(f"/proc/{pid}/stat") as f:
                return f.read().rsplit(")", 1)[1].split()[0] == "Z" and len(os.listdir(f"/proc/{pid}/task")) == 1
        except FileNotFoundError:
            return True

    for number in NODES:
        cluster.wait_until(lambda n=number: is_gone(town.node(n)["pid"]), f"the end of node {number}")
    settings = os.path.join(town.c.dir, "node-3.yaml")
    with open(settings) as f:
        text = f.read()
    assert "credentials:" not in text and "tenants:" not in text and "routes:" not in text, text
    with open(os.path.join(town.c.dir, "alone.log"), "wb") as log:
        alone = subprocess.Popen([town.c.binary, "node", "-c", settings], stdout=log, stderr=log)
    try:
        cluster.wait_port(int(town.node(3)["submissions"].split(":")[1]), "node 3 alone")
        assert town.can_login(3, "acme-app", "acme's own") and town.can_login(3, "demo", town.c.json["password"])
        assert not town.can_login(3, "app1", "correct horse")
    finally:
        alone.kill()
        alone.wait(20)
    subprocess.run([town.c.binary, "dev", "--dir", town.c.dir, "--detach"], check=True, stdout=subprocess.DEVNULL,
                   timeout=90)
    with open(os.path.join(town.c.dir, "cluster.json")) as f:
        town.c.json = json.load(f)
    for number in NODES:
        assert town.can_login(number, "acme-app", "acme's own")
        assert not town.can_login(number, "app1", "correct horse")
        assert town.request(number, "GET", "routes/%2A")[1]["host"].endswith(str(town.second.port))
        assert town.request(number, "GET", "settings/delivery.expire_ms")[1]["value"] == "1h"
    for name in ("node-1.log", "node-2.log", "node-3.log"):
        with open(os.path.join(town.c.dir, name)) as f:
            log = f.read()
        assert "control.in_force" in log and "acme's own" not in log and "argon2id" not in log, name
        for bad in ("control.refused", "control.left_out", "control.file_not_in_force"):
            assert bad not in log, (name, bad)


def main():
    place = cluster.place_for("records")
    first, second = cluster.Sink(), cluster.Sink()
    try:
        town = Town(place, first, second)
        try:
            check_credentials(town)
            check_tenants(town)
            check_routes_and_rules(town)
            check_missing_file(town, place)
            check_cut_off(town)
            check_kept(town)
        finally:
            town.c.stop()
    finally:
        first.stop()
        second.stop()
    print("records: ok")


main()
