/* example - as raft/README.md shows it: three nodes that keep one number, in one program. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "proto/ground/clock.h"
#include "raft/raft.h"

struct node {
    struct raft *raft;
    struct raft_group *group;
    struct wire wire;
    struct wire_events events;
    unsigned number;
} nodes[4]; /* 1, 2, 3 */

static void apply(void *arg, const struct raft_entry *e) /* on each node, in the same order */
{
    ((struct node *)arg)->number += e->head.p[0];
}
static bool proposed;
static void on_done(struct raft_proposal *p, enum raft_answer a, uint64_t index, uint64_t term)
{
    (void)p, (void)term;
    printf("entry %d is %s\n", (int)index,
           a == RAFT_COMMITTED ? "committed" : "lost, or not known");
    proposed = a == RAFT_COMMITTED; /* else again: twice, if it was not lost */
}
static void wake(void *arg) /* the loop should call raft_turn() soon; this one never sleeps long */
{
    (void)arg;
}
/* A wire that is a function call; wire_open() gives one of TLS connections. */
static int send_frame(struct wire *w, uint64_t to, enum wire_lane lane, struct blob *frame)
{
    uint64_t from = (uint64_t)(CONTAINER_OF(w, struct node, wire) - nodes);
    nodes[to].events.on_frame(nodes[to].events.arg, from, lane, blob_ref(frame));
    return 0;
}

int main(void)
{
    static const struct wire_calls calls = { .send = send_frame };
    struct core_config members = raft_config_of((uint64_t[]){ 1, 2, 3 }, 3);
    struct raft_proposal add = { .head = SPAN_LIT("*"), .on_done = on_done };
    char base[] = "/tmp/raft-example-XXXXXX", dir[64];

    if (!mkdtemp(base)) return 1;
    for (uint64_t i = 1; i <= 3; i++) {
        struct raft_loop_port port = { .wake = wake };
        struct raft_machine machine = { .arg = &nodes[i], .apply = apply };
        struct raft_options o = { .dir = dir, .node_id = i, .loops = &port, .loop_count = 1 };
        struct errmsg why;
        snprintf(dir, sizeof dir, "%s/%d", base, (int)i);
        if (raft_open(&nodes[i].raft, &o, NULL, &why) != 0) return puts(why.text);
        nodes[i].wire.calls = &calls;
        nodes[i].events = raft_wire_events(nodes[i].raft);
        raft_wire_attach(nodes[i].raft, &nodes[i].wire);
        if (raft_group_open(nodes[i].raft, 7, 0, &members, &machine, 0, &nodes[i].group, &why) != 0)
            return puts(why.text);
    }
    while (nodes[1].number + nodes[2].number + nodes[3].number < 3 * '*') {
        for (int i = 1; i <= 3; i++) { /* the event loops: whoever leads takes the proposal */
            if (!proposed) proposed = raft_propose(nodes[i].group, &add) == 0;
            raft_turn(nodes[i].raft, 0, clock_mono_ms(&clock_real));
        }
        usleep(1000);
    }
    for (int i = 1; i <= 3; i++)
        raft_close(&nodes[i].raft);
    return execlp("rm", "rm", "-r", base, (char *)NULL);
}
