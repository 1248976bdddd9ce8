/* linkemu: carries frames between two veths as a given link would, and writes down what it did to each.
 *
 *   linkemu offloads DEVICE...                             switch off offloads (run inside the namespace of the device)
 *   linkemu run DEVICE_A DEVICE_B LOG MATCH SEED           MATCH: any, datagram (UDP, ICMP), udp, or a UDP port
 *
 * `run` says "ready" and then obeys lines on stdin, answering each with "ok ..." or "error ...":
 *   set WORD...          change settings now            (see way.h; prefix ab. or ba. for one direction)
 *   at SECONDS WORD...   change settings that long after `ready` or the last `reset`
 *   reset SEED           begin anew: packet numbers, burst states, time origin; drops the timed changes not yet made
 *   flush                the log is on disk; answers the counters "dropped=N refused=N unstamped=N waiting=N"
 *                        (waiting: matching packets that are under way)
 * It ends when stdin closes.
 *
 * Matching packets meet everything. Others (TCP beside a measured UDP stream) meet what is physics (delay, bottleneck,
 * MTU, outage) but no dice; the link's own talk (ARP, ND, MLD) meets only outages. Only matching packets are logged.
 */
#include "fate.h"
#include "port.h"

#include <err.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 64, LINE = 4096, MAX_CHANGES = 256, EARLY_NS = 60000 };   /* wake-ups are late: rise early, then spin */

struct __attribute__((packed)) row {    /* the truth log; link.py reads the same layout */
    uint8_t dir, verdict, dscp_in, dscp_out;
    uint32_t n;
    int64_t t_in_ns, t_out_ns;          /* kernel stamps, CLOCK_REALTIME; t_out_ns < 0: a user-space stamp, negated */
    uint16_t ip_len, sport, dport;
    uint8_t version, protocol;
    uint8_t head_len, head[HEAD];       /* the first bytes of a UDP payload */
};

struct parcel {                         /* a frame on its way */
    int64_t due_ns;                     /* CLOCK_MONOTONIC */
    uint64_t order;
    bool logged, duplicated;
    struct row row;
    size_t len;
    uint8_t frame[];
};

struct change { double at_s; char words[LINE]; };

static struct way ways[2];
static struct dice dice[2];
static int ports[2];
static int64_t bottleneck_free_ns[2], last_due_ns[2];
static struct parcel **heap;
static size_t heap_len, heap_size;
static uint64_t orders;
static size_t waiting;                  /* logged parcels in the heap */
static struct change changes[MAX_CHANGES];
static size_t changes_len;
static int64_t origin_ns;
static unsigned dropped, refused, unstamped;
static enum { ANY, DATAGRAM, UDP } match_kind;
static int match_port;
static FILE *log_file;

/* -- parcels wait in a heap, earliest first; equal times keep the order of arrival -- */

static bool before(const struct parcel *a, const struct parcel *b) {
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void heap_push(struct parcel *parcel) {
    if (heap_len == heap_size) {
        heap_size = heap_size ? heap_size * 2 : 4096;
        heap = realloc(heap, heap_size * sizeof *heap);
        if (!heap) err(2, "out of memory for %zu waiting packets", heap_size);
    }
    size_t i = heap_len++;
    for (; i && before(parcel, heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = parcel;
}

static struct parcel *heap_pop(void) {
    struct parcel *top = heap[0], *last = heap[--heap_len];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < heap_len; i = child) {
        if (child + 1 < heap_len && before(heap[child + 1], heap[child])) child++;
        if (!before(heap[child], last)) break;
        heap[i] = heap[child];
    }
    heap[i] = last;
    return top;
}

/* -- the log -- */

static struct row row_of(int dir, uint64_t n, const struct arrival *arrival, const struct view *view) {
    struct row row = {.dir = (uint8_t)dir, .n = (uint32_t)n, .dscp_in = (uint8_t)view->dscp,
                      .dscp_out = (uint8_t)view->dscp, .t_in_ns = arrival->t_ns, .ip_len = (uint16_t)view->ip_len,
                      .sport = view->sport, .dport = view->dport, .version = (uint8_t)view->version,
                      .protocol = (uint8_t)view->protocol};
    if (view->payload) {
        row.head_len = (uint8_t)(view->payload_len < HEAD ? view->payload_len : HEAD);
        memcpy(row.head, view->payload, row.head_len);
    }
    return row;
}

static void write_row(struct row row, enum verdict verdict) {
    row.verdict = (uint8_t)verdict;
    if (fwrite(&row, sizeof row, 1, log_file) != 1) err(2, "cannot write the truth log");
}

/* -- a frame comes in -- */

static bool matches(const struct view *view) {
    if (view->control || !view->version) return false;
    bool icmp = view->protocol == IPPROTO_ICMP || view->protocol == IPPROTO_ICMPV6;
    if (match_kind != ANY && view->protocol != IPPROTO_UDP && !(match_kind == DATAGRAM && icmp)) return false;
    return !match_port || view->sport == match_port || view->dport == match_port;
}

/* Wait behind what is already queued at the bottleneck. False: the queue is full. Reckoned from the kernel's arrival
 * stamp, so that our own lateness changes nothing. */
static bool through_bottleneck(int dir, const struct way *way, int64_t arrived_ns, int ip_len, int64_t *leaves_ns) {
    *leaves_ns = arrived_ns;
    if (way->rate_kbps <= 0) return true;
    double bytes = ip_len + way->overhead_bytes, ns_per_byte = 8e6 / way->rate_kbps;
    int64_t free_ns = bottleneck_free_ns[dir] > arrived_ns ? bottleneck_free_ns[dir] : arrived_ns;
    double waiting = (double)(free_ns - arrived_ns) / ns_per_byte;
    if (waiting + bytes > way->queue_bytes) return false;
    *leaves_ns = bottleneck_free_ns[dir] = free_ns + (int64_t)(bytes * ns_per_byte);
    return true;
}

static void wait_until(int64_t due_ns, bool logged, bool duplicated, struct row row, const struct arrival *arrival) {
    struct parcel *parcel = malloc(sizeof *parcel + arrival->len);
    if (!parcel) err(2, "out of memory for a packet of %zu bytes", arrival->len);
    *parcel = (struct parcel){.due_ns = due_ns, .order = orders++, .logged = logged, .duplicated = duplicated,
                              .row = row, .len = arrival->len};
    memcpy(parcel->frame, arrival->frame, arrival->len);
    heap_push(parcel);
    waiting += logged;
}

static void refuse_too_big(int dir, const struct way *way, const struct arrival *arrival, const struct view *view) {
    static uint8_t answer[FRAME_MAX];
    if (!way->mtu_icmp || !view->dont_fragment) return;
    size_t len = frame_too_big(arrival->frame, view, way->mtu, answer);
    if (!port_send(ports[dir], answer, len)) refused++;
}

/* Why the link refuses the packet whatever the dice say, or DELIVERED. */
static enum verdict barred(const struct way *way, const struct view *view) {
    if (way->down) return DOWN;
    return way->mtu && view->ip_len > way->mtu ? OVER_MTU : DELIVERED;
}

/* Kernel stamps are wall-clock; parcels wait on the monotonic clock, so a stepped clock disturbs only what is in flight. */
static void admit(int dir, const struct arrival *arrival, int64_t wall_to_monotonic_ns) {
    const struct way *way = &ways[dir];
    struct view view = frame_view(arrival->frame, arrival->len);
    int64_t arrived_ns = arrival->t_ns + wall_to_monotonic_ns;
    struct row row = row_of(dir, dice[dir].n, arrival, &view);
    if (view.control) {
        if (!way->down) wait_until(arrived_ns, false, false, row, arrival);
        return;
    }
    bool logged = matches(&view);
    struct fate fate = {.verdict = DELIVERED, .delay_us = way->delay_us};
    if (logged) fate = fate_next(&dice[dir], way);
    enum verdict bar = barred(way, &view);
    if (bar == OVER_MTU) refuse_too_big(dir, way, arrival, &view);
    if (bar != DELIVERED) fate.verdict = bar;
    int64_t leaves_ns = arrived_ns;
    if (fate.verdict <= REORDERED && !through_bottleneck(dir, way, arrived_ns, view.ip_len, &leaves_ns))
        fate.verdict = QUEUE_FULL;
    if (fate.verdict > REORDERED) {
        if (logged) write_row(row, fate.verdict);
        return;
    }
    int64_t due_ns = leaves_ns + (int64_t)(fate.delay_us * 1000);
    if (way->ordered && fate.verdict != REORDERED) {
        if (due_ns < last_due_ns[dir]) due_ns = last_due_ns[dir];
        last_due_ns[dir] = due_ns;
    }
    if (logged && way->dscp >= 0) {
        frame_mark(arrival->frame, &view, way->dscp);
        row.dscp_out = (uint8_t)way->dscp;
    }
    row.verdict = (uint8_t)fate.verdict;
    wait_until(due_ns, logged, fate.duplicated, row, arrival);
}

static void receive(int dir) {
    struct arrival arrivals[BATCH];
    int count;
    do {
        count = port_receive(ports[dir], arrivals);
        int64_t wall_to_monotonic_ns = clock_ns(CLOCK_MONOTONIC) - clock_ns(CLOCK_REALTIME);
        for (int i = 0; i < count; i++) admit(dir, &arrivals[i], wall_to_monotonic_ns);
    } while (count == BATCH);
}

/* -- a frame goes out -- */

static void hand_over(struct parcel *parcel, enum verdict verdict) {
    int64_t stamp = port_send(ports[!parcel->row.dir], parcel->frame, parcel->len);
    if (!stamp) {
        refused++;
        verdict = UNRELEASED;
    }
    if (!parcel->logged) return;
    if (stamp < 0) unstamped++;
    parcel->row.t_out_ns = stamp;
    write_row(parcel->row, verdict);
}

static void release(void) {
    while (heap_len && heap[0]->due_ns <= clock_ns(CLOCK_MONOTONIC)) {
        struct parcel *parcel = heap_pop();
        waiting -= parcel->logged;
        hand_over(parcel, parcel->row.verdict);
        if (parcel->duplicated) hand_over(parcel, DUPLICATE);
        free(parcel);
    }
}

/* -- orders -- */

static const char *apply_words(char *words) {
    struct way trial[2] = {ways[0], ways[1]};
    for (char *rest, *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        if (!way_apply(trial, word)) return word;
    memcpy(ways, trial, sizeof ways);
    return NULL;
}

static void apply_due_changes(void) {
    double elapsed_s = (double)(clock_ns(CLOCK_MONOTONIC) - origin_ns) / 1e9;
    for (size_t i = 0; i < changes_len;) {
        if (changes[i].at_s > elapsed_s) { i++; continue; }
        const char *wrong = apply_words(changes[i].words);
        if (wrong) errx(2, "timed change: %s is not a setting", wrong);
        changes_len--;
        memmove(&changes[i], &changes[i + 1], (changes_len - i) * sizeof *changes);
    }
}

static void start_over(uint64_t seed) {
    for (int dir = 0; dir < 2; dir++) {
        dice[dir] = (struct dice){.seed = seed, .dir = dir};
        bottleneck_free_ns[dir] = last_due_ns[dir] = 0;
    }
    changes_len = 0;
    origin_ns = clock_ns(CLOCK_MONOTONIC);
}

static bool add_change(const char *text) {
    int used = 0;
    struct change *change = &changes[changes_len];
    if (changes_len == MAX_CHANGES || sscanf(text, "%lf %n", &change->at_s, &used) != 1 || !used) return false;
    struct way trial[2] = {ways[0], ways[1]};
    char copy[LINE];
    snprintf(copy, sizeof copy, "%s", text + used);
    for (char *rest, *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        if (!way_apply(trial, word)) return false;
    snprintf(change->words, sizeof change->words, "%s", text + used);
    changes_len++;
    return true;
}

static void obey(char *line) {
    if (!strncmp(line, "set ", 4)) {
        const char *wrong = apply_words(line + 4);
        if (wrong) printf("error %s is not a setting\n", wrong);
        else puts("ok");
    } else if (!strncmp(line, "at ", 3)) {
        puts(add_change(line + 3) ? "ok" : "error not understood: at SECONDS WORD...");
    } else if (!strncmp(line, "reset ", 6)) {
        start_over(strtoull(line + 6, NULL, 10));
        puts("ok");
    } else if (!strcmp(line, "flush")) {
        fflush(log_file);
        dropped += port_drops(ports[0]) + port_drops(ports[1]);
        printf("ok dropped=%u refused=%u unstamped=%u waiting=%zu\n", dropped, refused, unstamped, waiting);
    } else {
        puts("error the orders are set, at, reset and flush");
    }
    fflush(stdout);
}

/* False: stdin is closed, it is time to go. */
static bool take_orders(void) {
    static char buffer[LINE];
    static size_t used;
    ssize_t got = read(STDIN_FILENO, buffer + used, sizeof buffer - 1 - used);
    if (got <= 0) return false;
    used += (size_t)got;
    buffer[used] = 0;
    for (char *end; (end = strchr(buffer, '\n'));) {
        *end = 0;
        obey(buffer);
        used -= (size_t)(end + 1 - buffer);
        memmove(buffer, end + 1, used + 1);
    }
    return used < sizeof buffer - 1;
}

/* -- the loop -- */

static struct timespec pause_for(void) {
    int64_t wait_ns = 1000000000, now_ns = clock_ns(CLOCK_MONOTONIC);
    if (heap_len && heap[0]->due_ns - EARLY_NS - now_ns < wait_ns) wait_ns = heap[0]->due_ns - EARLY_NS - now_ns;
    for (size_t i = 0; i < changes_len; i++) {
        int64_t left_ns = origin_ns + (int64_t)(changes[i].at_s * 1e9) - now_ns;
        if (left_ns < wait_ns) wait_ns = left_ns;
    }
    if (wait_ns < 0) wait_ns = 0;
    return (struct timespec){.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
}

static void carry(void) {
    struct pollfd waits[3] = {{.fd = ports[0], .events = POLLIN}, {.fd = ports[1], .events = POLLIN},
                              {.fd = STDIN_FILENO, .events = POLLIN}};
    for (bool going = true; going;) {
        struct timespec pause = pause_for();
        ppoll(waits, 3, &pause, NULL);
        apply_due_changes();
        for (int dir = 0; dir < 2; dir++) receive(dir);
        release();
        if (waits[2].revents) going = take_orders();
    }
    for (; heap_len; free(heap[--heap_len]))
        if (heap[heap_len - 1]->logged) write_row(heap[heap_len - 1]->row, UNRELEASED);
}

/* A link does not wait for a busy machine. Not allowed: carry on, the log still tells the truth. */
static void be_prompt(void) {
    struct sched_param priority = {.sched_priority = 20};
    if (sched_setscheduler(0, SCHED_FIFO, &priority)) warn("no real-time priority");
    if (mlockall(MCL_CURRENT | MCL_FUTURE)) warn("memory not locked");
    prctl(PR_SET_TIMERSLACK, 1UL);
}

static void choose_match(const char *match) {
    match_kind = !strcmp(match, "any") ? ANY : !strcmp(match, "datagram") ? DATAGRAM : UDP;
    if (match_kind != UDP || !strcmp(match, "udp")) return;
    match_port = atoi(match);
    if (match_port < 1 || match_port > 65535) errx(2, "match is any, datagram, udp or a UDP port, not %s", match);
}

int main(int argc, char **argv) {
    if (argc > 2 && !strcmp(argv[1], "offloads")) {
        for (int i = 2; i < argc; i++) port_offloads_off(argv[i]);
        return 0;
    }
    if (argc != 7 || strcmp(argv[1], "run")) errx(2, "use: linkemu offloads DEVICE... | run A B LOG MATCH SEED");
    choose_match(argv[5]);
    ways[0] = ways[1] = WAY_CLEAN;
    for (int dir = 0; dir < 2; dir++) ports[dir] = port_open(argv[2 + dir]);
    log_file = fopen(argv[4], "wb");
    if (!log_file) err(2, "cannot write %s", argv[4]);
    setvbuf(log_file, NULL, _IOFBF, 1 << 20);
    be_prompt();
    start_over(strtoull(argv[6], NULL, 10));
    puts("ready");
    fflush(stdout);
    carry();
    return fclose(log_file) ? 2 : 0;
}
