"""Nodes that are down when they are removed, with real processes: when they come back they hear of it, one that is dialled by the
others and one that dials them; the log says so once a start, readyz says why, and it is known without anybody there, too."""
import json
import subprocess
import urllib.error
import urllib.request

import cluster
import regions_test


class Town(regions_test.Town):
    def __init__(self, *args):
        super().__init__(*args)
        self.starters = []

    def log_counts(self, number, text):
        with open(self.nodes[number - 1]["log_file"]) as log:
            return log.read().count(text)

    def start(self, number):
        """`dev start` waits until the node is ready: these never are. While the last process ends yet it is refused."""
        before = self.log_counts(number, "event=node.starting")

        def has_begun():
            if not self.starters or self.starters[-1].poll() is not None:
                self.starters.append(subprocess.Popen(
                    [self.c.binary, "dev", "start", "--dir", self.c.dir, "--node", str(number)],
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            return self.log_counts(number, "event=node.starting") > before

        cluster.wait_until(has_begun, "node %d starts" % number, 60)
        self.end_starters()

    def end_starters(self):
        for starter in self.starters:
            starter.kill()
            starter.wait()
        self.starters = []

    def stop(self):
        self.end_starters()
        self.c.stop()

    def dev(self, word, number, *more):
        subprocess.run([self.c.binary, "dev", word, "--dir", self.c.dir, "--node", str(number), *more], check=True,
                       capture_output=True, timeout=60)

    def is_settled(self, asked):
        done = self.run("shard", "ls", "-o", "json", node=asked)
        if done.returncode != 0:
            return False
        found = json.loads(done.stdout)
        found = found["items"] if isinstance(found, dict) else found
        return len(found) > 0 and all(s["in_force"] for s in found)

    def why_not_ready(self, number):
        try:
            urllib.request.urlopen("http://%s/readyz" % self.nodes[number - 1]["http"], timeout=10).close()
        except urllib.error.HTTPError as refused:
            return refused.read().decode()
        except OSError:
            pass
        return ""

    def times_told(self, number):
        return self.log_counts(number, "event=node.removed node=%d " % number)

    def knows(self, number, times):
        return self.times_told(number) == times and "was removed from the cluster" in self.why_not_ready(number)

    def remove(self, number, asked):
        self.dev("kill", number, "--signal", "KILL")
        cluster.wait_until(lambda: self.run("node", "remove", str(number), "--force", node=asked).returncode == 0,
                           "node %d is removed" % number, 60)
        cluster.wait_until(lambda: self.is_settled(asked), "its shards are elsewhere", 60)
        assert self.times_told(number) == 0, "it was down"

    def says_it_has_heard(self, number):
        self.start(number)
        cluster.wait_until(lambda: self.knows(number, 1), "node %d hears that it was removed" % number, 90)


def main():
    t = Town(cluster.place_for("removed"), 4, 1, "zone")
    try:
        cluster.wait_until(lambda: t.is_settled(2), "all shards are where they should be", 60)
        t.remove(4, asked=2)
        t.says_it_has_heard(4)  # the others dial it
        t.remove(1, asked=2)
        t.says_it_has_heard(1)  # it dials the others
        for number in (2, 3):
            t.dev("kill", number, "--signal", "KILL")
        for number in (1, 4):
            t.dev("kill", number, "--signal", "KILL")
            t.start(number)
            cluster.wait_until(lambda: t.knows(number, 2), "node %d knows it by itself" % number, 60)
    finally:
        t.stop()
    print("two nodes were removed while they were down, and know it")


if __name__ == "__main__":
    main()
