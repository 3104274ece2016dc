#!/usr/bin/env python3
"""anywhere - a node that leads nothing takes mail, small and large, and forwards it; any node answers for the whole cluster.

Four nodes. Node 4 is drained, under load, and goes on taking mail, which it forwards; one after the other of those to which it
forwards is killed meanwhile. Then questions: the same answer from each node, with all there, with one killed, and
with one stopped. At the end, as in failover: every mail answered 250 arrived, once but for doubts.
Use: anywhere.py [--build build/dev] [--rounds 2] [--seed N] [--dir DIR]
"""

import os
import re
import signal
import smtplib
import sys
import time
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
from failover import Failed, Town, main  # noqa: E402
from load import Generator  # noqa: E402

NODES = 4
LARGE = 2 << 20


class Anywhere(Town):
    nodes = NODES
    forwarded = 0

    # ---- mail

    def start_load(self):
        port = int(self.cluster["nodes"][NODES - 1]["mx"].rsplit(":", 1)[1])
        for name, size, rate in (("small", "1024-8192", "60"), ("large", "262144-2097152", "5")):
            self.generators.append(Generator(
                self.o.build, self.folder, name, port, "--sessions", "3", "--size", size, "--rate", rate,
                "--keep-trying", "--seed", str(self.o.seed), "--seconds", "3600"))

    def count_forwarded(self, node, direction="out"):
        with urllib.request.urlopen("http://%s/metrics" % self.cluster["nodes"][node - 1]["http"], timeout=5) as answer:
            text = answer.read().decode()
        return int(re.search(r'^angarium_mails_forwarded_total\{direction="%s"\} (\d+)' % direction, text, re.M).group(1))

    def start(self):
        super().start()
        self.wait_all_up()
        done = self.cli("node", "drain", str(NODES))
        self.expect(done.returncode == 0, "drain ended with %d: %s" % (done.returncode, done.stderr))
        self.expect(self.get(NODES, "/api/v1/shards?scope=node")["items"] == [], "node 4 is drained and holds shards")
        self.say("node 4 is drained")

    def one_round(self, number):
        other = self.rng.randint(1, NODES - 1)
        before = self.count_forwarded(NODES)
        time.sleep(self.rng.uniform(0.2, 0.8))
        self.dev("kill", "--node", str(other))
        time.sleep(1.5)
        self.dev("start", "--node", str(other))
        self.wait_all_up()
        self.forwarded = self.count_forwarded(NODES)
        self.expect(self.forwarded > before, "node 4 forwarded nothing")
        self.say("round %d: node 4 forwarded %d mails, node %d killed meanwhile" % (number, self.forwarded - before, other))

    # ---- questions

    def ask(self, node, path):
        """The answer, and how long it took."""
        begun = time.monotonic()
        answer = self.get(node, path, timeout=20)
        return answer, time.monotonic() - begun

    def content(self, size):
        return "Subject: one\r\n\r\n" + "".join("line %07d\r\n" % i for i in range(size // 14))

    def one_mail(self, node, size):
        """Its id."""
        host, port = self.cluster["nodes"][node - 1]["mx"].rsplit(":", 1)
        with smtplib.SMTP(host, int(port), timeout=30) as s:
            s.ehlo("anywhere.example")
            s.mail("me@example.test")
            s.rcpt("you@example.test")
            code, text = s.data(self.content(size))
        if code != 250:
            raise Failed("node %d answered %d %s" % (node, code, text))
        return text.decode().split()[-1]

    def body(self, node, mail):
        ask = urllib.request.Request("http://%s/api/v1/messages/%s/body" % (self.cluster["nodes"][node - 1]["http"], mail),
                                     headers={"Authorization": "Bearer " + self.cluster["api_token"]})
        with urllib.request.urlopen(ask, timeout=20) as answer:
            return answer.read()

    def expect(self, fact, text):
        if not fact:
            raise Failed(text)

    def same_everywhere(self, nodes, ids, missing):
        pages = {}
        for node in nodes:
            for mail in ids:
                story = self.get(node, "/api/v1/messages/%s/events" % mail, timeout=20)["items"]
                self.expect(story and story[0]["type"] == "accepted", "node %d does not know the story of %s" % (node, mail))
                self.expect(self.get(node, "/api/v1/messages/%s" % mail, timeout=20)["id"] == mail, "not %s" % mail)
            for path in ("queue?limit=7", "events?type=accepted&limit=7", "shards", "nodes"):
                page, _ = self.ask(node, "/api/v1/" + path)
                self.expect(sorted(m["node"] for m in page["missing"]) == missing,
                            "%s of node %d: missing %s, not %s" % (path, node, page["missing"], missing))
                self.expect(page.get("unanswered", []) == [], "%s of node %d: %s" % (path, node, page.get("unanswered")))
                pages.setdefault(path, []).append(page)
        for path, found in pages.items():
            ids = [[item["id"] for item in page["items"]] for page in found]
            self.expect(all(i == ids[0] for i in ids), "%s: not the same at all nodes: %s" % (path, ids))
        shards = pages["shards"][0]["items"]
        self.expect(len(shards) == len({s["id"] for s in shards}), "a shard is there twice")
        accepted = {page["counts"]["accepted"] for page in pages["queue?limit=7"]}
        self.expect(len(accepted) == 1, "counts differ: %s" % accepted)
        self.expect(accepted == {sum(s["counts"]["accepted"] for s in shards)}, "counts are not the sum over shards")

    def walk(self, node):
        """All events of acceptance, page by page."""
        ids, cursor = [], ""
        while True:
            page = self.get(node, "/api/v1/events?type=accepted&limit=100" + (cursor and "&cursor=" + cursor), timeout=20)
            ids += [event["id"] for event in page["items"]]
            cursor = page["next_cursor"]
            if not cursor:
                return ids

    def bodies(self, everybody):
        """While nothing is delivered they are kept."""
        os.kill(self.sink.process.pid, signal.SIGSTOP)
        try:
            for size in (1000, LARGE):
                mail = self.one_mail(NODES, size)
                for node in everybody:
                    self.expect(self.body(node, mail) == self.content(size).encode(), "node %d: not the body of %s" % (node, mail))
                    waits = [item["id"] for item in self.get(node, "/api/v1/queue?limit=500", timeout=20)["items"]]
                    self.expect(mail in waits, "node %d: %s is not in the queue" % (node, mail))
        finally:
            os.kill(self.sink.process.pid, signal.SIGCONT)

    def questions(self):
        everybody = list(range(1, NODES + 1))
        self.bodies(everybody)
        ids = [self.one_mail(node, size) for node in everybody for size in (1000, LARGE)]
        self.wait_empty()
        self.same_everywhere(everybody, ids, [])
        walks = [self.walk(node) for node in (1, NODES)]
        self.expect(walks[0] == walks[1] and len(walks[0]) == len(set(walks[0])), "walks differ, or have events twice")
        counted = self.get(1, "/api/v1/queue?limit=1")["counts"]["accepted"]
        self.expect(len(walks[0]) == counted, "%d events of acceptance, %d recipients" % (len(walks[0]), counted))
        self.say("all %d events from each node, page by page" % counted)
        self.dev("kill", "--node", "2")
        time.sleep(1.5)
        self.same_everywhere([1, 3, 4], ids, [2])
        self.dev("start", "--node", "2")
        self.say("node 2 killed: named, and nothing else is missing")
        self.stopped(ids)

    def stopped(self, ids):
        """It hangs: one bounded wait, and the others answer for its shards."""
        self.wait_all_up()
        self.dev("kill", "--node", "3", "--signal", "STOP")
        try:
            page, took = self.ask(1, "/api/v1/queue?limit=5")
            self.expect([m["node"] for m in page["missing"]] == [3], "missing %s, not node 3" % page["missing"])
            self.expect(page["unanswered"] == [], "nobody answered for shards %s" % page["unanswered"])
            done = self.cli("queue", "--limit", "1")
            self.expect("node 3 is missing" in done.stderr, "the command line does not name node 3: %s" % done.stderr)
        finally:
            self.dev("kill", "--node", "3", "--signal", "CONT")
        self.say("node 3 stopped: answered in %.1f s, node 3 named" % took)
        self.wait_all_up()
        self.same_everywhere([1, 2, 3, 4], ids[:2], [])

    def wait_all_up(self):
        end = time.monotonic() + 20
        while any(self.ask(node, "/api/v1/queue?limit=1")[0]["missing"] for node in range(1, NODES + 1)):
            if time.monotonic() > end:
                raise Failed("nodes are missing that are there")
            time.sleep(0.1)

    def after_load(self):
        taken = sum(self.count_forwarded(node, "in") for node in range(1, NODES))
        self.expect(taken > 0, "nobody took a mail of node 4")
        self.questions()

    def verdict(self):
        return "anywhere: %d rounds, %d mails forwarded" % (self.o.rounds, self.forwarded)


if __name__ == "__main__":
    sys.exit(main(Anywhere, "anywhere", rounds=2))
