/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client's bytes, as they are or within TLS. Nothing here waits: what cannot be done now is -EAGAIN.
 */
#ifndef VIADUCT_HOST_VIEWER_VIEWER_WIRE_H
#define VIADUCT_HOST_VIEWER_VIEWER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct gnutls_session_int;

struct viewer_wire {
	int fd;
	struct gnutls_session_int *session; /* of TLS, not ours; NULL: none */
	bool begun;			    /* the session keeps bytes that it was given and has not sent */
};

/* Returns the bytes received, 0 at the end, or -errno. */
ssize_t viewer_wire_receive(struct viewer_wire *wire, void *bytes, size_t room);
/*
 * Returns how many of the first bytes are sent, or -errno. After -EAGAIN the same bytes come again, and
 * perhaps more behind them.
 */
ssize_t viewer_wire_send(struct viewer_wire *wire, const void *bytes, size_t count);
/* Has the session bytes for us that poll() does not know of? */
bool viewer_wire_holds(const struct viewer_wire *wire);

#endif
