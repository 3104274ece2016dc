/* agenda - what is to come in a simulated world: actions, the earliest first; those of one time in the order of their number,
 * which the world gives. */
#ifndef SIM_SHARED_AGENDA_H
#define SIM_SHARED_AGENDA_H

#include <stddef.h>
#include <stdint.h>

struct action {
    uint64_t at_us, order;
    unsigned kind; /* the world's */
    unsigned node, group;
    uint64_t life; /* of the process it is for; 0: whoever runs then */
    uint64_t a, b;
    void *thing;
};
struct agenda {
    struct action *list; /* a heap */
    size_t count, cap;
};

void agenda_add(struct agenda *g, const struct action *a);
/* The earliest; there is one. */
struct action agenda_take(struct agenda *g);

#endif
