#!/usr/bin/env python3
"""links - two regions with a long way between them: 150 ms there and 150 ms back, then a way that holds everything; under load.

zone: six nodes, shards spread over the three zones of a region. Leaders last on the slow way; while it holds, every node takes mail
all the same, so no commit waits for the other region. region: three nodes, and a commit needs both regions. On the slow way leaders
last and mail is taken; while it holds nobody takes any: 451, unready; when it is mended all of them do.
At the end as in failover: nothing answered 250 is missing, twice only what was in doubt, replicas agree, audits are clean.
Use: links.py [--build build/dev] [--of zone|region] [--rounds 1] [--seed N] [--dir DIR]
"""

import re
import smtplib
import sys
import time
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
from failover import Failed, main  # noqa: E402
from faults import Faults  # noqa: E402
from load import file_size  # noqa: E402

REGIONS = 2
SLOW_S = 0.15
GROWS_BY = 200  # bytes of a list of answered mails: some four lines


class Links(Faults):
    kinds = ("slow-net",)
    rates = (("small", "1024-8192", "15"), ("large", "262144-614400", "1"))

    def __init__(self, o, folder):
        super().__init__(o, folder)
        self.nodes = 3 * REGIONS if o.of == "zone" else 3
        self.layout = ("--regions", str(REGIONS), "--spread", o.of)

    def region_of(self, node):
        return (node - 1) % REGIONS + 1

    def everybody(self):
        return range(1, self.nodes + 1)

    def far(self):
        """The ways between regions."""
        return [way for way in self.relay.ports if self.region_of(way[0]) != self.region_of(way[1])]

    # ---- what is looked at

    def is_settled(self):
        """Each shard has its voters where they belong, and is led by the first of them."""
        regions = 1 if self.o.of == "zone" else REGIONS
        placements = self.get(1, "/api/v1/placements")["items"]
        leads = {n: self.leads(n) for n in self.everybody()}
        return placements and all(p["in_force"] and len(p["voters"]) == 3 and p["id"] in leads[p["voters"][0]] and
                                  len({self.region_of(n) for n in p["voters"]}) == regions for p in placements)

    def start(self):
        super().start()
        self.wait("all is settled", self.is_settled, 60)

    def elections(self):
        """How often somebody began to lead, by group; control is 0."""
        count = {}
        for node in self.cluster["nodes"]:
            with open(node["log_file"], errors="replace") as file:
                for group in re.findall(r"event=(?:shard.leads shard=(\d+)|control.leads)", file.read()):
                    count[int(group or 0)] = count.get(int(group or 0), 0) + 1
        return count

    def answered(self, node):
        return sum(file_size(g.acked) for g in self.generators if g.node == node)

    def all_take_mail(self, why):
        before = {n: self.answered(n) for n in self.everybody()}
        self.wait("every node takes mail %s" % why,
                  lambda: all(self.answered(n) > before[n] + GROWS_BY for n in self.everybody()), 60)

    def is_ready(self, node):
        try:
            with urllib.request.urlopen("http://%s/readyz" % self.cluster["nodes"][node - 1]["http"], timeout=5):
                return True
        except urllib.error.HTTPError:
            return False

    def one_mail(self, node):
        """The code of its reply."""
        host, port = self.cluster["nodes"][node - 1]["mx"].rsplit(":", 1)
        with smtplib.SMTP(host, int(port), timeout=30) as s:
            s.ehlo("links.example")
            for verb, code, _ in (("MAIL", *s.mail("a@elsewhere.example")), ("RCPT", *s.rcpt("u@example.test"))):
                if code != 250:
                    self.say("node %d answers %d to %s" % (node, code, verb))
                    return code
            return s.data(b"Subject: x\r\n\r\nx\r\n")[0]

    # ---- the ways

    def slow(self):
        self.relay.slow_ways(self.far(), SLOW_S)
        time.sleep(1)  # what was under way when it became slow
        self.all_take_mail("on a slow way")
        self.wait("leaders last on a slow way", self.leaders_last, 60)
        self.all_take_mail("on a slow way")

    def leaders_last(self):
        """All leaders last so long. A busy machine makes new ones now and then; a way that is too slow does it on and on."""
        before = self.elections()
        time.sleep(self.o.slow_s)
        return self.elections() == before

    def hold_of_zone(self):
        self.all_take_mail("just when the way holds")
        time.sleep(2)
        self.all_take_mail("while the way holds")
        if not all(self.is_ready(n) for n in self.everybody()):
            raise Failed("a region that has its shards is not ready")

    def hold_of_region(self):
        self.wait("nobody is ready", lambda: not any(self.is_ready(n) for n in self.everybody()))
        before = {n: self.answered(n) for n in self.everybody()}
        codes = {n: self.one_mail(n) for n in self.everybody()}
        if set(codes.values()) != {451}:
            raise Failed("without the other region nodes answer %s" % codes)
        if before != {n: self.answered(n) for n in self.everybody()}:
            raise Failed("mail was taken without the other region")

    def one_round(self, number):
        self.all_take_mail("at first")
        self.slow()
        self.relay.cut_ways(self.far())
        (self.hold_of_zone if self.o.of == "zone" else self.hold_of_region)()
        self.relay.mend()
        self.wait("all are ready", lambda: all(self.is_ready(n) for n in self.everybody()))
        self.all_take_mail("again")
        self.say("round %d: %.0f ms each way, then held; spread over %ss" % (number, SLOW_S * 1e3, self.o.of))

    def verdict(self):
        return "links: shards spread over %ss, a slow way between regions, and none" % self.o.of


def more(parser):
    parser.add_argument("--of", choices=("zone", "region"), default="zone", help="what shards are spread over (zone)")
    parser.add_argument("--slow-s", type=float, default=4, help="so long leaders last on the slow way (4)")
    parser.set_defaults(only=None)


if __name__ == "__main__":
    sys.exit(main(Links, "links", 1, more))
