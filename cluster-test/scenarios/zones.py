#!/usr/bin/env python3
"""zones - six nodes, two in each of three zones or regions, under load; all that are in one of them are killed at once and come back.

zone: shards are spread over the three zones of a region. region: over three regions, and a commit needs two of them.
Checks: every other node goes on taking mail while one zone or region is gone; at the end as in failover: nothing answered 250 is
missing, twice only what was in doubt, replicas agree, audits are clean.
Use: zones.py [--build build/dev] [--of zone|region] [--rounds 1] [--seed N] [--dir DIR]
"""

import sys
import time

sys.dont_write_bytecode = True
from failover import Town, main  # noqa: E402
from load import file_size  # noqa: E402

PLACES = 3


class Zones(Town):
    nodes = 2 * PLACES
    rates = (("small", "1024-8192", "25"), ("large", "262144-614400", "1"))
    taken = 0

    def __init__(self, o, folder):
        super().__init__(o, folder)
        self.layout = ("--zones", str(PLACES)) if o.of == "zone" else ("--regions", str(PLACES), "--spread", "region")

    def place_of(self, node):
        return (node - 1) % PLACES + 1

    def is_spread(self):
        """Each shard has a voter in each place."""
        placements = self.get(1, "/api/v1/placements")["items"]
        return placements and all(p["in_force"] and len(p["voters"]) == PLACES and
                                  len({self.place_of(n) for n in p["voters"]}) == PLACES for p in placements)

    def start(self):
        super().start()
        self.wait("each shard has a voter in each %s" % self.o.of, self.is_spread, 60)

    def answered(self, node):
        return sum(file_size(g.acked) for g in self.generators if g.node == node)

    def one_round(self, number):
        place = self.rng.randint(1, PLACES)
        gone = [n for n in range(1, self.nodes + 1) if self.place_of(n) == place]
        left = [n for n in range(1, self.nodes + 1) if self.place_of(n) != place]
        time.sleep(self.rng.uniform(0.2, 0.8))
        self.kill_at_once(gone)
        time.sleep(0.1)  # what was answered before has been written down
        before = {n: self.answered(n) for n in left}
        self.wait("all others take mail", lambda: all(self.answered(n) > before[n] for n in left))
        time.sleep(self.rng.uniform(0.5, 2))
        for node in gone:
            self.dev("start", "--node", str(node))
        self.say("round %d: %s %d (nodes %s) killed at once; all others went on" % (number, self.o.of, place, gone))

    def verdict(self):
        return "zones: one %s of three killed at once, %d times" % (self.o.of, self.o.rounds)


def more(parser):
    parser.add_argument("--of", choices=("zone", "region"), default="zone", help="what is killed at once (zone)")


if __name__ == "__main__":
    sys.exit(main(Zones, "zones", 1, more))
