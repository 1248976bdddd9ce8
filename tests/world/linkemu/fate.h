/* What becomes of the n-th packet of a direction: a function of seed, direction, n and the settings alone. */
#ifndef FATE_H
#define FATE_H
#include "way.h"

#include <stdint.h>

enum verdict { DELIVERED, DUPLICATE, REORDERED, LOST_RANDOM, LOST_BURST, QUEUE_FULL, OVER_MTU, DOWN, UNRELEASED };

struct dice { uint64_t seed; int dir; uint64_t n; bool bad; };   /* `bad`: the state of the Gilbert-Elliott chain */

struct fate {
    enum verdict verdict;               /* DELIVERED, REORDERED, LOST_RANDOM or LOST_BURST */
    bool duplicated;
    double delay_us;                    /* with jitter and with being held back */
};

/* The fate of packet dice->n; steps the burst chain and n. Every draw is made anew from (seed, dir, n, purpose), so
 * a change of one setting never shifts the luck of another. */
struct fate fate_next(struct dice *dice, const struct way *way);
#endif
