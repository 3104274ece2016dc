#!/usr/bin/env python3
"""anywhere - a node that leads nothing takes mail, small and large, and forwards it; any node answers for the whole cluster,
and tells everybody's events live.

Four nodes. Node 4 is drained, under load, and goes on taking mail, which it forwards; one after the other of those to which it
forwards is killed meanwhile. Then questions: the same answer from each node, with all there, with one killed, and
with one stopped. Two readers follow the live stream from before the first mail: one at a node that is killed
now and then, which goes on at the next one with its cursor, and one at node 4: they get every event once. At the end, as in failover: every mail answered 250 arrived, once but for doubts.
Use: anywhere.py [--build build/dev] [--rounds 2] [--seed N] [--dir DIR]
"""

import http.client
import json
import os
import re
import signal
import smtplib
import sys
import threading
import time
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
from failover import Failed, Town, main  # noqa: E402
from load import Generator  # noqa: E402

NODES = 4
LARGE = 2 << 20


class Listener(threading.Thread):
    """Follows the live stream at a node; when it breaks off, at the next one, with the cursor."""

    def __init__(self, cluster, node, moves):
        super().__init__(daemon=True)
        self.cluster, self.node, self.moves = cluster, node, moves
        self.cursor, self.ids, self.missing, self.breaks = None, [], set(), 0
        self.expected = set()  # who has to be named: nodes that went while it stood elsewhere, for none names itself
        self.begun, self.stopped, self.failed = threading.Event(), False, None

    def run(self):
        while not self.stopped:
            try:
                self.follow()
            except (OSError, http.client.HTTPException):
                pass
            except Exception as e:  # pylint: disable=broad-except
                self.failed = e
                return
            self.breaks += 1
            if self.moves:
                self.node = self.node % (NODES - 1) + 1
            time.sleep(0.1)

    def follow(self):
        link = http.client.HTTPConnection(self.cluster["nodes"][self.node - 1]["http"], timeout=30)
        headers = {"Authorization": "Bearer " + self.cluster["api_token"]}
        if self.cursor:
            headers["Last-Event-ID"] = self.cursor
        link.request("GET", "/api/v1/events/stream", headers=headers)
        answer = link.getresponse()
        if answer.status != 200:
            link.close()
            return
        cursor = None
        for line in answer:
            line = line.decode().rstrip("\n")
            if line.startswith("id: "):
                cursor = line[4:]
            elif line.startswith("data: "):
                event = json.loads(line[6:])["id"]
            elif line.startswith(": missing "):
                self.missing |= {m["node"] for m in json.loads(line[10:])["missing"]}
            elif not line and cursor:  # it is whole now
                self.ids.append(event)
                self.cursor, cursor = cursor, None
            elif line == ": angarium events":
                self.begun.set()
            if self.stopped:
                break
        link.close()


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
        end = time.monotonic() + 5  # the node that was asked knows it first, node 4 when the entry has come there
        while self.get(NODES, "/api/v1/shards?scope=node")["items"]:
            self.expect(time.monotonic() < end, "node 4 is drained and holds shards")
            time.sleep(0.05)
        self.say("node 4 is drained")
        self.listeners = [Listener(self.cluster, 1, True), Listener(self.cluster, NODES, False)]
        for listener in self.listeners:
            listener.start()
            self.expect(listener.begun.wait(10), "the stream of node %d does not begin" % listener.node)

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

    def walk(self, node, query="type=accepted&limit=100"):
        """All events of acceptance, page by page."""
        ids, cursor = [], ""
        while True:
            page = self.get(node, "/api/v1/events?" + query + (cursor and "&cursor=" + cursor), timeout=20)
            ids += [event["id"] for event in page["items"]]
            cursor = page["next_cursor"]
            if not cursor:
                return ids

    def streams(self):
        """What was told live is what happened: each event once, of each shard in its order."""
        happened = self.walk(1, "limit=500")
        end = time.monotonic() + 20
        for listener in self.listeners:
            while len(listener.ids) < len(happened) and listener.failed is None and time.monotonic() < end:
                time.sleep(0.1)
            listener.stopped = True
            told = list(listener.ids)
            where = "the stream from node %d on" % listener.node
            self.expect(listener.failed is None, "%s: %r" % (where, listener.failed))
            self.expect(len(told) == len(set(told)), "%s: %d events twice" % (where, len(told) - len(set(told))))
            self.expect(set(told) == set(happened), "%s: %d events are missing: %s" % (
                where, len(set(happened) - set(told)), sorted(set(happened) - set(told))[:5]))
            shards = {}
            for event in told:
                shards.setdefault(event[:5], []).append(event)
            self.expect(all(ids == sorted(ids) for ids in shards.values()), "%s: not in the order of the shards" % where)
            self.expect(listener.expected <= listener.missing, "%s: of nodes %s only %s were named" % (
                where, listener.expected, listener.missing))
        self.expect(self.listeners[1].breaks == 0, "the stream of node 4, which was never killed, broke off")
        self.say("%d events told live at node 4; at the others, which broke off %d times, the same" % (
            len(happened), self.listeners[0].breaks))

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

    def goes(self, node):
        for listener in self.listeners:
            if listener.node != node:
                listener.expected.add(node)

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
        self.goes(2)
        self.dev("kill", "--node", "2")
        time.sleep(1.5)
        self.same_everywhere([1, 3, 4], ids, [2])
        self.dev("start", "--node", "2")
        self.say("node 2 killed: named, and nothing else is missing")
        self.stopped(ids)

    def stopped(self, ids):
        """It hangs: one bounded wait, and the others answer for its shards."""
        self.wait_all_up()
        self.goes(3)
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
        self.wait_empty()
        self.streams()

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
