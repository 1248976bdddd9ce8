#include "frame.h"

#include <netinet/in.h>
#include <string.h>

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static void put16(uint8_t *p, unsigned v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }

static uint32_t sum16(const uint8_t *p, size_t len, uint32_t sum) {
    for (; len > 1; p += 2, len -= 2) sum += get16(p);
    return len ? sum + (uint32_t)(*p << 8) : sum;
}

static unsigned folded(uint32_t sum) {  /* the Internet checksum, RFC 1071 */
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

static void look_at_transport(struct view *view, const uint8_t *at, size_t left) {
    if (view->protocol == IPPROTO_ICMPV6 && view->version == 6 && left) {
        view->control = (at[0] >= 130 && at[0] <= 137) || at[0] == 143;   /* MLD, ND, MLDv2 */
    } else if (view->protocol == IPPROTO_IGMP) {
        view->control = true;
    } else if ((view->protocol == IPPROTO_UDP || view->protocol == IPPROTO_TCP) && left >= 8) {
        view->sport = get16(at);
        view->dport = get16(at + 2);
        if (view->protocol == IPPROTO_UDP) { view->payload = at + 8; view->payload_len = (int)left - 8; }
    }
}

static struct view look_at_ipv4(const uint8_t *ip, size_t left) {
    struct view view = {.version = 4, .ip_len = get16(ip + 2), .protocol = ip[9], .dscp = ip[1] >> 2,
                        .dont_fragment = ip[6] & 0x40};
    size_t header = (size_t)(ip[0] & 15) * 4;
    bool first = !(get16(ip + 6) & 0x1fff);
    if (left > (size_t)view.ip_len) left = (size_t)view.ip_len;   /* short frames are padded */
    if (first && left > header) look_at_transport(&view, ip + header, left - header);
    return view;
}

static struct view look_at_ipv6(const uint8_t *ip, size_t left) {
    struct view view = {.version = 6, .ip_len = 40 + get16(ip + 4), .protocol = ip[6], .dont_fragment = true,
                        .dscp = ((ip[0] & 15) << 4 | ip[1] >> 4) >> 2};
    size_t header = 40;
    if (left > (size_t)view.ip_len) left = (size_t)view.ip_len;
    if (view.protocol == IPPROTO_HOPOPTS && left >= header + 8) {   /* group membership wears one */
        view.protocol = ip[header];
        header += 8u + ip[header + 1] * 8u;
    }
    if (left > header) look_at_transport(&view, ip + header, left - header);
    return view;
}

struct view frame_view(const uint8_t *frame, size_t len) {
    unsigned type = len >= ETHERNET ? get16(frame + 12) : 0;
    if (type == 0x0800 && len >= ETHERNET + 20) return look_at_ipv4(frame + ETHERNET, len - ETHERNET);
    if (type == 0x86dd && len >= ETHERNET + 40) return look_at_ipv6(frame + ETHERNET, len - ETHERNET);
    return (struct view){.control = true, .ip_len = (int)len - ETHERNET};
}

void frame_mark(uint8_t *frame, const struct view *view, int dscp) {
    uint8_t *ip = frame + ETHERNET;
    if (view->version == 4) {
        ip[1] = (uint8_t)(dscp << 2 | (ip[1] & 3));
        put16(ip + 10, 0);
        put16(ip + 10, folded(sum16(ip, (size_t)(ip[0] & 15) * 4, 0)));
    } else if (view->version == 6) {
        unsigned class = (unsigned)dscp << 2 | (unsigned)(ip[1] >> 4 & 3);
        ip[0] = (uint8_t)(0x60 | class >> 4);
        ip[1] = (uint8_t)((class & 15) << 4 | (ip[1] & 15));
    }
}

static size_t too_big_ipv4(const uint8_t *ip, int mtu, uint8_t *out) {
    size_t quoted = (size_t)(ip[0] & 15) * 4 + 8, total = 20 + 8 + quoted;
    memset(out, 0, 28);
    out[0] = 0x45;
    put16(out + 2, (unsigned)total);
    out[8] = 64;
    out[9] = IPPROTO_ICMP;
    memcpy(out + 12, ip + 16, 4);
    memcpy(out + 16, ip + 12, 4);
    put16(out + 10, folded(sum16(out, 20, 0)));
    uint8_t *icmp = out + 20;
    icmp[0] = 3;                        /* destination unreachable */
    icmp[1] = 4;                        /* fragmentation needed and DF set */
    put16(icmp + 6, (unsigned)mtu);
    memcpy(icmp + 8, ip, quoted);
    put16(icmp + 2, folded(sum16(icmp, 8 + quoted, 0)));
    return total;
}

static size_t too_big_ipv6(const uint8_t *ip, int ip_len, int mtu, uint8_t *out) {
    size_t quoted = ip_len > 1280 - 48 ? 1280 - 48 : (size_t)ip_len;   /* RFC 4443 §2.4(c) */
    memset(out, 0, 48);
    out[0] = 0x60;
    put16(out + 4, (unsigned)(8 + quoted));
    out[6] = IPPROTO_ICMPV6;
    out[7] = 64;
    memcpy(out + 8, ip + 24, 16);
    memcpy(out + 24, ip + 8, 16);
    uint8_t *icmp = out + 40;
    icmp[0] = 2;                        /* packet too big */
    put16(icmp + 6, (unsigned)mtu);
    memcpy(icmp + 8, ip, quoted);
    uint32_t pseudo = sum16(out + 8, 32, (uint32_t)(8 + quoted) + IPPROTO_ICMPV6);
    put16(icmp + 2, folded(sum16(icmp, 8 + quoted, pseudo)));
    return 48 + quoted;
}

size_t frame_too_big(const uint8_t *frame, const struct view *view, int mtu, uint8_t out[FRAME_MAX]) {
    memcpy(out, frame + 6, 6);
    memcpy(out + 6, frame, 6);
    memcpy(out + 12, frame + 12, 2);
    const uint8_t *ip = frame + ETHERNET;
    return ETHERNET + (view->version == 4 ? too_big_ipv4(ip, mtu, out + ETHERNET)
                                          : too_big_ipv6(ip, view->ip_len, mtu, out + ETHERNET));
}
