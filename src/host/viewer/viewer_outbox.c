/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/viewer/viewer_outbox.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/fd.h"
#include "host/viewer/viewer_wire.h"

#define MAPPED_STEP_BYTES ((size_t)1 << 20)
/* More memory than this is given back once it is sent: an ordinary update of a large screen keeps it. */
#define KEPT_BYTES (4 << 20)
/* An honest client asks for a few dozen bytes between two updates. */
#define ANSWERS_MAX ((size_t)256 << 10)

int viewer_outbox_init(struct viewer_outbox *outbox)
{
	*outbox = (struct viewer_outbox){ .fd = memfd_create("viewer-outbox", MFD_CLOEXEC) };
	return outbox->fd < 0 ? -errno : 0;
}

static void unmap(struct viewer_outbox *outbox)
{
	if (outbox->mapped)
		munmap(outbox->mapped, outbox->mapped_bytes);
	outbox->mapped = NULL;
	outbox->mapped_bytes = 0;
}

void viewer_outbox_finish(struct viewer_outbox *outbox)
{
	unmap(outbox);
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
	ssize_t written;

	if (count > ANSWERS_MAX - outbox->answers)
		return -ENOBUFS;
	outbox->answers += count;
	written = write(outbox->fd, bytes, count);
	if (written < 0)
		return -errno;
	return (size_t)written == count ? viewer_outbox_grown(outbox) : -ENOSPC;
}

bool viewer_outbox_is_empty(const struct viewer_outbox *outbox)
{
	return outbox->written == 0;
}

/* All that was written is mapped, and room for what the next update may have more. Returns 0 or -errno. */
static int map(struct viewer_outbox *outbox)
{
	size_t bytes =
		((size_t)outbox->written + MAPPED_STEP_BYTES - 1) / MAPPED_STEP_BYTES * MAPPED_STEP_BYTES;
	void *mapped;

	if (bytes <= outbox->mapped_bytes)
		return 0;
	unmap(outbox);
	mapped = mmap(NULL, bytes, PROT_READ, MAP_SHARED, outbox->fd, 0);
	if (mapped == MAP_FAILED)
		return -errno;
	outbox->mapped = mapped;
	outbox->mapped_bytes = bytes;
	return 0;
}

static int begin_anew(struct viewer_outbox *outbox)
{
	if (outbox->written > KEPT_BYTES && ftruncate(outbox->fd, 0) < 0)
		return -errno;
	if (lseek(outbox->fd, 0, SEEK_SET) < 0)
		return -errno;
	outbox->written = outbox->sent = 0;
	outbox->answers = 0;
	return 0;
}

int viewer_outbox_drop(struct viewer_outbox *outbox)
{
	return begin_anew(outbox);
}

int viewer_outbox_send(struct viewer_outbox *outbox, struct viewer_wire *wire)
{
	int error = map(outbox);
	ssize_t sent;

	while (!error && outbox->sent < outbox->written) {
		sent = viewer_wire_send(wire, outbox->mapped + outbox->sent,
					(size_t)(outbox->written - outbox->sent));
		if (sent == -EAGAIN)
			return 0;
		if (sent < 0)
			return (int)sent;
		outbox->sent += sent;
	}
	return error || viewer_outbox_is_empty(outbox) ? error : begin_anew(outbox);
}
