/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/viewer/viewer_wire.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <sys/socket.h>

#include "core/fd.h"

/* A client that wants the keys negotiated anew is let go. */
static ssize_t errno_of(ssize_t result)
{
	if (result >= 0)
		return result;
	return result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED ? -EAGAIN : -EPROTO;
}

ssize_t viewer_wire_receive(struct viewer_wire *wire, void *bytes, size_t room)
{
	ssize_t received;

	if (wire->session)
		return errno_of(gnutls_record_recv(wire->session, bytes, room));
	received = recv(wire->fd, bytes, room, MSG_DONTWAIT);
	if (received >= 0)
		return received;
	return errno == EINTR ? -EAGAIN : -errno;
}

/* A record that was begun is asked for without its bytes, which the session has. */
ssize_t viewer_wire_send(struct viewer_wire *wire, const void *bytes, size_t count)
{
	ssize_t sent;

	if (!wire->session)
		return fd_send_now(wire->fd, bytes, count, NULL, 0);
	sent = errno_of(
		gnutls_record_send(wire->session, wire->begun ? NULL : bytes, wire->begun ? 0 : count));
	wire->begun = sent == -EAGAIN;
	return sent;
}

bool viewer_wire_holds(const struct viewer_wire *wire)
{
	return wire->session && gnutls_record_check_pending(wire->session) > 0;
}
