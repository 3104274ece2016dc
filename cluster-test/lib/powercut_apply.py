#!/usr/bin/env python3
"""powercut_apply - turns the directory of a killed process into what a power cut could have left.

Reads the journal that the preload layer (powercut.c) wrote and undoes what no sync covered:
bytes written since the last sync of their file, names made, removed or changed since the last sync of
their directory (a synced file keeps its own name). How much of it is undone is drawn from the seed:

  worst   everything that was not synced is gone
  random  per file: all gone, torn in the middle, single pages lost, or all there; per directory: the
          changes of names are kept up to some point

Then the journal is emptied: the state is the start of the next run.

Use: powercut_apply.py --dir DIR --journal DIR [--seed N] [--mode worst|random]
"""

import argparse
import os
import random
import shutil
import struct
import sys

MAGIC = 0x70774331
HEAD = struct.Struct("=II9QIIQ")
PAGE = 4096
WRITE, RESIZE, SYNC, SYNC_ALL, CREATE, MKDIR, UNLINK, RMDIR, RENAME = range(1, 10)
NAME_ACTS = (CREATE, MKDIR, UNLINK, RMDIR, RENAME)


class Record:
    """One act of the process, as the layer wrote it down."""

    def __init__(self, fields, name, name2, old):
        (_, self.act, self.seq, self.covers, self.ino, self.dir, self.dir2, self.old_ino,
         self.offset, self.length, self.old_size, _, _, _) = fields
        self.name, self.name2, self.old = name, name2, old

    def home(self):
        """The directory whose sync makes a change of names durable."""
        return self.dir2 if self.act == RENAME else self.dir


def read_journal(path):
    """All whole records. One that the kill cut short ends the journal: its act was not done."""
    records = []
    if not os.path.exists(path):
        return records
    with open(path, "rb") as file:
        while True:
            head = file.read(HEAD.size)
            if len(head) < HEAD.size:
                return records
            fields = HEAD.unpack(head)
            name_n, name2_n, old_n = fields[11:14]
            if fields[0] != MAGIC:
                return records
            rest = file.read(name_n + name2_n + old_n)
            if len(rest) < name_n + name2_n + old_n:
                return records
            records.append(Record(fields, os.fsdecode(rest[:name_n]),
                                  os.fsdecode(rest[name_n:name_n + name2_n]), rest[name_n + name2_n:]))


class Syncs:
    """Which acts were covered by a sync."""

    def __init__(self, records):
        self.covers = {}
        self.all = 0
        self.inside = {}  # directory -> up to where something below it was synced
        parents = {r.ino: r.dir for r in records if r.act in (CREATE, MKDIR)}
        for r in records:
            if r.act == SYNC_ALL:
                self.all = max(self.all, r.covers)
            elif r.act == SYNC:
                self.covers[r.ino] = max(self.covers.get(r.ino, 0), r.covers)
        for ino, covers in self.covers.items():
            while ino in parents:
                self.inside[ino] = max(self.inside.get(ino, 0), covers)
                ino = parents[ino]

    def has(self, r):
        upto = self.all
        if r.act in NAME_ACTS:
            upto = max(upto, self.covers.get(r.home(), 0))
        if r.act in (WRITE, RESIZE, CREATE):
            upto = max(upto, self.covers.get(r.ino, 0))
        if r.act == MKDIR:
            upto = max(upto, self.inside.get(r.ino, 0))
        return r.seq < upto


class Cut:
    def __init__(self, directory, journal, seed, mode):
        self.directory, self.journal, self.mode = directory, journal, mode
        self.kept = os.path.join(journal, "kept")
        self.rng = random.Random(seed)
        self.lines = []
        self.bytes_lost = 0

    def tell(self, text):
        self.lines.append(text)

    # what is where

    def scan(self):
        self.paths, self.dirs = {}, {os.stat(self.directory).st_ino: self.directory}
        if os.path.isdir(self.kept):
            for name in os.listdir(self.kept):
                path = os.path.join(self.kept, name)
                self.paths[os.stat(path).st_ino] = path
        for folder, folders, names in os.walk(self.directory):
            for name in folders:
                path = os.path.join(folder, name)
                self.dirs[os.stat(path).st_ino] = path
            for name in names:
                path = os.path.join(folder, name)
                self.paths[os.lstat(path).st_ino] = path

    def run(self):
        records = read_journal(os.path.join(self.journal, "journal"))
        syncs = Syncs(records)
        pending = [r for r in records if r.act not in (SYNC, SYNC_ALL) and not syncs.has(r)]
        pending.sort(key=lambda r: r.seq)
        self.scan()
        self.undo_bytes(pending)
        self.undo_names(pending)
        shutil.rmtree(self.kept, ignore_errors=True)
        if os.path.exists(os.path.join(self.journal, "journal")):
            os.unlink(os.path.join(self.journal, "journal"))
        return self

    # bytes

    def undo_bytes(self, pending):
        files = {}
        for r in pending:
            if r.act in (WRITE, RESIZE):
                files.setdefault(r.ino, []).append(r)
        for ino, acts in files.items():
            path = self.paths.get(ino)
            if path is None:
                continue
            fate = "lost" if self.mode == "worst" else self.rng.choices(
                ("lost", "torn", "pages", "there"), (50, 25, 15, 10))[0]
            before = os.path.getsize(path)
            with open(path, "r+b", buffering=0) as file:
                getattr(self, "make_" + fate)(file, acts)
            after = os.path.getsize(path)
            self.bytes_lost += max(0, before - after)
            self.tell("%s: %d acts %s, %d -> %d bytes" %
                      (os.path.relpath(path, self.directory), len(acts), fate, before, after))

    @staticmethod
    def size(file):
        return os.fstat(file.fileno()).st_size

    def undo_act(self, file, r, keep=0):
        """As if only the first `keep` bytes of the act had been written."""
        keep = min(keep, r.length) if r.act == WRITE else 0
        old = r.old[keep:]
        if old:
            os.pwrite(file.fileno(), old, r.offset + keep)
        least = max(r.old_size, r.offset + keep) if keep else r.old_size
        if self.size(file) > least:
            file.truncate(least)

    def make_there(self, file, acts):
        pass

    def make_lost(self, file, acts):
        for r in reversed(acts):
            self.undo_act(file, r)

    def make_torn(self, file, acts):
        first = self.rng.randrange(len(acts))
        for r in reversed(acts[first + 1:]):
            self.undo_act(file, r)
        self.undo_act(file, acts[first], self.rng.randrange(acts[first].length + 1))

    def make_pages(self, file, acts):
        """Each page that was written has reached the disk or not; what has not is old bytes or zeros."""
        if any(r.act == RESIZE for r in acts):
            self.make_torn(file, acts)
            return
        pages = {}
        for r in acts:
            for number in range(r.offset // PAGE, (r.offset + r.length + PAGE - 1) // PAGE):
                pages[number] = os.pread(file.fileno(), PAGE, number * PAGE)
        end = self.size(file)
        self.make_lost(file, acts)
        old_end = self.size(file)
        end = self.rng.choice((old_end, end, self.rng.randint(min(old_end, end), max(old_end, end))))
        file.truncate(end)
        for number in sorted(pages):
            if self.rng.random() < 0.5 and number * PAGE < end:
                os.pwrite(file.fileno(), pages[number][:end - number * PAGE], number * PAGE)

    # names

    def undo_names(self, pending):
        by_home = {}
        for r in pending:
            if r.act in NAME_ACTS:
                by_home.setdefault(r.home(), []).append(r)
        undone = []
        for acts in by_home.values():
            cut = 0 if self.mode == "worst" else self.rng.randint(0, len(acts))
            undone += acts[cut:]
        undone.sort(key=lambda r: r.seq, reverse=True)
        for r in undone:
            self.undo_name(r)

    def path_of(self, dir_ino, name):
        return os.path.join(self.dirs[dir_ino], name) if dir_ino in self.dirs else None

    @staticmethod
    def ino_of(path):
        return os.lstat(path).st_ino if os.path.lexists(path) else 0

    def undo_name(self, r):
        path = self.path_of(r.dir, r.name)
        if path is None:
            return
        if r.act == CREATE and self.ino_of(path) == r.ino:
            os.unlink(path)
            self.tell("%s: never made" % os.path.relpath(path, self.directory))
        elif r.act == MKDIR and self.ino_of(path) == r.ino:
            shutil.rmtree(path)
            self.tell("%s/: never made" % os.path.relpath(path, self.directory))
        elif r.act == UNLINK and not os.path.lexists(path):
            self.bring_back(r, path)
        elif r.act == RMDIR and not os.path.lexists(path):
            os.mkdir(path, 0o700)
        elif r.act == RENAME:
            self.undo_rename(r, path)

    def bring_back(self, r, path):
        kept = os.path.join(self.kept, str(r.seq))
        if os.path.exists(kept):
            os.link(kept, path)
            self.tell("%s: never removed" % os.path.relpath(path, self.directory))

    def undo_rename(self, r, path):
        path2 = self.path_of(r.dir2, r.name2)
        if path2 is None or self.ino_of(path2) != r.ino or os.path.lexists(path):
            return
        os.rename(path2, path)
        self.tell("%s: never renamed to %s" % (os.path.relpath(path, self.directory), r.name2))
        if r.old_ino:
            self.bring_back(r, path2)


def apply(directory, journal, seed=0, mode="random"):
    """Cuts; returns the Cut, whose lines tell what was taken away."""
    return Cut(directory, journal, seed, mode).run()


def main():
    parser = argparse.ArgumentParser(description="undoes what no sync covered")
    parser.add_argument("--dir", required=True)
    parser.add_argument("--journal", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mode", choices=("worst", "random"), default="random")
    options = parser.parse_args()
    cut = apply(options.dir, options.journal, options.seed, options.mode)
    for line in cut.lines:
        print(line)
    print("powercut: %d bytes lost" % cut.bytes_lost)
    return 0


if __name__ == "__main__":
    sys.exit(main())
