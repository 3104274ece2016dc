"""Documents that repeat facts of the code say what the code says: replies, settings, files of ARCHITECTURE.md, links."""
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import replies  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def settings():
    text = read("node", "settings", "settings_table.h")
    return re.findall(r"X\((\w+), (\w+), [A-Z_]+, (NULL|\"[^\"]*\")", text)


def story_files(side):
    return sorted(name for name in os.listdir(os.path.join(ROOT, "tests", "conformance", side)) if name.endswith(".smtp"))


def stories_in(text):
    """Title and text of each; what stands above the first belongs to none."""
    return [part.split("\n", 1) for part in re.split(r"^story ", text, flags=re.M)[1:]]


def is_drawn_from_something(story):
    return re.search(r"\bRFC \d+ \d|\bC\d{3}\b", story) is not None


class Docs(unittest.TestCase):
    def test_the_replies_are_what_the_code_says(self):
        self.assertGreater(len(replies.table()), 50)
        self.assertEqual(replies.stale(), [], "run tests/house/replies.py")
        for name, code, enhanced, _, note in replies.table():
            self.assertTrue(note, f"{name}: what does it mean, and what is to be done?")
            self.assertTrue(enhanced or code in ("334", "354") or name in ("GREETING", "HELLO"), f"{name} has no enhanced code")

    def test_every_line_of_the_checklist_is_shown(self):
        rows = re.findall(r"^\| (C\d{3}) \| [^|]+ \| ([^|]+) \|$", read("tests", "conformance", "checklist.md"), re.M)
        missing_yet = {96, 97, 98}
        self.assertEqual([line for line, _ in rows], [f"C{n:03}" for n in range(51, 118) if n not in missing_yet])
        for line, shown_by in rows:
            witnesses = re.findall(r'`([^`]+)`(?: "([^"]+)")?', shown_by)
            self.assertTrue(witnesses, f"{line}: shown by nothing")
            for name, words in witnesses:
                self.assert_shows(line, name, words)

    def assert_shows(self, line, name, words):
        path = name if "/" in name and not name.startswith(("accept/", "deliver/")) else f"tests/conformance/{name}"
        path += "" if "." in os.path.basename(path) and not path.endswith((".1", ".2")) else ".smtp"
        self.assertTrue(os.path.exists(os.path.join(ROOT, path)), f"{line}: there is no {path}")
        text = read(path)
        if words:
            self.assertIn(words, text, f"{line}: {path} does not say it any more")
            return
        ranges = [range(int(a), int(b) + 1) for a, b in re.findall(r"C(\d{3})-C(\d{3})", text)]
        named = any(int(line[1:]) in r for r in ranges) or re.search(line + r"\b", text)
        self.assertTrue(named, f"{path} does not name {line}")

    def test_stories_are_many_and_each_says_what_it_is_drawn_from(self):
        told = {}
        for name in story_files("accept"):
            told[name] = read("tests", "conformance", "accept", name)
        for name in story_files("deliver"):
            told.update((f"{name}: {title}", title + text) for title, text in stories_in(read("tests", "conformance", "deliver", name)))
        self.assertGreaterEqual(len(told), 300)
        self.assertEqual([name for name, text in told.items() if not is_drawn_from_something(text)], [],
                         "name the section of an RFC (RFC 5321 4.2.1) or the line of the checklist (C078)")

    def test_a_story_that_names_no_source_is_seen(self):
        text = "# Of RFC 5321 4.2\nstory one\n# RFC 5321 4.2.1\nsay x\nstory two\nsay RFC 5321\nstory three\n# C078\n"
        self.assertEqual([title for title, story in stories_in(text) if not is_drawn_from_something(title + story)], ["two"])

    def test_every_setting_is_in_the_operating_document(self):
        document = read("docs", "operating", "node.md")
        for section, key, _ in settings():
            self.assertIn(f"`{section}.{key}`", document, f"docs/operating/node.md lacks {section}.{key}")

    def test_what_only_a_restart_changes_is_said(self):
        table = read("node", "settings", "settings_table.h")
        fixed = re.findall(r"X\((\w+), (\w+)\)", table[table.index("SETTINGS_FIXED(X)"):].split("\n\n")[0])
        self.assertGreater(len(fixed), 5)
        said = re.search(r"^Only a restart changes (.*?)\n\n", read("docs", "operating", "node.md") + "\n", re.M | re.S).group(1)
        self.assertEqual(set(re.findall(r"`([\w.]+)`", said)),
                         {f"{section}.{key}" for section, key in fixed} | {"cluster", "http.certificate", "dev"})
        self.assertTrue({f"{section}.{key}" for section, key in fixed} <= {f"{s}.{k}" for s, k, _ in settings()})

    def test_limits_that_the_operating_document_tells_are_those_in_force(self):
        defaults = {f"{section}.{key}": value.strip('"') for section, key, value in settings()}
        table = re.sub(r"\\\n\s*", "", read("proto", "ground", "metric_table.h"))
        metrics = {(name, labels.replace('\\"', '"'))
                   for name, labels in re.findall(r'X\(\w+, \w+, "(\w+)",\s*"((?:[^"\\]|\\.)*)"', table)}
        rows = re.findall(r"^\| `(limits\.\w+)` \| (\S+) \| .* \| `(\w+)(?:{(.*)})?` \|$",
                          read("docs", "operating", "node.md"), re.M)
        self.assertGreater(len(rows), 20)
        for key, default, metric, labels in rows:
            self.assertEqual(defaults[key], default, key)
            self.assertIn((metric, labels), metrics, key)

    def test_files_that_the_documents_name_exist(self):
        for document in ("docs/ARCHITECTURE.md", "docs/INVARIANTS.md", "README.md", "CONTRIBUTING.md"):
            for name in re.findall(r"`((?:node|raft|queue|router|proto|tests|docs|deploy)/[\w./-]+\.(?:c|h|md|sh|py))`",
                                   read(document)):
                self.assertTrue(os.path.exists(os.path.join(ROOT, name)), f"{document} names {name}, which is not there")

    def test_the_example_of_the_raft_library_is_the_one_that_is_tested(self):
        page = re.search(r"```c\n(.*?)```", read("raft", "README.md"), re.S).group(1)
        self.assertIn(page, read("tests", "unit", "raft", "engine", "example.c"),
                      "raft/README.md shows another example than tests/unit/raft/engine/example.c")

    def test_what_plays_the_scenarios_is_there(self):
        """All 51, in order; tests are names of run.sh, mutations are rows of the table, faults are drawn."""
        document = read("docs", "INVARIANTS.md")
        section = document[document.index("## Scenarios of clusters"):]
        rows = re.findall(r"^\| (\d+) \| .* \| (.*) \|$", section.split("\n## ")[0], re.M)
        self.assertEqual([int(number) for number, _ in rows], list(range(1, 52)))
        tests = set(subprocess.run([os.path.join(ROOT, "tests", "run.sh"), "--list"], capture_output=True, text=True,
                                   check=True).stdout.split())
        mutations = set(re.findall(r"X\((\w+),", read("proto", "ground", "mutation.h")))
        for number, text in rows:
            names = re.findall(r"`((?:unit|sim|crash|conformance|clients|fuzz)/[^`*]+)`", text)
            capitals = [word for word in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text)]
            self.assertTrue(names or capitals or "ot yet" in text or "RocksDB" in text,
                            f"scenario {number} names neither a test nor why there is none")
            for name in names:
                self.assertIn(name, tests, f"docs/INVARIANTS.md, scenario {number}: {name} is no test of run.sh")
            for word in capitals:
                self.assertIn(word, mutations, f"docs/INVARIANTS.md, scenario {number}: {word} is no mutation")

    def test_what_the_simulations_draw_and_check_is_there(self):
        """tests/sim/README.md: names are faults or identifiers of their folder, and each fault has its place."""
        page = read("tests", "sim", "README.md")
        rows = [line.split("|")[1:4] for line in page[page.index("## What is drawn"):].split("\n") if line.startswith("| ")]
        self.assertGreater(len(rows), 30)
        for column, folder in ((1, "cluster"), (2, "engine")):
            code = "".join(read("tests", "sim", room, name) for room in (folder, "shared")
                           for name in sorted(os.listdir(os.path.join(ROOT, "tests", "sim", room)))
                           if name.endswith((".c", ".h")))
            faults = set(re.findall(r'X\([A-Z_]+, "([a-z-]+)"\)', code))
            named = {name for row in rows if row[0].strip() for name in re.findall(r"`([^`]+)`", row[column])}
            self.assertGreater(len(faults), 20)
            self.assertEqual(faults - named, set(), f"tests/sim/README.md does not name these faults of {folder}")
            for name in named - faults:
                self.assertTrue(re.search(rf"\b{re.escape(name)}\b", code), f"tests/sim/README.md: {name} is not in {folder}")

    def test_what_answers_the_questions_to_the_core_is_there(self):
        """Scripts, tests of C files and tests of run.sh; no script is left out."""
        folder = ("tests", "unit", "raft", "core")
        rows = re.findall(r"^\| .* \| (.*) \|$", read(*folder, "README.md"), re.M)
        scripts = {name[:-4] for name in os.listdir(os.path.join(ROOT, *folder, "scripts"))}
        tests = set(subprocess.run([os.path.join(ROOT, "tests", "run.sh"), "--list"], capture_output=True, text=True,
                                   check=True).stdout.split())
        named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
        for name in named:
            file, _, test = name.partition(": ")
            if test:
                self.assertIn(f"static void {test}(", read(*folder, f"{file}.c"), name)
            elif name != "core.h":
                self.assertIn(name, tests if "/" in name else scripts, "tests/unit/raft/core/README.md names what is not there")
        self.assertEqual(scripts - set(named), set(), "scripts that no question of tests/unit/raft/core/README.md leads to")
        for row in rows[2:]:
            self.assertTrue(row.startswith("---") or row == "answered by" or "`" in row or "not asked" in row, row)


if __name__ == "__main__":
    unittest.main()
