#!/usr/bin/env python3
"""stores - the replicated log beside etcd and RabbitMQ's quorum queue: three nodes each on this machine and its one disk, every
write synced by a majority before it is acknowledged; tests/bench/run.sh stores starts it.

Writes: values of one size, so many on their way; the clients share the machine. Ours: proposals of one group, made in the leader's
process (bench_raft_cluster); theirs: over their own protocols (storeput), connections spread over the nodes. Gaps: kill -9 of the
leader under a write (ours: a mail) each 10 ms from clients of the other nodes; the longest time without an acknowledgement."""

import argparse
import glob
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "cluster-test", "lib"))
sys.path.insert(0, os.path.join(ROOT, "tests", "clients"))
import cluster  # noqa: E402
import foreign  # noqa: E402
from node import free_port_run, free_ports  # noqa: E402

PLACE = os.path.join(ROOT, "build", "bench-stores")
ERLANG = ["erlang-" + part for part in ("base", "crypto", "eldap", "inets", "mnesia", "os-mon", "parsetools", "public-key",
                                        "runtime-tools", "ssl", "syntax-tools", "tools", "xmerl", "asn1")]
GAP_SECONDS, GAP_EVERY_MS = 8, 10


class Store:
    """Three processes that are started and ended together."""

    def __init__(self):
        self.folder = os.path.join(PLACE, self.name)
        self.clear()
        self.processes = {}
        self.others = []

    def clear(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)

    def spawn(self, number, command, **environment):
        out = open(os.path.join(self.folder, "%s.out" % number), "ab")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                                   env={"PATH": os.environ["PATH"], "HOME": self.folder, "LANG": "C.UTF-8", **environment})
        out.close()
        return process

    def stop(self):
        for process in list(self.processes.values()) + self.others:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes, self.others = {}, []
        self.clear()

    def kill(self, number):
        os.killpg(self.processes[number].pid, signal.SIGKILL)
        self.processes.pop(number).wait()


class Etcd(Store):
    name, kind = "etcd", "etcd"

    def start(self):
        server = foreign.program("etcd-server", "usr/bin/etcd")
        ports = free_ports(6)
        self.ports = {i + 1: ports[i] for i in range(3)}
        peers = ",".join("e%d=http://127.0.0.1:%d" % (i + 1, ports[3 + i]) for i in range(3))
        for i in range(3):
            client, peer = "http://127.0.0.1:%d" % ports[i], "http://127.0.0.1:%d" % ports[3 + i]
            self.processes[i + 1] = self.spawn(i + 1, [
                server, "--name", "e%d" % (i + 1), "--data-dir", os.path.join(self.folder, str(i + 1)),
                "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", peers, "--quota-backend-bytes", "8000000000",
                "--auto-compaction-mode", "revision", "--auto-compaction-retention", "1000", "--log-level", "warn"])
        cluster.wait_until(lambda: self.leader(), "etcd has a leader", 60)

    def leader(self):
        ends = ",".join("127.0.0.1:%d" % self.ports[i] for i in self.processes)
        said = subprocess.run([foreign.program("etcd-client", "usr/bin/etcdctl"), "--endpoints", ends, "endpoint", "status",
                               "-w", "json"], capture_output=True, text=True, check=False, env={"ETCDCTL_API": "3"}, timeout=30)
        try:
            nodes = json.loads(said.stdout)
        except ValueError:
            return 0
        for number, node in zip(self.processes, nodes):
            status = node["Status"]
            if status["header"]["member_id"] == status.get("leader", 0):
                return number
        return 0


class Rabbit(Store):
    name, kind = "RabbitMQ", "amqp"

    def start(self):
        self.base = os.path.join(foreign.unpack("erlang-base"), "usr/lib/erlang")
        self.bin = glob.glob(os.path.join(self.base, "erts-*/bin"))[0]
        self.rabbit = glob.glob(os.path.join(foreign.unpack("rabbitmq-server"), "usr/lib/rabbitmq/lib/rabbitmq_server-*"))[0]
        libs = ":".join(os.path.join(foreign.unpack(package), "usr/lib/erlang/lib") for package in ERLANG[1:])
        ports = free_ports(7)
        self.ports = {i + 1: ports[i] for i in range(3)}
        self.environment = {"ROOTDIR": self.base, "BINDIR": self.bin, "EMU": "beam", "PROGNAME": "erl",
                            "PATH": self.bin + ":" + os.environ["PATH"], "ERL_EPMD_PORT": str(ports[6]),
                            "ERL_EPMD_ADDRESS": "127.0.0.1",
                            "ERL_LIBS": libs + ":" + os.path.join(self.rabbit, "plugins")}
        with open(os.path.join(self.folder, ".erlang.cookie"), "w") as file:
            file.write("COOKIE")
        os.chmod(os.path.join(self.folder, ".erlang.cookie"), 0o400)
        with open(os.path.join(self.folder, "plugins"), "w") as file:
            file.write("[].\n")
        self.others.append(self.spawn("epmd", [os.path.join(self.bin, "epmd")], **self.environment))
        for i in range(3):
            self.launch(i + 1, ports[3 + i])
            cluster.wait_until(lambda i=i: self.is_running(i + 1), "RabbitMQ node %d runs" % (i + 1), 90)

    def launch(self, number, distribution):
        folder = os.path.join(self.folder, str(number))
        os.makedirs(folder)
        with open(os.path.join(folder, "rabbitmq.conf"), "w") as file:
            file.write("listeners.tcp.local = 127.0.0.1:%d\nloopback_users = none\nlog.console = true\n"
                       "log.console.level = warning\ncluster_formation.peer_discovery_backend = classic_config\n"
                       % self.ports[number] +
                       "".join("cluster_formation.classic_config.nodes.%d = rmq%d@localhost\n" % (i, i) for i in (1, 2, 3)))
        self.processes[number] = self.spawn(number, [
            os.path.join(self.bin, "erlexec"), "-noinput", "-boot", os.path.join(self.base, "bin", "no_dot_erlang"),
            "-kernel", "inet_dist_listen_min", str(distribution), "inet_dist_listen_max", str(distribution),
            "-s", "rabbit", "boot"], RABBITMQ_NODENAME="rmq%d@localhost" % number, RABBITMQ_HOME=self.rabbit,
            RABBITMQ_CONFIG_FILE=os.path.join(folder, "rabbitmq.conf"), RABBITMQ_MNESIA_BASE=folder,
            RABBITMQ_MNESIA_DIR=os.path.join(folder, "mnesia"), RABBITMQ_LOGS="-", RABBITMQ_LOG_BASE=folder,
            RABBITMQ_ENABLED_PLUGINS_FILE=os.path.join(self.folder, "plugins"),
            RABBITMQ_PLUGINS_DIR=os.path.join(self.rabbit, "plugins"), RABBITMQ_DIST_PORT=str(distribution),
            RABBITMQ_NODE_PORT=str(self.ports[number]), RABBITMQ_FEATURE_FLAGS_FILE=os.path.join(folder, "flags"),
            **self.environment)

    def ask(self, number, expression):
        """Evaluates an expression at a node."""
        said = subprocess.run(
            [os.path.join(self.bin, "erlexec"), "-noinput", "-hidden", "-boot", os.path.join(self.base, "bin", "no_dot_erlang"),
             "-sname", "ask%d@localhost" % os.getpid(), "-eval",
             "io:format(\"~p\", [rpc:call('rmq%d@localhost', erlang, apply, [fun() -> ok end, []])]), halt()." % number
             if expression is None else
             "io:format(\"~0p\", [rpc:call('rmq%d@localhost', %s, 5000)]), halt()." % (number, expression)],
            capture_output=True, text=True, check=False, timeout=30,
            env={"HOME": self.folder, "LANG": "C.UTF-8", **self.environment})
        return said.stdout

    def is_running(self, number):
        if self.processes[number].poll() is not None:
            with open(os.path.join(self.folder, "%d.out" % number)) as file:
                raise SystemExit("RabbitMQ does not start:\n" + file.read()[-3000:])
        if "true" not in self.ask(number, "rabbit, is_running, []"):
            return False
        said = self.ask(number, "rabbit_mnesia, cluster_nodes, [running]")
        return all("rmq%d@localhost" % i in said for i in self.processes)

    def leader(self):
        said = self.ask(min(self.processes), "ra_leaderboard, lookup_leader, [\'%2F_bench\']")
        for number in self.processes:
            if "rmq%d@localhost" % number in said:
                return number
        return 0


class Dev:
    """Ours: angarium dev with three nodes, mail kept by the built-in inbox."""
    name = "angarium"

    def __init__(self, build):
        self.binary = os.path.join(build, "node", "angarium")
        self.dir = os.path.join(PLACE, "dev")

    def start(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        base = free_port_run(30)
        subprocess.run([self.binary, "dev", "--nodes", "3", "--dir", self.dir, "--base-port", str(base), "--detach"], check=True,
                       stdout=subprocess.DEVNULL, timeout=120)
        with open(os.path.join(self.dir, "cluster.json")) as file:
            self.nodes = json.load(file)["nodes"]

    def stop(self):
        subprocess.run([self.binary, "dev", "stop", "--dir", self.dir], check=False, stdout=subprocess.DEVNULL, timeout=60)
        shutil.rmtree(self.dir, ignore_errors=True)


# ---- writes


def put(o, store, numbers, *options):
    """storeput against these nodes; a process."""
    return subprocess.Popen([os.path.join(o.build, "tests/bench/storeput"), store.kind, "--to",
                             ",".join("127.0.0.1:%d" % store.ports[i] for i in numbers), *options], stdout=subprocess.PIPE, text=True)


def result(process, seconds):
    out, _ = process.communicate(timeout=seconds)
    if process.returncode != 0:
        raise SystemExit("storeput failed")
    return json.loads(out.strip().split("\n")[-1])


def ours_per_s(o):
    said = subprocess.run([os.path.join(o.build, "tests/bench/bench_raft_cluster"), "load", "--dir", PLACE, "--seconds",
                           str(o.seconds), "--groups", "1", "--bytes", str(o.bytes), "--flight", str(o.flight), "--json"],
                          capture_output=True, text=True, check=True, timeout=120).stdout
    return next(json.loads(line) for line in said.split("\n") if line.startswith("{"))


def bench_writes(o, stores):
    found = {"angarium": []}
    for _ in range(o.pairs):
        found["angarium"].append(ours_per_s(o))
        for store in stores:
            store.start()
            try:
                run = result(put(o, store, (1, 2, 3), "--bytes", str(o.bytes), "--flight", str(o.flight), "--seconds",
                                 str(o.seconds)), o.seconds + 60)
                found.setdefault(store.name, []).append(run)
            finally:
                store.stop()
    print("acknowledged writes a second, %d bytes, %d on their way, 3 nodes, synced by a majority (median, least..most)"
          % (o.bytes, o.flight))
    rates = {name: [run["per_s"] for run in runs] for name, runs in found.items()}
    for name, runs in found.items():
        print("  %-10s %8.0f (%.0f..%.0f)  p50 %.2f ms  p99 %.2f ms" % (
            name, statistics.median(rates[name]), min(rates[name]), max(rates[name]),
            statistics.median(run["p50_ms"] for run in runs), statistics.median(run["p99_ms"] for run in runs)))
    ratios = [ours / max(rates[s.name][i] for s in stores) for i, ours in enumerate(rates["angarium"])]
    return told({"name": "replicated log", "unit": "writes/s", "size": o.bytes, "replicas": 3, "flight": o.flight,
                 "ours": statistics.median(rates["angarium"]), "peers": {s.name: statistics.median(rates[s.name]) for s in stores},
                 "ratios": ratios, "goal": 1.5, "better": "more"})


# ---- gaps


def their_gap(o, store):
    store.start()
    try:
        result(put(o, store, (1,), "--seconds", "1", "--connections", "1", "--flight", "8"), 30)  # the queue is there, led
        leader = cluster.wait_until(store.leader, "somebody leads", 30)
        process = put(o, store, [i for i in (1, 2, 3) if i != leader], "--seconds", str(GAP_SECONDS), "--connections", "2",
                      "--flight", "1000", "--every", str(GAP_EVERY_MS), "--bytes", "2048")
        time.sleep(GAP_SECONDS / 3)
        store.kill(leader)
        return result(process, GAP_SECONDS + 60)["gap_ms"]
    finally:
        store.stop()


def our_gap(o, dev):
    """Mails to the two nodes that live on: the longest time in which neither was answered 250."""
    dev.start()
    try:
        acked = {node["id"]: os.path.join(PLACE, "acked-%d" % node["id"]) for node in dev.nodes[1:]}
        processes = [subprocess.Popen([os.path.join(o.build, "tests/bench/mailgen"), "--to", node["mx"], "--from",
                                       "load@example.org", "--rcpt-domain", "example.test", "--seconds", str(GAP_SECONDS),
                                       "--rate", str(1000 // GAP_EVERY_MS // 2), "--sessions", "8", "--size", "2048",
                                       "--id-prefix", "gap%d" % node["id"], "--acked", acked[node["id"]]],
                                      stdout=subprocess.DEVNULL) for node in dev.nodes[1:]]
        time.sleep(GAP_SECONDS / 3)
        os.kill(dev.nodes[0]["pid"], signal.SIGKILL)
        for process in processes:
            process.wait(GAP_SECONDS + 60)
        times = []
        for path in acked.values():
            with open(path) as file:
                times += [float(line.split()[2]) for line in file]
            os.unlink(path)
        times.sort()
        return max(b - a for a, b in zip(times, times[1:]))
    finally:
        dev.stop()


def bench_gaps(o, stores):
    dev = Dev(o.build)
    gaps = {"angarium": []}
    for _ in range(o.pairs):
        gaps["angarium"].append(our_gap(o, dev))
        for store in stores:
            gaps.setdefault(store.name, []).append(their_gap(o, store))
    print("longest gap between acknowledgements at kill -9 of a leader, ms, clients of the other nodes, one write each %d ms"
          % GAP_EVERY_MS)
    for name, list_ in gaps.items():
        print("  %-10s %8.0f (%.0f..%.0f)" % (name, statistics.median(list_), min(list_), max(list_)))
    ratios = [ours / min(gaps[s.name][i] for s in stores) for i, ours in enumerate(gaps["angarium"])]
    return told({"name": "gap at kill -9", "unit": "ms", "size": 2048, "replicas": 3, "ours": statistics.median(gaps["angarium"]),
                 "peers": {s.name: statistics.median(gaps[s.name]) for s in stores}, "ratios": ratios, "goal": 0.5,
                 "better": "less"})


def told(row):
    ratio = statistics.median(row["ratios"])
    met = ratio >= row["goal"] if row["better"] == "more" else ratio <= row["goal"]
    print("  ours / the better of them: %.2f (%.2f..%.2f), goal %s %g: %s" % (
        ratio, min(row["ratios"]), max(row["ratios"]), ">=" if row["better"] == "more" else "<=", row["goal"],
        "met" if met else "MISSED"), flush=True)
    return {**row, "ratio": ratio}


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh stores", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=("writes", "gaps"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each run")
    parser.add_argument("--bytes", type=int, default=4096)
    parser.add_argument("--flight", type=int, default=64, help="writes on their way")
    parser.add_argument("--json", metavar="FILE", help="one object a row")
    o = parser.parse_args()
    o.build = os.path.dirname(os.path.dirname(os.path.abspath(o.binary)))
    shutil.rmtree(PLACE, ignore_errors=True)
    os.makedirs(PLACE)
    rows = []
    try:
        print("load %.1f on %d cores" % (os.getloadavg()[0], os.cpu_count()))
        stores = [Etcd(), Rabbit()]
        for name, bench in (("writes", bench_writes), ("gaps", bench_gaps)):
            if o.only in (None, name):
                rows.append(bench(o, stores))
    finally:
        shutil.rmtree(PLACE, ignore_errors=True)
    if o.json:
        with open(o.json, "w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
