"""Shards that are spread over zones, with real processes: each stays in its region, and a region goes on when it is cut off from
the other one. A region drains: everything moves away."""
import re

import cluster
from regions_test import Town, settled, voters


def main():
    t = Town(cluster.place_for("region_drain"), 6, 2, "zone")
    try:
        cluster.wait_until(lambda: settled(t, 24, lambda regions: len(regions) == 1), "each shard in one region", 90)
        t.signal(2, "STOP")
        cluster.wait_until(lambda: t.is_ready(1) and t.send(1) == 250, "region 1 goes on alone")
        t.signal(2, "CONT")
        cluster.wait_until(lambda: all(t.is_ready(n) for n in range(1, 7)), "all are back")
        assert t.run("shard", "create", "--spread", "rack").returncode != 0
        assert t.run("shard", "create", "--spread", "region").returncode == 0
        cluster.wait_until(lambda: len({t.region_of(n) for n in voters(t).get(25, [])}) == 2, "one shard in both regions")
        dry = t.run("region", "drain", "region-2", "--dry-run")
        assert dry.returncode == 0 and "voters" in dry.stdout + dry.stderr, dry
        assert re.search(r"region-2 +3 +3 +3 ", t.run("region", "ls").stdout), t.run("region", "ls").stdout
        assert t.run("region", "drain", "nowhere").returncode == 3
        done = t.run("region", "drain", "region-2")
        assert done.returncode == 0 and "hold nothing" in done.stderr, done
        assert re.search(r"region-2 +3 +3 +0 +0 +0", t.run("region", "ls").stdout), "it returned before all was moved"
        again = t.run("region", "drain", "region-2")
        assert again.returncode == 0 and "draining already" in again.stdout, again
        assert t.run("region", "drain", "region-1").returncode == 5, "nobody else could take it"
        assert t.send(1) == 250 and t.send(2) == 250, "also where nothing is held"
    finally:
        t.signal(2, "CONT")
        t.c.stop()
    print("a region cut off, a region drained")


if __name__ == "__main__":
    main()
