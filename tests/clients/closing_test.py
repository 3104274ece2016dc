"""A shard that closes, with real processes: it takes no new mail, empties, and when its history is over nothing of it is left on
any node, not even on one that was down meanwhile."""
import json
import os
import re
import subprocess

import cluster
from regions_test import Town


def reload_with_short_history(t):
    """What is over is forgotten after a second, on all nodes."""
    for node in t.nodes:
        path = os.path.join(t.c.dir, "node-%d.yaml" % node["id"])
        with open(path) as f:
            text = f.read()
        text = re.sub(r"^delivery:\s*\{", "delivery: { retention_ms: 1s,", text, flags=re.M) if "delivery:" in text else \
            text + "delivery: { retention_ms: 1s }\n"
        with open(path, "w") as f:
            f.write(text)
        subprocess.run([t.c.binary, "dev", "kill", "--dir", t.c.dir, "--node", str(node["id"]), "--signal", "HUP"],
                       check=True, capture_output=True, timeout=60)


def logged(t, words):
    """Nodes whose log has the words."""
    found = []
    for node in t.nodes:
        with open(node["log_file"]) as f:
            if words in f.read():
                found.append(node["id"])
    return found


def held(t, node):
    return [s["id"] for s in t.items("/api/v1/shards?scope=node", node)]


class Closing(Town):
    def __init__(self, place):
        super().__init__(place, 3, 1, "zone")

    def items(self, path, node):
        status, text = self.get(path, node)
        assert status == 200, (path, status, text)
        return json.loads(text)["items"]

    def dev(self, *words):
        subprocess.run([self.c.binary, "dev", *words, "--dir", self.c.dir], check=True, capture_output=True, timeout=60)


def main():
    t = Closing(cluster.place_for("closing"))
    try:
        cluster.wait_until(lambda: all(t.is_ready(n) for n in (1, 2, 3)), "all are ready")
        made = int(re.search(r"shard (\d+)$", t.run("shard", "create", "--node", "1").stdout.strip()).group(1))
        cluster.wait_until(lambda: all(made in held(t, n) for n in (1, 2, 3)), "all hold the new shard")
        for _ in range(30):
            assert t.send(1) == 250
        reload_with_short_history(t)
        t.dev("kill", "--node", "3", "--signal", "KILL")
        closed = t.run("shard", "close", str(made))
        assert closed.returncode == 0, closed.stderr
        cluster.wait_until(lambda: "closed" in t.run("shard", "show", str(made)).stdout, "control has closed it")
        cluster.wait_until(lambda: set(logged(t, "event=shard.removed shard=%d" % made)) >= {1, 2}, "two have removed it")
        assert t.run("shard", "close", str(made)).returncode != 0, "it is closed already"
        t.dev("start", "--node", "3")
        cluster.wait_until(lambda: logged(t, "event=shard.removed shard=%d" % made) == [1, 2, 3], "the third, too")
        assert all(made not in held(t, n) for n in (1, 2, 3))
        assert t.send(3) == 250
        t.dev("kill", "--node", "2", "--signal", "KILL")
        t.dev("start", "--node", "2")
        cluster.wait_until(lambda: t.is_ready(2), "node 2 is back")
        assert made not in held(t, 2) and logged(t, "CHECK") == []
    finally:
        t.c.stop()
    for node in t.nodes:
        audit = subprocess.run([t.c.binary, "audit", node["data_dir"]], capture_output=True, text=True, timeout=60, check=False)
        assert audit.returncode == 0, audit.stdout + audit.stderr
        assert not re.search(r"\bshard %d\b" % made, audit.stdout), audit.stdout
    print("a shard closed, emptied, and went")


if __name__ == "__main__":
    main()
