/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vhost_user/vhost_user_inflight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/checked.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/memory_guard.h"
#include "core/reaper.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_handlers.h"
#include "interfaces/vhost_user/vhost_user_queue.h"
#include "interfaces/virtio/inflight.h"

/* 256 queues of 32768 packed descriptors need 256 MiB. */
#define INFLIGHT_BYTES_MAX (512ull << 20)

/* Front ends that ask before SET_FEATURES get room for either format. */
static uint64_t region_bytes(const struct vhost_user_connection *connection, unsigned queue_size)
{
	uint64_t split = inflight_region_bytes(false, queue_size),
		 packed = inflight_region_bytes(true, queue_size);

	if (connection->features_set)
		return vhost_user_queue_is_packed(connection) ? packed : split;
	return packed > split ? packed : split;
}

static bool numbers_fit(struct vhost_user_connection *connection,
			const struct vhost_user_inflight_description *description)
{
	if (description->queues == 0 || description->queues > connection->queue_count) {
		vhost_user_complain(connection, "number of queues out of range", description->queues);
		return false;
	}
	if (description->queue_size == 0 || description->queue_size > connection->endpoint->queue_size_max) {
		vhost_user_complain(connection, "queue size out of range", description->queue_size);
		return false;
	}
	return true;
}

/* The file is the front end's from now on: asking a million times costs us nothing that stays. */
enum vhost_user_outcome vhost_user_get_inflight_fd(struct vhost_user_connection *connection,
						   struct vhost_user_message *message)
{
	struct vhost_user_inflight_description description = message->payload.inflight;
	int fd;

	if (!numbers_fit(connection, &description))
		return VHOST_USER_REFUSED;
	description.bytes = description.queues * region_bytes(connection, description.queue_size);
	description.offset = 0;
	memset(description.tail, 0, sizeof(description.tail));
	fd = fd_memfd("viaduct-inflight", description.bytes);
	if (fd < 0) {
		vhost_user_complain(connection, "no memory for the record", (uint64_t)-fd);
		return VHOST_USER_REFUSED;
	}
	connection->reply.inflight = description;
	connection->reply_size = message->header.size;
	connection->reply_fd = fd;
	return VHOST_USER_DONE;
}

static int map_record(struct vhost_user_inflight *inflight, int fd, uint64_t end, size_t page_bytes)
{
	uint64_t start = align_down(inflight->description.offset, page_bytes);
	int error;

	inflight->mapping_bytes = align_up(end - start, page_bytes);
	inflight->mapping =
		mmap(NULL, inflight->mapping_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)start);
	if (inflight->mapping == MAP_FAILED)
		return errno == EACCES ? -EBADF : -ENOMEM;
	error = memory_guard_add(inflight->mapping, inflight->mapping_bytes, page_bytes, &inflight->lost);
	if (error) {
		munmap(inflight->mapping, inflight->mapping_bytes);
		return -ENOMEM;
	}
	inflight->base = (uint8_t *)inflight->mapping + (inflight->description.offset - start);
	return 0;
}

int vhost_user_inflight_open(int fd, const struct vhost_user_inflight_description *description,
			     struct vhost_user_inflight **ret_inflight)
{
	struct vhost_user_inflight *inflight;
	uint64_t end;
	long page_bytes;
	int error;

	if (description->bytes == 0 || description->bytes > INFLIGHT_BYTES_MAX ||
	    !checked_add(description->offset, description->bytes, &end) || end > INT64_MAX ||
	    !is_aligned(description->offset, sizeof(uint64_t)))
		return -EINVAL;
	page_bytes = memory_file_accept(fd, end);
	if (page_bytes < 0)
		return (int)page_bytes;
	inflight = calloc(1, sizeof(*inflight));
	if (!inflight)
		return -ENOMEM;
	inflight->description = *description;
	error = map_record(inflight, fd, end, (size_t)page_bytes);
	if (error) {
		free(inflight);
		return error;
	}
	inflight->fd = fd;
	*ret_inflight = inflight;
	return 0;
}

static void destroy(struct reaper_job *job)
{
	struct vhost_user_inflight *inflight = container_of(job, struct vhost_user_inflight, job);

	memory_guard_remove(inflight->mapping);
	munmap(inflight->mapping, inflight->mapping_bytes);
	free(inflight);
}

void vhost_user_inflight_close(struct vhost_user_inflight *inflight)
{
	if (!inflight)
		return;
	reaper_close(&inflight->fd);
	inflight->job.run = destroy;
	reaper_give(&inflight->job);
}

void *vhost_user_inflight_region(const struct vhost_user_inflight *inflight, bool packed, unsigned index,
				 unsigned size, bool *ret_fits)
{
	const struct vhost_user_inflight_description *description;
	uint64_t stride;

	*ret_fits = true;
	if (!inflight || index >= inflight->description.queues)
		return NULL;
	description = &inflight->description;
	stride = inflight_region_bytes(packed, description->queue_size);
	*ret_fits = size <= description->queue_size &&
		    checked_range(index * stride, stride, description->bytes);
	return *ret_fits ? inflight->base + index * stride : NULL;
}

enum vhost_user_outcome vhost_user_set_inflight_fd(struct vhost_user_connection *connection,
						   struct vhost_user_message *message)
{
	struct vhost_user_inflight_description description = message->payload.inflight;
	struct vhost_user_inflight *inflight;
	int error;

	memset(description.tail, 0, sizeof(description.tail));
	if (!numbers_fit(connection, &description))
		return VHOST_USER_REFUSED;
	error = vhost_user_inflight_open(message->fds[0], &description, &inflight);
	if (error) {
		vhost_user_complain(connection,
				    error == -EBADF ? "not a memory file" : "record does not fit its file",
				    description.bytes);
		return error == -EBADF ? VHOST_USER_VIOLATION : VHOST_USER_REFUSED;
	}
	vhost_user_message_take_fd(message, 0);
	vhost_user_inflight_close(connection->inflight);
	connection->inflight = inflight;
	return VHOST_USER_DONE;
}
