#!/usr/bin/env python3
"""rolling - three nodes under load, each is stopped politely and started again, one after the other, as for a new version.

Checks: clients hear nothing but 250, 421 and 451, and of no mail that was sent to its end they hear nothing; at the end as in failover.
Use: rolling.py [--build build/dev] [--rounds 1] [--seed N] [--dir DIR]
"""

import json
import re
import sys

sys.dont_write_bytecode = True
from failover import Failed, Town, main  # noqa: E402

CURED = {"421", "451"}


class Rolling(Town):
    rates = (("small", "1024-8192", "60"), ("large", "262144-614400", "3"))

    def leads(self, node):
        return any(s["leads"] for s in self.get(node, "/api/v1/shards?scope=node")["items"])

    def one_round(self, number):
        for node in self.rng.sample(range(1, self.nodes + 1), self.nodes):
            self.dev("kill", "--node", str(node), "--signal", "TERM")
            self.wait_ended(node, "SIGTERM")
            self.dev("start", "--node", str(node))
            self.wait("node %d leads again" % node, lambda: self.leads(node))
        self.say("round %d: every node was stopped and started" % number)

    def after_load(self):
        heard, silent = {}, 0
        for generator in self.generators:
            codes = json.loads(re.search(r"errors (\{.*\})", generator.closing).group(1))
            for code, count in codes.items():
                heard[code] = heard.get(code, 0) + count
            # unsure is who sent a mail to its end and heard 451, or heard nothing
            silent += max(0, int(re.search(r"(\d+) unsure", generator.closing).group(1)) - codes.get("451", 0))
        if set(heard) - CURED or silent:
            raise Failed("clients heard %s, and of %d mails nothing" % (heard, silent))
        self.heard = heard

    def verdict(self):
        return "rolling: %d times every node, clients heard %s" % (self.o.rounds, self.heard or "250 only")


if __name__ == "__main__":
    sys.exit(main(Rolling, "rolling", 1))
