#!/usr/bin/env python3
"""replies - writes what docs/protocol says of the server's replies from the one table in the code, SMTP_REPLY_TABLE of
node/smtp/reply.h; and the story that replays the example session of docs/protocol/smtp.md.

Use: replies.py (writes), replies.py --check (ends with 1 when a file is not what it would write).
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENT = "docs/protocol/smtp.md"
LIST = "docs/protocol/replies.csv"
STORY = "tests/conformance/accept/a-example-session.smtp"
BEGIN, END = "<!-- replies: written by tests/house/replies.py -->", "<!-- end of replies -->"
OTHERS = [  # the two that are not in the table: they begin with the host's name
    ("GREETING", "220", "", "<hostname> ESMTP ready", "the greeting: one line; say EHLO"),
    ("HELLO", "250", "", "<hostname>", "to HELO; to EHLO the first line, and what is offered behind it"),
]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def table():
    """(name, code, enhanced, text, note) of every reply, in the order of the codes."""
    text = read("node/smtp/reply.h").replace("\\\n", "\n")
    part = text[text.index("#define SMTP_REPLY_TABLE(X)"):text.index("#define SMTP_REPLY_ENUM_")]
    rows = re.findall(r'X\((\w+), (\d+), "([^"]*)",\s*"([^"]*)",\s*"([^"]*)"\)', part)
    assert len(rows) == len(re.findall(r"\bX\(", part)), "a row of SMTP_REPLY_TABLE cannot be read"
    return sorted(OTHERS + rows, key=lambda row: row[1])


def shown(text):
    return text.replace("<", "&lt;").replace(">", "&gt;") if "<" in text else text


def markdown():
    lines = [BEGIN, "", "| code | enhanced | text | when, and what to do |", "|---|---|---|---|"]
    lines += [f"| {code} | {enhanced} | {shown(text)} | {note} |" for _, code, enhanced, text, note in table()]
    return "\n".join(lines + ["", END])


def comma_separated():
    def field(s):
        return '"' + s.replace('"', '""') + '"'
    return "\n".join(["name,code,enhanced,text,note"] + [",".join(map(field, row)) for row in table()]) + "\n"


def story():
    """The block of the document that begins with the greeting, as words of tests/conformance."""
    document = read(DOCUMENT)
    block = re.search(r"```\n(S: 220 .*?)```", document, re.S).group(1)
    out = ["# C051, C052; written by tests/house/replies.py from the example session of docs/protocol/smtp.md", "carries binary", "listener submission"]
    for line in block.splitlines():
        who, text = line[:3], re.sub(r"\s+#.*", "", line[3:])
        if who == "S: ":
            text = re.sub(r"queued as \w+$", "queued as *", text.replace("relay.example.test", "relay.test"))
            out.append("expect " + text)
        elif who.strip() == "C:":
            out.append("say " + text)
        elif line == "(TLS handshake)":
            out.append("handshake")
        elif line.strip():
            raise ValueError("what is this line of the example session? " + line)
    return "\n".join(out + ["closed", "count mails 1", "mail-from hello@example.test", "mail-to 0 you@example.org example.org"]) + "\n"


def wanted():
    document = read(DOCUMENT)
    inside = document[document.index(BEGIN):document.index(END) + len(END)]
    return {DOCUMENT: document.replace(inside, markdown()), LIST: comma_separated(), STORY: story()}


def stale():
    """The files that are not what they should be."""
    return [path for path, text in wanted().items()
            if not os.path.exists(os.path.join(ROOT, path)) or read(path) != text]


def main():
    if "--check" in sys.argv[1:]:
        for path in stale():
            print(f"{path}: not what the code and the document say now: run tests/house/replies.py")
        return 1 if stale() else 0
    for path, text in wanted().items():
        with open(os.path.join(ROOT, path), "w", encoding="utf-8") as f:
            f.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
