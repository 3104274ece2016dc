"""load - mailgen and mailsink as processes of a scenario."""

import os
import signal
import socket
import subprocess
import time

from node import PASSWORD, USER, free_ports


def find_tool(build, name):
    for folder in ("tests/bench", "cluster-test", "."):
        path = os.path.join(build, folder, name)
        if os.path.exists(path):
            return os.path.abspath(path)
    raise SystemExit("%s: %s is not built there" % (build, name))


def file_size(path):
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


class Sink:
    """A mailsink; its log is the truth about what arrived."""

    def __init__(self, build, folder, *options):
        self.port = free_ports(1)[0]
        self.log_path = os.path.join(folder, "sink.log")
        self.process = subprocess.Popen([find_tool(build, "mailsink"), "--listen", "127.0.0.1:%d" % self.port,
                                         "--log", self.log_path, *options],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.wait_listening()

    def wait_listening(self):
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        raise SystemExit("the mailsink does not listen")

    def stop(self):
        """Returns its closing line."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=10)[0].strip()


class Generator:
    """A mailgen. What it was promised is in acked, what nobody can know in unsure."""

    def __init__(self, build, folder, prefix, port, *options, login=False):
        self.acked = os.path.join(folder, prefix + ".acked")
        self.unsure = os.path.join(folder, prefix + ".unsure")
        command = [find_tool(build, "mailgen"), "--to", "127.0.0.1:%d" % port, "--id-prefix", prefix,
                   "--acked", self.acked, "--unsure", self.unsure, *options]
        if login:
            command += ["--tls", "starttls", "--user", USER, "--password", PASSWORD]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def stop(self):
        """Lets mails in the air end; returns its closing line."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=30)[0].strip()
