/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings go from one worker to another: those of a guest that made its worker wait (core/loop_blame.h). Its
 * worker has abandoned them by then. The endpoint's owner is told, names another worker, and has them moved:
 * they are stopped and started, like for a takeover, and what was in flight is taken again from the record.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/container.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "interfaces/vhost_user/vhost_user_queue.h"
#include "interfaces/virtio/inflight.h"

/* ---- before ---- */

static void waited_on_control(struct loop_message *message)
{
	struct vhost_user_queue *queue = container_of(message, struct vhost_user_queue, wait_message);
	const struct endpoint_options *options = &queue->connection->endpoint->options.endpoint;

	options->made_wait(options->worker_context, queue->waited_ns);
}

static void made_wait_on_worker(void *context, uint64_t waited_ns)
{
	struct vhost_user_queue *queue = context;

	queue->waited_ns = waited_ns;
	queue->wait_message.run = waited_on_control;
	loop_post(vhost_user_connection_control(queue->connection), &queue->wait_message);
}

int vhost_user_queue_prepare_waits(struct vhost_user_queue *queue, struct virtqueue_setup *setup)
{
	const struct endpoint_options *options = &queue->connection->endpoint->options.endpoint;
	bool alone = !options->made_wait ||
		     (options->waits_alone && options->waits_alone(options->worker_context));
	bool packed = setup->features >> VIRTIO_F_RING_PACKED & 1;
	size_t bytes = inflight_region_bytes(packed, queue->size);

	/* The size may be another by now: only the same ring goes on with a record. */
	if (!queue->moves || queue->record_bytes != bytes) {
		free(queue->record);
		queue->record = NULL;
	}
	queue->moves = false;
	if (!alone && !queue->record && !setup->inflight && setup->model->repeatable) {
		queue->record = calloc(1, bytes);
		if (!queue->record)
			return -ENOMEM;
		queue->record_bytes = bytes;
	}
	setup->record = queue->record;
	setup->made_wait = alone ? NULL : made_wait_on_worker;
	return 0;
}

/* ---- after ---- */

static void on_stopped_to_move(struct vhost_user_connection *connection)
{
	if (!connection->closing)
		vhost_user_rings_resume(connection);
}

void vhost_user_rings_move(struct vhost_user_connection *connection)
{
	/* Also while a takeover is being prepared: then none runs, and what is to be resumed is marked. */
	for (unsigned i = 0; i < connection->queue_count; i++) {
		struct vhost_user_queue *queue = &connection->queues[i];

		queue->moves = queue->started;
		queue->resume |= queue->started && !queue->broken;
	}
	if (!vhost_user_queues_running(connection))
		return;
	vhost_user_job_begin(connection, on_stopped_to_move);
	vhost_user_queues_post_stop(connection);
	vhost_user_job_end_posting(connection);
}
