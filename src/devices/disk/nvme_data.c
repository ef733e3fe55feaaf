/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a command's data lies: physical region pages (4.3) or a scatter gather list (4.4). Lists are copied
 * before they are looked at. The pieces are the guest's memory; nothing here touches the data.
 */
#include <errno.h>
#include <string.h>

#include "core/checked.h"
#include "devices/disk/nvme_private.h"

/* SGL segments of one command, and descriptors in all: a list that points to itself ends here. */
#define SGL_SEGMENTS_MAX    16u
#define SGL_DESCRIPTORS_MAX NVME_PIECES_MAX

struct pieces {
	const struct guest_memory *memory;
	struct nvme_lists *lists;
	struct iovec *iov;
	unsigned count;
	size_t bytes; /* still wanted */
};

/* Appends `bytes` of the guest's memory; neighbours become one piece. */
static uint16_t add(struct pieces *pieces, uint64_t address, size_t bytes)
{
	struct iovec *last = pieces->count > 0 ? &pieces->iov[pieces->count - 1] : NULL;
	int count = guest_memory_iov(pieces->memory, address, bytes, &pieces->iov[pieces->count],
				     NVME_PIECES_MAX - pieces->count);

	if (count < 0)
		return count == -E2BIG ? NVME_INVALID_SGL_COUNT : NVME_DATA_TRANSFER_ERROR;
	if (count == 1 && last && (uint8_t *)last->iov_base + last->iov_len == last[1].iov_base) {
		last->iov_len += last[1].iov_len;
		count = 0;
	}
	pieces->count += (unsigned)count;
	pieces->bytes -= bytes;
	return NVME_SUCCESS;
}

/* ---- lists ---- */

static bool is_fetched(const struct nvme_lists *lists, uint64_t address, size_t bytes)
{
	for (unsigned i = 0; i < lists->count; i++)
		if (lists->fetched[i].address == address && lists->fetched[i].bytes == bytes)
			return true;
	return false;
}

/* A part of a list is about to be read: is what is at hand what the guest has? */
static uint16_t need(struct pieces *pieces, uint64_t address, size_t bytes)
{
	struct nvme_lists *lists = pieces->lists;
	struct iovec iov[NVME_LIST_PIECES];
	int count;

	if (pieces->memory->remotes == 0 || (lists && is_fetched(lists, address, bytes)))
		return NVME_SUCCESS;
	/* What lies in no region is refused when it is read. */
	count = guest_memory_iov(pieces->memory, address, bytes, iov, NVME_LIST_PIECES);
	if (count <= 0 || !guest_memory_is_remote(pieces->memory, iov, (unsigned)count))
		return NVME_SUCCESS;
	if (!lists)
		return NVME_DATA_TRANSFER_ERROR;
	if (lists->count == NVME_LISTS_MAX)
		return NVME_INVALID_SGL_COUNT;
	lists->missing = (struct nvme_list){ address, bytes };
	return NVME_LATER;
}

void nvme_lists_errand(struct nvme_lists *lists, struct guest_memory *memory, struct register_errand *errand)
{
	int count = guest_memory_iov(memory, lists->missing.address, lists->missing.bytes, lists->iov,
				     NVME_LIST_PIECES);

	assert(count > 0 && lists->count < NVME_LISTS_MAX);
	lists->fetched[lists->count++] = lists->missing;
	errand->memory = memory;
	errand->iov = lists->iov;
	errand->count = (unsigned)count;
}

/* ---- physical region pages ---- */

static size_t at_most(size_t bytes, size_t limit)
{
	return bytes < limit ? bytes : limit;
}

/* Pages of the list; the last entry of a page of the list names the next one when there are more (4.3). */
static uint16_t add_list(struct pieces *pieces, uint64_t list)
{
	uint64_t entries[NVME_PAGE_BYTES / sizeof(uint64_t)];

	/* Each page of the list names a page of data at least: a loop ends with the data. */
	while (pieces->bytes > 0) {
		unsigned room = (unsigned)((NVME_PAGE_BYTES - list % NVME_PAGE_BYTES) / sizeof(uint64_t));
		size_t pages = (pieces->bytes + NVME_PAGE_BYTES - 1) / NVME_PAGE_BYTES;
		unsigned count = pages <= room ? (unsigned)pages : room, used = count;
		uint16_t status;

		if (list % sizeof(uint64_t) != 0 || (room == 1 && pages > 1))
			return NVME_PRP_OFFSET_INVALID;
		status = need(pieces, list, count * sizeof(entries[0]));
		if (status)
			return status;
		if (guest_memory_read(pieces->memory, list, entries, count * sizeof(entries[0])))
			return NVME_DATA_TRANSFER_ERROR;
		if (pages > room)
			used--;
		for (unsigned i = 0; i < used; i++) {
			status = entries[i] % NVME_PAGE_BYTES
					 ? NVME_PRP_OFFSET_INVALID
					 : add(pieces, entries[i], at_most(pieces->bytes, NVME_PAGE_BYTES));
			if (status)
				return status;
		}
		if (pages > room)
			list = entries[count - 1];
	}
	return NVME_SUCCESS;
}

static uint16_t map_prp(struct pieces *pieces, uint64_t first, uint64_t second)
{
	uint16_t status;

	if (first % sizeof(uint32_t) != 0)
		return NVME_PRP_OFFSET_INVALID;
	status = add(pieces, first, at_most(pieces->bytes, NVME_PAGE_BYTES - first % NVME_PAGE_BYTES));
	if (status || pieces->bytes == 0)
		return status;
	if (pieces->bytes > NVME_PAGE_BYTES)
		return add_list(pieces, second);
	return second % NVME_PAGE_BYTES ? NVME_PRP_OFFSET_INVALID : add(pieces, second, pieces->bytes);
}

/* ---- scatter gather lists ---- */

static uint16_t add_data(struct pieces *pieces, const struct nvme_sgl *sgl)
{
	if (sgl->bytes == 0)
		return NVME_SUCCESS;
	/* More than the command carries is an error, as there is no rest that could be left out (SGLS). */
	if (sgl->bytes > pieces->bytes)
		return NVME_SGL_LENGTH_INVALID;
	return add(pieces, sgl->address, sgl->bytes);
}

static bool is_segment(const struct nvme_sgl *sgl)
{
	return NVME_SGL_TYPE(sgl->type) == NVME_SGL_SEGMENT ||
	       NVME_SGL_TYPE(sgl->type) == NVME_SGL_LAST_SEGMENT;
}

/* Adds the segment's data; when its last descriptor names another segment, *sgl is that one. */
static uint16_t add_segment(struct pieces *pieces, struct nvme_sgl *sgl, unsigned *descriptors,
			    bool *ret_more)
{
	unsigned count = sgl->bytes / (unsigned)sizeof(*sgl);
	bool is_last = NVME_SGL_TYPE(sgl->type) == NVME_SGL_LAST_SEGMENT;
	uint64_t address = sgl->address, offset;
	uint16_t status;

	*ret_more = false;
	if (count == 0 || sgl->bytes % sizeof(*sgl) != 0)
		return NVME_INVALID_SGL_SEGMENT;
	status = need(pieces, address, at_most(count, SGL_DESCRIPTORS_MAX) * sizeof(*sgl));
	if (status)
		return status;
	for (unsigned i = 0; i < count; i++) {
		struct nvme_sgl one;

		if (++*descriptors > SGL_DESCRIPTORS_MAX)
			return NVME_INVALID_SGL_COUNT;
		if (!checked_add(address, (uint64_t)i * sizeof(one), &offset) ||
		    guest_memory_read(pieces->memory, offset, &one, sizeof(one)))
			return NVME_DATA_TRANSFER_ERROR;
		if (is_segment(&one)) {
			if (is_last || i + 1 < count || one.type & 0xf)
				return NVME_INVALID_SGL_SEGMENT;
			*sgl = one;
			*ret_more = true;
			return NVME_SUCCESS;
		}
		if (one.type != NVME_SGL_DATA << 4)
			return NVME_SGL_TYPE_INVALID;
		status = add_data(pieces, &one);
		if (status)
			return status;
	}
	return NVME_SUCCESS;
}

static uint16_t map_sgl(struct pieces *pieces, const struct nvme_command *command)
{
	struct nvme_sgl sgl;
	unsigned descriptors = 0;
	uint16_t status = NVME_SUCCESS;
	bool more = true;

	memcpy(&sgl, (const uint8_t *)command + offsetof(struct nvme_command, prp1), sizeof(sgl));
	if (sgl.type == NVME_SGL_DATA << 4)
		status = add_data(pieces, &sgl);
	else if (!is_segment(&sgl) || sgl.type & 0xf)
		return NVME_SGL_TYPE_INVALID;
	else
		for (unsigned i = 0; more && !status; i++)
			status = i < SGL_SEGMENTS_MAX ? add_segment(pieces, &sgl, &descriptors, &more)
						      : NVME_INVALID_SGL_COUNT;
	if (!status && pieces->bytes > 0)
		return NVME_SGL_LENGTH_INVALID;
	return status;
}

/* ---- for all ---- */

uint16_t nvme_data_map(const struct guest_memory *memory, const struct nvme_command *command, size_t bytes,
		       struct nvme_lists *lists, struct iovec *iov, unsigned *ret_count)
{
	struct pieces pieces = { .memory = memory, .lists = lists, .iov = iov, .bytes = bytes };
	uint16_t status;

	assert(bytes > 0 && bytes <= NVME_DATA_BYTES_MAX);
	if (NVME_COMMAND_PSDT(command->flags) == NVME_PSDT_PRP)
		status = map_prp(&pieces, command->prp1, command->prp2);
	else if (NVME_COMMAND_PSDT(command->flags) <= NVME_PSDT_SGL_METADATA)
		status = map_sgl(&pieces, command);
	else
		status = NVME_INVALID_FIELD;
	*ret_count = pieces.count;
	return status;
}
