/* text - JSON as text, put together in a buffer: of a long list a tree of values costs several times as much. The same text as
 * jansson makes of the same values (JSON_COMPACT). Brackets, and what may stand where, are the caller's. */
#ifndef OPS_TEXT_H
#define OPS_TEXT_H

#include <jansson.h>

#include "proto/ground/buf.h"

/* "key": of an object's next member; a comma before it unless it is the first one. The key needs no escapes. */
void text_key(struct buf *b, const char *key);
void text_put_number(struct buf *b, const char *key, uint64_t v);
/* Foreign bytes are made valid UTF-8, as json_of_bytes does. */
void text_put_bytes(struct buf *b, const char *key, struct span bytes);
void text_put_id(struct buf *b, const char *key, uint64_t id);
void text_put_time(struct buf *b, const char *key, uint64_t wall_ms); /* 0: null */

void text_add_json(struct buf *b, const json_t *j);
/* An object: "items", then the members of `rest`. */
void text_add_page(struct buf *b, struct span items, const json_t *rest);

#endif
