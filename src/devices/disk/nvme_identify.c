/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the controller and its namespace say of themselves (5.15), and log pages (5.14). */
#include <stdio.h>
#include <string.h>

#include "devices/disk/nvme_private.h"

#define ALL_NAMESPACES 0xffffffffu
/* Kelvin. There is nothing to measure; tools show a controller without a temperature as broken. */
#define TEMPERATURE	     300u
#define WARNING_TEMPERATURE  343u
#define CRITICAL_TEMPERATURE 373u
/* What Abort commands and event requests may wait at a time, less one (ACL, AERL). */
#define ABORTS_MAX 4u

/* Fixed text, with spaces behind it (1.5). */
static void put_text(char *to, size_t bytes, const char *text)
{
	size_t length = strnlen(text, bytes);

	memcpy(to, text, length);
	memset(to + length, ' ', bytes - length);
}

/* ---- a name that stays ---- */

#define FNV_PRIME  0x100000001b3ull
#define FNV_OFFSET 0xcbf29ce484222325ull
#define FNV_OTHER  0x9ae16a3b2f90404full

/* FNV-1a over a text with its final NUL, and the bits mixed at the end. */
static uint64_t hash(uint64_t from, const char *text)
{
	do {
		from = (from ^ (uint8_t)*text) * FNV_PRIME;
	} while (*text++);
	return from ^ from >> 29;
}

/* Made of the guest's and the disk's names, in the form of a UUID that is random (RFC 4122, 4.4). */
static void make_uuid(const struct disk *disk, uint8_t uuid[16])
{
	uint64_t halves[2] = { hash(hash(FNV_OFFSET, disk_guest(disk)), disk_name(disk)),
			       hash(hash(FNV_OTHER, disk_guest(disk)), disk_name(disk)) };

	memcpy(uuid, halves, sizeof(halves));
	uuid[6] = (uint8_t)(0x40 | (uuid[6] & 0x0f));
	uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3f));
}

/* ---- the controller ---- */

/* The subsystem's name, in the form that has no owner's domain in it (7.9). */
static void put_subsystem(const struct disk *disk, char *to, size_t bytes)
{
	uint8_t uuid[16];
	int length = snprintf(to, bytes, "nqn.2014-08.org.nvmexpress:uuid:");

	make_uuid(disk, uuid);
	for (unsigned i = 0; i < sizeof(uuid); i++)
		length += snprintf(to + length, bytes - (size_t)length, "%s%02x",
				   i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

/*
 * Doorbells in memory are for drivers with messages, and where that is the guest's own. VMMs that cannot see
 * a pin go take it back when the driver touches a register, so that a driver with the pin is to ring.
 */
static uint16_t admin_commands(const struct nvme_function *function)
{
	return function->bus->ops->has_vectors(function->bus) && !function->sq[NVME_ADMIN_QUEUE].is_remote
		       ? NVME_DOORBELL_BUFFERS
		       : 0;
}

static void identify_controller(const struct nvme_function *function, struct nvme_identify_controller *answer)
{
	const struct nvme_device *device = function->device;
	uint16_t trims = disk_discard_bytes(device->disk) > 0 ? NVME_DEALLOCATES : 0;

	*answer = (struct nvme_identify_controller){
		.vendor = nvme_model.identity.vendor,
		.subsystem_vendor = nvme_model.identity.subsystem_vendor,
		.data_bytes_max = NVME_DATA_SHIFT,
		.version = NVME_VERSION,
		.async_events = NVME_NOTICE_NAMESPACE,
		.type = 1,
		.admin_commands = admin_commands(function),
		.abort_limit = ABORTS_MAX - 1,
		.async_limit = NVME_ASYNC_MAX - 1,
		/* One slot, which cannot be written to. */
		.firmware_updates = 1u | 1u << 1,
		.log_attributes = 1u << 2,
		.warning_temperature = WARNING_TEMPERATURE,
		.critical_temperature = CRITICAL_TEMPERATURE,
		.sq_entry = 0x66,
		.cq_entry = 0x44,
		.namespaces = 1,
		.io_commands = NVME_WRITES_ZEROES | trims,
		.write_cache = NVME_HAS_WRITE_CACHE | NVME_FLUSHES_ALL,
		.sgl_support = NVME_SGL_BYTES,
	};
	memcpy(answer->serial, device->serial, sizeof(answer->serial));
	put_text(answer->model, sizeof(answer->model), "Viaduct NVMe disk");
	put_text(answer->firmware, sizeof(answer->firmware), "1");
	put_subsystem(device->disk, answer->subsystem, sizeof(answer->subsystem));
}

/* ---- the namespace ---- */

static void identify_namespace(const struct nvme_function *function, struct nvme_identify_namespace *answer)
{
	const struct disk *disk = function->device->disk;
	const struct disk_geometry *geometry = disk_geometry(disk);
	uint64_t blocks = disk_size_bytes(disk) >> function->block_shift;
	uint32_t grain = geometry->physical_block_bytes >> function->block_shift;
	uint32_t best = geometry->optimal_io_bytes >> function->block_shift;
	uint32_t trim = disk_discard_bytes(disk) >> function->block_shift;

	*answer = (struct nvme_identify_namespace){
		.size_blocks = blocks,
		.capacity_blocks = blocks,
		.used_blocks = blocks,
		.attributes = disk_read_only(disk) ? 1 : 0,
		.formats_list[0].block_shift = (uint8_t)function->block_shift,
		/* Preferred sizes, less one block each (5.15.2.1: NSFEAT bit 4) */
		.features = 1u << 4,
		.write_granularity = (uint16_t)(grain ? grain - 1 : 0),
		.write_alignment = (uint16_t)(grain ? grain - 1 : 0),
		.deallocate_granularity = (uint16_t)(trim && trim <= 0x10000 ? trim - 1 : 0),
		.deallocate_alignment = (uint16_t)(trim && trim <= 0x10000 ? trim - 1 : 0),
		.optimal_write = (uint16_t)(best && best <= 0x10000 ? best - 1 : 0),
	};
}

/* Its number as a list, of those beyond the one that is asked for (5.15.2.3). */
static void identify_namespaces(uint32_t beyond, uint8_t *answer)
{
	uint32_t number = NVME_ONLY_NAMESPACE;

	if (beyond < NVME_ONLY_NAMESPACE)
		memcpy(answer, &number, sizeof(number));
}

/* One descriptor: a UUID (5.15.2.4). */
static void identify_descriptors(const struct nvme_function *function, uint8_t *answer)
{
	static const uint8_t header[4] = { 3, 16, 0, 0 };
	uint8_t uuid[16];

	make_uuid(function->device->disk, uuid);
	memcpy(answer, header, sizeof(header));
	memcpy(answer + sizeof(header), uuid, sizeof(uuid));
}

uint16_t nvme_identify(const struct nvme_function *function, const struct nvme_command *command,
		       uint8_t answer[NVME_IDENTIFY_BYTES])
{
	uint32_t number = command->namespace_id;

	memset(answer, 0, NVME_IDENTIFY_BYTES);
	switch (command->cdw10 & 0xff) {
	case NVME_IDENTIFY_NAMESPACE:
		if (number != NVME_ONLY_NAMESPACE && number != ALL_NAMESPACES)
			return NVME_INVALID_NAMESPACE;
		identify_namespace(function, (struct nvme_identify_namespace *)(void *)answer);
		return NVME_SUCCESS;
	case NVME_IDENTIFY_CONTROLLER:
		identify_controller(function, (struct nvme_identify_controller *)(void *)answer);
		return NVME_SUCCESS;
	case NVME_IDENTIFY_NAMESPACES:
		if (number >= ALL_NAMESPACES - 1)
			return NVME_INVALID_NAMESPACE;
		identify_namespaces(number, answer);
		return NVME_SUCCESS;
	case NVME_IDENTIFY_DESCRIPTORS:
		if (number != NVME_ONLY_NAMESPACE)
			return NVME_INVALID_NAMESPACE;
		identify_descriptors(function, answer);
		return NVME_SUCCESS;
	default:
		/* Linux asks for what later versions have, and takes the answer. */
		return NVME_INVALID_FIELD;
	}
}

/* ---- log pages ---- */

/* In thousands of 512 bytes, rounded up (5.14.1.2). */
static uint64_t units(const struct nvme_function *function, uint64_t blocks)
{
	uint64_t sectors = blocks << (function->block_shift - 9);

	return (sectors + 999) / 1000;
}

#define SUM(function, counter) nvme_lanes_sum(function, offsetof(struct nvme_lane, counter))

static void health(const struct nvme_function *function, struct nvme_health *log)
{
	*log = (struct nvme_health){
		.temperature = { TEMPERATURE & 0xff, TEMPERATURE >> 8 },
		.spare = 100,
		.spare_threshold = 10,
		.units_read = units(function, SUM(function, blocks_read)),
		.units_written = units(function, SUM(function, blocks_written)),
		.reads = SUM(function, reads),
		.writes = SUM(function, writes),
	};
}

static void firmware(uint8_t log[512])
{
	log[0] = 1;
	put_text((char *)log + 8, 8, "1");
}

uint16_t nvme_log_page(const struct nvme_function *function, uint8_t log, uint64_t offset, uint8_t *answer,
		       size_t bytes)
{
	union {
		struct nvme_health health;
		uint8_t bytes[NVME_PAGE_BYTES];
	} page = { .bytes = { 0 } };
	const uint32_t number = NVME_ONLY_NAMESPACE;

	switch (log) {
	case NVME_LOG_ERRORS:
		/* What went wrong is in the daemon's log. */
		break;
	case NVME_LOG_HEALTH:
		health(function, &page.health);
		break;
	case NVME_LOG_FIRMWARE:
		firmware(page.bytes);
		break;
	case NVME_LOG_NAMESPACES:
		if (function->namespace_changed)
			memcpy(page.bytes, &number, sizeof(number));
		break;
	default:
		return NVME_INVALID_LOG_PAGE;
	}
	if (offset > sizeof(page))
		return NVME_INVALID_FIELD;
	memset(answer, 0, bytes);
	if (bytes > sizeof(page) - offset)
		memcpy(answer, page.bytes + offset, sizeof(page) - offset);
	else
		memcpy(answer, page.bytes + offset, bytes);
	return NVME_SUCCESS;
}
