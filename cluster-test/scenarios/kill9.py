#!/usr/bin/env python3
"""kill9 - a node under load is killed hundreds of times; nothing that was answered 250 may be missing.

Checks at the end: every mail answered 250 arrived with all its recipients and unchanged; what arrived
twice was in doubt; nothing arrived that was not sent; the audit agrees.
Use: kill9.py [--build build/dev] [--rounds 200] [--seed N] [--audit-every K] [--dir DIR]
"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import crash  # noqa: E402

if __name__ == "__main__":
    sys.exit(crash.finish(crash.Crash("kill9", crash.options("kill9", rounds=200, audit_every=20))))
