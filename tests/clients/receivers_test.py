"""Real mail servers behind the relay, and before it. Postfix (STARTTLS, none, postgrey), Exim and OpenSMTPD take mail from a
real relay and hand it on to smtp-sink; Postfix and Exim send through it as their smart host, with the configuration
of docs/guides; smtp-sink plays faults. What arrives is what was sent, byte for byte under the trace fields."""
import os
import shutil
import smtplib
import ssl
import subprocess
import tempfile

import cluster
import foreign
from relay import Relay, node, raw_mail, without_received

POSTFIX_MAIN = """\
compatibility_level = 3.6
mail_owner = postfix
setgid_group = postdrop
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
shlib_directory = /usr/lib/postfix
maillog_file = /var/log/mail.log
myhostname = postfix.test
myorigin = example.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_host_lookup = native
smtp_dns_support_level = disabled
alias_maps =
local_recipient_maps =
relay_domains =
fast_flush_domains =
biff = no
smtputf8_enable = no
transport_maps = texthash:/etc/postfix/transport
smtpd_tls_cert_file = /etc/postfix/relay.pem
smtpd_tls_key_file = /etc/postfix/relay.key
minimal_backoff_time = 2s
maximal_backoff_time = 2s
queue_run_delay = 2s
"""
POSTFIX_MASTER = """\
127.0.0.1:{plain} inet n - n - - smtpd -o smtpd_tls_security_level=none
127.0.0.1:{tls} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt
127.0.0.1:{grey} inet n - n - - smtpd -o smtpd_tls_security_level=may
  -o {{smtpd_recipient_restrictions=check_policy_service inet:127.0.0.1:{policy}, permit_mynetworks, reject}}
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
sink unix - - n - - smtp -o smtp_tls_security_level=none -o smtp_sasl_auth_enable=no
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
scache unix - - n - 1 scache
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""
EXIM = """\
primary_hostname = exim.test
domainlist local_domains =
hostlist relay_from_hosts = 127.0.0.1
tls_advertise_hosts = *
tls_certificate = /etc/exim4/relay.pem
tls_privatekey = /etc/exim4/relay.key
acl_smtp_rcpt = accept
acl_smtp_data = accept
host_lookup =
rfc1413_hosts =
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
log_file_path = /var/log/exim4/%slog
begin routers
to_the_sink:
  driver = manualroute
  domains = exim.test
  route_list = * 127.0.0.1::{sink}
  self = send
  transport = sink_smtp
{routers}
begin transports
sink_smtp:
  driver = smtp
  hosts_avoid_tls = *
{transports}
begin retry
* * F,1h,2s
begin authenticators
{authenticators}
"""
OPENSMTPD = """\
pki opensmtpd.test cert "/etc/ssl/relay.pem"
pki opensmtpd.test key "/etc/ssl/relay.key"
listen on 127.0.0.1 port {port} tls pki opensmtpd.test hostname opensmtpd.test
action "on" relay host smtp://127.0.0.1:{sink}
match from any for any action "on"
"""
HOSTS = "127.0.0.1 localhost\n127.0.0.2 relay.example.net\n"


def copy_certificate(jail, relay_place, folder, user, name="relay"):
    os.makedirs(os.path.join(jail.root, folder), exist_ok=True)
    for source, there in ((name + ".pem", "relay.pem"), (name + ".key", "relay.key"), ("test-ca.pem", "test-ca.pem")):
        there = os.path.join(jail.root, folder, there)
        shutil.copy(os.path.join(relay_place, source), there)
        shutil.chown(there, user, user)
        os.chmod(there, 0o600 if there.endswith("key") else 0o644)


class Ports:
    NAMES = ("postfix", "postfix_tls", "postfix_grey", "policy", "exim", "opensmtpd")

    def __init__(self):
        for name, port in zip(self.NAMES, node.free_ports(len(self.NAMES))):
            setattr(self, name, port)


def start_postfix(relay, place, ports, sink):
    jail = foreign.Jail("postfix", ["postfix", "libsasl2-modules"],
                        ["usr/lib/postfix/sbin/" + p for p in ("master", "smtpd", "smtp", "cleanup", "tlsmgr")] +
                        ["usr/lib/x86_64-linux-gnu/sasl2/libplain.so", "usr/sbin/postconf"])
    queue = "var/spool/postfix"
    jail.folder(queue)
    for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"):
        jail.folder(queue + "/" + name, 7001, 0, 0o700)
    jail.folder(queue + "/public", 7001, 7002, 0o710)
    jail.folder(queue + "/maildrop", 7001, 7002, 0o730)
    jail.folder(queue + "/pid", 0, 0)
    jail.folder("var/lib/postfix", 7001, 7001, 0o700)
    copy_certificate(jail, place, "etc/postfix", 0)
    (guide,) = relay.guide("postfix", "conf", host="relay.example.net", ca="/etc/postfix/test-ca.pem")
    jail.write("etc/postfix/main.cf", POSTFIX_MAIN + guide)
    jail.write("etc/postfix/relay-password", relay.guide("postfix", "password", host="relay.example.net")[0], 0o600)
    jail.write("etc/postfix/transport", "postfix.test sink:[127.0.0.1]:%d\n.postfix.test sink:[127.0.0.1]:%d\n" % (sink, sink))
    jail.write("etc/postfix/master.cf", POSTFIX_MASTER.format(plain=ports.postfix, tls=ports.postfix_tls,
                                                              grey=ports.postfix_grey, policy=ports.policy))
    jail.write("etc/hosts", HOSTS)
    jail.start("/usr/lib/postfix/sbin/master", "-d", "-c", "/etc/postfix")
    cluster.wait_port(ports.postfix, "postfix")
    return jail


def start_postgrey(ports):
    folder = tempfile.mkdtemp(prefix="angarium-postgrey-")  # where another user may stand
    shutil.chown(folder, "nobody", "nogroup")
    with open(os.path.join(folder, "whitelist"), "w") as f:
        f.write("nobody.test\n")
    grey = subprocess.Popen(["perl", "-T", foreign.program("postgrey", "usr/sbin/postgrey"), "--inet=127.0.0.1:%d" % ports.policy,
                             "--delay=2", "--dbdir=" + folder, "--user=nobody", "--group=nogroup",
                             "--whitelist-clients=" + folder + "/whitelist", "--whitelist-recipients=" + folder + "/whitelist"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cluster.wait_port(ports.policy, "postgrey")
    return grey, folder


def start_exim(relay, place, ports, sink):
    jail = foreign.Jail("exim", ["exim4-daemon-light", "exim4-base"], ["usr/sbin/exim4"])
    for folder in ("var/spool/exim4", "var/log/exim4", "run/exim4"):
        jail.folder(folder, 7003, 7003, 0o750)
    copy_certificate(jail, place, "etc/exim4", 7003)
    parts = {part: relay.guide("exim", part, host="relay.example.net", ca="/etc/exim4/test-ca.pem")[0]
             for part in ("routers", "transports", "authenticators")}
    jail.write("etc/exim4/exim4.conf", EXIM.format(port=ports.exim, sink=sink, **parts))
    jail.write("etc/hosts", HOSTS)
    jail.start("/usr/sbin/exim4", "-bdf", "-q2s")
    cluster.wait_port(ports.exim, "exim")
    return jail


def start_opensmtpd(relay, place, ports, sink):
    jail = foreign.Jail("opensmtpd", ["opensmtpd"], ["usr/sbin/smtpd"])
    jail.folder("var/spool/smtpd", 0, 0, 0o711)
    jail.folder("var/spool/smtpd/purge", 7005, 0, 0o700)
    jail.folder("var/lib/opensmtpd/empty", 0, 0, 0o755)
    jail.folder("etc/ssl")
    relay.ca.sign("opensmtpd", ["opensmtpd.test"], 90, rsa=True)
    copy_certificate(jail, place, "etc/ssl", 0, "opensmtpd")
    jail.write("etc/smtpd.conf", OPENSMTPD.format(port=ports.opensmtpd, sink=sink), 0o600)
    jail.write("etc/mailname", "opensmtpd.test\n")
    jail.start("/usr/sbin/smtpd", "-d")
    cluster.wait_port(ports.opensmtpd, "opensmtpd")
    return jail


def submit(relay, mail, to, port=None):
    """By submission at the relay; with a port: in clear there (a server whose smart host the relay is)."""
    with smtplib.SMTP("localhost" if port is None else "127.0.0.1", port or relay.submission, timeout=30) as s:
        if port is None:
            s.starttls(context=ssl.create_default_context(cafile=relay.ca.file))
            s.login("demo", node.PASSWORD)
        s.ehlo_or_helo_if_needed()
        s.mail("me@example.test", ["BODY=8BITMIME"])
        s.rcpt(to)
        code, text = s.data(mail)
        assert code == 250, (code, text)
        return text.decode().split()[-1]


def arrived(sink, case):
    return [m for _, m in sink.messages() if b"\nSubject: case %s\n" % case.encode() in m]


def check_bytes(sink, case, to, hops):
    found = cluster.wait_until(lambda: arrived(sink, case), "the mail of " + case, 40)
    want = raw_mail(case, to).replace(b"\r\n", b"\n").rstrip(b"\n")
    assert len(found) == 1, "%s: %d mails arrived" % (case, len(found))
    got = without_received(found[0], hops).rstrip(b"\n")
    assert got == want, "%s: arrived changed:\n%r\nwas sent:\n%r" % (case, got, want)
    return found[0]


def check_faults(relay):
    """What smtp-sink does on purpose, and what becomes of a recipient then."""
    plain = (b"From: me@example.test\r\nTo: you@x.test\r\nDate: Sat, 28 Nov 2026 12:00:00 +0000\r\n"
             b"Message-ID: <f@example.test>\r\nSubject: fault\r\n\r\nplain\r\n")
    for name, (_, _, word) in FAULTS.items():
        submit(relay, plain, "you@%s.fault.test" % name)
        cluster.wait_until(lambda: "@%s.fault.test" % name in "".join(
            line for line in log_of(relay) if "event=recipient.%s " % word in line), "%s: %s" % (name, word))
        print("smtp-sink %-22s ok: %s" % (name, word))


def log_of(relay):
    with open(relay.log_path) as f:
        return f.readlines()


# name: (what smtp-sink is told, what it is, what becomes of the recipient)
FAULTS = {
    "hard-rcpt": (("-f", "rcpt"), "550 to RCPT", "bounced"),
    "hard-mail": (("-f", "mail"), "500 to MAIL", "bounced"),
    "hard-dot": (("-f", "."), "500 to the final dot", "bounced"),
    "soft-ehlo": (("-r", "ehlo,helo"), "450 to EHLO and HELO", "deferred"),
    "soft-mail": (("-r", "mail"), "450 to MAIL", "deferred"),
    "soft-data": (("-r", "data"), "450 to DATA", "deferred"),
    "soft-dot": (("-r", "."), "450 to the final dot", "deferred"),
    "hangs-up-at-rcpt": (("-q", "rcpt"), "closes at RCPT", "deferred"),
    "hangs-up-at-dot": (("-q", "."), "closes after the final dot", "in_doubt"),
    "says-421-at-mail": (("-Q", "mail"), "421 at MAIL", "deferred"),
    "no-esmtp": (("-e",), "knows no EHLO", "delivered"),
    "no-pipelining": (("-p",), "no PIPELINING", "delivered"),
    "slow-dot": (("-w", "1"), "waits after the final dot", "delivered"),
}


def check_receivers(relay, sink):
    cases = [("postfix-plain", "you@postfix.test"), ("postfix-tls", "you@tls.postfix.test"),
             ("postfix-postgrey", "you@grey.postfix.test"), ("exim", "you@exim.test"), ("opensmtpd", "you@opensmtpd.test")]
    for case, to in cases:
        submit(relay, raw_mail(case, to), to)
    for case, to in cases:
        found = check_bytes(sink, case, to, 3 if case == "postfix-postgrey" else 2)
        trace = found.split(b"Received:")[1].lower()  # the field of the server under test
        secure = b"esmtps" in trace or b"using tlsv1" in trace
        # Debian 12's OpenSMTPD fails every handshake in its own key process; the relay goes on in clear, as `may` says
        assert case == "opensmtpd" or secure == (case != "postfix-plain"), (case, trace)
        print("%-18s ok: took the mail%s" % (case, " under TLS" if secure else " in clear"))
    grey = [line for line in log_of(relay) if "grey.postfix.test" in line and "event=recipient.deferred" in line]
    assert grey and "reylist" in grey[0], "postgrey let the first attempt through"


def check_smart_hosts(relay, ports, sink):
    for case, port in (("smart-postfix", ports.postfix), ("smart-exim", ports.exim)):
        submit(relay, raw_mail(case), "you@example.org", port)
        found = check_bytes(sink, case, "you@example.org", 2)
        assert b"by relay.example.net" in found.split(b"Received:")[1], found[:400]
        assert b"ESMTPSA" in found.split(b"Received:")[1], found[:400]
        print("%-18s ok: the relay is its smart host, as docs/guides/%s.md says" % (case, case.split("-")[1]))


def main():
    if not foreign.can_jail():
        print("not run: Postfix, Exim and OpenSMTPD need a root directory of their own: root, chroot and mknod")
        return
    place = cluster.place_for("receivers")
    ports = Ports()
    sink = cluster.Sink()
    faulty = {name: cluster.Sink(options) for name, (options, _, _) in FAULTS.items()}
    routes = [("%s.fault.test" % name, s.port, "none") for name, s in faulty.items()]
    routes += [("postfix.test", ports.postfix, "may"), ("tls.postfix.test", ports.postfix_tls, "may"),
               ("grey.postfix.test", ports.postfix_grey, "may"), ("exim.test", ports.exim, "may"),
               ("opensmtpd.test", ports.opensmtpd, "may"), ("*", sink.port, "none")]
    servers = []
    grey, grey_folder = start_postgrey(ports)
    relay = Relay(place, routes)
    try:
        servers.append(start_postfix(relay, place, ports, sink.port))
        servers.append(start_exim(relay, place, ports, sink.port))
        servers.append(start_opensmtpd(relay, place, ports, sink.port))
        check_receivers(relay, sink)
        check_smart_hosts(relay, ports, sink)
        check_faults(relay)
    except BaseException:
        for jail in servers:
            for name in ("var/log/mail.log", "var/log/exim4/mainlog", "var/log/exim4/paniclog", "var/log/smtpd.out", "var/log/exim4.out", "var/log/master.out"):
                print("".join("%s: %s\n" % (name, line) for line in jail.read(name).split("\n")[-15:] if line), end="")
        raise
    finally:
        for jail in servers:
            jail.stop()
        grey.terminate()
        grey.wait(10)
        shutil.rmtree(grey_folder)
        relay.stop()
        for s in (sink, *faulty.values()):
            s.stop()
    code, out, err = relay.audit()
    assert code == 0 and "audit: ok" in out, (out, err)
    print("Postfix, postgrey, Exim and OpenSMTPD behind the relay, Postfix and Exim before it, %d faults" % len(FAULTS))


if __name__ == "__main__":
    main()
