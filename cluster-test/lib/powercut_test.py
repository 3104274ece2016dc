#!/usr/bin/env python3
"""powercut_test - the preload layer loses exactly what was not synced, and keeps what was.

Each case drives powercut_probe under the layer, kills it, cuts, and looks. Use: powercut_test.py BUILD_DIR
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import powercut_apply  # noqa: E402

RACE_ROUNDS = 12


def find(build, name):
    for folder in ("cluster-test", "."):
        path = os.path.join(build, folder, name)
        if os.path.exists(path):
            return os.path.abspath(path)
    sys.exit("%s: not built in %s" % (name, build))


class Bench:
    """A directory, its journal, and the probe."""

    def __init__(self, build, folder):
        self.layer, self.probe = find(build, "powercut.so"), find(build, "powercut_probe")
        self.dir, self.journal = os.path.join(folder, "disk"), os.path.join(folder, "journal")
        os.mkdir(self.dir)
        os.mkdir(self.journal)

    def start(self, *acts):
        env = dict(os.environ, LD_PRELOAD=self.layer, POWERCUT_DIR=self.dir, POWERCUT_JOURNAL=self.journal)
        return subprocess.Popen([self.probe] + [str(a) for a in acts], cwd=self.dir, env=env,
                                stdout=subprocess.PIPE, text=True)

    def play(self, text):
        """Does the acts, kills."""
        process = self.start(*text.split())
        line = process.stdout.readline()
        process.kill()
        process.wait()
        process.stdout.close()
        assert line == "done\n", "the probe failed at: " + text

    def cut(self, mode="worst", seed=0):
        return powercut_apply.apply(self.dir, self.journal, seed, mode)

    def look(self):
        """name -> content, directories end with a slash."""
        found = {}
        for folder, folders, names in os.walk(self.dir):
            for name in folders:
                found[os.path.relpath(os.path.join(folder, name), self.dir) + "/"] = None
            for name in names:
                path = os.path.join(folder, name)
                with open(path) as file:
                    found[os.path.relpath(path, self.dir)] = file.read()
        return found


# before (kept by an earlier sync), then acts, then what is left
CASES = (
    ("unsynced bytes go, synced ones stay",
     "make a append a 100 x sync a append a 50 y", {"a": "x" * 100}),
    ("a file that was never synced is gone", "make a append a 9 x make b append b 5 y sync b", {"b": "y" * 5}),
    ("a synced directory keeps the name, not the bytes", "make a append a 9 x syncdir .", {"a": ""}),
    ("bytes after a sync that were overwritten come back",
     "make a append a 10 x sync a over a 2 4 y over a 8 6 z", {"a": "x" * 10}),
    ("an overwrite that was synced stays",
     "make a append a 10 x sync a over a 2 4 y sync a over a 0 10 z", {"a": "xxyyyyxxxx"}),
    ("a cut is undone with its bytes", "make a append a 10 x sync a cut a 4 append a 3 y", {"a": "x" * 10}),
    ("a synced cut stays", "make a append a 10 x cut a 4 sync a append a 3 y", {"a": "xxxx"}),
    ("growing is undone", "make a append a 3 x sync a cut a 9", {"a": "xxx"}),
    ("reserved space is no size", "make a reserve a 100000 append a 3 x sync a append a 4 y", {"a": "xxx"}),
    ("a rename without its directory is undone",
     "make a append a 3 x sync a close a make b append b 4 y sync b syncdir . rename b a", {"a": "xxx", "b": "yyyy"}),
    ("a rename with its directory stays",
     "make a append a 3 x sync a close a make b append b 4 y sync b rename b a syncdir .", {"a": "yyyy"}),
    ("a rename of unsynced bytes is an empty file",
     "make a append a 3 x sync a close a make b append b 4 y rename b a syncdir .", {"a": ""}),
    ("an unlink without its directory is undone", "make a append a 3 x sync a syncdir . unlink a", {"a": "xxx"}),
    ("an unlink with its directory stays", "make a append a 3 x sync a unlink a syncdir .", {}),
    ("a name that was used twice: the old file comes back",
     "make a append a 3 x sync a syncdir . close a unlink a make a append a 5 y", {"a": "xxx"}),
    ("the same, new file synced: it keeps the name",
     "make a append a 3 x sync a syncdir . close a unlink a make a append a 5 y sync a", {"a": "yyyyy"}),
    ("a directory that was never synced is gone with all in it", "mkdir d make d/a append d/a 3 x", {}),
    ("a synced file keeps the directories above it",
     "mkdir d mkdir d/e make d/e/a append d/e/a 3 x sync d/e/a", {"d/": None, "d/e/": None, "d/e/a": "xxx"}),
    ("a synced directory stays, what is in it does not", "mkdir d syncdir . make d/a append d/a 3 x", {"d/": None}),
    ("a descriptor that was closed and opened again", "make a append a 3 x close a open a sync a append a 3 y",
     {"a": "xxx"}),
)


def test_cases(build):
    for name, acts, want in CASES:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(build, folder)
            bench.play(acts)
            bench.cut()
            found = bench.look()
            assert found == want, "%s: %s\n  left %r\n  want %r" % (name, acts, found, want)
            assert not os.listdir(bench.journal), "the journal was not emptied"
    return len(CASES)


def test_two_runs(build):
    """What the first run left unsynced is synced by the second; a cut in between is final."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(build, folder)
        bench.play("make a append a 10 x sync a append a 10 y")
        bench.play("open a append a 5 z sync a append a 7 w")
        bench.cut()
        assert bench.look() == {"a": "x" * 10 + "y" * 10 + "z" * 5}, bench.look()
        bench.play("open a append a 5 v")
        bench.cut()
        assert bench.look() == {"a": "x" * 10 + "y" * 10 + "z" * 5}, bench.look()


def test_random_fates(build):
    """Any seed keeps the synced bytes; over many seeds all fates are seen."""
    sizes = set()
    contents = set()
    for seed in range(60):
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(build, folder)
            bench.play("make a append a 6000 x sync a append a 9000 y append a 9000 z over a 100 200 w")
            bench.cut("random", seed)
            text = bench.look()["a"]
            assert text[:100] == "x" * 100 and text[300:6000] == "x" * 5700, "seed %d" % seed
            assert set(text[100:300]) <= {"x", "w"}, "seed %d" % seed
            assert len(text) <= 24000 and set(text[6000:15000]) <= {"y", "\0"}, "seed %d" % seed
            assert set(text[15000:]) <= {"z", "\0"}, "seed %d" % seed
            sizes.add(len(text))
            contents.add(text)
    assert {6000, 24000} <= sizes and len(sizes) > 6, sorted(sizes)
    assert any("\0" in t for t in contents), "no lost page was seen"


def test_random_names(build):
    """A name that is not synced is there or not; a rename shows one of the two files, whole."""
    seen = set()
    for seed in range(30):
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(build, folder)
            bench.play("make c append c 3 x sync c syncdir . close c make t append t 4 y sync t rename t c")
            bench.cut("random", seed)
            found = bench.look()
            assert found in ({"c": "xxx", "t": "yyyy"}, {"c": "yyyy"}), found
            seen.add(len(found))
    assert seen == {1, 2}, seen


def test_race(build):
    """Threads: whatever was told as synced is there after any cut."""
    rng = random.Random(7)
    lost = 0
    for seed in range(RACE_ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(build, folder)
            process = bench.start("race", bench.dir, 4)
            time.sleep(rng.uniform(0.03, 0.15))
            process.send_signal(signal.SIGKILL)
            told = process.communicate()[0]
            synced = {}
            for line in told.split("\n")[:-1]:
                thread, size = line.split()
                synced[int(thread)] = int(size)
            lost += bench.cut("worst" if seed % 2 else "random", seed).bytes_lost
            found = bench.look()
            for thread, size in synced.items():
                text = found.get("racer%d" % thread, "")
                assert text[:size] == chr(ord("a") + thread) * size, \
                    "seed %d: thread %d has %d of %d synced bytes" % (seed, thread, len(text), size)
    assert lost > 0, "the cut took nothing away"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = sys.argv[1]
    count = test_cases(build)
    for test in (test_two_runs, test_random_fates, test_random_names, test_race):
        test(build)
        count += 1
    print("powercut layer: %d cases, ok" % count)
    return 0


if __name__ == "__main__":
    sys.exit(main())
