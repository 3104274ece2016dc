#!/usr/bin/env python3
"""house - reads the tree and fails where a file breaks a rule of the house.

Rules: includes go down the floors only, and to public headers; a foreign library stays in the rooms
that are given it; pure rooms touch no system; some calls and words are banned; every .c opens with
what it is for. The tables below are the rules: change them together with docs/ARCHITECTURE.md.

Use: house.py [--root DIR]. Prints file:line: what and what to do; ends with 1 when there was any.
"""

import argparse
import fnmatch
import os
import re
import sys

# ---- the tables ----------------------------------------------------------------------------------

FLOORS = {
    "proto/ground": 0,
    "proto": 1,
    "node/smtp": 2, "node/mail": 2, "node/control": 2, "raft/core": 2, "router": 2, "queue": 2,
    "raft/store": 3, "raft/wire": 3, "node/net": 3,
    "raft/engine": 4, "node/peer": 4, "node/settings": 4, "node/login": 4,
    "node/commit": 5, "node/cluster": 5,
    "node/accept": 6, "node/deliver": 6, "node/emit": 6,
    "node/ops": 7,
    "node": 8,
}
# A folder whose own files (not its sub-folders) belong to another room.
BELONGS = {"raft": "raft/engine"}
# Folders that may include anything of ours and of others.
FREE = ("tests", "cluster-test")
# Rooms that are toolboxes: each header is public.
TOOLBOXES = {"proto/ground", "node/net", "node/smtp", "node/mail"}
# The public headers of the others; where a room is not named, it is folder/folder.h.
PUBLIC = {"raft/engine": {"raft/raft.h"},
          "node/settings": {"node/settings/settings.h", "node/settings/records.h"}}

PURE = {"node/smtp", "node/mail", "node/control", "raft/core", "router", "queue"}
PURE_BANNED_HEADERS = {
    "pthread.h", "sys/socket.h", "unistd.h", "fcntl.h", "time.h", "netdb.h", "sys/time.h", "poll.h",
    "sys/epoll.h",
}
PURE_BANNED_WORDS = ("fopen", "printf", "fprintf", "FILE")

FLOOR_2_UP = {room for room, floor in FLOORS.items() if floor >= 2}
GENERATED = "proto/*.pb-c.h"
GENERATED_ROOMS = {room for room, floor in FLOORS.items() if floor >= 1} - {
    "node/smtp", "node/mail", "router", "raft/core", "raft/store", "raft/engine",
}

# (headers, rooms that may include them); the first row that names header and room decides.
FOREIGN = (
    ("uv.h", {"node/net"}),
    ("openssl/evp.h", {"node/net", "node/mail", "node/ops"}),
    ("openssl/*", {"node/net", "node/ops", "raft/wire"}),
    ("unbound.h", {"node/net"}),
    ("llhttp.h", {"node/net"}),
    ("rocksdb/c.h", {"raft/store", "queue/store_rocks.c"}),
    ("isa-l/crc.h", {"raft/store"}),
    ("yaml.h", {"node/settings"}),
    ("jansson.h", {"node/ops", "node/login"}),
    ("curl/*", {"node/ops", "node/login"}),
    ("sodium.h", {"node/accept", "node/ops"}),
    ("nng/*", {"raft/wire"}),
    ("idn2.h", {"node/smtp", "node/mail"}),
    ("protobuf-c/*", {"proto"}),
    ("proto/raft.pb-c.h", {"raft/engine"}), # frames and configurations: no commands
    (GENERATED, GENERATED_ROOMS),
    ("xxhash.h", FLOOR_2_UP),
    ("uthash.h", FLOOR_2_UP),
    ("utlist.h", FLOOR_2_UP),
)

LIBC = set("""
    complex ctype errno fenv float inttypes iso646 limits locale math signal stdalign stdarg stdatomic
    stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype
    aio dirent dlfcn fcntl fmtmsg fnmatch ftw glob grp iconv langinfo libgen mqueue netdb nl_types poll
    pthread pwd regex resolv sched search semaphore spawn strings syslog termios unistd utime wordexp
    byteswap endian execinfo features getopt ifaddrs malloc
""".split())
LIBC_FOLDERS = ("arpa/*", "net/*", "netinet/*", "sys/*", "linux/*", "sanitizer/*")

BANNED_HEADERS = {
    "assert.h": "use CHECK of proto/ground/check.h, or _Static_assert",
    "alloca.h": "use an array of fixed size, or an arena",
    "setjmp.h": "return an error code",
}
CLOCK = "take the time as an argument, or ask a struct clock (proto/ground/clock.h)"
NO_TIME_ZONE = "use clock_rfc3339 or clock_rfc5322 (proto/ground/clock.h)"
SEEDED = "use struct rng (proto/ground/rng.h), or the library's generator for secrets"
NO_SHELL = "no shell; call what you need"
NUMBER = "use span_u64 (proto/ground/span.h)"
BOUNDED = "use struct buf or snprintf"
BANNED_CALLS = {
    "strcpy": BOUNDED, "strcat": BOUNDED, "sprintf": BOUNDED, "vsprintf": BOUNDED, "gets": BOUNDED,
    "strtok": "use span_find", "sscanf": "use a cursor or span_u64",
    "atoi": NUMBER, "atol": NUMBER, "atof": NUMBER,
    "rand": SEEDED, "srand": SEEDED, "random": SEEDED, "drand48": SEEDED,
    "alloca": BANNED_HEADERS["alloca.h"],
    "system": NO_SHELL, "popen": NO_SHELL,
    "localtime": NO_TIME_ZONE, "ctime": NO_TIME_ZONE, "asctime": NO_TIME_ZONE, "gmtime": NO_TIME_ZONE,
    "assert": BANNED_HEADERS["assert.h"],
    "time": CLOCK, "clock_gettime": CLOCK, "gettimeofday": CLOCK,
}
BANNED_CALLS_BUT_TESTS = {
    "setjmp": BANNED_HEADERS["setjmp.h"], "longjmp": BANNED_HEADERS["setjmp.h"],
    "sleep": "use a timer of the loop", "usleep": "use a timer of the loop",
}
CALLS_ALLOWED = {"proto/ground/clock.c": {"clock_gettime"}}

BANNED_PARTS = ("manager", "handler", "util", "common", "misc")  # anywhere in a file's name
BANNED_WORDS = ("data", "info")                                  # as a word of it
# DATA is a word of SMTP: its verb and its framing bear its name.
NAMES_ALLOWED = re.compile(r"(^|/)(verb_data|node/smtp/data)\.\w+$")

NOTES = re.compile(r"\b(TODO|FIXME|XXX)\b")
NOTES_SUFFIXES = (".c", ".h", ".py", ".sh", ".proto", ".cmake", ".js", ".ts", ".css", "CMakeLists.txt")
SKIPPED_FOLDERS = {".git", "build", "angarium-dev", "__pycache__", "node_modules", "corpus"}
NOTES_SKIPPED = "tests/house/"  # this file names what it bans

# ---- reading C -----------------------------------------------------------------------------------

COMMENT_OR_STRING = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)
INCLUDE = re.compile(r"""^[ \t]*\#[ \t]*include\b[ \t]*(<[^>\n]+>|"[^"\n]+")?""", re.M)


def blank(text, comments, strings):
    """The text with spaces in place of comments or strings; the lines stay where they are."""

    def paint(match):
        token = match.group()
        is_comment = token.startswith("/")
        if (comments if is_comment else strings):
            return re.sub(r"[^\n]", " ", token)
        return token

    return COMMENT_OR_STRING.sub(paint, text)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


# ---- rooms ---------------------------------------------------------------------------------------


def is_free(path):
    return path.split("/")[0] in FREE


def room_of(path):
    """The room a file of ours belongs to; None when it stands in no room."""
    folder = os.path.dirname(path)
    if folder in BELONGS:
        return BELONGS[folder]
    if folder == "node":
        return "node"
    while folder:
        if folder in FLOORS and folder != "node":
            return folder
        folder = os.path.dirname(folder)
    return None


def public_headers(room):
    return PUBLIC.get(room, {"%s/%s.h" % (room, os.path.basename(room))})


def is_public(room, header):
    if room in TOOLBOXES:
        return True
    return header in public_headers(room)


def foreign_rooms(header):
    """Rooms that may include it; None when no row of the table names it."""
    for pattern, rooms in FOREIGN:
        if fnmatch.fnmatch(header, pattern):
            return rooms
    return None


def is_libc(header):
    if header.endswith(".h") and header[:-2] in LIBC:
        return True
    return any(fnmatch.fnmatch(header, pattern) for pattern in LIBC_FOLDERS)


# ---- the checker ---------------------------------------------------------------------------------


class House:
    def __init__(self, root):
        self.root = root
        self.complaints = []
        self.file_count = 0

    def complain(self, path, line, what, remedy):
        self.complaints.append((path, line, "%s; %s" % (what, remedy)))

    def exists(self, path):
        return os.path.isfile(os.path.join(self.root, path))

    def run(self):
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(f for f in folders if f not in SKIPPED_FOLDERS)
            for name in sorted(names):
                self.check_file(os.path.relpath(os.path.join(folder, name), self.root))
        return self.complaints

    def check_file(self, path):
        self.file_count += 1
        self.check_name(path)
        if not path.endswith(NOTES_SUFFIXES):
            return
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
            text = file.read()
        is_c = path.endswith((".c", ".h"))
        if not path.startswith(NOTES_SKIPPED):
            self.check_notes(path, blank(text, False, True) if is_c else text)
        if is_c:
            self.check_c(path, text)

    def check_name(self, path):
        name = os.path.basename(path).lower()
        if NAMES_ALLOWED.search(path):
            return
        words = re.split(r"[^a-z0-9]+", name)
        bad = [part for part in BANNED_PARTS if part in name]
        bad += [word for word in BANNED_WORDS if word in words]
        for word in bad:
            self.complain(path, 1, "the file name says '%s'" % word, "name what it does or holds")

    def check_notes(self, path, text):
        for match in NOTES.finditer(text):
            self.complain(path, line_of(text, match.start()), "%s in code" % match.group(),
                          "do it now, or open an issue and leave no note")

    def check_c(self, path, text):
        if path.endswith(".c") and not text.startswith("/*"):
            self.complain(path, 1, "no opening comment",
                          "say in a block comment on the first line what the file is for")
        if not is_free(path) and room_of(path) is None:
            self.complain(path, 1, "stands in no room of the house",
                          "move it to a room, or give its folder a floor in tests/house/house.py")
            return
        self.check_includes(path, blank(text, True, False))
        self.check_calls(path, blank(text, True, True))

    # includes

    def check_includes(self, path, text):
        for match in INCLUDE.finditer(text):
            line = line_of(text, match.start())
            name = match.group(1)
            if name is None:
                self.complain(path, line, "an #include that is no plain name", "write the name out")
            else:
                self.check_include(path, line, name[1:-1], name[0] == '"')

    def check_include(self, path, line, header, is_quoted):
        if header in BANNED_HEADERS and not (header == "setjmp.h" and is_free(path)):
            self.complain(path, line, "%s is banned" % header, BANNED_HEADERS[header])
            return
        if is_free(path):
            return
        ours = self.find_ours(path, header, is_quoted)
        rooms = foreign_rooms(header)
        if ours:
            self.check_floor(path, line, ours)
        elif rooms is not None:
            self.check_foreign(path, line, header, rooms)
        elif is_libc(header):
            self.check_pure_header(path, line, header)
        else:
            self.complain(path, line, "unknown header %s" % header,
                          "a header of ours needs its path from the root; a library needs a row in "
                          "the table of tests/house/house.py")

    def find_ours(self, path, header, is_quoted):
        """The path of a header of ours from the root; None for one of others."""
        if fnmatch.fnmatch(header, GENERATED):
            return None
        if is_quoted:
            beside = os.path.normpath(os.path.join(os.path.dirname(path), header))
            if self.exists(beside):
                return beside
        if self.exists(header) or room_of(header) or is_free(header):
            return os.path.normpath(header)
        return None

    def check_floor(self, path, line, header):
        own, other = room_of(path), room_of(header)
        if is_free(header) or other is None:
            self.complain(path, line, "includes %s, which is in no room" % header,
                          "the program never leans on its tests")
        elif own != other and FLOORS[other] == FLOORS[own]:
            self.complain(path, line, "sideways: %s and %s are neighbours on floor %d, %s" %
                          (own, other, FLOORS[own], header),
                          "let a room above join them, or move what both need below")
        elif FLOORS[other] > FLOORS[own]:
            self.complain(path, line, "upward: %s (floor %d) includes %s (floor %d)" %
                          (own, FLOORS[own], header, FLOORS[other]),
                          "take a call-back or move what both need below")
        elif own != other and not is_public(other, header):
            self.complain(path, line, "%s is private to %s" % (header, other),
                          "include %s" % " or ".join(sorted(public_headers(other))))

    def check_foreign(self, path, line, header, rooms):
        if path in rooms or room_of(path) in rooms:
            return
        self.complain(path, line, "%s has no right to %s" % (room_of(path), header),
                      "use it through %s" % ", ".join(sorted(rooms)))

    def check_pure_header(self, path, line, header):
        if room_of(path) in PURE and header in PURE_BANNED_HEADERS:
            self.complain(path, line, "%s is pure and includes %s" % (room_of(path), header),
                          "take what you need as an argument")

    # calls

    def check_calls(self, path, text):
        banned = dict(BANNED_CALLS)
        if not is_free(path):
            banned.update(BANNED_CALLS_BUT_TESTS)
        for name in CALLS_ALLOWED.get(path, ()):
            del banned[name]
        for name, line in self.find_words(text, banned, r"[ \t\n]*\("):
            self.complain(path, line, "%s() is banned" % name, banned[name])
        if room_of(path) in PURE and not is_free(path):
            for name, line in self.find_words(text, PURE_BANNED_WORDS, ""):
                self.complain(path, line, "%s in the pure room %s" % (name, room_of(path)),
                              "fill a buffer of the caller")

    @staticmethod
    def find_words(text, words, after):
        """Where the words stand, and are no members (x.time(), x->time())."""
        pattern = r"(?<![\w.])(?<!->)(%s)\b%s" % ("|".join(map(re.escape, words)), after)
        for match in re.finditer(pattern, text):
            line_start = text.rfind("\n", 0, match.start()) + 1
            before = text[line_start:match.start()]
            if not re.search(r"__attribute__\s*\(\(\s*format\s*\(\s*$", before):
                yield match.group(1), line_of(text, match.start())


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description="fails where a file breaks a rule of the house")
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(here)))
    house = House(parser.parse_args().root)
    for path, line, text in house.run():
        print("%s:%d: %s" % (path, line, text))
    if house.complaints:
        print("house: %d complaints" % len(house.complaints), file=sys.stderr)
        return 1
    print("house: %d files, ok" % house.file_count)
    return 0


if __name__ == "__main__":
    sys.exit(main())
