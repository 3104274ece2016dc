"""SIGHUP: a changed credential is in force without a restart, an open session goes on, a wrong file changes nothing.
SIGTERM: a session that waits is told 421, the process ends with 0."""
import os
import signal
import smtplib
import socket
import ssl
import subprocess

import cluster


def can_login(c, user):
    context = ssl.create_default_context(cafile=c.json["ca_file"])
    host, port = c.node["submissions"].split(":")
    with smtplib.SMTP_SSL(host, int(port), timeout=20, context=context) as s:
        try:
            s.login(user, c.json["password"])
            return True
        except smtplib.SMTPAuthenticationError:
            return False


def main():
    place = cluster.place_for("reload")
    c = cluster.Cluster(cluster.build_dir(), place)
    settings = os.path.join(c.dir, "node-1.yaml")
    try:
        host, port = c.node["mx"].split(":")
        opened = socket.create_connection((host, int(port)))
        assert opened.recv(200).startswith(b"220 ")
        assert can_login(c, "demo") and not can_login(c, "renamed")
        with open(settings) as f:
            text = f.read()
        assert text.count("username: demo") + text.count("username: \"demo\"") == 1, text
        with open(settings, "w") as f:
            f.write(text.replace("username: demo", "username: renamed").replace('username: "demo"', "username: renamed"))
        os.kill(c.node["pid"], signal.SIGHUP)
        cluster.wait_until(lambda: can_login(c, "renamed"), "the new credential in force")
        assert not can_login(c, "demo")
        token_file = os.path.join(c.dir, "api.token")
        with open(token_file, "w") as f:
            f.write("another-token-that-is-long-enough\n")
        os.kill(c.node["pid"], signal.SIGHUP)

        def api(token):
            return subprocess.run([c.binary, "status", "--endpoint", "http://" + c.node["http"]], check=False,
                                  capture_output=True, env={**os.environ, "ANGARIUM_TOKEN": token}).returncode

        cluster.wait_until(lambda: api("another-token-that-is-long-enough") == 0, "the new API token in force")
        assert api(c.json["api_token"]) == 4, "the old token is refused"
        with open(settings, "a") as f:
            f.write("\nnonsense: true\n")
        os.kill(c.node["pid"], signal.SIGHUP)

        def log():
            with open(c.node["log_file"]) as f:
                return f.read()

        cluster.wait_until(lambda: "node.reload_refused" in log(), "the refusal of a wrong file")
        assert "nonsense" in log() and can_login(c, "renamed")
        opened.sendall(b"NOOP\r\n")
        assert opened.recv(200).startswith(b"250 ")
        os.kill(c.node["pid"], signal.SIGTERM)
        assert opened.recv(200).startswith(b"421 4.3.2"), "the open session is told"
        assert opened.recv(200) == b""
        cluster.wait_until(lambda: "node.stopped" in log(), "the end of the process")
    finally:
        c.stop()
    print("reload and leave")


if __name__ == "__main__":
    main()
