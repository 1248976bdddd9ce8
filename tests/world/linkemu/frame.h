/* Ethernet frames: what is in them, re-marking, and the ICMP that says "too big". */
#ifndef FRAME_H
#define FRAME_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ETHERNET = 14, FRAME_MAX = 9216 };

struct view {                           /* what a frame says of itself */
    int version;                        /* 4, 6, or 0 for anything else */
    bool control;                       /* ARP, neighbour discovery, group membership: the link's own talk */
    int ip_len, protocol, dscp;
    bool dont_fragment;                 /* always true for IPv6 */
    uint16_t sport, dport;              /* of UDP and TCP, else 0 */
    const uint8_t *payload;             /* of UDP, else NULL */
    int payload_len;
};

struct view frame_view(const uint8_t *frame, size_t len);

/* Set the DSCP, keep the ECN bits; the IPv4 header checksum is made good (RFC 2474, RFC 3168). */
void frame_mark(uint8_t *frame, const struct view *view, int dscp);

/* Build into `out` the answer that `frame` is longer than `mtu`: ICMP 3/4 with the next-hop MTU (RFC 1191) or ICMPv6
 * Packet Too Big (RFC 8201, RFC 4443 §3.2), as if from the destination. Returns its length. */
size_t frame_too_big(const uint8_t *frame, const struct view *view, int mtu, uint8_t out[FRAME_MAX]);
#endif
