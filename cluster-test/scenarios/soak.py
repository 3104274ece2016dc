#!/usr/bin/env python3
"""soak - faults.py for a long time: three nodes, load, a random fault every 20 s, then audit, digests and the ledger.

Use: soak.py --minutes 30 --seed S [--build build/release] [--every-s 20] [--only NAME,..] [--dir DIR]
"""

import sys
import time

sys.dont_write_bytecode = True
from failover import main  # noqa: E402
from faults import Faults, more  # noqa: E402


class Soak(Faults):
    def rounds(self):
        """The number of each round, when it is due."""
        number = 0
        end = time.monotonic() + 60 * self.o.minutes
        due = time.monotonic() + min(self.o.every_s, 5)
        while due < end:
            time.sleep(max(0, due - time.monotonic()))
            number += 1
            yield number
            due = max(due + self.o.every_s, time.monotonic())
        time.sleep(max(0, end - time.monotonic()))

    def verdict(self):
        return "soak: %g minutes, %d faults; %s" % (self.o.minutes, sum(self.counts.values()), super().verdict())


def more_of_soak(parser):
    more(parser)
    parser.add_argument("--minutes", type=float, default=30, help="so long (30)")
    parser.add_argument("--every-s", type=float, default=20, help="from one fault to the next (20)")


if __name__ == "__main__":
    sys.exit(main(Soak, "soak", 0, more_of_soak))
