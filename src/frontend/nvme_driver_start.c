/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the connection to a controller that is ready. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/fd.h"
#include "frontend/nvme_driver_private.h"

/* Registers (NVMe 1.4, 3.1). */
#define REG_CAP	 0x00u
#define REG_CC	 0x14u
#define REG_CSTS 0x1cu
#define REG_AQA	 0x24u
#define REG_ASQ	 0x28u
#define REG_ACQ	 0x30u
/* Enabled, entries of 64 and 16 bytes (3.1.5). */
#define CC_ON	      0x00460001u
#define READY_TRIES   2000u
#define READY_US      1000u
#define ADMIN_ENTRIES 8u

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

/* One admin command, waited for. */
static int admin(struct nvme_driver *driver, const struct command *command)
{
	struct completion completion;
	int error;

	nvme_driver_put(&driver->admin, command);
	error = nvme_driver_ring(driver, 0, false, driver->admin.tail);
	for (unsigned tries = 0; !error && !nvme_driver_get(&driver->admin, &completion); tries++) {
		if (tries == READY_TRIES)
			return -ETIMEDOUT;
		usleep(READY_US);
	}
	if (!error)
		error = nvme_driver_ring(driver, 0, true, driver->admin.head);
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

/* The pages are zeroes. */
static int share_doorbells(struct nvme_driver *driver)
{
	const struct command command = {
		.opcode = 0x7c,
		.prp1 = address_of(driver, page(driver, SHADOW)),
		.prp2 = address_of(driver, page(driver, EVENTS)),
	};
	int error = admin(driver, &command);

	if (error)
		return error;
	driver->shadow = (uint32_t *)(void *)page(driver, SHADOW);
	driver->events = (uint32_t *)(void *)page(driver, EVENTS);
	return 0;
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
	identity->shadow_doorbells = number_at(answer, 256, 2) >> 8 & 1;
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
	return nvme_driver_connect_as(path, memory_bytes, 0, ret_driver, ret_error);
}

int nvme_driver_connect_as(const char *path, size_t memory_bytes, unsigned flags,
			   struct nvme_driver **ret_driver, const char **ret_error)
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
	if (!error && driver->identity.shadow_doorbells && !(flags & NVME_DRIVER_RINGS))
		error = share_doorbells(driver);
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
