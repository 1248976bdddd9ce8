/* One end of the link inside the middle namespace: a packet socket on a veth, with the kernel's own time stamps. */
#ifndef PORT_H
#define PORT_H
#include "frame.h"

#include <stdbool.h>

enum { BATCH = 64 };

struct arrival { uint8_t *frame; size_t len; int64_t t_ns; };

/* Open a packet socket on `device`; exits with a sentence if it cannot. */
int port_open(const char *device);
/* Up to BATCH frames that wait at the port, with the kernel's receive stamp (CLOCK_REALTIME). */
int port_receive(int port, struct arrival arrivals[BATCH]);
/* Send a frame. Returns the kernel's transmit stamp; minus the user-space stamp if the kernel gave none; 0 if refused. */
int64_t port_send(int port, const uint8_t *frame, size_t len);
/* Frames the kernel threw away because we read too slowly, since the last call. */
unsigned port_drops(int port);
/* Switch off everything that would let a veth carry frames larger than its MTU or without their checksums. */
void port_offloads_off(const char *device);

int64_t clock_ns(int clock_id);
#endif
