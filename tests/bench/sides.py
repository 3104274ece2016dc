"""sides - the two that a pair of runs compares: one node of ours, and Postfix from its Debian package in a root directory of its
own (tests/clients/foreign.py), so that nothing becomes this machine's mail system. Both keep their queue below build/bench,
on one file system; both answer 250 only when the mail is synced, which is their default.

A side has: start(held), stop() (ended, and its queue forgotten), mx and submission (ports), user, password, cpu_s(),
memory() in bytes (proportional set size: shared pages count once), disk() in bytes, relay_port (where it relays to)."""
import json
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "cluster-test", "lib"))
sys.path.insert(0, os.path.join(ROOT, "tests", "clients"))
import cluster  # noqa: E402
import foreign  # noqa: E402
import node  # noqa: E402

PLACE = os.path.join(ROOT, "build", "bench")
TICKS = os.sysconf("SC_CLK_TCK")


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def stat_fields(pid):
    return read("/proc/%d/stat" % pid).rsplit(")", 1)[-1].split()


def family(pid):
    """The process and what descends from it."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(int(name))
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += parents.get(found[-1], [])
    return found


def pss(pids):
    total = 0
    for pid in pids:
        for line in read("/proc/%d/smaps_rollup" % pid).split("\n"):
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def disk_used(folder):
    """What its files take, sparse and small ones as the file system counts them."""
    return int(subprocess.run(["du", "-s", "-B1", folder], capture_output=True, text=True, check=True).stdout.split()[0])


class Ours:
    name = "angarium"
    user, password = node.USER, node.PASSWORD

    def __init__(self, binary, relay_port, closed_port):
        self.binary, self.relay_port, self.closed_port = binary, relay_port, closed_port
        self.folder = os.path.join(PLACE, "ours")
        self.node = None

    def start(self, held):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.node = node.Node(self.binary, self.folder, self.closed_port if held else self.relay_port, level="warn",
                              retry="1h" if held else "1s", cap="4h")
        with open(self.node.settings) as file:
            text = file.read().replace("limits: {", "limits: { sessions_max: 20000, session_idle_ms: 1h,")
        with open(self.node.settings, "w") as file:
            file.write(text)
        self.node.start()
        self.node.wait_ready()
        self.mx, self.submission = self.node.mx, self.node.submission

    def restart(self):
        """Killed and started; returns when it serves, the seconds that took."""
        self.node.kill()
        begun = time.monotonic()
        self.node.start()
        self.node.wait_ready(120)
        return time.monotonic() - begun

    def stop(self):
        self.node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def apis(self):
        """(address, token) of each node's API."""
        return [("http://127.0.0.1:%d" % self.node.http, node.TOKEN)]

    def cpu_s(self):
        fields = stat_fields(self.node.process.pid)
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self):
        return pss([self.node.process.pid])

    def disk(self):
        return disk_used(self.node.data_dir)

    def list_queue(self):
        """Every waiting message, page by page; returns how many."""
        count, cursor = 0, ""
        while True:
            status, text = self.node.get("/api/v1/queue?limit=500" + (cursor and "&cursor=" + cursor), timeout=60)
            assert status == 200, (status, text[:500])
            page = json.loads(text)
            count += len(page["items"])
            cursor = page.get("next_cursor")
            if not cursor:
                return count

class Ours3(Ours):
    """Three nodes (angarium dev), each mail synced by two of them before its 250; the load goes to the first."""

    def start(self, held):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.dir = os.path.join(self.folder, "dev")
        base = node.free_port_run(30)
        sets = ["limits.session_transactions_max=1000000", "limits.disk_reserve_bytes=0", "log.level=warn"]
        sets += ["delivery.retry_base_ms=1h", "delivery.retry_cap_ms=4h"] if held else ["delivery.retry_base_ms=1s"]
        subprocess.run([self.binary, "dev", "--nodes", "3", "--dir", self.dir, "--base-port", str(base), "--detach", "--next-hop",
                        "127.0.0.1:%d" % (self.closed_port if held else self.relay_port)] +
                       [word for text in sets for word in ("--set", text)], check=True, stdout=subprocess.DEVNULL, timeout=120)
        with open(os.path.join(self.dir, "cluster.json")) as file:
            said = json.load(file)
        self.user, self.password = said["username"], said["password"]
        self.pids = [n["pid"] for n in said["nodes"]]
        self.http = [("http://" + n["http"], said["api_token"]) for n in said["nodes"]]
        self.mx, self.submission = (int(said["nodes"][0][kind].rsplit(":", 1)[1]) for kind in ("mx", "submission"))

    def stop(self):
        subprocess.run([self.binary, "dev", "stop", "--dir", self.dir], check=False, stdout=subprocess.DEVNULL, timeout=60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def apis(self):
        return self.http

    def cpu_s(self):
        return sum(int(field) for pid in self.pids for field in stat_fields(pid)[11:13]) / TICKS

    def memory(self):
        return pss(self.pids)


MAIN = """\
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
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_host_lookup = native
alias_maps =
local_recipient_maps =
biff = no
relayhost = [127.0.0.1]:{relay}
default_process_limit = {processes}
smtpd_client_connection_count_limit = 0
smtp_tls_security_level = none
smtpd_tls_cert_file = /etc/postfix/node.pem
smtpd_tls_key_file = /etc/postfix/node.key
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
smtpd_timeout = 3600s
smtpd_starttls_timeout = 300s
message_size_limit = 52428800
{more}
"""
MASTER = """\
127.0.0.1:{mx} inet n - n - - smtpd {hold}
127.0.0.1:{submission} inet n - n - - smtpd -o smtpd_tls_security_level=may -o smtpd_sasl_auth_enable=yes
  -o smtpd_tls_auth_only=yes -o smtpd_relay_restrictions=permit_sasl_authenticated,reject {hold}
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
showq unix n - n - - showq
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
scache unix - - n - 1 scache
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""
QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")


class Postfix:
    name = "Postfix"
    user, password = "load@postfix.test", "brass-courier-9"

    def __init__(self, relay_port):
        self.relay_port = relay_port
        self.mx, self.submission = node.free_ports(2)
        self.processes = 400
        self.jail = foreign.Jail("bench-postfix", ["postfix", "libsasl2-modules", "libsasl2-modules-db", "sasl2-bin"],
                                 ["usr/lib/postfix/sbin/" + p for p in ("master", "smtpd", "smtp", "cleanup", "tlsmgr")] +
                                 ["usr/lib/x86_64-linux-gnu/sasl2/" + p for p in ("libplain.so", "libsasldb.so")] +
                                 ["usr/sbin/saslpasswd2", "usr/sbin/postqueue"])
        self.queue = os.path.join(self.jail.root, "var/spool/postfix")
        node.make_certificate(os.path.join(self.jail.root, "etc/postfix"))
        self.jail.write("etc/sasl/smtpd.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n")
        self.jail.write("usr/lib/sasl2/smtpd.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n")
        self.jail.write("etc/postfix/sasl/smtpd.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n")
        self.jail.run("/usr/sbin/saslpasswd2", "-p", "-c", "-u", "postfix.test", "load", data=self.password.encode())
        shutil.chown(os.path.join(self.jail.root, "etc/sasldb2"), 7001, 7001)

    def start(self, held, deferred=False):
        shutil.rmtree(self.queue, ignore_errors=True)
        self.jail.folder("var/spool/postfix")
        for name in QUEUES:
            self.jail.folder("var/spool/postfix/" + name, 7001, 0, 0o700)
        self.jail.folder("var/spool/postfix/public", 7001, 7002, 0o710)
        self.jail.folder("var/spool/postfix/maildrop", 7001, 7002, 0o730)
        self.jail.folder("var/spool/postfix/pid")
        self.jail.folder("var/lib/postfix", 7001, 7001, 0o700)
        self.jail.write("etc/postfix/main.cf", MAIN.format(relay=self.relay_port, processes=self.processes,
                                                           more="defer_transports = smtp" if deferred else ""))
        hold = "-o smtpd_client_restrictions=check_client_access,static:HOLD" if held and not deferred else ""
        self.jail.write("etc/postfix/master.cf", MASTER.format(mx=self.mx, submission=self.submission, hold=hold))
        self.launch()

    def launch(self):
        self.jail.processes = []
        self.jail.start("/usr/lib/postfix/sbin/master", "-d", "-c", "/etc/postfix")
        cluster.wait_port(self.mx, "Postfix", 120)

    def restart(self):
        self.jail.stop()
        begun = time.monotonic()
        self.launch()
        return time.monotonic() - begun

    def stop(self):
        self.jail.stop()
        shutil.rmtree(self.queue, ignore_errors=True)

    def cpu_s(self):
        """Of the master, what runs below it, and what has ended there."""
        ticks = 0
        for pid in family(self.jail.processes[0].pid):
            fields = stat_fields(pid)
            ticks += sum(int(field) for field in fields[11:15]) if fields else 0
        return ticks / TICKS

    def memory(self):
        return pss(family(self.jail.processes[0].pid))

    def disk(self):
        return disk_used(self.queue)

    def list_queue(self):
        return self.jail.run("/usr/sbin/postqueue", "-p", "-c", "/etc/postfix").count("postfix.test")
