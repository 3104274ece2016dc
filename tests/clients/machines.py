"""Machines for the commands of docs/operating: each a root directory, network and host name of its own on this one, joined by a bridge.

machines.enter() first: from there on this process is alone in namespaces of mounts, network and processes, so that nothing that it
starts or mounts outlives it or is seen from outside. Who is not root gets them in a user namespace.

What is not as on real machines stands in SUBSTITUTED, and nowhere else."""
import os
import select
import shutil
import signal
import subprocess
import sys

SUBSTITUTED = {
    "ssh root@HOST COMMAND...": "the command, by a shell, in the namespaces and the root directory of that machine",
    "scp [-r] FILE... root@HOST:PATH": "cp into the root directory of that machine",
    "systemctl VERB angarium": "starts what ExecStart= of /etc/systemd/system/angarium.service on that machine says, sends signals to it, waits for its "
                               "end; Restart=, limits and what enable does at the next boot are systemd's business",
    "names of machines": "/etc/hosts, in the place of DNS",
}

SSH = """#!/bin/bash
host=${1#root@}; shift
pid=$(cat /run/machines/$host) || { echo "ssh: no machine $host" >&2; exit 255; }
exec nsenter --target $pid --net --uts --root --wd env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/root sh -c "$*" </dev/null
"""

SCP = """#!/bin/bash
set -e
recursive=; [ "$1" = -r ] && { recursive=-r; shift; }
to=${@: -1}; set -- "${@:1:$#-1}"
host=${to%%:*}; host=${host#root@}
pid=$(cat /run/machines/$host)
exec cp $recursive --remove-destination --preserve=mode "$@" /proc/$pid/root/${to#*:}
"""

SYSTEMCTL = r"""#!/bin/bash
unit=/etc/systemd/system/angarium.service
runs() { [ -e /run/angarium.pid ] && state=$(sed 's/.*) //; s/ .*//' "/proc/$(cat /run/angarium.pid)/stat" 2>/dev/null) && [ "$state" != Z ]; }
ended() { while runs; do sleep 0.02; done; }
start() {
    runs && return 0
    setsid $(sed -n 's/^ExecStart=//p' $unit) >>/var/log/angarium.log 2>&1 </dev/null &
    echo $! >/run/angarium.pid
}
words=("$@")
case "$1" in
    daemon-reload) [ $# = 1 ]; exit ;;
    kill) [ "$2" = -s ] && signal=$3 && shift 3 ;;
    enable | disable) [ "$2" = --now ] && verb=$1 && shift 2 ;;
    start | stop) verb=$1; shift ;;
esac
[ "$*" = angarium ] && [ -e $unit ] || { echo "systemctl ${words[*]}: not known here, or no unit" >&2; exit 1; }
if [ "$signal" ]; then runs && kill -"$signal" "$(cat /run/angarium.pid)" && { [ "$signal" != KILL ] || ended; }
elif [ "$verb" = start ] || [ "$verb" = enable ]; then start
else ! runs || { kill -TERM "$(cat /run/angarium.pid)"; ended; }
fi
"""


def enter():
    """Runs this program again in namespaces of its own; comes back only in there."""
    if os.environ.get("ANGARIUM_MACHINES"):
        return
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    # a shell is their first process: it reaps what loses its parent
    command = ["unshare", *user, "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
               '"$@"; exit $?', "sh", sys.executable, *sys.argv]
    sys.stdout.flush()
    sys.exit(subprocess.run(command, env={**os.environ, "ANGARIUM_MACHINES": "1"}, check=False).returncode)


def need(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit("machines cannot be made here (root, or user namespaces, are needed): %s: %s" %
                         (" ".join(command), done.stderr.strip()))


class Machine:
    """A root directory over this machine's /usr, whose /etc, /var, /root, /run, /tmp and /usr/local are its own."""

    def __init__(self, place, name, address, hosts):
        self.root, self.name = os.path.join(place, name), name
        for folder in ("etc/systemd/system", "usr", "dev", "proc", "sys", "tmp", "run/machines", "var/lib", "var/log", "root"):
            os.makedirs(os.path.join(self.root, folder))
        for link in ("bin", "sbin", "lib", "lib64"):
            if os.path.islink("/" + link):
                os.symlink("usr/" + link, os.path.join(self.root, link))
        local = os.path.join(place, name + "-local")
        os.makedirs(os.path.join(local, "bin"))
        for source, target in (("/usr", "usr"), (local, "usr/local"), ("/dev", "dev"), ("/proc", "proc")):
            need("mount", "--rbind", source, os.path.join(self.root, target))
        for name in ("ssl", "alternatives", "ld.so.cache", "passwd", "group", "localtime"):
            source, target = os.path.join("/etc", name), os.path.join(self.root, "etc", name)
            if os.path.isdir(source):
                shutil.copytree(source, target, symlinks=True)
            elif os.path.exists(source):
                shutil.copy(source, target)
        self.write("etc/hosts", hosts)
        self.write("etc/resolv.conf", "nameserver 127.0.0.1\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
        self.hold(address)

    def hold(self, address):
        """A process that keeps its namespaces; the cable to the bridge."""
        self.holder = subprocess.Popen(["unshare", "--net", "--uts", "sh", "-c",
                                        'hostname "$1" && echo && exec chroot "$2" sleep infinity', "sh", self.name, self.root],
                                       stdout=subprocess.PIPE)
        self.holder.stdout.read(1)
        pid = str(self.holder.pid)
        inside = ["nsenter", "--target", pid, "--net", "ip"]
        need("ip", "link", "add", "to-" + self.name, "type", "veth", "peer", "name", "eth0", "netns", pid)
        need("ip", "link", "set", "to-" + self.name, "master", "cables", "up")
        need(*inside, "link", "set", "lo", "up")
        need(*inside, "link", "set", "eth0", "up")
        need(*inside, "address", "add", address + "/24", "dev", "eth0")

    def write(self, path, text, mode=0o644):
        path = os.path.join(self.root, path)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)

    def log(self):
        try:
            with open(os.path.join(self.root, "var/log/angarium.log"), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return "(no log)"

    def end(self):
        self.holder.send_signal(signal.SIGKILL)
        self.holder.wait()


class Town:
    """`names` with the addresses 10.0.0.1 and so on; the last one is where commands are typed."""

    def __init__(self, place, names):
        need("mount", "--make-rprivate", "/")
        need("ip", "link", "set", "lo", "up")
        need("ip", "link", "add", "cables", "type", "bridge")
        need("ip", "link", "set", "cables", "up")
        addresses = {name: "10.0.0.%d" % (k + 1) for k, name in enumerate(names)}
        hosts = "127.0.0.1 localhost\n" + "".join("%s %s\n" % (a, n) for n, a in addresses.items())
        self.machines = {name: Machine(place, name, address, hosts) for name, address in addresses.items()}
        self.desk = self.machines[names[-1]]
        for name, machine in self.machines.items():
            machine.write("usr/local/bin/systemctl", SYSTEMCTL, 0o755)
            self.desk.write("run/machines/" + name, "%d\n" % machine.holder.pid)
        self.desk.write("usr/local/bin/ssh", SSH, 0o755)
        self.desk.write("usr/local/bin/scp", SCP, 0o755)

    def shell(self):
        return Shell(self.desk)

    def end(self):
        for machine in self.machines.values():
            machine.end()


class Shell:
    """One bash in /root of a machine, to which commands are typed. A function or variable of one command is there for the next."""

    def __init__(self, machine):
        self.out, self.number = os.path.join(machine.root, "run/said"), 0
        self.process = subprocess.Popen(
            ["nsenter", "--target", str(machine.holder.pid), "--net", "--uts", "--root", "--wd", "env", "-i",
             "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C", "bash", "--norc"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write("cd; shopt -s expand_aliases\n")

    def run(self, command, seconds=int(os.environ.get("SECONDS_MAX", "60"))):
        """(exit code, what it said on both outputs)."""
        self.number += 1
        self.process.stdin.write("{\n%s\n} >/run/said 2>&1 </dev/null; echo done %d $?\n" % (command, self.number))
        self.process.stdin.flush()
        is_done = select.select([self.process.stdout], [], [], seconds)[0]
        line = self.process.stdout.readline().split() if is_done else []
        with open(self.out, errors="replace") as f:
            said = f.read()
        assert is_done, "%s\nhas not ended in %d s, and said:\n%s" % (command, seconds, said[-3000:])
        assert line[:2] == ["done", str(self.number)], "the shell has ended in: %s\n%s" % (command, said)
        return int(line[2]), said
