"""ledger - compares what was promised with what arrived.

Rules, for every mail that mailgen sent:
  lost      answered 250, and not every recipient arrived
  changed   its bytes are not those that were sent
  unknown   arrived, and was never sent to its end
  twice     arrived more than once: allowed only if the audit or the node's log says it was in doubt
"""

import re


def read_promises(paths):
    """id -> (queue id, recipients)"""
    found = {}
    for path in paths:
        with open(path) as file:
            for line in file:
                test_id, queue_id, _, recipients = line.split()
                found[test_id] = (queue_id, int(recipients))
    return found


class Arrival:
    def __init__(self, line):
        (self.test_id, self.state, _, _, self.recipients, self.queue_id, self.fate) = line.split()


def read_arrivals(path):
    """id -> its arrivals; those of others (bounces) under "-"."""
    found = {}
    with open(path) as file:
        for line in file:
            arrival = Arrival(line)
            found.setdefault(arrival.test_id, []).append(arrival)
    return found


def read_doubts(log_path):
    """{(queue id, recipient)} that the node's log calls in doubt."""
    found = set()
    with open(log_path, errors="replace") as file:
        for line in file:
            if "event=recipient.in_doubt" in line:
                match = re.search(r" message=(\S+) recipient=(\S+)", line)
                if match:
                    found.add(match.groups())
    return found


def read_audit(text):
    """The same from `angarium audit --list`: id recipient state attempts doubts."""
    found = set()
    for line in text.split("\n"):
        words = line.split()
        if len(words) == 5 and words[4].isdigit() and int(words[4]) > 0:
            found.add((words[0], words[1]))
    return found


class Ledger:
    def __init__(self, acked, unsure, sink_log, doubts):
        self.acked = read_promises(acked)
        self.unsure = read_promises(unsure)
        self.arrivals = read_arrivals(sink_log)
        self.doubts = doubts
        self.lost, self.changed, self.unknown, self.twice, self.twice_without_doubt = [], [], [], [], []
        self.compare()

    def compare(self):
        foreign = len(self.arrivals.pop("-", []))
        self.foreign = foreign
        for test_id, (queue_id, recipients) in self.acked.items():
            found = {name for a in self.arrivals.get(test_id, []) for name in a.recipients.split(",")}
            if len(found) < recipients:
                self.lost.append("%s (queued as %s): %d of %d recipients arrived" %
                                 (test_id, queue_id, len(found), recipients))
        for test_id, arrivals in self.arrivals.items():
            self.compare_arrivals(test_id, arrivals)

    def compare_arrivals(self, test_id, arrivals):
        if any(a.state != "ok" for a in arrivals):
            self.changed.append(test_id)
        if test_id not in self.acked and test_id not in self.unsure:
            self.unknown.append(test_id)
        queue_ids = {a.queue_id for a in arrivals}
        if test_id in self.acked and queue_ids != {self.acked[test_id][0]}:
            self.unknown.append("%s: answered as %s, arrived as %s" %
                                (test_id, self.acked[test_id][0], sorted(queue_ids)))
        names = [name for a in arrivals for name in a.recipients.split(",")]
        again = {name for name in names if names.count(name) > 1}
        if not again:
            return
        self.twice.append(test_id)
        if len(queue_ids) != 1 or any((queue_id, name) not in self.doubts for queue_id in queue_ids for name in again):
            self.twice_without_doubt.append("%s (%s)" % (test_id, ", ".join(sorted(queue_ids))))

    def is_good(self):
        return not (self.lost or self.changed or self.unknown or self.twice_without_doubt)

    def summary(self):
        return "%d acked, %d arrived, %d lost, %d twice (%s), %d unsure" % (
            len(self.acked), len(self.arrivals), len(self.lost), len(self.twice),
            "all in doubt" if not self.twice_without_doubt else
            "%d NOT in doubt" % len(self.twice_without_doubt), len(self.unsure))

    def complaints(self, most=20):
        for word, found in (("lost", self.lost), ("changed on the way", self.changed),
                            ("never sent so", self.unknown), ("twice without doubt", self.twice_without_doubt)):
            for item in found[:most]:
                yield "%s: %s" % (word, item)
            if len(found) > most:
                yield "%s: %d more" % (word, len(found) - most)
