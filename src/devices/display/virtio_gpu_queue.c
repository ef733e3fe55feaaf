/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of either queue, one after the other. A queue holds at most the one chain that it is at: it is
 * answered before the next is taken, so answers keep the order. A command that needs more time than a turn
 * has goes on in the next one. When its chain is waited for it goes back into the ring and begins anew when
 * it is taken again, from another copy of the request: each command may be carried out any number of times in
 * part.
 */
#include <assert.h>
#include <string.h>

#include "core/iov.h"
#include "core/loop_account.h"
#include "devices/display/virtio_gpu_private.h"

struct command {
	enum virtio_gpu_type type;
	uint32_t bytes; /* that it has at least */
	uint32_t (*carry_out)(struct gpu_queue *queue);
};

static const struct command control_commands[] = {
	{ VIRTIO_GPU_CMD_GET_DISPLAY_INFO, sizeof(struct virtio_gpu_header), gpu_get_display_info },
	{ VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, sizeof(struct virtio_gpu_create_2d), gpu_create_2d },
	{ VIRTIO_GPU_CMD_RESOURCE_UNREF, sizeof(struct virtio_gpu_name_resource), gpu_unref },
	{ VIRTIO_GPU_CMD_SET_SCANOUT, sizeof(struct virtio_gpu_set_scanout), gpu_set_scanout },
	{ VIRTIO_GPU_CMD_RESOURCE_FLUSH, sizeof(struct virtio_gpu_flush), gpu_flush },
	{ VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D, sizeof(struct virtio_gpu_transfer), gpu_transfer },
	{ VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING, sizeof(struct virtio_gpu_attach), gpu_attach },
	{ VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING, sizeof(struct virtio_gpu_name_resource), gpu_detach },
	{ VIRTIO_GPU_CMD_GET_EDID, sizeof(struct virtio_gpu_get_edid), gpu_get_edid },
	{ VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB, sizeof(struct virtio_gpu_create_blob), gpu_create_blob },
	{ VIRTIO_GPU_CMD_SET_SCANOUT_BLOB, sizeof(struct virtio_gpu_set_scanout_blob), gpu_set_scanout_blob },
};

static const struct command cursor_commands[] = {
	{ VIRTIO_GPU_CMD_UPDATE_CURSOR, sizeof(struct virtio_gpu_update_cursor), gpu_update_cursor },
	{ VIRTIO_GPU_CMD_MOVE_CURSOR, sizeof(struct virtio_gpu_update_cursor), gpu_move_cursor },
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const struct command *find_command(const struct gpu_queue *queue)
{
	const struct command *commands = queue->is_cursor ? cursor_commands : control_commands;
	size_t count = queue->is_cursor ? LENGTH(cursor_commands) : LENGTH(control_commands);

	for (size_t i = 0; i < count; i++)
		if (commands[i].type == queue->request.header.type)
			return &commands[i];
	return NULL;
}

/* ---- chains ---- */

/* Of the elements, the bytes before the first one that lies outside guest memory. */
static uint32_t mapped_bytes(const struct iovec *iov, unsigned count)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < count && iov[i].iov_base; i++)
		bytes += iov[i].iov_len;
	return (uint32_t)bytes;
}

static uint32_t at_most(uint32_t bytes, size_t limit)
{
	return bytes < limit ? bytes : (uint32_t)limit;
}

/* Takes the next command and copies it. False: there is none, or the ring has just broken. */
static bool take_command(struct gpu_queue *queue)
{
	const struct virtio_queue_ops *ops = queue->ring->ops;
	struct virtio_chain *chain;

	if (ops->take(queue->ring, &chain, 1) == 0)
		return false;
	queue->request_bytes = mapped_bytes(chain->iov, chain->readable_count);
	queue->answer_room_bytes = mapped_bytes(chain->iov + chain->readable_count, chain->writable_count);
	if (queue->is_cursor ? queue->request_bytes < sizeof(queue->request.header)
			     : queue->answer_room_bytes < sizeof(queue->answer.header)) {
		ops->reject(queue->ring, chain);
		return false;
	}
	memset(&queue->request, 0, sizeof(queue->request));
	iov_copy_out(chain->iov, chain->readable_count, 0, &queue->request,
		     at_most(queue->request_bytes, sizeof(queue->request)));
	queue->answer_bytes = sizeof(queue->answer.header);
	queue->chain = chain;
	return true;
}

/* Nothing is noted of a command any more. */
static void forget_progress(struct gpu_queue *queue)
{
	gpu_attach_cancel(queue);
	gpu_canvas_drop(&queue->canvas);
	queue->lines_done = 0;
	queue->scanouts_done = 0;
	queue->chunk_bytes = 0;
	queue->chain = NULL;
}

static void answer(struct gpu_queue *queue, uint32_t type)
{
	const struct virtio_gpu_header *asked = &queue->request.header;
	struct virtio_chain *chain = queue->chain;

	queue->answer.header = (struct virtio_gpu_header){ .type = type };
	if (asked->flags & VIRTIO_GPU_FLAG_FENCE) {
		queue->answer.header.flags =
			asked->flags & (VIRTIO_GPU_FLAG_FENCE | VIRTIO_GPU_FLAG_INFO_RING_IDX);
		queue->answer.header.fence_id = asked->fence_id;
		queue->answer.header.ctx_id = asked->ctx_id;
		queue->answer.header.ring_idx = asked->ring_idx;
	}
	chain->written_bytes = at_most(queue->answer_bytes, queue->answer_room_bytes);
	iov_copy_in(chain->iov + chain->readable_count, chain->writable_count, 0, &queue->answer,
		    chain->written_bytes);
	forget_progress(queue);
	queue->ring->ops->complete(queue->ring, &chain, 1);
}

/* ---- turns ---- */

static uint32_t carry_out(struct gpu_queue *queue)
{
	const struct command *command = find_command(queue);

	if (queue->request_bytes < sizeof(queue->request.header) || !command)
		return VIRTIO_GPU_RESP_ERR_UNSPEC;
	if (queue->request_bytes < command->bytes)
		return VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	return command->carry_out(queue);
}

bool gpu_has_waited(const struct gpu_queue *queue)
{
	return __atomic_load_n(queue->held, __ATOMIC_RELAXED) != 0;
}

bool gpu_turn_over(const struct gpu_queue *queue)
{
	return gpu_has_waited(queue) || loop_slice_over(queue->loop);
}

/* Any command may have taken long, so the time is asked after each. A turn does at least a part of one. */
void gpu_ready(void *opaque)
{
	struct gpu_queue *queue = opaque;

	while (queue->chain || take_command(queue)) {
		uint32_t type = carry_out(queue);

		if (type != GPU_LATER)
			answer(queue, type);
		if (type == GPU_LATER || gpu_turn_over(queue)) {
			queue->ring->ops->busy(queue->ring);
			return;
		}
	}
}

static void give_back(struct gpu_queue *queue)
{
	struct virtio_chain *chain = queue->chain;

	if (!chain)
		return;
	forget_progress(queue);
	queue->ring->ops->give_back(queue->ring, &chain, 1);
}

void gpu_queue_drain(void *opaque, bool drain)
{
	if (drain)
		give_back(opaque);
}

void gpu_queue_abandon(void *opaque)
{
	give_back(opaque);
}
