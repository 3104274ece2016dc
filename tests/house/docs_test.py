"""Documents that repeat facts of the code say what the code says: replies, settings, files of ARCHITECTURE.md, links."""
import os
import re
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def replies():
    """(name, code, enhanced, text) of every reply that the server can send."""
    text = read("node", "smtp", "reply.h").replace("\\\n", "\n")
    table = text[text.index("#define SMTP_REPLY_TABLE(X)"):text.index("#define SMTP_REPLY_ENUM_")]
    return re.findall(r'X\((\w+), (\d+), "([^"]*)",\s*"([^"]*)"\)', table)


def settings():
    text = read("node", "settings", "settings_table.h")
    return re.findall(r"X\((\w+), (\w+), [A-Z_]+, (NULL|\"[^\"]*\")", text)


class Docs(unittest.TestCase):
    def test_every_reply_is_in_the_protocol_document(self):
        document = read("docs", "protocol", "smtp.md")
        found = replies()
        self.assertGreater(len(found), 40)
        for name, code, enhanced, text in found:
            row = f"| {code} | {enhanced} | {text} |"
            self.assertIn(row, document, f"docs/protocol/smtp.md lacks the row of {name}: {row}")
        rows = [line for line in document.splitlines() if re.match(r"\| \d{3} \|", line)]
        self.assertEqual(len(rows), len(found), "docs/protocol/smtp.md has a reply that the code does not send")

    def test_every_setting_is_in_the_operating_document(self):
        document = read("docs", "operating", "node.md")
        for section, key, _ in settings():
            self.assertIn(f"`{section}.{key}`", document, f"docs/operating/node.md lacks {section}.{key}")

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


if __name__ == "__main__":
    unittest.main()
