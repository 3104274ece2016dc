"""What a client asks for by RFC 3461 comes back as asked: success through a host that cannot notify is "relayed", a
refusal is told, who said NEVER hears nothing; the envelope's id and the original recipients are in the notification."""
import asyncore
import email
import smtplib
import ssl
import threading

import cluster
from bounce_test import Receiver

ENVID = "QQ314159"


def send(c):
    context = ssl.create_default_context(cafile=c.json["ca_file"])
    host, port = c.node["submission"].split(":")
    with smtplib.SMTP(host, int(port), timeout=30) as s:
        s.starttls(context=context)
        s.login(c.json["username"], c.json["password"])
        assert s.has_extn("dsn"), s.esmtp_features
        s.mail("a@example.test", ["RET=HDRS", "ENVID=" + ENVID])
        s.rcpt("good@example.net", ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;first+2Btag@example.net"])
        s.rcpt("no-one@example.org", ["NOTIFY=FAILURE", "ORCPT=rfc822;second@example.org"])
        s.rcpt("no-never@example.org", ["NOTIFY=NEVER"])
        s.rcpt("quiet@example.net", ["NOTIFY=FAILURE"])
        code, text = s.data(b"From: a@example.test\r\nSubject: tell me\r\nX-Mark: 17\r\n\r\nbody\r\n")
        assert code == 250, (code, text)
        return text.decode().split()[-1]


def told(receiver):
    """{final recipient: (action, original recipient)} of all notifications so far."""
    found = {}
    for sender, recipients, data in list(receiver.taken):
        if sender not in ("", None, "<>"):
            continue
        assert recipients == ["a@example.test"], recipients
        _, status, original = email.message_from_bytes(data).get_payload()
        per_message, *per_recipient = status.get_payload()
        assert per_message["Original-Envelope-Id"] == ENVID, per_message.items()
        assert "X-Mark: 17" in original.as_string() and "body" not in original.as_string()
        for one in per_recipient:
            address = one["Final-Recipient"].split(";")[1].strip()
            assert address not in found, (address, found)
            found[address] = (one["Action"].split()[0], one["Original-Recipient"])
    return found


def main():
    place = cluster.place_for("dsn")
    port = cluster.free_port_base() + 7
    receiver = Receiver(port)
    threading.Thread(target=asyncore.loop, kwargs={"timeout": 0.1}, daemon=True).start()
    c = cluster.Cluster(cluster.build_dir(), place, next_hop=port)
    try:
        message = send(c)
        cluster.wait_until(lambda: len(told(receiver)) == 2, "what was asked for")
        cluster.wait_until(lambda: all(r["state"] in ("delivered", "bounced") for r in c.message(message)["recipients"]),
                           "all recipients' ends")
    finally:
        c.stop()
    assert told(receiver) == {"good@example.net": ("relayed", "rfc822; first+tag@example.net"),
                              "no-one@example.org": ("failed", "rfc822; second@example.org")}, told(receiver)
    assert b"audit: ok" in c.audit()
    print("relayed, failed, never: as asked")


if __name__ == "__main__":
    main()
