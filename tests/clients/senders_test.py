"""Programs that people send with, each by the page of docs/guides that tells how, through a real relay to a real receiver:
what arrives is what was sent, byte for byte where the program sends bytes, by its text where it makes the mail."""
import email
import email.policy
import os
import subprocess

import cluster
import foreign
from relay import Relay, raw_mail, without_received

INTERPRETERS = {"sh": ["sh", "-e"], "python": ["/usr/bin/python3"], "perl": ["perl"], "php": ["php"], "js": ["node"]}


class Sender:
    """A page's program in a directory of its own, where mail.eml is what it is to send."""

    def __init__(self, relay, place, page):
        self.relay, self.page = relay, page
        self.dir = os.path.join(place, page)
        os.makedirs(self.dir)
        self.write("mail.eml", raw_mail(page))

    def write(self, name, data):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(path, 0o600)

    def run(self, language, number=0, path="", replace=(), **environment):
        """Runs a block of the page; returns what it says."""
        text = self.relay.guide(self.page, language)[number]
        for old, new in replace:
            assert old in text, "docs/guides/%s.md does not say %s" % (self.page, old)
            text = text.replace(old, new)
        self.write("program." + language, text)
        env = {**os.environ, "HOME": self.dir, "LC_ALL": "C.UTF-8", **environment}
        if path:
            env["PATH"] = path + ":" + env["PATH"]
        done = subprocess.run([*INTERPRETERS[language], "program." + language], cwd=self.dir, env=env, check=False,
                              capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, "%s: exit %d\n%s%s" % (self.page, done.returncode, done.stdout, done.stderr)
        return done.stdout


def unix_lines(sender):
    sender.write("mail.eml", raw_mail(sender.page).replace(b"\r\n", b"\n"))


def swaks(s):
    unix_lines(s)
    s.run("sh")


def curl(s):
    s.run("sh")


def msmtp(s):
    unix_lines(s)
    s.write("msmtprc", s.relay.guide("msmtp", "conf")[0])
    s.run("sh", path=os.path.dirname(foreign.program("msmtp", "usr/bin/msmtp")))


def s_nail(s):
    s.write("mailrc", s.relay.guide("s-nail", "conf")[0])
    s.run("sh", path=os.path.dirname(foreign.program("s-nail", "usr/bin/s-nail")),
          replace=[("The subject", "case s-nail"), ("The text.", "s-nail: Grüße\n.\n..hidden\nthe last line")])


def smtplib(s):
    s.run("python")


def net_smtp(s):
    s.run("perl")


def phpmailer(s):
    php = foreign.unpack("libphp-phpmailer")
    s.run("php", replace=[("/usr/share/php", php + "/usr/share/php"), ("The subject", "case phpmailer"),
                          ("The text.\\n", "phpmailer: Grüße\\n.\\n..hidden\\nthe last line\\n")])


def nodemailer(s):
    said = s.run("js", NODE_PATH=foreign.unpack("node-nodemailer") + "/usr/share/nodejs")
    assert said.startswith("250 2.0.0 OK: queued as "), said


def smtp_source(s):
    binary, libraries = cluster.smtp_sink()
    s.run("sh", path=os.path.dirname(binary), LD_LIBRARY_PATH=libraries)


def check_smtp(s):
    plugins = os.path.dirname(foreign.program("monitoring-plugins-basic", "usr/lib/nagios/plugins/check_smtp"))
    for number, word in enumerate(("expire", "SMTP OK")):
        said = s.run("sh", number=number, replace=[("/usr/lib/nagios/plugins", plugins)])
        assert said.startswith(("OK", "SMTP OK")) and word in said, said


# How a mail of each is recognised, and how many there are.
RAW = ("swaks", "curl", "msmtp", "smtplib", "net-smtp", "nodemailer")
MADE = {"s-nail": "s-nail: Grüße\n.\n..hidden\nthe last line\n", "phpmailer": "phpmailer: Grüße\n.\n..hidden\nthe last line\n"}
PROGRAMS = {"swaks": swaks, "curl": curl, "msmtp": msmtp, "s-nail": s_nail, "smtplib": smtplib, "net-smtp": net_smtp,
            "phpmailer": phpmailer, "nodemailer": nodemailer, "smtp-source": smtp_source, "check_smtp": check_smtp}
SOURCE_MAILS = 20


def check_raw(page, arrived):
    want = raw_mail(page).replace(b"\r\n", b"\n").rstrip(b"\n")
    found = [m for m in (without_received(m, 1).rstrip(b"\n") for m in arrived) if b"Subject: case %s\n" % page.encode() in m]
    assert len(found) == 1, "%s: %d mails arrived" % (page, len(found))
    assert found[0] == want, "%s: arrived changed:\n%r\nwas sent:\n%r" % (page, found[0], want)


def check_made(page, text, arrived):
    found = [email.message_from_bytes(m, policy=email.policy.default) for m in arrived]
    found = [m for m in found if m["Subject"] == "case " + page]
    assert len(found) == 1, "%s: %d mails arrived" % (page, len(found))
    got = found[0].get_content()
    assert got.replace("\r\n", "\n").rstrip("\n") == text.rstrip("\n"), "%s: the text is %r" % (page, got)
    assert "me@example.test" in found[0]["From"] and "you@example.org" in found[0]["To"], found[0].items()


def check_source(arrived):
    found = [m for m in arrived if b"Subject: from smtp-source" in m or b"\nXXXXXXX" in m]
    found = [m for m in found if b"Subject: case " not in m]
    assert len(found) == SOURCE_MAILS, "smtp-source: %d mails arrived" % len(found)
    assert all(m.count(b"X") >= 3500 for m in found), [m.count(b"X") for m in found]


def main():
    place = cluster.place_for("senders")
    sink = cluster.Sink()
    relay = Relay(place, [("*", sink.port, "none")])
    try:
        for page, send in PROGRAMS.items():
            send(Sender(relay, place, page))
        total = len(RAW) + len(MADE) + SOURCE_MAILS
        assert relay.wait_empty(30) == 0, "not everything was delivered: " + relay.log_tail()
        arrived = cluster.wait_until(lambda: (lambda m: m if len(m) >= total else None)([m for _, m in sink.messages()]),
                                     "%d mails at the receiver; there are %d" % (total, len(sink.messages())))
        for page in PROGRAMS:
            if page in RAW:
                check_raw(page, arrived)
            elif page in MADE:
                check_made(page, MADE[page], arrived)
            elif page == "smtp-source":
                check_source(arrived)
            print("%-12s ok: as docs/guides/%s.md says" % (page, page))
        assert len(arrived) == total, (len(arrived), total)
    finally:
        relay.stop()
        sink.stop()
    code, out, err = relay.audit()
    assert code == 0 and "audit: ok" in out, (out, err)
    print("%d programs, %d mails, as their guides say" % (len(PROGRAMS), total))


if __name__ == "__main__":
    main()
