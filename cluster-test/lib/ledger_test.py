#!/usr/bin/env python3
"""ledger_test - the comparison complains about every broken promise, and about nothing else."""

import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ledger import Ledger, read_audit, read_doubts  # noqa: E402

GOOD = ("a-1 ok 5 2 r0@x,r1@x Q1 taken", "b-1 ok 5 1 r0@x Q2 taken", "- foreign 5 1 me@x Q9 taken")
# name, further arrivals, the word of the only complaint ("": none)
CASES = (
    ("all is well", (), ""),
    ("an unsure mail arrives", ("u-1 ok 6 1 r0@x Q5 taken",), ""),
    ("twice, in doubt", ("b-1 ok 6 1 r0@x Q2 taken",), ""),
    ("twice, in doubt by the audit", ("a-1 ok 6 1 r0@x Q1 taken",), ""),
    ("twice, without doubt", ("a-1 ok 6 1 r1@x Q1 taken",), "twice without doubt"),
    ("twice, under two ids", ("u-1 ok 6 1 r0@x Q5 taken", "u-1 ok 6 1 r0@x Q6 taken"), "twice without doubt"),
    ("changed bytes", ("u-1 bad 6 1 r0@x Q5 taken",), "changed on the way"),
    ("never sent", ("n-1 ok 6 1 r0@x Q7 taken",), "never sent so"),
)
AUDIT = "Q1 r0@x delivered 2 1\nQ1 r1@x delivered 1 0\nQ2 r0@x delivered 1 0\n"
LOG = "time=2026-11-24T01:00:00.000Z level=info node=1 event=recipient.in_doubt message=Q2 recipient=r0@x\n"


def write(folder, name, lines):
    path = os.path.join(folder, name)
    with open(path, "w") as file:
        file.write("".join(line + "\n" for line in lines))
    return path


def compare(arrivals):
    with tempfile.TemporaryDirectory() as folder:
        acked = write(folder, "acked", ("a-1 Q1 3 2", "b-1 Q2 3 1"))
        unsure = write(folder, "unsure", ("u-1 - 3 1",))
        doubts = read_doubts(write(folder, "log", (LOG,))) | read_audit(AUDIT)
        return Ledger([acked], [unsure], write(folder, "sink", arrivals), doubts)


def main():
    for name, more, word in CASES:
        ledger = compare(GOOD + more)
        complaints = list(ledger.complaints())
        assert ledger.is_good() == (word == ""), name
        assert len(complaints) == (word != "") and all(c.startswith(word) for c in complaints), (name, complaints)
    for number in range(2):
        complaints = list(compare(GOOD[:number] + GOOD[number + 1:]).complaints())
        assert len(complaints) == 1 and complaints[0].startswith("lost"), complaints
    part = compare(("a-1 ok 5 1 r0@x Q1 taken",) + GOOD[1:])
    assert [c.split(":")[0] for c in part.complaints()] == ["lost"], list(part.complaints())
    print("ledger: %d cases, ok" % (len(CASES) + 3))
    return 0


if __name__ == "__main__":
    sys.exit(main())
