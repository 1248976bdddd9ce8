#include "way.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct way WAY_CLEAN = {
    .ordered = true, .bad_loss = 1.0, .reorder_by_us = 25000, .queue_bytes = 65536, .mtu_icmp = true, .dscp = -1,
};

static bool number(const char *text, double low, double high, double *out) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < low || value > high) return false;
    *out = value;
    return true;
}

static bool shape(const char *text, enum shape *out) {
    static const char *const names[] = {"uniform", "normal", "exponential"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(text, names[i])) { *out = (enum shape)i; return true; }
    return false;
}

/* "off" or "to_bad,to_good,bad_loss,good_loss" */
static bool bursts(const char *text, struct way *way) {
    double v[4];
    if (!strcmp(text, "off")) { way->bursts = false; return true; }
    if (sscanf(text, "%lf,%lf,%lf,%lf", &v[0], &v[1], &v[2], &v[3]) != 4) return false;
    for (int i = 0; i < 4; i++)
        if (!(v[i] >= 0 && v[i] <= 1)) return false;
    way->bursts = true;
    way->to_bad = v[0]; way->to_good = v[1]; way->bad_loss = v[2]; way->good_loss = v[3];
    return true;
}

static bool apply_one(struct way *way, const char *key, const char *value) {
    const struct { const char *key; double *field; double low, high; } reals[] = {
        {"delay_us", &way->delay_us, 0, 1e8},       {"jitter_us", &way->jitter_us, 0, 1e8},
        {"loss", &way->loss, 0, 1},                 {"duplicate", &way->duplicate, 0, 1},
        {"reorder", &way->reorder, 0, 1},           {"reorder_by_us", &way->reorder_by_us, 0, 1e8},
        {"rate_kbps", &way->rate_kbps, 0, 1e9},     {"queue_bytes", &way->queue_bytes, 0, 1e9},
        {"overhead_bytes", &way->overhead_bytes, 0, 1e4},
    };
    double v;
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        if (!strcmp(key, reals[i].key)) return number(value, reals[i].low, reals[i].high, reals[i].field);
    if (!strcmp(key, "shape")) return shape(value, &way->shape);
    if (!strcmp(key, "bursts")) return bursts(value, way);
    if (!strcmp(key, "mtu")) return number(value, 0, 65535, &v) && (way->mtu = (int)v, true);
    if (!strcmp(key, "dscp")) return number(value, -1, 63, &v) && (way->dscp = (int)v, true);
    bool *flag = !strcmp(key, "ordered")    ? &way->ordered
                 : !strcmp(key, "mtu_icmp") ? &way->mtu_icmp
                 : !strcmp(key, "down")     ? &way->down
                                            : NULL;
    return flag && number(value, 0, 1, &v) && (*flag = v != 0, true);
}

bool way_apply(struct way ways[2], const char *word) {
    char key[64];
    const char *equals = strchr(word, '=');
    if (!equals || equals == word || (size_t)(equals - word) >= sizeof key) return false;
    memcpy(key, word, (size_t)(equals - word));
    key[equals - word] = 0;
    if (!strncmp(key, "ab.", 3)) return apply_one(&ways[0], key + 3, equals + 1);
    if (!strncmp(key, "ba.", 3)) return apply_one(&ways[1], key + 3, equals + 1);
    return apply_one(&ways[0], key, equals + 1) && apply_one(&ways[1], key, equals + 1);
}
