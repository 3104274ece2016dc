#!/usr/bin/env python3
"""house_test - small trees, one for each rule: the checker fails on them, and on nothing else."""

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)

import house  # noqa: E402 (it stands beside this file)

HEAD = "/* x - for a test. */\n"

GOOD = {
    "proto/ground/buf.h": "#include <stdint.h>\n#include <sys/types.h>\n",
    "proto/ground/buf.c": HEAD + '#include "proto/ground/buf.h"\n#include <pthread.h>\n',
    "proto/ground/clock.c": HEAD + "#include <time.h>\nint v = clock_gettime(0, 0);\n",
    "proto/proto.h": '#include "proto/ground/buf.h"\n#include "proto/queue.pb-c.h"\n',
    "proto/pack.c": HEAD + "#include <protobuf-c/protobuf-c.h>\n",
    "node/smtp/command.h": '#include "proto/ground/buf.h"\n',
    "node/smtp/data.c": HEAD + '#include "node/smtp/command.h"\n#include <idn2.h>\n',
    "node/mail/dkim.h": "#include <openssl/evp.h>\n#include <stdio.h>\n#include <xxhash.h>\n",
    "node/net/tls.h": "#include <openssl/ssl.h>\n#include <uv.h>\n#include <netdb.h>\n",
    "node/net/dns.c": HEAD + '#include "node/net/tls.h"\n#include "tls.h"\n#include <unbound.h>\n',
    "raft/core/core.h": '#include "proto/ground/buf.h"\n',
    "raft/core/inner.h": "",
    "raft/core/core.c": HEAD + '#include "raft/core/inner.h"\n#include "inner.h"\n',
    "raft/store/store.h": '#include "raft/core/core.h"\n',
    "raft/store/rocks.c": HEAD + "#include <isa-l/crc.h>\n#include <rocksdb/c.h>\n",
    "raft/wire/wire.c": HEAD + "#include <nng/nng.h>\n#include <openssl/ssl.h>\n",
    "raft/raft.h": '#include "raft/core/core.h"\n#include "raft/store/store.h"\n',
    "raft/engine/engine.c": HEAD + '#include "raft/raft.h"\n#include "node/net/tls.h"\n',
    "queue/queue.h": '#include "proto/proto.h"\n#include "proto/queue.pb-c.h"\n',
    "queue/store_rocks.c": HEAD + "#include <rocksdb/c.h>\n#include <uthash.h>\n",
    "node/settings/settings.c": HEAD + "#include <yaml.h>\n",
    "node/commit/commit.h": '#include "raft/raft.h"\n#include "queue/queue.h"\n',
    "node/accept/accept.h": '#include "node/commit/commit.h"\n#include <sodium.h>\n',
    "node/accept/verb_data.c": HEAD + '#include "node/accept/accept.h"\n',
    "node/ops/route_queue.c": HEAD + "#include <jansson.h>\n#include <curl/curl.h>\n"
                                      "#include <openssl/x509.h>\n",
    "node/node.h": "",
    "node/main.c": HEAD + '#include "node/node.h"\n#include "node/accept/accept.h"\n',
    "tests/unit/x.c": HEAD + "#include <setjmp.h>\n#include <cmocka.h>\n#include \"raft/core/inner.h\"\n"
                             "int f(void)\n{\n    return setjmp(0) + sleep(1);\n}\n",
    "tests/fuzz/corpus/common-data.txt": "TODO",
    "docs/database.md": "TODO",
}

# What is no call, no include and no note.
HARMLESS = HEAD + r"""
/* strcpy(a, b) and #include "node/ops/ops.h" in a comment */
// atoi("1")
static const char *text = "system(\"x\") TODO 'gets(' \\";
static char quote = '"', other = '\'';
int my_time(int);
int f(struct s *s)
{
    s->time(1);
    s->clock.time(1);
    my_time(1);
    gmtime_r(0, 0);
    assert_true(1);
    _Static_assert(1, "strcpy(");
    mkstemp("fooXXXXXX");
    return s->random + rand_seed(1);
}
#if 0
/* "
#endif
unclosed? no: */
"""


def build(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)


def check(files):
    """What the checker says about a tree of these files."""
    with tempfile.TemporaryDirectory() as root:
        build(root, files)
        return ["%s:%d: %s" % complaint for complaint in house.House(root).run()]


def call(files):
    """The same from the command line: (exit code, lines of output)."""
    with tempfile.TemporaryDirectory() as root:
        build(root, files)
        done = subprocess.run([sys.executable, os.path.join(HERE, "house.py"), "--root", root],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              universal_newlines=True, check=False)
    return done.returncode, done.stdout.splitlines()


class HouseTest(unittest.TestCase):
    def assert_complains(self, path, text, line, part):
        """The good tree with this file more fails with this one complaint."""
        lines = check({**GOOD, path: text})
        self.assertEqual(len(lines), 1, (path, text, lines))
        self.assertTrue(lines[0].startswith("%s:%d: " % (path, line)), lines[0])
        self.assertIn(part, lines[0])
        self.assertIn("; ", lines[0])

    def assert_include_complains(self, path, header, part):
        self.assert_complains(path, HEAD + "\n#include %s\n" % header, 3, part)

    def test_a_good_tree_passes(self):
        code, lines = call(GOOD)
        self.assertEqual((code, lines), (0, ["house: %d files, ok" % (len(GOOD) - 1)]))

    def test_a_bad_tree_fails(self):
        code, lines = call({"node/ops/x.c": HEAD + "int v = atoi(1) + rand();\n", "node/ops/y.c": ""})
        self.assertEqual((code, len(lines)), (1, 3))
        self.assertTrue(lines[0].startswith("node/ops/x.c:2: atoi() is banned; "))

    def test_harmless_words_pass(self):
        self.assertEqual(check({"node/net/x.c": HARMLESS}), [])

    def test_upward(self):
        for path, header in (("proto/ground/x.c", '"proto/proto.h"'),
                             ("proto/x.c", '"queue/queue.h"'),
                             ("raft/core/x.c", '"raft/raft.h"'),
                             ("raft/core/x.c", '"raft/store/store.h"'),
                             ("node/net/x.c", '"node/settings/settings.h"'),
                             ("node/commit/x.c", "<node/accept/accept.h>"),
                             ("node/commit/x.c", '"../accept/accept.h"'),
                             ("node/emit/x.c", '"node/ops/ops.h"'),
                             ("node/ops/x.c", '"node/node.h"')):
            self.assert_include_complains(path, header, "upward")

    def test_sideways(self):
        for path, header in (("node/smtp/x.c", '"node/mail/dkim.h"'),
                             ("router/x.c", '"queue/queue.h"'),
                             ("raft/store/x.c", '"node/net/tls.h"'),
                             ("raft/engine/x.c", '"node/settings/settings.h"'),
                             ("node/accept/x.c", '"node/emit/emit.h"')):
            self.assert_include_complains(path, header, "sideways")

    def test_private_headers(self):
        self.assert_include_complains("raft/store/x.c", '"raft/core/inner.h"', "raft/core/core.h")
        self.assert_include_complains("node/commit/x.c", '"queue/table.h"', "queue/queue.h")
        self.assert_include_complains("node/commit/x.c", '"raft/engine/engine.h"', "raft/raft.h")
        self.assert_include_complains("queue/x.c", '"proto/pack.h"', "proto/proto.h")
        self.assert_include_complains("node/ops/x.c", '"node/accept/session.h"', "accept/accept.h")

    def test_the_program_never_includes_tests(self):
        self.assert_include_complains("node/ops/x.c", '"tests/lib/sim.h"', "leans on its tests")

    def test_foreign_libraries(self):
        for path, header in (("node/accept/x.c", "<uv.h>"),
                             ("node/accept/x.c", '"uv.h"'),
                             ("node/smtp/x.c", "<openssl/evp.h>"),
                             ("node/mail/x.c", "<openssl/ssl.h>"),
                             ("queue/x.c", "<rocksdb/c.h>"),
                             ("raft/engine/x.c", "<rocksdb/c.h>"),
                             ("node/deliver/x.c", "<unbound.h>"),
                             ("node/ops/x.c", "<llhttp.h>"),
                             ("node/ops/x.c", "<yaml.h>"),
                             ("node/emit/x.c", "<jansson.h>"),
                             ("node/emit/x.c", "<curl/curl.h>"),
                             ("node/net/x.c", "<sodium.h>"),
                             ("queue/x.c", "<protobuf-c/protobuf-c.h>"),
                             ("raft/engine/x.c", "<nng/nng.h>"),
                             ("raft/store/x.c", "<openssl/ssl.h>"),
                             ("router/x.c", "<idn2.h>"),
                             ("proto/ground/x.c", "<xxhash.h>"),
                             ("proto/x.c", "<uthash.h>"),
                             ("proto/x.c", "<utlist.h>")):
            self.assert_include_complains(path, header, "no right")

    def test_generated_headers(self):
        for room in ("proto/ground", "node/smtp", "node/mail", "router", "raft/core", "raft/store",
                     "raft/engine"):
            self.assert_include_complains(room + "/x.c", '"proto/queue.pb-c.h"', "no right")

    def test_unknown_headers(self):
        self.assert_include_complains("node/ops/x.c", "<boost.h>", "unknown header")
        self.assert_include_complains("node/ops/x.c", '"nowhere.h"', "unknown header")
        self.assert_include_complains("node/ops/x.c", "HEADER", "no plain name")

    def test_pure_rooms(self):
        for header in ("pthread.h", "sys/socket.h", "unistd.h", "fcntl.h", "time.h", "netdb.h",
                       "sys/time.h", "poll.h", "sys/epoll.h"):
            self.assert_include_complains("queue/x.c", "<%s>" % header, "pure")
        for room in ("node/smtp", "node/mail", "raft/core", "router", "queue"):
            text = HEAD + "int f(void)\n{\n    printf(1);\n}\n"
            self.assert_complains(room + "/x.c", text, 4, "pure")
        for word in ("fopen(1)", "fprintf(1)", "FILE *x"):
            self.assert_complains("router/x.h", word + ";\n", 1, "pure")
        harmless = HEAD + "int snprintf();\n__attribute__((format(printf, 1, 2)))\n"
        self.assertEqual(check({"router/x.c": harmless}), [])
        self.assertEqual(check({"node/ops/x.c": HEAD + "FILE *f = fopen(1);\n"}), [])

    def test_banned_calls(self):
        for name in ("strcpy strcat sprintf vsprintf gets strtok atoi atol atof rand srand random "
                     "drand48 alloca sscanf system popen localtime ctime asctime gmtime assert "
                     "time clock_gettime gettimeofday").split():
            for path in ("node/ops/x.c", "tests/unit/y.c"):
                text = HEAD + "\nint v = %s (1);\n" % name
                self.assert_complains(path, text, 3, name + "() is banned")
        for name in ("setjmp", "longjmp", "sleep", "usleep"):
            self.assert_complains("node/ops/x.c", HEAD + "int v = %s(1);\n" % name, 2, "is banned")
        for room in ("raft/store", "node/net"):
            self.assert_complains(room + "/x.c", HEAD + "int v = clock_gettime(1);\n", 2, "struct clock")
        self.assert_complains("proto/ground/clock.c", HEAD + "int v = time(0);\n", 2, "is banned")

    def test_banned_headers(self):
        self.assert_include_complains("node/ops/x.c", "<assert.h>", "CHECK")
        self.assert_include_complains("tests/unit/y.c", "<assert.h>", "CHECK")
        self.assert_include_complains("node/ops/x.c", "<setjmp.h>", "banned")
        self.assert_include_complains("node/ops/x.c", "<alloca.h>", "banned")

    def test_notes(self):
        for word in ("TODO", "FIXME", "XXX"):
            self.assert_complains("node/ops/x.c", HEAD + "\n/* %s: later */\n" % word, 3, word)
            self.assert_complains("deploy/x.sh", "# %s\n" % word, 1, word)
            self.assert_complains("proto/x.proto", "\n// %s(me)\n" % word, 2, word)

    def test_opening_comment(self):
        for text in ("", "\n" + HEAD, "#include <stdint.h>\n", "// x\n"):
            self.assert_complains("node/ops/x.c", text, 1, "opening comment")

    def test_file_names(self):
        for path in ("docs/manager.md", "docs/queue_managers.md", "docs/EventHandler.md",
                     "docs/string-utils.md", "docs/common.md", "docs/misc.md", "docs/data.md",
                     "docs/mail_data.md", "docs/info.md", "docs/node-info.md"):
            self.assert_complains(path, "", 1, "the file name says")
        for path in ("docs/metadata.md", "docs/information.md", "node/deliver/verb_data.c",
                     "tests/unit/node/smtp/data.c", "tests/fuzz/node/smtp/data.c"):
            self.assertEqual(check({path: HEAD}), [], path)

    def test_no_room(self):
        self.assert_complains("deploy/x.c", HEAD, 1, "no room")
        self.assert_complains("node/web/x.c", HEAD, 1, "no room")


if __name__ == "__main__":
    unittest.main()
