/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk requests (virtio 1.2, 5.2.6): header | data | status. Header and descriptor table of a request
 * share one cache line, its slot; the status bytes of all requests lie side by side.
 */
#include <errno.h>

#include "core/checked.h"
#include "core/shared.h"
#include "frontend/frontend_private.h"

/* Offset of `capacity`, in sectors, in the configuration space (5.2.4). */
#define CONFIG_CAPACITY 0

#define BLOCK_DO_TIMEOUT_MS 30000

static bool device_writes_data(uint32_t type)
{
	return type == FRONTEND_BLOCK_IN || type == FRONTEND_BLOCK_GET_ID;
}

int frontend_block_add(struct frontend_queue *queue, const struct frontend_block_request *request)
{
	struct frontend_buffer buffers[3];
	struct frontend_slot *slot;
	unsigned count = 0;
	uint16_t id;

	if (queue->free_count < (queue->indirect ? 1 : 3))
		return -EAGAIN;
	id = queue_next_id(queue);
	slot = &queue->slot[id];
	slot->header = (struct block_header){request->type, 0, request->sector};
	buffers[count++] =
	    (struct frontend_buffer){queue_guest_address(queue, &slot->header), sizeof(slot->header), false};
	if (request->data_bytes > 0)
		buffers[count++] =
		    (struct frontend_buffer){queue_guest_address(queue, request->data), request->data_bytes,
					     device_writes_data(request->type)};
	buffers[count++] = (struct frontend_buffer){queue_guest_address(queue, &queue->status[id]), 1, true};
	return frontend_add(queue, buffers, count, request->token);
}

bool frontend_block_take(struct frontend_queue *queue, void **ret_token, uint8_t *ret_status)
{
	uint32_t written;
	uint16_t id;

	if (!(queue->packed ? frontend_packed_take(queue, &id, &written)
			    : frontend_split_take(queue, &id, &written)))
		return false;
	*ret_token = queue->chain[id].token;
	*ret_status = shared_read(&queue->status[id]);
	shared_write(&queue->status[id], FRONTEND_BLOCK_NO_STATUS);
	return true;
}

int frontend_block_do(struct frontend_queue *queue, const struct frontend_block_request *request)
{
	uint8_t status;
	void *token;
	int result;

	if (queue->in_flight > 0)
		return -EBUSY;
	result = frontend_block_add(queue, request);
	if (result)
		return result;
	frontend_kick(queue);
	result = frontend_wait(queue, BLOCK_DO_TIMEOUT_MS);
	if (result <= 0)
		return result ? result : -ETIMEDOUT;
	if (!frontend_block_take(queue, &token, &status))
		return -EPROTO;
	return status;
}

int frontend_block_size(struct frontend *frontend, uint64_t *ret_bytes)
{
	uint64_t sectors, bytes;
	int error = frontend_config(frontend, CONFIG_CAPACITY, &sectors, sizeof(sectors));

	if (error)
		return error;
	if (!checked_mul(sectors, 512, &bytes))
		return -EPROTO;
	*ret_bytes = bytes;
	return 0;
}
