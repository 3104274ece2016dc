"""A refused recipient: bounced with the remote's words, one DSN to the return path, none for a bounce; a good recipient
of the same mail is delivered; a second refusal of the DSN itself ends quietly."""
import asyncore
import email
import smtpd
import smtplib
import ssl
import threading

import cluster


class Receiver(smtpd.SMTPServer):
    """Takes everything but recipients that begin with "no-"; keeps what it took."""

    def __init__(self, port):
        super().__init__(("127.0.0.1", port), None, decode_data=False)
        self.taken = []

    def process_message(self, peer, mailfrom, rcpttos, data, **kwargs):
        if any(to.startswith("no-") for to in rcpttos):
            return "550 5.1.1 no such user here"
        self.taken.append((mailfrom, rcpttos, data))
        return None


def send(c, sender, recipients):
    context = ssl.create_default_context(cafile=c.json["ca_file"])
    host, port = c.node["submission"].split(":")
    with smtplib.SMTP(host, int(port), timeout=30) as s:
        s.starttls(context=context)
        s.login(c.json["username"], c.json["password"])
        s.mail(sender)
        for to in recipients:
            s.rcpt(to)
        code, text = s.data(b"From: a@example.test\r\nSubject: to be refused\r\nX-Mark: 17\r\n\r\nbody\r\n")
        assert code == 250, (code, text)
        return text.decode().split()[-1]


def check_dsn(data, recipient):
    message = email.message_from_bytes(data)
    assert message.get_content_type() == "multipart/report", message.get_content_type()
    assert message.get_param("report-type") == "delivery-status"
    assert not message.defects, message.defects
    report, status, original = message.get_payload()
    assert report.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    per_message, per_recipient = status.get_payload()
    assert per_message["Reporting-MTA"].startswith("dns;"), per_message.items()
    assert recipient in per_recipient["Final-Recipient"], per_recipient.items()
    assert per_recipient["Action"] == "failed" and per_recipient["Status"] == "5.1.1", per_recipient.items()
    assert "no such user here" in per_recipient["Diagnostic-Code"], per_recipient.items()
    assert "X-Mark: 17" in original.as_string(), original.as_string()
    assert "body" not in original.as_string()


def main():
    place = cluster.place_for("bounce")
    port = cluster.free_port_base() + 7
    receiver = Receiver(port)
    threading.Thread(target=asyncore.loop, kwargs={"timeout": 0.1}, daemon=True).start()
    c = cluster.Cluster(cluster.build_dir(), place, next_hop=port)
    try:
        first = send(c, "a@example.test", ["no-one@example.org", "good@example.net"])
        cluster.wait_until(lambda: len(receiver.taken) == 2, "the good recipient's mail and one DSN")
        dsn = [t for t in receiver.taken if t[0] in ("", None, "<>")]
        assert len(dsn) == 1 and dsn[0][1] == ["a@example.test"], receiver.taken
        check_dsn(dsn[0][2], "no-one@example.org")
        states = {r["address"]: r["state"] for r in c.message(first)["recipients"]}
        assert states == {"no-one@example.org": "bounced", "good@example.net": "delivered"}, states
        # the return path refuses the DSN: that is the end of it
        second = send(c, "no-return@example.test", ["no-two@example.org"])
        cluster.wait_until(lambda: c.run("events", "--type", "bounced", "-o", "json").stdout.count(b'"bounced"') >= 3,
                           "the DSN's own refusal")
        assert c.message(second)["recipients"][0]["state"] == "bounced"
        assert len(receiver.taken) == 2, receiver.taken
    finally:
        c.stop()
    assert b"audit: ok" in c.audit()
    print("one DSN, none for the DSN")


if __name__ == "__main__":
    main()
