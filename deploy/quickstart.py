"""quickstart - what deploy/quickstart.sh needs beside the program: a mail server for the other end, a client, and waits.

  receiver PORT OPEN   a mail server on 127.0.0.1; answers mails 451 until the file OPEN is there; prints what it takes
  send DIR             submits a mail to node 1 (STARTTLS, password); prints its id
  tried DIR ID NOT     waits until a node other than NOT (0: any) has tried to deliver it; prints that node's number
  delivered DIR ID     waits until it is delivered
  ready DIR            waits until all nodes are ready
  addresses DIR        prints where each node listens
DIR is the directory of a dev cluster. Waits end after a minute with exit 1 and what was seen last.
"""

import asyncore
import http.client
import json
import os
import smtpd
import smtplib
import ssl
import sys
import time

WAIT_S = 60
MAIL = (b"From: hello@example.test\r\nTo: you@example.org\r\nSubject: neither snow nor rain\r\n\r\n"
        b"This mail was on the disks of two nodes before you were told 250.\r\n")


class Receiver(smtpd.SMTPServer):
    def __init__(self, port, gate):
        super().__init__(("127.0.0.1", port), None)
        self.gate = gate

    def process_message(self, peer, mailfrom, rcpttos, data, **options):
        if not os.path.exists(self.gate):
            return "451 4.3.2 come again later"
        print("from <%s> to %s\n%s" % (mailfrom, ", ".join("<%s>" % to for to in rcpttos), data.decode()), flush=True)
        return None


def receiver(port, gate):
    server = Receiver(int(port), gate)
    asyncore.loop()
    server.close()


def cluster(folder):
    with open(os.path.join(folder, "cluster.json"), encoding="utf-8") as file:
        return json.load(file)


def send(folder):
    c = cluster(folder)
    host, port = c["nodes"][0]["submission"].split(":")
    with smtplib.SMTP(host, int(port), timeout=20) as s:
        s.starttls(context=ssl.create_default_context(cafile=c["ca_file"]))
        s.login(c["username"], c["password"])
        s.mail("hello@example.test")
        s.rcpt("you@example.org")
        code, text = s.data(MAIL)
    print(code, text.decode(), file=sys.stderr)
    if code != 250:
        sys.exit("the mail was not accepted")
    print(text.decode().split()[-1])


def ask(c, node, path):
    """(status, what it answered), (0, None) when nobody does."""
    connection = http.client.HTTPConnection(node["http"], timeout=5)
    try:
        connection.request("GET", path, headers={"Authorization": "Bearer " + c["api_token"]})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if path.startswith("/api/") else text.decode()
    except (OSError, ValueError, http.client.HTTPException):
        return 0, None
    finally:
        connection.close()


def wait(what, look):
    """Until look() gives something; what it gave."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    sys.exit("%s: not after %d s" % (what, WAIT_S))


def events(c, message):
    """Of the node that knows most of them."""
    answers = [ask(c, node, "/api/v1/messages/%s/events" % message) for node in c["nodes"]]
    return max((body["items"] for status, body in answers if status == 200), key=len, default=[])


def tried(folder, message, other_than):
    c = cluster(folder)

    def look():
        return [e["node"] for e in events(c, message) if e["type"] == "deferred" and e["node"] != int(other_than)]

    print(wait("an attempt to deliver %s" % message, look)[-1])


def delivered(folder, message):
    c = cluster(folder)
    wait("delivery of %s" % message, lambda: [e for e in events(c, message) if e["type"] == "delivered"])


def ready(folder):
    c = cluster(folder)
    for node in c["nodes"]:
        wait("node %d ready" % node["id"], lambda: ask(c, node, "/readyz")[0] == 200)


def addresses(folder):
    for node in cluster(folder)["nodes"]:
        print("  node %d   submission %s (STARTTLS), %s (TLS)   MX %s   HTTP (API, metrics) http://%s" % (
            node["id"], node["submission"], node["submissions"], node["mx"], node["http"]))


if __name__ == "__main__":
    verbs = {"receiver": receiver, "send": send, "tried": tried, "delivered": delivered, "ready": ready,
             "addresses": addresses}
    verbs[sys.argv[1]](*sys.argv[2:])
