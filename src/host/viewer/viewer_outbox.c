/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/viewer/viewer_outbox.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/fd.h"

#define CHUNK_BYTES (64u << 10)
/* More memory than this is given back once it is sent: an ordinary update of a large screen keeps it. */
#define KEPT_BYTES (4 << 20)

int viewer_outbox_init(struct viewer_outbox *outbox)
{
	*outbox = (struct viewer_outbox){ .fd = memfd_create("viewer-outbox", MFD_CLOEXEC) };
	return outbox->fd < 0 ? -errno : 0;
}

void viewer_outbox_finish(struct viewer_outbox *outbox)
{
	fd_close(&outbox->fd);
}

int viewer_outbox_grown(struct viewer_outbox *outbox)
{
	off_t end = lseek(outbox->fd, 0, SEEK_CUR);

	if (end < 0)
		return -errno;
	outbox->written = end;
	return 0;
}

int viewer_outbox_put(struct viewer_outbox *outbox, const void *bytes, size_t count)
{
	ssize_t written = write(outbox->fd, bytes, count);

	if (written < 0)
		return -errno;
	return (size_t)written == count ? viewer_outbox_grown(outbox) : -ENOSPC;
}

bool viewer_outbox_is_empty(const struct viewer_outbox *outbox)
{
	return outbox->written == 0;
}

static int begin_anew(struct viewer_outbox *outbox)
{
	if (outbox->written > KEPT_BYTES && ftruncate(outbox->fd, 0) < 0)
		return -errno;
	if (lseek(outbox->fd, 0, SEEK_SET) < 0)
		return -errno;
	outbox->written = outbox->sent = 0;
	return 0;
}

int viewer_outbox_send(struct viewer_outbox *outbox, int peer)
{
	uint8_t chunk[CHUNK_BYTES];
	off_t left;
	ssize_t got, sent;

	while ((left = outbox->written - outbox->sent) > 0) {
		got = pread(outbox->fd, chunk, left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES, outbox->sent);
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		sent = fd_send_now(peer, chunk, (size_t)got, NULL, 0);
		if (sent == -EAGAIN)
			return 0;
		if (sent < 0)
			return (int)sent;
		outbox->sent += sent;
	}
	return viewer_outbox_is_empty(outbox) ? 0 : begin_anew(outbox);
}
