"""A mail of BODY=BINARYMIME by BDAT (RFC 3030), with NULs and bare line ends: through a host without CHUNKING it arrives
as base64 with the same bytes in it."""
import asyncore
import email
import smtplib
import ssl
import threading

import cluster
from bounce_test import Receiver

CONTENT = bytes(range(256)) * 40 + b"\n.\n\r.\r\n.\r\n\0"
HEADER = (b"From: a@example.test\r\nTo: b@example.net\r\nSubject: bytes\r\nMIME-Version: 1.0\r\n"
          b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n")


def send(c):
    context = ssl.create_default_context(cafile=c.json["ca_file"])
    host, port = c.node["submission"].split(":")
    with smtplib.SMTP(host, int(port), timeout=30) as s:
        s.starttls(context=context)
        s.login(c.json["username"], c.json["password"])
        assert s.has_extn("binarymime") and s.has_extn("chunking"), s.esmtp_features
        s.mail("a@example.test", ["BODY=BINARYMIME"])
        s.rcpt("b@example.net")
        code, text = s.docmd("DATA")
        assert code == 503, (code, text)
        mail = HEADER + CONTENT
        for begin, last in ((0, ""), (5000, " LAST")):
            piece = mail[begin:5000] if not last else mail[begin:]
            s.send(b"BDAT %d%s\r\n" % (len(piece), last.encode()) + piece)
            code, text = s.getreply()
            assert code == 250, (code, text)
        return text.decode().split()[-1]


def main():
    place = cluster.place_for("binary")
    port = cluster.free_port_base() + 7
    receiver = Receiver(port)
    threading.Thread(target=asyncore.loop, kwargs={"timeout": 0.1}, daemon=True).start()
    c = cluster.Cluster(cluster.build_dir(), place, next_hop=port)
    try:
        message = send(c)
        cluster.wait_until(lambda: receiver.taken, "the mail: " + str(c.message(message)["recipients"]))
    finally:
        c.stop()
    arrived = email.message_from_bytes(receiver.taken[0][2])
    assert arrived["Content-Transfer-Encoding"] == "base64", arrived.items()
    assert arrived.get_payload(decode=True) == CONTENT
    assert b"audit: ok" in c.audit()
    print("%d bytes of all kinds arrived" % len(CONTENT))


if __name__ == "__main__":
    main()
