/* change - private to ops: operators' changes of nodes and shards (route_node.c, route_region.c, route_shard.c). */
#ifndef OPS_CHANGE_H
#define OPS_CHANGE_H

#include "node/ops/inside.h"

#define CHANGE_OPERATION_SIZE                                                                      \
    (CONTROL_PLACE_SIZE_MAX + 32) /* the id of an operation, and its end */

/* Each false: answered. */
bool change_is_clustered(struct call *c);
bool change_take_number(struct call *c, uint64_t *out); /* the {id} of the path */
bool change_may(struct call *c, int rv, const struct errmsg *why);
/* The same, but what is so already (ERR_EXISTS) is no refusal: answered as done, with its operation (NULL: none). */
bool change_goes_on(struct call *c, int rv, const struct errmsg *why, const char *operation);
/* The format in force has it (PROTO_ADDED_*); else answers what to do. */
bool change_is_written(struct call *c, uint32_t added, const char *what);
bool change_take_flag(struct call *c, const char *key);

/* Lines of what is done, into `does`: one in words; how a shard's voters change; what the plan does when the command is in force. */
void change_says(json_t *does, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void change_says_place(const struct call *c, json_t *does, uint32_t shard, const uint64_t *voters,
                       unsigned count);
void change_plays(const struct call *c, const Angarium__ControlCommand *command, json_t *does);
json_t *change_nodes(const uint64_t *nodes, unsigned count);

/* {operation, dry_run, does}; takes does. NULL: it is over at once. */
json_t *change_answer(const char *operation, json_t *does, bool dry_run);
void change_answer_now(struct call *c, json_t *answer); /* takes it */
/* Proposes, and answers with `answer` (taken) when it is in force; finish (NULL) adds to it what control said. */
void change_send(struct call *c, Angarium__ControlCommand *command, json_t *answer,
                 void (*finish)(json_t *answer, const struct control_answer *a));

#endif
