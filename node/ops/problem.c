/* problem - what the API refuses, in one table (RFC 9457: type, title, status, detail). */
#include "node/ops/inside.h"

struct problem_row {
    const char *name;
    unsigned status;
    const char *title;
};
#define ROW(id, name, status, title) { name, status, title },
static const struct problem_row rows[] = { OPS_PROBLEMS(ROW) };

unsigned problem_status(enum problem p)
{
    return rows[p].status;
}

json_t *problem_json(enum problem p, const char *detail)
{
    json_t *j = json_object(), *text = json_of_bytes(span_cstr(detail));

    json_object_set_new(j, "type", json_sprintf("urn:angarium:problem:%s", rows[p].name));
    json_object_set_new(j, "title", json_string(rows[p].title));
    json_object_set_new(j, "status", json_integer(rows[p].status));
    json_object_set_new(j, "detail", text);
    return j;
}

enum problem problem_of(int err)
{
    switch (err) {
    case ERR_NOT_FOUND:
        return PROBLEM_NOT_FOUND;
    case ERR_NOT_LEADER:
    case ERR_SUPERSEDED:
        return PROBLEM_NO_QUORUM;
    case ERR_CLOSED:
        return PROBLEM_CLOSING;
    case ERR_FULL:
    case ERR_BUSY:
        return PROBLEM_FULL;
    case ERR_UNKNOWN:
    case ERR_TIMEOUT:
        return PROBLEM_UNKNOWN;
    case ERR_TOO_LONG:
        return PROBLEM_TOO_LARGE;
    default:
        return PROBLEM_BROKEN;
    }
}
