"""Shards that are spread over regions, with real processes: mail is taken while one of three regions is gone and not when two are,
nor by a majority that is in one region. (A region is cut off by stopping the processes of the others: nothing comes from them.)"""
import json
import smtplib
import subprocess
import urllib.error
import urllib.request

import cluster


class Town:
    def __init__(self, place, nodes, regions, spread):
        self.c = cluster.Cluster(cluster.build_dir(), place, nodes=nodes,
                                 extra=("--regions", str(regions), "--spread", spread))
        self.nodes, self.regions = self.c.json["nodes"], regions

    def run(self, *words, node=1):
        return subprocess.run([self.c.binary, *words, "--dir", self.c.dir, "--endpoint",
                               "http://" + self.nodes[node - 1]["http"]], capture_output=True, text=True, timeout=60,
                              check=False)

    def get(self, path, node=1):
        ask = urllib.request.Request("http://%s%s" % (self.nodes[node - 1]["http"], path),
                                     headers={"Authorization": "Bearer " + self.c.json["api_token"]})
        try:
            with urllib.request.urlopen(ask, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def is_ready(self, node):
        return self.get("/readyz", node)[0] == 200

    def region_of(self, node):
        return (node - 1) % self.regions + 1

    def of_region(self, region):
        return [n["id"] for n in self.nodes if self.region_of(n["id"]) == region]

    def signal(self, region, name):
        for node in self.of_region(region):
            subprocess.run([self.c.binary, "dev", "kill", "--dir", self.c.dir, "--node", str(node), "--signal", name],
                           check=True, capture_output=True, timeout=60)

    def shards(self, node=1):
        return json.loads(self.run("shard", "ls", "-o", "json", node=node).stdout)

    def send(self, node):
        """The reply to one mail: its first three digits."""
        host, port = self.nodes[node - 1]["mx"].split(":")
        with smtplib.SMTP(host, int(port), timeout=30) as s:
            try:
                s.sendmail("a@example.test", ["b@example.test"], "Subject: x\r\n\r\nx\r\n")
                return 250
            except smtplib.SMTPRecipientsRefused as refused:
                return next(iter(refused.recipients.values()))[0]
            except smtplib.SMTPResponseException as refused:
                return refused.smtp_code
            except smtplib.SMTPServerDisconnected:
                return 0


def placements(t):
    found = t.shards()
    return found["items"] if isinstance(found, dict) else found


def voters(t):
    return {s["id"]: s["voters"] for s in placements(t)}


def settled(t, shards, fact):
    """So many, of three voters each, in regions that fit, and those vote already."""
    found = placements(t)
    return len(found) == shards and all(s["in_force"] and len(s["voters"]) == 3 and
                                        fact({t.region_of(n) for n in s["voters"]}) for s in found)


def over_regions(place):
    t = Town(place, 3, 3, "region")
    try:
        cluster.wait_until(lambda: settled(t, 12, lambda regions: len(regions) == 3), "each shard in three regions", 60)
        t.signal(3, "STOP")
        cluster.wait_until(lambda: t.is_ready(1) and t.send(1) == 250, "two regions of three go on")
        t.signal(2, "STOP")
        cluster.wait_until(lambda: not t.is_ready(1), "one of three turns unready")
        assert t.send(1) // 100 == 4 and t.get("/livez")[0] == 200
        t.signal(2, "CONT")
        t.signal(3, "CONT")
        cluster.wait_until(lambda: all(t.is_ready(n) and t.send(n) == 250 for n in (1, 2, 3)), "all are back")
    finally:
        for region in (2, 3):
            t.signal(region, "CONT")
        t.c.stop()


def one_is_not_enough(place):
    """Two of three voters are in region 1: a majority, and no commit without the other region."""
    t = Town(place, 3, 2, "region")
    try:
        cluster.wait_until(lambda: settled(t, 12, lambda regions: len(regions) == 2), "each shard in both regions", 60)
        assert t.send(1) == 250
        t.signal(2, "STOP")
        cluster.wait_until(lambda: not t.is_ready(1), "region 1 turns unready")
        assert t.send(1) // 100 == 4 and t.send(3) // 100 == 4
        t.signal(2, "CONT")
        cluster.wait_until(lambda: all(t.is_ready(n) and t.send(n) == 250 for n in (1, 2, 3)), "all are back")
    finally:
        t.signal(2, "CONT")
        t.c.stop()


def main():
    one_is_not_enough(cluster.place_for("regions"))
    over_regions(cluster.place_for("regions"))
    print("a commit needs two regions")


if __name__ == "__main__":
    main()
