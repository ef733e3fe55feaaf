/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A handover stream from anybody: as bytes on a socket (first byte even), and as a received stream with
 * descriptors that an endpoint is restored from (odd).
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/handover.h"
#include "fuzz_endpoint.h"

#define FDS 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t device_features(void *device)
{
	return 0;
}

static unsigned device_queue_count(void *device)
{
	return 1;
}

static size_t device_config_size(void *device)
{
	return 8;
}

static void device_config_read(void *device, size_t offset, void *buffer, size_t bytes)
{
	memset(buffer, 1, bytes);
}

static int device_queue_start(void *device, const struct virtio_queue_setup *setup, void **ret_queue)
{
	*ret_queue = setup->queue;
	return 0;
}

static void device_queue_stop(void *queue)
{
}

static void device_ready(void *queue)
{
	struct virtio_queue *ring = queue;
	struct virtio_chain *chain;

	while (ring->ops->take(ring, &chain, 1) > 0) {
		chain->written_bytes = 0;
		ring->ops->complete(ring, &chain, 1);
	}
}

static const struct virtio_model_ops device_model = {
	.name = "fuzz",
	.repeatable = true,
	.features = device_features,
	.queue_count = device_queue_count,
	.config_size = device_config_size,
	.config_read = device_config_read,
	.queue_start = device_queue_start,
	.queue_stop = device_queue_stop,
	.ready = device_ready,
};

static struct loop *device_worker(void *context, unsigned queue_index)
{
	return loop;
}

static void from_socket(const uint8_t *data, size_t size)
{
	struct handover handover;
	int pair[2], error = socketpair(AF_UNIX, SOCK_STREAM, 0, pair);

	assert(error == 0);
	if (fd_send(pair[0], data, size, NULL, 0) >= 0) {
		shutdown(pair[0], SHUT_WR);
		error = handover_receive(pair[1], &handover);
		fuzz_trace_number((uint64_t)error);
		if (error == 0)
			handover_finish(&handover);
	}
	close(pair[0]);
	close(pair[1]);
}

/* The kinds that an endpoint needs, in the order in which most streams name them. */
static void fill_fds(struct handover *handover)
{
	static const uint8_t kinds[FDS] = { 0, 0, 1, 2, 2, 1, 1, 1, 0, 1, 2, 1 };

	handover->fds = calloc(FDS, sizeof(int));
	assert(handover->fds);
	for (unsigned i = 0; i < FDS; i++) {
		if (kinds[i] == 0)
			handover->fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		else
			handover->fds[i] = kinds[i] == 1 ? eventfd(0, EFD_CLOEXEC) : fd_memfd("fuzz", 65536);
	}
	handover->fd_count = handover->fd_capacity = FDS;
}

static void into_endpoint(const uint8_t *data, size_t size)
{
	struct vhost_user_options options = {
		.endpoint.name = "fuzz",
		.endpoint.control = loop,
		.endpoint.socket = ENDPOINT_CONNECTED_FD,
		.endpoint.fd = -1,
		.model = &device_model,
		.device = &options,
		.endpoint.worker = device_worker,
	};
	struct handover handover = { .bytes = malloc(size + 1), .length = size };
	struct endpoint *endpoint;
	int error;

	assert(handover.bytes);
	memcpy(handover.bytes, data, size);
	fill_fds(&handover);
	error = vhost_user_restore(&options, &handover, &endpoint);
	fuzz_trace_number((uint64_t)error);
	if (error == 0) {
		for (unsigned i = 0; i < 8; i++)
			loop_turn(loop, 0);
		fuzz_endpoint_destroy(endpoint);
	}
	handover_finish(&handover);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	fuzz_loop_begin(64);
	if (data[0] & 1)
		into_endpoint(data + 1, size - 1);
	else
		from_socket(data + 1, size - 1);
	fuzz_loop_end(0);
	return 0;
}
