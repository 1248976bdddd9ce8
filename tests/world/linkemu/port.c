#include "port.h"

#include <err.h>
#include <errno.h>
#include <time.h>
#include <linux/errqueue.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int64_t clock_ns(int clock_id) {
    struct timespec t;
    clock_gettime((clockid_t)clock_id, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void set(int fd, int level, int option, int value, const char *what) {
    if (setsockopt(fd, level, option, &value, sizeof value)) err(2, "cannot set %s on the packet socket", what);
}

int port_open(const char *device) {
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) err(2, "cannot open a packet socket (needs CAP_NET_RAW)");
    set(fd, SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20, "the receive buffer");
    set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "ignore-outgoing");
    set(fd, SOL_SOCKET, SO_TIMESTAMPING,
        SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_TX_SOFTWARE |
            SOF_TIMESTAMPING_OPT_TSONLY,
        "kernel time stamps");
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(device)};
    if (!address.sll_ifindex) err(2, "no device %s in this namespace", device);
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) err(2, "cannot bind to %s", device);
    return fd;
}

static int64_t stamp_of(struct msghdr *message) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
            struct scm_timestamping stamps;
            memcpy(&stamps, CMSG_DATA(c), sizeof stamps);
            return stamps.ts[0].tv_sec * 1000000000LL + stamps.ts[0].tv_nsec;
        }
    return 0;
}

int port_receive(int port, struct arrival arrivals[BATCH]) {
    static uint8_t frames[BATCH][FRAME_MAX];
    static char controls[BATCH][256];
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){frames[i], FRAME_MAX};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1, .msg_control = controls[i],
                                              .msg_controllen = sizeof controls[i]};
    }
    int count = recvmmsg(port, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        int64_t stamp = stamp_of(&messages[i].msg_hdr);
        arrivals[i] = (struct arrival){frames[i], messages[i].msg_len, stamp ? stamp : clock_ns(CLOCK_REALTIME)};
    }
    return count < 0 ? 0 : count;
}

/* veth sends within the call (it has no queue), so the stamp of this very frame already waits on the error queue. */
static int64_t transmit_stamp(int port) {
    int64_t stamp = 0;
    char control[512];
    for (;;) {
        struct msghdr message = {.msg_control = control, .msg_controllen = sizeof control};
        if (recvmsg(port, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return stamp;
        int64_t found = stamp_of(&message);
        if (found) stamp = found;
    }
}

int64_t port_send(int port, const uint8_t *frame, size_t len) {
    int64_t before = clock_ns(CLOCK_REALTIME);
    if (send(port, frame, len, 0) < 0) return 0;
    int64_t stamp = transmit_stamp(port);
    return stamp >= before ? stamp : -before;
}

unsigned port_drops(int port) {
    struct tpacket_stats stats = {0};
    socklen_t len = sizeof stats;
    if (getsockopt(port, SOL_PACKET, PACKET_STATISTICS, &stats, &len)) warn("cannot read the packet socket's drops");
    return stats.tp_drops;
}

void port_offloads_off(const char *device) {
    static const uint32_t switches[] = {ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM, ETHTOOL_SRXCSUM};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        struct ethtool_value off = {.cmd = switches[i], .data = 0};
        struct ifreq request = {.ifr_data = (char *)&off};
        strncpy(request.ifr_name, device, IFNAMSIZ - 1);
        if (ioctl(fd, SIOCETHTOOL, &request) && errno != EOPNOTSUPP) err(2, "cannot switch off offloads of %s", device);
    }
    close(fd);
}
