/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "frontend/nvme_driver.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "frontend/nvme_driver_private.h"

/* NVMe 1.4, 3.1.24 and 3.1.25. */
#define DOORBELL(queue, is_cq) (0x1000u + 8 * (queue) + ((is_cq) ? 4 : 0))

/* ---- registers ---- */

int nvme_driver_load(struct nvme_driver *driver, uint32_t offset, unsigned bytes, uint64_t *ret_value)
{
	uint64_t value = 0;
	int error = vfio_master_read(&driver->master, 0, offset, &value, bytes);

	driver->counts.loads++;
	if (!error)
		*ret_value = value;
	return error;
}

int nvme_driver_store(struct nvme_driver *driver, uint32_t offset, unsigned bytes, uint64_t value)
{
	driver->counts.stores++;
	return vfio_master_write(&driver->master, 0, offset, &value, bytes);
}

int nvme_driver_post(struct nvme_driver *driver, uint32_t offset, unsigned bytes, uint64_t value)
{
	driver->counts.posted++;
	return vfio_master_post(&driver->master, 0, offset, &value, bytes);
}

/* Puts the value into memory. Must the doorbell be rung, too, because it passes the controller's event? */
static bool is_awaited(struct nvme_driver *driver, unsigned queue, bool is_cq, uint32_t value)
{
	unsigned index = 2 * queue + is_cq;
	uint16_t now = (uint16_t)value, before = (uint16_t)driver->shadow[index], event;

	/* Behind the entries. */
	__atomic_store_n(&driver->shadow[index], value, __ATOMIC_RELEASE);
	/* Before the controller's event, which it writes before it looks for the last time. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = (uint16_t)__atomic_load_n(&driver->events[index], __ATOMIC_RELAXED);
	return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

int nvme_driver_ring(struct nvme_driver *driver, unsigned queue, bool is_cq, uint32_t value)
{
	if (queue > 0 && driver->shadow && !is_awaited(driver, queue, is_cq, value))
		return 0;
	return nvme_driver_post(driver, DOORBELL(queue, is_cq), sizeof(value), value);
}

/* ---- queues ---- */

void nvme_driver_put(struct queue *queue, const struct command *command)
{
	queue->sq[queue->tail] = *command;
	queue->tail = (queue->tail + 1) % queue->entries;
}

/* The entry's phase is read first: pairs with the controller's store of it. */
bool nvme_driver_get(struct queue *queue, struct completion *ret_completion)
{
	const struct completion *entry = &queue->cq[queue->head];
	uint16_t status = __atomic_load_n(&entry->status, __ATOMIC_ACQUIRE);

	if ((status & 1) != queue->phase)
		return false;
	memcpy(ret_completion, entry, sizeof(*entry));
	ret_completion->status = status >> 1;
	queue->head = (queue->head + 1) % queue->entries;
	if (queue->head == 0)
		queue->phase = !queue->phase;
	return true;
}

const struct nvme_driver_identity *nvme_driver_identity(const struct nvme_driver *driver)
{
	return &driver->identity;
}

void *nvme_driver_memory(struct nvme_driver *driver)
{
	return page(driver, PAGES);
}

struct nvme_driver_counts nvme_driver_counts(const struct nvme_driver *driver)
{
	return driver->counts;
}

/* ---- I/O ---- */

static void put_data(struct nvme_driver *driver, struct command *command, const void *data, uint64_t bytes)
{
	uint64_t address = address_of(driver, data), *list;
	unsigned pages = (unsigned)((bytes + PAGE_BYTES - 1) / PAGE_BYTES);

	assert(address % PAGE_BYTES == 0 && bytes <= driver->identity.data_bytes_max);
	command->prp1 = address;
	if (pages == 2)
		command->prp2 = address + PAGE_BYTES;
	if (pages <= 2)
		return;
	list = (uint64_t *)(void *)page(driver, LISTS + command->id);
	for (unsigned i = 1; i < pages; i++)
		list[i - 1] = address + (uint64_t)i * PAGE_BYTES;
	command->prp2 = address_of(driver, list);
}

int nvme_driver_add(struct nvme_driver *driver, const struct nvme_driver_request *request)
{
	uint32_t block_bytes = driver->identity.block_bytes;
	struct command command = { .opcode = (uint8_t)request->op, .namespace_id = 1 };
	uint64_t block = request->offset_bytes / block_bytes;

	if (request->op != NVME_DRIVER_FLUSH && (request->bytes == 0 || request->bytes % block_bytes != 0 ||
						 request->offset_bytes % block_bytes != 0))
		return -EINVAL;
	if (driver->free_count == 0)
		return -EAGAIN;
	command.id = driver->free[--driver->free_count];
	driver->used[command.id] = true;
	driver->tokens[command.id] = request->token;
	if (request->op != NVME_DRIVER_FLUSH) {
		command.cdw10 = (uint32_t)block;
		command.cdw11 = (uint32_t)(block >> 32);
		command.cdw12 = (uint32_t)(request->bytes / block_bytes - 1);
	}
	if (request->op == NVME_DRIVER_READ || request->op == NVME_DRIVER_WRITE)
		put_data(driver, &command, request->data, request->bytes);
	nvme_driver_put(&driver->io, &command);
	return 0;
}

int nvme_driver_kick(struct nvme_driver *driver)
{
	return nvme_driver_ring(driver, driver->io.index, false, driver->io.tail);
}

bool nvme_driver_take(struct nvme_driver *driver, void **ret_token, uint16_t *ret_status)
{
	struct completion completion;

	if (driver->broken || !nvme_driver_get(&driver->io, &completion))
		return false;
	if (completion.id >= NVME_DRIVER_DEPTH || !driver->used[completion.id]) {
		driver->broken = true;
		return false;
	}
	driver->used[completion.id] = false;
	driver->free[driver->free_count++] = completion.id;
	*ret_token = driver->tokens[completion.id];
	*ret_status = completion.status & 0x7ff;
	nvme_driver_ring(driver, driver->io.index, true, driver->io.head);
	return true;
}

static bool has_completion(const struct nvme_driver *driver)
{
	const struct completion *entry = &driver->io.cq[driver->io.head];

	return (__atomic_load_n(&entry->status, __ATOMIC_ACQUIRE) & 1) == driver->io.phase;
}

int nvme_driver_wait(struct nvme_driver *driver, int timeout_ms)
{
	struct pollfd poll_fds[2] = { { .fd = driver->event_fd, .events = POLLIN },
				      { .fd = driver->master.socket, .events = POLLRDHUP } };
	uint64_t count;
	int ready;

	for (;;) {
		if (driver->broken)
			return -EPROTO;
		if (has_completion(driver))
			return 1;
		ready = poll(poll_fds, 2, timeout_ms);
		if (ready < 0)
			return -errno;
		if (ready == 0)
			return 0;
		if (read(driver->event_fd, &count, sizeof(count)) == sizeof(count))
			driver->counts.interrupts++;
		else if (poll_fds[1].revents)
			return -EPIPE;
	}
}
