"""swaks, curl and Python's smtplib send through a real node to a real receiver; bytes are compared end to end."""
import os
import smtplib
import ssl
import subprocess
import time

import cluster

HEADER = b"From: a@example.test\r\nTo: b@example.org\r\nSubject: %s\r\nX-Case: %s\r\n\r\n"

BODIES = {
    "plain": b"Hello.\r\n",
    "dots": b".\r\n..\r\n.hidden\r\n...\r\nend\r\n",
    "empty": b"",
    "eight-bit": "Grüße, 世界\r\n".encode(),
    "long-lines": b"x" * 900 + b"\r\n" + b"y" * 998 + b"\r\n",
    "inline-limit": b"0123456789abcdef" * 16 * 1020 + b"\r\n",
    "chunked": b"".join(b"line %07d of a body that goes up in chunks\r\n" % i for i in range(40000)),
}


def content(case):
    return HEADER % (case.encode(), case.encode()) + BODIES[case]


def written(case):
    """What the client hands in: with a Bcc, which nobody gets to see."""
    return content(case).replace(b"Subject:", b"Bcc: hidden@example.org,\r\n\tc@example.org\r\nSubject:", 1)


def by_smtplib(c, case, implicit=False):
    context = ssl.create_default_context(cafile=c.json["ca_file"])
    if implicit:
        host, port = c.node["submissions"].split(":")
        s = smtplib.SMTP_SSL(host, int(port), timeout=30, context=context)
    else:
        host, port = c.node["submission"].split(":")
        s = smtplib.SMTP(host, int(port), timeout=30)
        s.starttls(context=context)
    with s:
        s.login(c.json["username"], c.json["password"])
        s.sendmail("a@example.test", ["b@example.org"], written(case), mail_options=["BODY=8BITMIME"])


def by_swaks(c, case):
    data = os.path.join(c.dir, "swaks.eml")
    with open(data, "wb") as f:
        f.write(written(case).replace(b"\r\n", b"\n"))
    subprocess.run(["swaks", "--server", c.node["submission"], "--tls", "--auth", "PLAIN", "--auth-user",
                    c.json["username"], "--auth-password", c.json["password"], "--from", "a@example.test", "--to",
                    "b@example.org", "--data", "@" + data, "--suppress-data", "--timeout", "30"],
                   check=True, stdout=subprocess.DEVNULL)


def by_curl(c, case):
    data = os.path.join(c.dir, "curl.eml")
    with open(data, "wb") as f:
        f.write(written(case))
    subprocess.run(["curl", "--silent", "--show-error", "--ssl-reqd", "--url", "smtp://" + c.node["submission"],
                    "--cacert", c.json["ca_file"], "--user", f"{c.json['username']}:{c.json['password']}",
                    "--mail-from", "a@example.test", "--mail-rcpt", "b@example.org", "--upload-file", data],
                   check=True, stdout=subprocess.DEVNULL)


def without_trace(message):
    """The message without what the relay puts in front: one Received field (folded lines included), and
    the Date and Message-ID that the clients leave out."""
    lines = message.split(b"\n")
    assert lines[0].startswith(b"Received: from "), lines[0]
    n = 1
    while lines[n][:1] in (b"\t", b" "):
        n += 1
    assert lines[n].startswith(b"Date: ") and lines[n + 1].startswith(b"Message-ID: <"), lines[n:n + 2]
    return b"\n".join(lines[n + 2:])


def main():
    place = cluster.place_for("relay")
    sink = cluster.Sink()
    c = None
    sent = []
    try:
        c = cluster.Cluster(cluster.build_dir(), place, next_hop=sink.port)
        for case in BODIES:
            by_smtplib(c, case)
            sent.append(case)
        by_smtplib(c, "plain", implicit=True)
        by_swaks(c, "dots")
        by_curl(c, "dots")
        by_curl(c, "chunked")
        sent += ["plain", "dots", "dots", "chunked"]
        arrived = cluster.wait_until(lambda: (lambda m: m if len(m) == len(sent) else None)(sink.messages()),
                                     f"{len(sent)} messages at the receiver")
        time.sleep(0.2)  # a file may still be growing; nothing more may come
        arrived = sink.messages()
        assert len(arrived) == len(sent), (len(arrived), len(sent))
        left = list(sent)
        for envelope, message in arrived:
            assert b"X-Mail-Args: <a@example.test>" in b"\n".join(envelope)[:400], envelope
            got = without_trace(message).rstrip(b"\n")
            for case in left:
                if got == content(case).replace(b"\r\n", b"\n").rstrip(b"\n"):
                    left.remove(case)
                    break
            else:
                raise AssertionError(f"a message arrived changed: {got[:300]!r} ... {len(got)} bytes; left {left}")
        assert not left
        out = c.run("queue", "-o", "json").stdout
        assert b'"messages": 0' in out or b'"messages":0' in out, out
    finally:
        if c:
            c.stop()
        sink.stop()
    assert b"audit: ok" in c.audit()
    print(f"{len(sent)} messages by smtplib, swaks and curl arrived byte for byte")


if __name__ == "__main__":
    main()
