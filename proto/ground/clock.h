/* clock - where time comes from. Pure rooms take times as arguments; the others hold a struct clock, so
 * that tests can give a false one. Two kinds of time, never mixed: mono (since some start, never goes
 * back; deadlines) and wall (Unix epoch; stored and shown). */
#ifndef GROUND_CLOCK_H
#define GROUND_CLOCK_H

#include <stdint.h>
#include "proto/ground/buf.h"

struct clock {
    void *arg;
    uint64_t (*mono_ms)(void *arg);
    uint64_t (*wall_ms)(void *arg);
};

extern const struct clock clock_real;

static inline uint64_t clock_mono_ms(const struct clock *c)
{
    return c->mono_ms(c->arg);
}
static inline uint64_t clock_wall_ms(const struct clock *c)
{
    return c->wall_ms(c->arg);
}

/* The real monotonic clock in microseconds: for measuring how long something took, never for deciding. */
uint64_t clock_mono_us(void);

#define CLOCK_RFC3339_SIZE 25 /* "2026-11-24T01:48:09.123Z" and the terminator */
#define CLOCK_RFC5322_SIZE 32 /* "Tue, 24 Nov 2026 01:48:09 +0000" and the terminator */
void clock_rfc3339(uint64_t wall_ms, char out[CLOCK_RFC3339_SIZE]);
void clock_rfc5322(uint64_t wall_ms, char out[CLOCK_RFC5322_SIZE]);
/* Parses what clock_rfc3339 prints (with or without milliseconds): 0 or ERR_SYNTAX. */
int clock_parse_rfc3339(struct span text, uint64_t *wall_ms_out);

#endif
