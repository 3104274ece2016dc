/* shard - who shall hold a shard, and who may have a vote in it by now. */
#include "node/control/inside.h"
#include "proto/ground/mutation.h"

bool list_has(const uint64_t *list, unsigned count, uint64_t id)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i] == id) return true;
    return false;
}

struct control_shard *shard_find(struct control *c, uint32_t number)
{
    if (!control_shard(c, number) || c->shards[number - 1].state == CONTROL_CLOSED) return NULL;
    return &c->shards[number - 1];
}

int voters_check(const struct control *c, const uint64_t *voters, size_t count)
{
    if (count == 0 || count > CONTROL_VOTERS_MAX) return ERR_RANGE;
    for (size_t i = 0; i < count; i++) {
        const struct control_node *n = control_node(c, voters[i]);

        if (!n || n->state == CONTROL_GONE) return ERR_NOT_FOUND;
        for (size_t k = 0; k < i; k++)
            if (voters[k] == voters[i]) return ERR_RANGE;
    }
    return 0;
}

int voters_may_come(const struct control *c, const struct control_shard *s, const uint64_t *voters,
                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct control_node *n = control_node(c, voters[i]);

        if (s && list_has(s->voters, s->voter_count, voters[i])) continue;
        if (n->state == CONTROL_CORDONED || n->state == CONTROL_DRAINING) return ERR_DENIED;
    }
    return 0;
}

unsigned voters_take(uint64_t to[CONTROL_VOTERS_MAX], const uint64_t *from, size_t count)
{
    CHECK(count <= CONTROL_VOTERS_MAX);
    if (count > 0) memcpy(to, from, count * sizeof *to);
    return (unsigned)count;
}

/* How many there are with the voters; more than CONTROL_HOLDERS_MAX: not all of them were written. */
static unsigned add_holders(uint64_t holders[CONTROL_HOLDERS_MAX], unsigned count,
                            const uint64_t *voters, size_t voter_count)
{
    for (size_t i = 0; i < voter_count; i++) {
        if (list_has(holders, count < CONTROL_HOLDERS_MAX ? count : CONTROL_HOLDERS_MAX, voters[i]))
            continue;
        if (count < CONTROL_HOLDERS_MAX) holders[count] = voters[i];
        count++;
    }
    return count;
}

/* The holders are always with the voters that are wanted: these may get a vote any time. */
int shard_place(struct control_shard *s, const uint64_t *voters, size_t count)
{
    uint64_t holders[CONTROL_HOLDERS_MAX];
    unsigned holder_count;

    memcpy(holders, s->holders, sizeof holders);
    holder_count = add_holders(holders, s->holder_count, voters, count);
    if (holder_count > CONTROL_HOLDERS_MAX) return ERR_BUSY;
    memcpy(s->holders, holders, sizeof holders);
    s->holder_count = holder_count;
    s->voter_count = voters_take(s->voters, voters, count);
    s->version++;
    if (MUTATED(CONTROL_HOLDERS_FORGOTTEN))
        s->holder_count = s->settled_count = voters_take(s->holders, voters, count);
    return 0;
}

static unsigned without(uint64_t *list, unsigned count, uint64_t node)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++)
        if (list[i] != node) list[kept++] = list[i];
    return kept;
}

void shard_drop(struct control_shard *s, uint64_t node)
{
    unsigned settled = without(s->holders, s->settled_count, node);

    if (settled < s->settled_count) /* the rest closes up */
        memmove(s->holders + settled, s->holders + s->settled_count,
                (s->holder_count - s->settled_count) * sizeof *s->holders);
    s->holder_count -= s->settled_count - settled;
    s->settled_count = settled;
    s->voter_count = without(s->voters, s->voter_count, node);
    s->holder_count = without(s->holders, s->holder_count, node);
    s->version++;
}

/* ---- seeing */

bool control_holds(const struct control_shard *s, uint64_t node)
{
    return list_has(s->holders, s->holder_count, node);
}

unsigned control_held(const struct control *c, uint64_t node)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->shard_count; i++)
        n += control_holds(&c->shards[i], node);
    return n;
}

unsigned control_led(const struct control *c, uint64_t node)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->shard_count; i++)
        n += c->shards[i].state == CONTROL_OPEN && c->shards[i].voters[0] == node;
    return n;
}

bool control_moves(const struct control_shard *s)
{
    for (unsigned i = 0; i < s->settled_count; i++)
        if (!list_has(s->voters, s->voter_count, s->holders[i])) return true;
    return s->settled_count != s->holder_count;
}
