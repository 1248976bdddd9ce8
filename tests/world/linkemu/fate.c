#include "fate.h"

#include <math.h>

enum purpose { LOSS = 1, CHAIN, CHAIN_LOSS, COPY, HOLD, JITTER, JITTER_TWIN };

static uint64_t mix(uint64_t x) {       /* the finaliser of SplitMix64 (Steele, Lea, Flood 2014) */
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Uniform in (0, 1): never an end, so that log() below is finite. */
static double draw(const struct dice *dice, enum purpose purpose) {
    uint64_t x = mix(mix(mix(dice->seed) ^ (uint64_t)dice->dir) ^ dice->n) ^ ((uint64_t)purpose << 56);
    return ((double)(mix(x) >> 11) + 0.5) * 0x1p-53;
}

static double jitter_us(const struct dice *dice, const struct way *way) {
    double u = draw(dice, JITTER);
    switch (way->shape) {
    case NORMAL: return way->jitter_us * sqrt(-2 * log(u)) * cos(2 * M_PI * draw(dice, JITTER_TWIN));
    case EXPONENTIAL: return -way->jitter_us * log(u);
    default: return way->jitter_us * (2 * u - 1);
    }
}

static bool burst_loss(struct dice *dice, const struct way *way) {
    if (!way->bursts) { dice->bad = false; return false; }
    double step = draw(dice, CHAIN);
    dice->bad = dice->bad ? step >= way->to_good : step < way->to_bad;
    return draw(dice, CHAIN_LOSS) < (dice->bad ? way->bad_loss : way->good_loss);
}

struct fate fate_next(struct dice *dice, const struct way *way) {
    struct fate fate = {.verdict = DELIVERED, .delay_us = fmax(0, way->delay_us + jitter_us(dice, way))};
    bool burst = burst_loss(dice, way);
    fate.duplicated = draw(dice, COPY) < way->duplicate;
    if (draw(dice, HOLD) < way->reorder) {
        fate.verdict = REORDERED;
        fate.delay_us += way->reorder_by_us;
    }
    if (burst) fate.verdict = LOST_BURST;
    if (draw(dice, LOSS) < way->loss) fate.verdict = LOST_RANDOM;
    dice->n++;
    return fate;
}
