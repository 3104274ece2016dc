"""A relay of one node for the tests of foreign programs: a certificate for localhost and relay.example.net by a CA of
its own, user demo of tenant demo with example.test, routes by domain, quick retries. And the guides, as text to run."""
import os
import re
import sys

import cluster
from tls_test import Authority

sys.path.insert(0, os.path.join(cluster.ROOT, "cluster-test", "lib"))
import node  # noqa: E402

SETTINGS = """\
node: {{ id: 1, hostname: relay.example.net, data_dir: node }}
listeners:
  - {{ kind: mx, address: "127.0.0.1:{mx}" }}
  - {{ kind: submission, address: "127.0.0.1:{submission}" }}
  - {{ kind: submission, address: "127.0.0.2:{submission}" }}
  - {{ kind: submissions, address: "127.0.0.1:{submissions}" }}
http: {{ address: "127.0.0.1:{http}", token_file: api.token }}
tls: {{ certificate: relay.pem, key: relay.key }}
tenants: [ {{ name: demo, domains: [ example.test ] }} ]
credentials: [ {{ username: demo, tenant: demo, password_hash: "{hash}" }} ]
limits: {{ disk_reserve_bytes: 0 }}
delivery: {{ retry_base_ms: 200ms, retry_cap_ms: 1s }}
routes:
{routes}"""


class Relay(node.Node):
    """routes: (domain or "*", port, "may" or "none"), in order."""

    def __init__(self, place, routes):
        super().__init__(node.find_binary(cluster.build_dir()), place, 0)
        (self.submissions,) = node.free_ports(1)
        self.ca = Authority(place)
        self.ca.sign("relay", ["localhost", "relay.example.net"], 90)
        lines = "".join('  - { match: "%s", via: host, host: "127.0.0.1:%d", tls: %s }\n' % route for route in routes)
        with open(self.settings, "w") as f:
            f.write(SETTINGS.format(mx=self.mx, submission=self.submission, submissions=self.submissions, http=self.http,
                                    hash=node.PASSWORD_HASH, routes=lines))
        self.start()
        self.wait_ready()

    def guide(self, page, language, host="localhost", ca=None):
        """The blocks in a language of a page of docs/guides, with the names of this relay in their places."""
        with open(os.path.join(cluster.ROOT, "docs", "guides", page + ".md"), encoding="utf-8") as f:
            blocks = re.findall(r"(?ms)^```%s\n(.*?)^```$" % language, f.read())
        assert blocks, "docs/guides/%s.md has no block in %s" % (page, language)
        found = []
        for text in blocks:
            text = re.sub(r"relay\.example\.net:25\b", "127.0.0.1:%d" % self.mx, text)
            text = re.sub(r"\b587\b", str(self.submission), text)
            text = text.replace("relay.example.net", host).replace("/etc/ssl/certs/ca-certificates.crt", ca or self.ca.file)
            found.append(text)
        return found


def without_received(message, count):
    """The message (LF) without the `count` trace fields in front."""
    lines = message.split(b"\n")
    for _ in range(count):
        assert lines[0].startswith((b"Received:", b"X-Greylist:")), lines[:5]
        lines = lines[1:]
        while lines[0][:1] in (b"\t", b" "):
            lines = lines[1:]
    return b"\n".join(lines)


def raw_mail(case, to="you@example.org"):
    """A whole mail with what breaks transports: dots, 8-bit, long lines, blanks at ends, and no text in common."""
    return ("From: me@example.test\r\nTo: %s\r\nDate: Sat, 28 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%s@example.test>\r\n"
            "Subject: case %s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Transfer-Encoding: 8bit\r\n\r\n"
            "%s\r\n.\r\n..\r\n.hidden\r\nGrüße, 世界 ✉\r\n\r\n%s\r\ntwo blanks at the end  \r\n\ttab\r\n\r\nFrom the start\r\n"
            "the last line\r\n" % (to, case, case, case, "x" * 990)).encode()
