/* The settings of one direction of the link, and the words that change them. */
#ifndef WAY_H
#define WAY_H
#include <stdbool.h>

enum shape { UNIFORM, NORMAL, EXPONENTIAL };

struct way {
    double delay_us, jitter_us;
    enum shape shape;
    bool ordered;                       /* later packets never overtake earlier ones, except reordered ones */
    double loss;                        /* independent loss, a ratio */
    bool bursts;                        /* Gilbert-Elliott: P(good to bad), P(bad to good), loss within each */
    double to_bad, to_good, bad_loss, good_loss;
    double duplicate;                   /* a ratio; the copy leaves right behind its original */
    double reorder, reorder_by_us;      /* a ratio; held back this long while others pass */
    double rate_kbps;                   /* 0 = no bottleneck */
    double queue_bytes;                 /* what may wait in front of the bottleneck, at IP level */
    double overhead_bytes;              /* counted per packet beside its IP length */
    int mtu;                            /* IP length, 0 = no limit */
    bool mtu_icmp;                      /* tell the sender, or be a black hole */
    int dscp;                           /* -1 = leave it */
    bool down;
};

extern const struct way WAY_CLEAN;

/* Apply "ab.loss=0.01", "delay_us=20000" (both directions) to ways[2]; false if the words are not understood. */
bool way_apply(struct way ways[2], const char *word);
#endif
