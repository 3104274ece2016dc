"""A node that hands its mail to a smart host under an account: to a node of ours (AUTH PLAIN, verified TLS, pins, a wrong password
and its mending), and by XOAUTH2 to a scripted server, with tokens from an endpoint that ends them and rotates refresh tokens."""
import base64
import http.server
import json
import os
import smtplib
import socket
import ssl
import threading
import urllib.parse

import cluster
import mx_test
import relay
from tls_test import spki

node = relay.node

HOST = "relay.example.net"
SETTINGS = """\
node: {{ id: 1, hostname: sender.example.test, data_dir: {place}/node, loops: 2 }}
listeners:
  - {{ kind: submission, address: "127.0.0.1:{submission}" }}
http: {{ address: "127.0.0.1:{http}", token_file: {place}/api.token }}
tls: {{ certificate: {place}/node.pem, key: {place}/node.key }}
resolver: {{ address: "127.0.0.1:{dns}" }}
tenants: [ {{ name: load, domains: [ example.test ] }} ]
credentials: [ {{ username: load, tenant: load, password_hash: "{hash}" }} ]
limits: {{ disk_reserve_bytes: 0 }}
delivery: {{ retry_base_ms: 200ms, retry_cap_ms: 500ms, idle_ms: 0 }}
routes:
{routes}"""


def write_secret(path, text):
    with open(path + ".tmp", "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
        f.write(text)
    os.rename(path + ".tmp", path)


class Sender(node.Node):
    """The node under test."""

    def __init__(self, place, dns, routes):
        os.makedirs(place, exist_ok=True)
        super().__init__(node.find_binary(cluster.build_dir()), place, 0)
        with open(self.settings, "w") as f:
            f.write(SETTINGS.format(place=place, submission=self.submission, http=self.http, dns=dns, hash=node.PASSWORD_HASH,
                                    routes="".join("  - { %s }\n" % route for route in routes)))
        self.start()
        self.wait_ready()

    def send(self, to):
        """The id of the mail."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP("127.0.0.1", self.submission, timeout=20) as s:
            s.starttls(context=context)
            s.login(node.USER, node.PASSWORD)
            s.mail("me@example.test")
            s.rcpt(to)
            code, said = s.data("From: me@example.test\r\nTo: %s\r\nSubject: smart host\r\n\r\nto %s\r\n" % (to, to))
            assert code == 250, said
            return said.decode().split()[-1]

    def recipient(self, mail):
        status, text = self.get("/api/v1/messages/" + mail)
        assert status == 200, text
        return json.loads(text)["recipients"][0]

    def wait_for(self, mail, state, **facts):
        def fits():
            r = self.recipient(mail)
            return r["state"] == state and all(str(value) in json.dumps(r) for value in facts.values()) and r

        return cluster.wait_until(fits, "%s with %s, but it is %s" % (state, facts, self.recipient(mail)), 30)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()


def metric(of, name):
    _, text = of.get("/metrics")
    found = [float(line.split()[-1]) for line in text.splitlines() if line.startswith(name)]
    assert found, name
    return sum(found)


# ---- node to node


def check_node_to_node(place, dns):
    sink = cluster.Sink()
    smarthost = relay.Relay(place, [("*", sink.port, "none")])
    right, wrong = (os.path.join(place, name) for name in ("right.password", "wrong.password"))
    write_secret(right, "brass-courier-9\n")
    write_secret(wrong, "not-this-one-1")
    pin, other_pin = spki(os.path.join(place, "relay.pem")), spki(smarthost.ca.file)
    via = 'via: host, host: "%s:%d", tls_ca_file: %s' % (HOST, smarthost.submission, smarthost.ca.file)
    sender = Sender(os.path.join(place, "sender"), dns, [
        'match: wrong.test, %s, auth: { username: demo, password_file: %s }' % (via, wrong),
        'match: unpinned.test, %s, tls: verify, pins: [ %s ], auth: { username: demo, password_file: %s }' % (via, other_pin, right),
        'match: plain.test, via: host, host: "%s:%d", auth: { username: demo, password_file: %s }' % (HOST, sink.port, right),
        'match: "*", %s, pins: [ %s, %s ], auth: { username: demo, password_file: %s }' % (via, other_pin, pin, right)])
    try:
        good = [sender.send("a%d@good.test" % i) for i in range(5)]
        for mail in good:
            sender.wait_for(mail, "delivered")
        opened = [line for line in sender.log().splitlines() if "event=conn.open" in line]
        assert opened and all(' verified"' in line and "auth=PLAIN" in line for line in opened), opened
        assert metric(sender, 'angarium_deliver_auth_total{result="ok"}') >= 1
        assert metric(smarthost, 'angarium_smtp_auth_total{result="failed"}') == 0

        unpinned = sender.send("a@unpinned.test")
        sender.wait_for(unpinned, "waiting", text="none of the route's pins")
        assert metric(sender, "angarium_deliver_pins_failed_total") >= 1
        assert "event=tls.pin_mismatch" in sender.log() and pin in sender.log()

        in_clear = sender.send("a@plain.test")  # the sink has no TLS: neither secret nor mail
        sender.wait_for(in_clear, "waiting", text="does not offer STARTTLS")

        mails = [sender.send("a%d@wrong.test" % i) for i in range(6)]
        refused = cluster.wait_until(lambda: [r for r in map(sender.recipient, mails) if "535" in json.dumps(r)], "a refusal")
        assert refused[0]["state"] == "waiting", refused
        more = sender.send("more@wrong.test")
        cluster.wait_until(lambda: "event=login.refused" in sender.log(), "the refusal is told")
        assert metric(smarthost, 'angarium_smtp_auth_total{result="failed"}') == 1, "the account was hammered"
        assert sender.recipient(more)["state"] != "bounced"
        write_secret(wrong, "brass-courier-9")  # mended: no restart, no reload
        for mail in [*mails, more]:
            sender.wait_for(mail, "delivered")
        assert metric(smarthost, 'angarium_smtp_auth_total{result="failed"}') == 1
        log = sender.log() + json.dumps([sender.get("/metrics")[1]])
        assert "brass-courier" not in log and "not-this-one" not in log
        wanted = 5 + 7
        cluster.wait_until(lambda: len(sink.messages()) == wanted, "%d mails at the end" % wanted)
        assert sender.stop() == 0
    finally:
        if sender.is_running():
            sender.kill()
        smarthost.stop()
        sink.stop()


# ---- XOAUTH2


class Endpoint(http.server.ThreadingHTTPServer):
    """A token endpoint: each access token is good for `uses` logins, each refresh token for one refresh."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), EndpointRequest)
        self.refresh, self.access, self.count, self.broken = "refresh-0", None, 0, False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def grant(self, form):
        if self.broken:
            return 503, {}
        wanted = {"grant_type": "refresh_token", "refresh_token": self.refresh, "client_id": "client-7",
                  "client_secret": "client+secret", "scope": "https://mail.test/ offline_access"}
        if form != wanted:
            return 400, {"error": "invalid_grant"}
        self.count += 1
        self.refresh, self.access = "refresh-%d" % self.count, "access-%d" % self.count
        return 200, {"access_token": self.access, "token_type": "Bearer", "expires_in": 3600, "refresh_token": self.refresh}


class EndpointRequest(http.server.BaseHTTPRequestHandler):
    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        status, answer = self.server.grant(dict(urllib.parse.parse_qsl(body, strict_parsing=True)))
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class Provider(threading.Thread):
    """An SMTP server that wants STARTTLS and XOAUTH2 with the endpoint's newest token."""

    def __init__(self, pem, key, endpoint):
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem, key)
        self.endpoint, self.mails, self.refusals, self.early = endpoint, [], 0, 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def run(self):
        while True:
            s, _ = self.socket.accept()
            threading.Thread(target=self.talk, args=(s,), daemon=True).start()

    def talk(self, s):
        try:
            s.settimeout(20)
            s.sendall(b"220 smtp.provider.test\r\n")
            f = s.makefile("rb")
            assert f.readline().startswith(b"EHLO ")
            s.sendall(b"250-smtp.provider.test\r\n250 STARTTLS\r\n")
            if f.readline() != b"STARTTLS\r\n":
                self.early += 1
                return
            s.sendall(b"220 go\r\n")
            t = self.context.wrap_socket(s, server_side=True)
            self.talk_safely(t, t.makefile("rb"))
        except OSError:
            pass
        finally:
            s.close()

    def talk_safely(self, t, f):
        is_known = False
        while line := f.readline():
            verb = line.split()[0].upper()
            if verb == b"EHLO":
                t.sendall(b"250-smtp.provider.test\r\n250-AUTH LOGIN XOAUTH2\r\n250 8BITMIME\r\n")
            elif verb == b"AUTH":
                is_known = self.judge(t, f, line)
            elif verb == b"DATA":
                t.sendall(b"354 go\r\n")
                text = b""
                while (line := f.readline()) != b".\r\n":
                    text += line
                self.mails.append(text)
                t.sendall(b"250 2.0.0 taken\r\n")
            elif verb == b"QUIT":
                t.sendall(b"221 bye\r\n")
                return
            else:
                t.sendall(b"250 ok\r\n" if is_known else b"530 5.7.0 who are you?\r\n")

    def judge(self, t, f, line):
        _, mechanism, message = line.split()
        assert mechanism == b"XOAUTH2", line
        wanted = b"user=me@provider.test\x01auth=Bearer %s\x01\x01" % str(self.endpoint.access).encode()
        if base64.b64decode(message) == wanted:
            t.sendall(b"235 2.7.0 Accepted\r\n")
            return True
        self.refusals += 1
        t.sendall(b"334 " + base64.b64encode(b'{"status":"400"}') + b"\r\n")
        assert f.readline() == b"\r\n"
        t.sendall(b"535 5.7.8 Username and Password not accepted\r\n")
        return False


def check_tokens(place, dns, ca):
    endpoint = Endpoint()
    provider = Provider(*ca.sign("provider", ["smtp.provider.test"], 30), endpoint)
    provider.start()
    refresh, client = os.path.join(place, "refresh"), os.path.join(place, "client")
    write_secret(refresh, "refresh-0\n")
    write_secret(client, "client+secret\n")
    sender = Sender(os.path.join(place, "oauth"), dns, [
        'match: "*", via: host, host: "smtp.provider.test:%d", tls_ca_file: %s, auth: { username: me@provider.test, oauth: { token_url:'
        ' "http://127.0.0.1:%d/token", client_id: client-7, client_secret_file: %s, refresh_token_file: %s, scope:'
        ' "https://mail.test/ offline_access" } }' % (provider.port, ca.file, endpoint.server_port, client, refresh)])
    try:
        mails = [sender.send("a%d@x.test" % i) for i in range(5)]
        for mail in mails:
            sender.wait_for(mail, "delivered")
        assert endpoint.count == 1, "one token serves all connections of both loops"
        with open(refresh) as f:
            assert f.read() == "refresh-1", "the rotated token is kept"

        endpoint.access = "taken-back"  # the token is good no more: one refresh, the mail does not wait
        mail = sender.send("b@x.test")
        r = sender.wait_for(mail, "delivered")
        assert r["attempts"] == 1 and endpoint.count == 2 and provider.refusals == 1, (r, endpoint.count, provider.refusals)

        endpoint.access, endpoint.broken = "taken-back", True  # ... and the endpoint is away
        mail = sender.send("c@x.test")
        sender.wait_for(mail, "waiting", text="Username and Password not accepted")
        cluster.wait_until(lambda: "the answer is 503" in sender.log(), "the endpoint's failure is told")
        assert metric(sender, 'angarium_oauth_refreshes_total{result="failed"}') >= 1
        assert metric(sender, 'angarium_oauth_refreshes_total{result="ok"}') == 2
        log = sender.log()
        assert not any(word in log for word in ("access-", "refresh-", "client+secret")), log
        assert sender.stop() == 0

        endpoint.broken = False
        sender.start()  # with the file as it is now
        sender.wait_ready()
        sender.wait_for(mail, "delivered")
        assert endpoint.count == 3 and provider.early == 0 and len(provider.mails) == 7
        assert sender.stop() == 0
    finally:
        if sender.is_running():
            sender.kill()
        endpoint.shutdown()


def main():
    place = cluster.place_for("smarthost")
    mx_test.ZONE.update({(HOST, "A"): ["127.0.0.1"], ("smtp.provider.test", "A"): ["127.0.0.1"]})
    dns = mx_test.Dns()
    dns.start()
    check_node_to_node(place, dns.port)
    check_tokens(place, dns.port, relay.Authority(place))
    print("smarthost: ok")


if __name__ == "__main__":
    main()
