/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "frontend/nvme_driver.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/fd.h"
#include "frontend/vfio_master.h"

/* Registers (NVMe 1.4, 3.1). */
#define REG_CAP		       0x00u
#define REG_CC		       0x14u
#define REG_CSTS	       0x1cu
#define REG_AQA		       0x24u
#define REG_ASQ		       0x28u
#define REG_ACQ		       0x30u
#define DOORBELL(queue, is_cq) (0x1000u + 8 * (queue) + ((is_cq) ? 4 : 0))
/* Enabled, entries of 64 and 16 bytes (3.1.5). */
#define CC_ON	    0x00460001u
#define READY_TRIES 2000u
#define READY_US    1000u

#define PAGE_BYTES    4096u
#define ADMIN_ENTRIES 8u
/* More than can be in flight: a full ring and an empty one look different. */
#define IO_ENTRIES (2 * NVME_DRIVER_DEPTH)

/* Where the guest's memory lies for the controller; below it is nothing. */
#define MEMORY_ADDRESS 0x100000u
/* Our own pages at its beginning, then one list of pages for each command, then the caller's. */
enum { ADMIN_SQ, ADMIN_CQ, IO_SQ, IO_SQ_2, IO_CQ, ANSWER, LISTS, PAGES = LISTS + NVME_DRIVER_DEPTH };
static_assert(IO_ENTRIES * 64 <= 2 * PAGE_BYTES && IO_ENTRIES * 16 <= PAGE_BYTES, "the rings have room");

struct command {
	uint8_t opcode, flags;
	uint16_t id;
	uint32_t namespace_id, reserved[4];
	uint64_t prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
static_assert(sizeof(struct command) == 64, "4.2: submission queue entry");

struct completion {
	uint32_t result, reserved;
	uint16_t sq_head, sq_id, id, status;
};
static_assert(sizeof(struct completion) == 16, "4.6: completion queue entry");

struct queue {
	struct command *sq;
	const struct completion *cq;
	unsigned index, entries, tail, head;
	bool phase;
};

struct nvme_driver {
	struct vfio_master master;
	int memory_fd, event_fd;
	uint8_t *memory;
	size_t memory_bytes;
	struct queue admin, io;
	struct nvme_driver_identity identity;
	struct nvme_driver_counts counts;
	void *tokens[NVME_DRIVER_DEPTH];
	uint16_t free[NVME_DRIVER_DEPTH]; /* numbers of commands */
	bool used[NVME_DRIVER_DEPTH];
	unsigned free_count;
	bool broken;
};

/* ---- memory ---- */

static uint64_t address_of(const struct nvme_driver *driver, const void *at)
{
	return MEMORY_ADDRESS + (uint64_t)((const uint8_t *)at - driver->memory);
}

static uint8_t *page(const struct nvme_driver *driver, unsigned index)
{
	return driver->memory + (size_t)index * PAGE_BYTES;
}

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

static int ring_doorbell(struct nvme_driver *driver, unsigned queue, bool is_cq, uint32_t value)
{
	return nvme_driver_post(driver, DOORBELL(queue, is_cq), sizeof(value), value);
}

/* ---- queues ---- */

static struct queue queue_of(const struct nvme_driver *driver, unsigned index, unsigned sq, unsigned cq,
			     unsigned entries)
{
	return (struct queue){
		.sq = (struct command *)(void *)page(driver, sq),
		.cq = (const struct completion *)(void *)page(driver, cq),
		.index = index,
		.entries = entries,
		.phase = true,
	};
}

static void put(struct queue *queue, const struct command *command)
{
	queue->sq[queue->tail] = *command;
	queue->tail = (queue->tail + 1) % queue->entries;
}

/* The entry's phase is read first: pairs with the controller's store of it. */
static bool get(struct queue *queue, struct completion *ret_completion)
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

/* One admin command, waited for. */
static int admin(struct nvme_driver *driver, const struct command *command)
{
	struct completion completion;
	int error;

	put(&driver->admin, command);
	error = ring_doorbell(driver, 0, false, driver->admin.tail);
	for (unsigned tries = 0; !error && !get(&driver->admin, &completion); tries++) {
		if (tries == READY_TRIES)
			return -ETIMEDOUT;
		usleep(READY_US);
	}
	if (!error)
		error = ring_doorbell(driver, 0, true, driver->admin.head);
	return error ? error : completion.status ? -EPROTO : 0;
}

/* ---- bringing up ---- */

static int connect_to(struct nvme_driver *driver, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	driver->master.socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (driver->master.socket < 0 ||
	    connect(driver->master.socket, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return fd_set_nonblocking(driver->master.socket, true);
}

static int make_memory(struct nvme_driver *driver, size_t bytes)
{
	driver->memory_bytes =
		(size_t)PAGES * PAGE_BYTES + (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	driver->memory_fd = fd_memfd("viaduct-nvme", driver->memory_bytes);
	if (driver->memory_fd < 0)
		return driver->memory_fd;
	driver->memory =
		mmap(NULL, driver->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, driver->memory_fd, 0);
	if (driver->memory == MAP_FAILED) {
		driver->memory = NULL;
		return -ENOMEM;
	}
	driver->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return driver->event_fd < 0 ? -errno : 0;
}

static int attach(struct nvme_driver *driver)
{
	/* Memory and bus mastering (PCI 3.0, 6.2.2). */
	const uint16_t command = 0x6;
	int error = vfio_master_version(&driver->master);

	if (!error)
		error = vfio_master_map(&driver->master, MEMORY_ADDRESS, driver->memory_bytes,
					driver->memory_fd);
	if (!error)
		error = vfio_master_vector(&driver->master, driver->event_fd);
	return error ? error
		     : vfio_master_write(&driver->master, VFIO_MASTER_CONFIG, 4, &command, sizeof(command));
}

static int wait_ready(struct nvme_driver *driver)
{
	uint64_t status = 0;

	for (unsigned tries = 0; tries < READY_TRIES; tries++) {
		int error = nvme_driver_load(driver, REG_CSTS, 4, &status);

		if (error || status & 2)
			return error ? error : -EPROTO;
		if (status & 1)
			return 0;
		usleep(READY_US);
	}
	return -ETIMEDOUT;
}

static int enable(struct nvme_driver *driver)
{
	int error = nvme_driver_store(driver, REG_AQA, 4, (ADMIN_ENTRIES - 1) | (ADMIN_ENTRIES - 1) << 16);

	driver->admin = queue_of(driver, 0, ADMIN_SQ, ADMIN_CQ, ADMIN_ENTRIES);
	driver->io = queue_of(driver, 1, IO_SQ, IO_CQ, IO_ENTRIES);
	if (!error)
		error = nvme_driver_store(driver, REG_ASQ, 8, address_of(driver, page(driver, ADMIN_SQ)));
	if (!error)
		error = nvme_driver_store(driver, REG_ACQ, 8, address_of(driver, page(driver, ADMIN_CQ)));
	if (!error)
		error = nvme_driver_store(driver, REG_CC, 4, CC_ON);
	return error ? error : wait_ready(driver);
}

static int make_queues(struct nvme_driver *driver)
{
	const struct command cq = {
		.opcode = 0x05,
		.prp1 = address_of(driver, page(driver, IO_CQ)),
		.cdw10 = 1 | (IO_ENTRIES - 1) << 16,
		.cdw11 = 3,
	};
	const struct command sq = {
		.opcode = 0x01,
		.prp1 = address_of(driver, page(driver, IO_SQ)),
		.cdw10 = 1 | (IO_ENTRIES - 1) << 16,
		.cdw11 = 1 | 1 << 16,
	};
	int error = admin(driver, &cq);

	return error ? error : admin(driver, &sq);
}

static uint64_t number_at(const uint8_t *bytes, size_t offset, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, bytes + offset, size);
	return value;
}

/* Text of fixed length, with spaces behind it. */
static void text_at(const uint8_t *bytes, size_t offset, size_t size, char *to)
{
	memcpy(to, bytes + offset, size);
	to[size] = '\0';
	while (size > 0 && to[size - 1] == ' ')
		to[--size] = '\0';
}

static int identify(struct nvme_driver *driver, uint32_t what, uint32_t namespace_id)
{
	const struct command command = {
		.opcode = 0x06,
		.namespace_id = namespace_id,
		.cdw10 = what,
		.prp1 = address_of(driver, page(driver, ANSWER)),
	};

	return admin(driver, &command);
}

/* Offsets of NVMe 1.4, 5.15.2.1 and 5.15.2.2. */
static int learn(struct nvme_driver *driver)
{
	struct nvme_driver_identity *identity = &driver->identity;
	const uint8_t *answer = page(driver, ANSWER);
	int error = identify(driver, 1, 0);
	unsigned data_shift, block_shift;

	if (error)
		return error;
	text_at(answer, 4, 20, identity->serial);
	text_at(answer, 24, 40, identity->model);
	data_shift = answer[77];
	identity->writes_zeroes = number_at(answer, 520, 2) >> 3 & 1;
	identity->write_cache = answer[525] & 1;
	/* A list is one page: 512 pages of data; 0 is no limit. */
	identity->data_bytes_max = PAGE_BYTES << (data_shift > 0 && data_shift < 8 ? data_shift : 8);
	error = identify(driver, 0, 1);
	if (error)
		return error;
	block_shift = answer[128 + 4 * (answer[26] & 0xf) + 2];
	if (block_shift < 9 || block_shift > 12)
		return -EPROTO;
	identity->block_bytes = 1u << block_shift;
	if (__builtin_mul_overflow(number_at(answer, 0, 8), identity->block_bytes, &identity->size_bytes))
		return -EPROTO;
	return 0;
}

int nvme_driver_connect(const char *path, size_t memory_bytes, struct nvme_driver **ret_driver,
			const char **ret_error)
{
	struct nvme_driver *driver = calloc(1, sizeof(*driver));
	int error;

	*ret_error = "out of memory";
	if (!driver)
		return -ENOMEM;
	driver->master.socket = driver->memory_fd = driver->event_fd = -1;
	for (unsigned i = 0; i < NVME_DRIVER_DEPTH; i++)
		driver->free[driver->free_count++] = (uint16_t)i;
	error = make_memory(driver, memory_bytes);
	if (!error) {
		*ret_error = "nothing answers there";
		error = connect_to(driver, path);
	}
	if (!error) {
		*ret_error = "the back end does not speak vfio-user as it should";
		error = attach(driver);
	}
	if (!error) {
		*ret_error = "the controller does not come up";
		error = enable(driver);
	}
	if (!error)
		error = learn(driver);
	if (!error)
		error = make_queues(driver);
	if (error) {
		nvme_driver_close(driver);
		return error;
	}
	*ret_driver = driver;
	return 0;
}

void nvme_driver_close(struct nvme_driver *driver)
{
	if (!driver)
		return;
	fd_close(&driver->master.socket);
	fd_close(&driver->memory_fd);
	fd_close(&driver->event_fd);
	if (driver->memory)
		munmap(driver->memory, driver->memory_bytes);
	free(driver);
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
	put(&driver->io, &command);
	return 0;
}

int nvme_driver_kick(struct nvme_driver *driver)
{
	return ring_doorbell(driver, driver->io.index, false, driver->io.tail);
}

bool nvme_driver_take(struct nvme_driver *driver, void **ret_token, uint16_t *ret_status)
{
	struct completion completion;

	if (driver->broken || !get(&driver->io, &completion))
		return false;
	if (completion.id >= NVME_DRIVER_DEPTH || !driver->used[completion.id]) {
		driver->broken = true;
		return false;
	}
	driver->used[completion.id] = false;
	driver->free[driver->free_count++] = completion.id;
	*ret_token = driver->tokens[completion.id];
	*ret_status = completion.status & 0x7ff;
	ring_doorbell(driver, driver->io.index, true, driver->io.head);
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
