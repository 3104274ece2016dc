/* ledger - who led in which term, and who voted for whom: once said, it stands. */
#ifndef SIM_SHARED_LEDGER_H
#define SIM_SHARED_LEDGER_H

#include <stddef.h>
#include <stdint.h>

struct leaders {         /* of a group */
    uint64_t *list, cap; /* by term */
};
struct votes {
    struct vote {
        uint64_t term, to;
        unsigned group, node;
    } * list;
    size_t count, cap;
};

/* Who led in that term before; 0: nobody, and now it is this one. */
uint64_t leaders_note(struct leaders *l, uint64_t term, uint64_t who);
/* Who had the vote of that node in that term before; 0: nobody, and now it is this one. */
uint64_t votes_note(struct votes *v, unsigned node, unsigned group, uint64_t term, uint64_t to);

#endif
