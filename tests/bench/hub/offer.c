/* Offers recorded packets to a reflector on loopback and counts what comes back.
 *
 *   offer HOST_PORT FILE SIZE window IN_FLIGHT      one packet leaves for each that came back
 *   offer HOST_PORT FILE SIZE paced PER_SECOND      every millisecond its share, whatever comes back
 *
 * FILE holds records of 4 octets source address (within 127/8) and SIZE octets of packet. All leave one socket; the
 * source address of each is set by IP_PKTINFO, so that 3,321 sessions cost one file descriptor.
 * Prints: sent, answered, seconds, own receive drops, its own CPU seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define SILENCE_NS 1000000000LL
#define LATE_NS 20000000LL

static struct mmsghdr out[BATCH], in[BATCH];
static struct iovec out_data[BATCH], in_data[BATCH];
static char controls[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))] __attribute__((aligned(8)));
static char answers[BATCH][2048];
static int sock, size;
static const char *records;
static long total, sent, answered;

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static void prepare(struct sockaddr_in *to) {
    for (int i = 0; i < BATCH; i++) {
        out[i].msg_hdr = (struct msghdr){.msg_name = to, .msg_namelen = sizeof *to, .msg_iov = &out_data[i],
            .msg_iovlen = 1, .msg_control = controls[i], .msg_controllen = sizeof controls[i]};
        struct cmsghdr *c = CMSG_FIRSTHDR(&out[i].msg_hdr);
        c->cmsg_level = IPPROTO_IP;
        c->cmsg_type = IP_PKTINFO;
        c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
        in_data[i] = (struct iovec){answers[i], sizeof answers[i]};
        in[i].msg_hdr = (struct msghdr){.msg_iov = &in_data[i], .msg_iovlen = 1};
    }
}

static void offer(long count) {
    while (count > 0 && sent < total) {
        int n = 0;
        for (; n < BATCH && n < count && sent + n < total; n++) {
            const char *record = records + (sent + n) * (4 + size);
            struct in_pktinfo info = {0};
            memcpy(&info.ipi_spec_dst, record, 4);
            memcpy(CMSG_DATA(CMSG_FIRSTHDR(&out[n].msg_hdr)), &info, sizeof info);
            out_data[n] = (struct iovec){(void *)(record + 4), size};
        }
        int done = sendmmsg(sock, out, n, 0);
        if (done < 0) fail("sendmmsg");
        sent += done;
        count -= done;
    }
}

static long collect(void) {
    long got = 0;
    int n;
    do {
        n = recvmmsg(sock, in, BATCH, MSG_DONTWAIT, NULL);
        if (n > 0) got += n;
    } while (n == BATCH);
    answered += got;
    return got;
}

static void in_window(long in_flight) {
    struct pollfd ready = {.fd = sock, .events = POLLIN};
    offer(in_flight);
    while (answered < total && poll(&ready, 1, 1000) > 0) offer(collect());
}

static void paced(long per_second) {
    long long start = now_ns(), last = start, now;
    while ((now = now_ns()) - last < SILENCE_NS && answered < total) {
        long due = (now - start) * per_second / 1000000000LL, most = sent + per_second * LATE_NS / 1000000000LL;
        if (due > most) { /* we were held up: a nation would not send all that at once, so the plan moves */
            start += (due - most) * 1000000000LL / per_second;
            due = most;
        }
        if (due > sent) offer(due - sent);
        if (collect() || sent < total) last = now_ns();
        usleep(500);
    }
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    struct sockaddr_in to = {.sin_family = AF_INET}, any = {.sin_family = AF_INET};
    char *colon = strchr(argv[1], ':');
    *colon = 0;
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    to.sin_port = htons(atoi(colon + 1));
    size = atoi(argv[3]);
    int file = open(argv[2], O_RDONLY);
    struct stat st;
    if (file < 0 || fstat(file, &st)) fail(argv[2]);
    records = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    total = st.st_size / (4 + size);
    sock = socket(AF_INET, SOCK_DGRAM, 0);
    int buffer = 8 << 20;
    setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    if (bind(sock, (void *)&any, sizeof any)) fail("bind");
    prepare(&to);
    long long start = now_ns();
    if (strcmp(argv[4], "paced")) in_window(atol(argv[5]));
    else paced(atol(argv[5]));
    double seconds = (now_ns() - start) / 1e9;
    uint32_t info[16] = {0};
    socklen_t length = sizeof info;
    getsockopt(sock, SOL_SOCKET, 55 /* SO_MEMINFO */, info, &length);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("%ld %ld %.4f %u %.4f\n", sent, answered, seconds, info[8],
        use.ru_utime.tv_sec + use.ru_stime.tv_sec + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
    return 0;
}
