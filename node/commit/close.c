/* close - a shard closes, where it leads: a Close goes into its log, so that whoever leads it later takes nothing either; when
 * nothing of it is left any more, finished messages included, it is said that it is empty. Its history is kept as long as any
 * (delivery.retention).
 */
#include "node/commit/shard.h"

struct closing {
    struct command cmd;
};

static void on_result(struct command *cmd, int rv, uint64_t entry)
{
    struct shard *s = cmd->shard;

    (void)entry;
    s->is_sealing = false;
    if (rv == 0) {
        log_event(LOG_INFO, "shard.closes", LOG_NUM("shard", s->number));
        shard_see(s);
    }
    command_deinit(cmd);
    free(CONTAINER_OF(cmd, struct closing, cmd));
}

static void seal(struct shard *s)
{
    Angarium__Command command = ANGARIUM__COMMAND__INIT;
    Angarium__Close what = ANGARIUM__CLOSE__INIT;
    struct closing *k = check_calloc(1, sizeof *k);
    int rv;

    command_init(&k->cmd, s);
    k->cmd.on_result = on_result;
    what.time_ms = loop_wall_ms(s->loop);
    command.kind_case = ANGARIUM__COMMAND__KIND_CLOSE;
    command.close = &what;
    s->is_sealing = true;
    rv = command_send(&k->cmd, &command);
    if (rv != 0) on_result(&k->cmd, rv, 0);
}

void close_turn(struct shard *s, bool tells)
{
    const struct commit_calls *calls = &s->commit->o.calls;
    struct queue_counts counts;

    if (place_takes_mail(s) || s->is_sealing) return;
    if (!queue_is_closed(s->queue)) {
        seal(s);
        return;
    }
    queue_counts(s->queue, &counts);
    if (tells && counts.kept_messages == 0 && counts.uploads == 0 && calls->on_empty)
        calls->on_empty(calls->arg, s->number);
}
