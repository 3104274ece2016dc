/* zombie - a process that was thought dead goes on while its node was started anew, on the same disk: another machine took
 * the volume over, so that nothing it writes is ever synced. What it had in memory it has: its term, its office, clients
 * and claims. Who has not heard of the new process yet talks to it; who has refuses it, as raft/wire does by incarnation.
 *
 * One at a time. It is a struct node of its own under the number of the one that was started anew; actions find it by its
 * life. It ends by itself, at the latest when the second phase begins.
 */
#include "queue/store.h"
#include "tests/sim/cluster/world.h"

static bool can_go_on(const struct world *w, const struct node *n)
{
    if (w->zombie.up || !node_runs(w, n) || n->disk.failed) return false;
    for (unsigned g = 0; g < w->plan.groups; g++) {
        const struct host *h = &n->hosts[g];

        if (h->open && (h->installing || log_term(&h->log, h->applied) == 0)) return false;
    }
    return true;
}

static void move_list(struct list *from, struct list *to)
{
    struct list *at;

    list_init(to);
    while ((at = list_take_first(from)) != NULL)
        list_add(to, at);
}

/* The memory of the group goes along; the disk stays, as it was synced. */
static void move_host(struct world *w, struct node *n, struct node *z, unsigned group)
{
    struct host *h = &n->hosts[group], *to = &z->hosts[group];
    struct kept *k = &n->disk.kept[group];
    struct queue_store *store = machine_copy(w, n, group);

    CHECK(store);
    queue_close(&h->queue);
    queue_store_mem_crash(k->store);
    *to = *h;
    move_list(&h->held, &to->held);
    move_list(&h->proposals, &to->proposals);
    z->disk.kept[group] = (struct kept){ .exists = true,
                                         .tainted = k->tainted,
                                         .hard = k->hard,
                                         .lost_upto = k->lost_upto,
                                         .log.first = 1,
                                         .machine_upto = h->applied,
                                         .store = store };
    CHECK(queue_open(&to->queue, store, group + 1, NULL) == 0);
    *h = (struct host){ .log.first = 1 };
}

void zombie_begin(struct world *w, struct node *n)
{
    struct node *z = &w->zombie;

    if (!can_go_on(w, n)) return;
    TRACE(w, "n%u is started anew, and its process lives on", n->at + 1);
    *z = *n;
    z->crash_in = 0;
    disk_fence(w, &n->disk, &z->disk);
    for (unsigned g = 0; g < GROUPS_MAX; g++) {
        z->disk.kept[g] = (struct kept){ .log.first = 1 };
        if (n->hosts[g].open) move_host(w, n, z, g);
    }
    z->disk.undo_count = 0;
    n->up = false;
    n->crash_in = 0;
    n->disk.failing = false;
    w->zombies++;
    world_at(w, world_between(w, 5 * MS, SECOND),
             &(struct action){ .kind = ACT_START, .node = n->at });
    world_at(w, world_between(w, SECOND / 2, 8 * SECOND),
             &(struct action){ .kind = ACT_ZOMBIE_END, .node = n->at });
}

void zombie_end(struct world *w)
{
    struct node *z = &w->zombie;

    if (!z->up) return;
    TRACE(w, "the process of n%u that lived on ends", z->at + 1);
    z->up = false;
    for (unsigned g = 0; g < GROUPS_MAX; g++)
        boot_close(w, z, g);
    disk_wipe(&z->disk);
}

struct node *zombie_or(struct world *w, const struct action *a)
{
    struct node *z = &w->zombie;
    uint64_t life = a->life;

    if (a->kind == ACT_ARRIVE) life = ((const struct packet *)a->thing)->to_life;
    return z->up && z->at == a->node && life == z->life ? z : &w->nodes[a->node];
}

uint64_t zombie_life(const struct world *w, const struct node *from, unsigned to)
{
    const struct node *z = &w->zombie;
    bool knows_no_other = z->up && z->at == to && from->peers[to].life == z->life;

    return knows_no_other ? z->life : w->nodes[to].life;
}
