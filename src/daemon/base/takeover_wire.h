/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What predecessor and successor say to each other. The offer is a handover (core/handover.h) with
 *
 *     u64 TAKEOVER_VERSION, u64 suspend_ns
 *     { string kind, string name, fd } …, string "" as the end
 *     u64 endpoints, { string name } …
 *
 * and behind it, one handover for each endpoint in that order. The rest are single bytes.
 */
#ifndef VIADUCT_DAEMON_BASE_TAKEOVER_WIRE_H
#define VIADUCT_DAEMON_BASE_TAKEOVER_WIRE_H

#include "core/handover.h"

/* Each side waits so long for the other one to say something. */
#define TAKEOVER_TIMEOUT_S 10
/* The guests stand still while the offer is sent, and the API waits: a successor reads it at once. */
#define TAKEOVER_SEND_S	   2

#define TAKEOVER_VERSION  1
#define TAKEOVER_HELLO	  'H'	/* successor: I am here; guests stand still from now on */
#define TAKEOVER_PREPARED 'P'	/* successor: the pools are open */
#define TAKEOVER_GO	  'G'	/* predecessor: they are yours */
#define TAKEOVER_RESUMED  'R'	/* successor: the rings run */

/* One descriptor with what it is. */
static inline void takeover_put_fd(struct handover *handover, const char *kind, const char *name, int fd)
{
	handover_put_string(handover, kind);
	handover_put_string(handover, name);
	handover_put_fd(handover, fd);
}

#endif
