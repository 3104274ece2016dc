"""The commands of docs/operating/cluster.md, records.md and rescue.md, as they are written there, in their order, on machines of
machines.py: each ends with 0, and says what the document shows beneath it (a block ```text: one line of it for each of the shown, in that
order, where numbers, times and digests are others). No command is there that this does not run, but for those in NOT_RUN."""
import os
import re
import shutil
import sys
import time

import cluster
import machines

PAGES = ("cluster.md", "records.md", "rescue.md")
NAMES = ("relay1", "relay2", "relay3", "relay4", "desk")

# What build/release is before the machines are upgraded: knows one format less.
PREVIOUS = sys.argv[2] if len(sys.argv) > 2 else os.path.join(cluster.ROOT, "build", "previous")

# `angarium ...` in the text of a page which no block of these pages runs: why not
NOT_RUN = {
    "angarium dev": "a cluster for trying, on one machine: clients/regions and many others run it",
    "angarium node remove 2 --force": "for a node that is down; unit/node/control/commands",
    "angarium nodes": "of the cluster on one machine, and in -o json; this one says angarium node ls",
    "angarium shards": "the same: angarium shard ls",
    "angarium audit DIR": "DIR is /var/lib/angarium",
    "angarium region drain": "this cluster has no regions; clients/region_drain",
    "angarium cluster import FILE": "clients/records",
    "angarium message ID release": "unit/node/ops/post",
    "angarium shard create --spread": "clients/regions",
}


def blocks(page):
    """(line, language, text) of each fenced block."""
    with open(os.path.join(cluster.ROOT, "docs", "operating", page), encoding="utf-8") as f:
        text = f.read()
    return text, [(text.count("\n", 0, m.start()) + 2, m.group(1), m.group(2))
                  for m in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)]


def commands(text):
    """The block's commands, each as it is written: what bash takes as a whole."""
    found, rest = [], []
    for line in text.splitlines():
        rest.append(line)
        if is_whole("\n".join(rest)):
            found.append("\n".join(rest))
            rest = []
    assert not rest, "bash does not take this as a whole: %s" % "\n".join(rest)
    return found


def is_whole(text):
    if text.endswith("\\"):
        return False
    heredoc = re.search(r"<<'?(\w+)", text)
    if heredoc and "\n%s\n" % heredoc.group(1) not in text + "\n":
        return False
    return machines.subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False).returncode == 0


def shape(line):
    """A pattern for lines like this one."""
    words = []
    for word in line.split():
        pieces = re.split(r"(\b\d[0-9a-z]{12}\b|[0-9a-f]{16,}|\d+)", word)
        for k, piece in enumerate(pieces):
            pieces[k] = re.escape(piece) if k % 2 == 0 else r"\d+" if len(piece) < 13 else "[0-9a-z]+"
        words.append(".*" if word == "..." else "".join(pieces))
    return re.compile(r"\s*" + r"\s+".join(words) + r"\s*$")


def missing(shown, said):
    """The first line shown that nothing said has the shape of; None."""
    lines = iter(said.splitlines())
    for line in shown.splitlines():
        pattern = shape(line)
        if line.strip() and not any(pattern.match(one) for one in lines):
            return line
    return None


class Reader:
    def __init__(self, place):
        self.town = machines.Town(place, NAMES)
        self.shell = self.town.shell()
        self.ran = []

    def build(self, build):
        there = os.path.join(self.town.desk.root, "root/build/release/node")
        os.makedirs(there, exist_ok=True)
        shutil.copy(os.path.join(build, "node", "angarium"), there)

    def read(self, page):
        _, all_blocks = blocks(page)
        said = ""
        for line, language, text in all_blocks:
            if "upgrade()" in text:
                self.build(cluster.build_dir())
            if language == "sh":
                said = "".join(self.type(page, line, command) for command in commands(text))
            elif language == "text":
                wrong = missing(text, said)
                if wrong:
                    self.fail("%s:%d shows this line, and there is none like it:\n  %s\nin what was said:\n%s" % (page, line, wrong, said))

    def type(self, page, line, command):
        begun = time.monotonic()
        try:
            code, said = self.shell.run(command)
        except AssertionError as failure:
            self.fail("%s:%d: %s" % (page, line, failure))
        self.ran.append(command)
        print("%5.1f s  %s:%d  %s" % (time.monotonic() - begun, page, line, command.splitlines()[0]), flush=True)
        if os.environ.get("SHOW"):
            print(said)
        if code != 0:
            self.fail("%s:%d: exit %d of\n%s\nwhich said:\n%s" % (page, line, code, command, said))
        return said

    def fail(self, text):
        for machine in self.town.machines.values():
            print("---- end of the log of %s\n%s" % (machine.name, machine.log()[-3000:]))
        raise AssertionError(text)


def check_named(ran):
    """Whatever a page names as `angarium VERB ...` was run, or stands in NOT_RUN; and that says nothing that is not so."""
    everything = "\n".join(ran)
    named = set()
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", blocks(page)[0], flags=re.M | re.S)
        named |= {re.sub(r"\s+", " ", name) for name in re.findall(r"`(angarium [^`]+)`", text)}
    excused = {name: [key for key in NOT_RUN if name.startswith(key)] for name in named if name not in everything}
    assert all(excused.values()), "run by no block, and not in NOT_RUN: %s" % sorted(n for n, keys in excused.items() if not keys)
    unused = set(NOT_RUN) - {key for keys in excused.values() for key in keys}
    assert not unused, "NOT_RUN names what no page names, or what is run: %s" % sorted(unused)


def check_itself():
    """What is not run, or said otherwise, is seen."""
    assert commands("a() {\n  b\n}\ncat <<END\nx(\nEND\nc \\\n  d\n") == ["a() {\n  b\n}", "cat <<END\nx(\nEND", "c \\\n  d"]
    assert missing("ID  STATE\n 1  up ...\n", "talk\n  ID STATE\n12 up since 3\n") is None
    assert missing("1 up", "1 down") == "1 up"
    assert missing("b\na", "a\nb") == "a"
    assert missing("accepted 0003000000006 0123456789abcdef", "accepted 0002g00000005 fedcba9876543210") is None
    try:
        check_named([])
    except AssertionError:
        return
    raise AssertionError("commands that nobody ran are not missed")


def main():
    check_itself()
    machines.enter()
    for name, what in machines.SUBSTITUTED.items():
        print("substituted: %s: %s" % (name, what))
    reader = Reader(cluster.place_for("documents"))
    try:
        reader.build(PREVIOUS)
        for page in PAGES:
            reader.read(page)
        check_named(reader.ran)
    finally:
        reader.town.end()
    print("%d commands of %s ran as written" % (len(reader.ran), ", ".join(PAGES)))


if __name__ == "__main__":
    sys.exit(main())
