#!/usr/bin/env python3
"""powercut - as kill9, and after each kill the disk loses what was not synced (lib/powercut.c).

Every third cut takes all that was not synced; the others draw from the seed what reached the disk.
Use: powercut.py [--build build/dev] [--rounds 40] [--seed N] [--audit-every K] [--dir DIR]
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import crash  # noqa: E402
import powercut_apply  # noqa: E402
from load import find_tool  # noqa: E402

totals = {"bytes": 0, "changes": 0}


def cut(run, number):
    mode = "worst" if number % 3 == 0 else "random"
    done = powercut_apply.apply(run.node.data_dir, os.path.join(run.folder, "journal"), run.o.seed + number, mode)
    totals["bytes"] += done.bytes_lost
    totals["changes"] += len(done.lines)
    with open(os.path.join(run.folder, "cuts.log"), "a") as file:
        file.write("".join("round %d %s: %s\n" % (number, mode, line) for line in done.lines))
    return ", cut %d bytes in %d changes" % (done.bytes_lost, len(done.lines))


def main():
    o = crash.options("powercut", rounds=40, audit_every=10)
    run = crash.Crash("powercut", o, after_kill=cut)
    journal = os.path.join(run.folder, "journal")
    os.mkdir(journal)
    run.env = {"LD_PRELOAD": find_tool(o.build, "powercut.so"), "POWERCUT_DIR": run.node.data_dir,
               "POWERCUT_JOURNAL": journal}
    code = crash.finish(run)
    print("powercut: %d bytes and %d changes were taken from the disk" % (totals["bytes"], totals["changes"]))
    return code


if __name__ == "__main__":
    sys.exit(main())
