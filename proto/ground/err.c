/* err - names and texts of the error codes, and messages for humans.
 *
 * Both functions are made from the one table, so that a new row is complete. A message is formatted
 * aside and then copied: the arguments may point into the message itself. Never fails: what is too
 * long is cut.
 */
#include "proto/ground/err.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char *err_name(int err)
{
    switch (err) {
    case 0:
        return "OK";
#define ERR_NAME_(name, number, text)                                                              \
    case (number):                                                                                 \
        return #name;
        ERR_TABLE(ERR_NAME_)
#undef ERR_NAME_
    default:
        return "?";
    }
}

const char *err_text(int err)
{
    switch (err) {
    case 0:
        return "done";
#define ERR_TEXT_(name, number, text)                                                              \
    case (number):                                                                                 \
        return text;
        ERR_TABLE(ERR_TEXT_)
#undef ERR_TEXT_
    default:
        return "unknown error";
    }
}

int errmsg_set(struct errmsg *why, int err, const char *fmt, ...)
{
    struct errmsg made;
    va_list args;

    if (!why) return err;
    va_start(args, fmt);
    vsnprintf(made.text, sizeof made.text, fmt, args);
    va_end(args);
    *why = made;
    return err;
}

/* Appends what fits; the end is cut. */
static void text_add(struct errmsg *m, const char *text)
{
    size_t used = strlen(m->text);
    size_t room = sizeof m->text - 1 - used;
    size_t n = strnlen(text, room);

    memcpy(m->text + used, text, n);
    m->text[used + n] = '\0';
}

int errmsg_wrap(struct errmsg *why, int err, const char *fmt, ...)
{
    struct errmsg made;
    va_list args;

    if (!why) return err;
    va_start(args, fmt);
    vsnprintf(made.text, sizeof made.text, fmt, args);
    va_end(args);
    if (why->text[0] != '\0') {
        text_add(&made, ": ");
        text_add(&made, why->text);
    }
    *why = made;
    return err;
}
