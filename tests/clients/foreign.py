"""Other people's programs for these tests, unpacked from their Debian packages into build/foreign: nothing is installed,
nothing becomes this machine's mail system. What they are linked with comes from deploy/packages.sh.

Mail servers expect users, directories and sockets at fixed places: they run in a root directory of their own
(class Jail), which takes root's rights; without them can_jail() is False and the tests say that they were not run.
"""
import glob
import os
import re
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLACE = os.path.join(ROOT, "build", "foreign")


def unpack(package):
    """The directory that holds the package's files; fetched and unpacked once."""
    place = os.path.join(PLACE, package)
    if os.path.isdir(place):
        return place
    fetched = os.path.join(PLACE, "deb", package)
    shutil.rmtree(fetched, ignore_errors=True)
    os.makedirs(fetched)
    done = subprocess.run(["apt-get", "download", package], cwd=fetched, capture_output=True, text=True, check=False)
    debs = glob.glob(os.path.join(fetched, "*.deb"))
    if done.returncode != 0 or len(debs) != 1:
        raise SystemExit("apt-get download %s: %s\na Debian 12 mirror is needed; apt-get update may help"
                         % (package, done.stderr.strip()))
    subprocess.run(["dpkg-deb", "-x", debs[0], place + ".new"], check=True)
    os.rename(place + ".new", place)
    return place


def program(package, path):
    """The path of a program out of a package."""
    found = os.path.join(unpack(package), path)
    assert os.path.exists(found), "%s has no %s" % (package, path)
    return found


PASSWD = """\
root:x:0:0:root:/root:/bin/sh
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
postfix:x:7001:7001::/var/spool/postfix:/usr/sbin/nologin
Debian-exim:x:7003:7003::/var/spool/exim4:/usr/sbin/nologin
opensmtpd:x:7004:7004::/var/lib/opensmtpd/empty:/usr/sbin/nologin
opensmtpq:x:7005:7005::/var/lib/opensmtpd/empty:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP = """\
root:x:0:
mail:x:8:
postfix:x:7001:
postdrop:x:7002:
Debian-exim:x:7003:
opensmtpd:x:7004:
opensmtpq:x:7005:
nogroup:x:65534:
"""


def can_jail():
    """May this process make devices and change its root directory?"""
    if os.getuid() != 0:
        return False
    os.makedirs(PLACE, exist_ok=True)
    probe = os.path.join(PLACE, "probe.%d" % os.getpid())
    try:
        os.mknod(probe, 0o020666, os.makedev(1, 3))
        with open(probe, "w"):
            pass
        return subprocess.run(["true"], preexec_fn=lambda: os.chroot("/"), check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
    finally:
        if os.path.lexists(probe):
            os.unlink(probe)


class Jail:
    """A root directory for a foreign mail server: its packages, the libraries that its programs are linked with, its
    users, and nothing else of this machine. run() and start() need root."""

    def __init__(self, name, packages, programs):
        self.root = os.path.join(PLACE, "jail-" + name)
        shutil.rmtree(self.root, ignore_errors=True)
        os.makedirs(self.root)
        self.processes = []
        for package in packages:
            shutil.copytree(unpack(package), self.root, symlinks=True, dirs_exist_ok=True)
        for folder in ("etc", "dev", "tmp", "run", "var/log", "var/spool", "var/lib", "var/mail", "root"):
            os.makedirs(os.path.join(self.root, folder), exist_ok=True)
        os.symlink("../run", os.path.join(self.root, "var/run"))
        os.chmod(os.path.join(self.root, "tmp"), 0o1777)
        for device, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)):
            os.mknod(os.path.join(self.root, "dev", device), 0o020666, os.makedev(1, minor))
            os.chmod(os.path.join(self.root, "dev", device), 0o666)
        self.write("etc/passwd", PASSWD)
        self.write("etc/group", GROUP)
        self.write("etc/hosts", "127.0.0.1 localhost\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\n")
        self.write("etc/services", "smtp 25/tcp\nsubmission 587/tcp\n")
        for path in programs:
            self.add_libraries(path)

    def add_libraries(self, path):
        """Copies what a program or library of the jail is linked with."""
        lib = "%s/usr/lib/postfix:%s/usr/lib/x86_64-linux-gnu" % (self.root, self.root)
        said = subprocess.run(["ldd", os.path.join(self.root, path)], capture_output=True, text=True, check=False,
                              env={**os.environ, "LD_LIBRARY_PATH": lib}).stdout
        assert "not found" not in said, "%s: a library is missing on this machine:\n%s" % (path, said)
        for library in re.findall(r"(/\S+)(?= \()", said):
            if library.startswith(self.root):
                continue
            there = os.path.join(self.root, library[1:])
            if not os.path.exists(there):
                os.makedirs(os.path.dirname(there), exist_ok=True)
                shutil.copy(os.path.realpath(library), there)

    def write(self, path, text, mode=0o644):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w" if isinstance(text, str) else "wb") as f:
            f.write(text)
        os.chmod(path, mode)

    def folder(self, path, user=0, group=0, mode=0o755):
        path = os.path.join(self.root, path)
        os.makedirs(path, exist_ok=True)
        os.chown(path, user, group)
        os.chmod(path, mode)

    def read(self, path):
        try:
            with open(os.path.join(self.root, path), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def _enter(self):
        os.chroot(self.root)
        os.chdir("/")

    ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C",
                   "LD_LIBRARY_PATH": "/usr/lib/postfix:/usr/lib/x86_64-linux-gnu:/lib/x86_64-linux-gnu"}

    def run(self, *command, data=None):
        done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=30, env=self.ENVIRONMENT,
                              preexec_fn=self._enter)
        assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout.decode(errors="replace")

    def start(self, *command):
        """Starts a server in the foreground; its words go to var/log/NAME.out of the jail."""
        out = open(os.path.join(self.root, "var/log", os.path.basename(command[0]) + ".out"), "wb")
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                               env=self.ENVIRONMENT, preexec_fn=self._enter, start_new_session=True))
        out.close()

    def stop(self):
        """Ends the servers, and what they have started (their sessions: other programs run beside)."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
