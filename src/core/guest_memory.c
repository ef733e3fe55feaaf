/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/guest_memory.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/checked.h"
#include "core/container.h"
#include "core/memory_guard.h"
#include "core/reaper.h"
#include "core/shared.h"

/* One mmap, shared by the sets that hold its region. */
struct guest_mapping {
	struct reaper_job job;
	unsigned references;	/* atomic */
	void *base;
	size_t bytes;
	bool lost;		/* atomic; set by the fault handler */
	bool guarded;		/* there is a file that may become shorter */
};

/* ---- mappings ---- */

/* A core dump of ours must not hold guests' memory; a fork must not share it. */
static void keep_private(const struct guest_mapping *mapping)
{
	madvise(mapping->base, mapping->bytes, MADV_DONTDUMP);
	madvise(mapping->base, mapping->bytes, MADV_DONTFORK);
}

static int mapping_create(const struct guest_region_description *description, int fd, uint8_t **ret_host,
			  struct guest_mapping **ret_mapping)
{
	uint64_t file_end, slack, bytes;
	struct guest_mapping *mapping;
	long page_bytes;
	int error;

	assert(description->size > 0);
	if (!checked_add(description->file_offset, description->size, &file_end) || file_end > INT64_MAX)
		return -EINVAL;
	page_bytes = memory_file_accept(fd, file_end);
	if (page_bytes < 0)
		return (int)page_bytes;
	assert(is_power_of_two((uint64_t)page_bytes));
	/* mmap wants an offset in whole pages; the slack before the region is mapped but never handed out. */
	slack = description->file_offset & ((uint64_t)page_bytes - 1);
	bytes = align_up(slack + description->size, (uint64_t)page_bytes);

	mapping = calloc(1, sizeof(*mapping));
	if (!mapping)
		return -ENOMEM;
	mapping->references = 1;
	mapping->bytes = bytes;
	mapping->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
			     (off_t)(description->file_offset - slack));
	if (mapping->base == MAP_FAILED) {
		error = errno == EACCES ? -EACCES : -ENOMEM;
		goto fail_alloc;
	}
	error = memory_guard_add(mapping->base, bytes, (size_t)page_bytes, &mapping->lost);
	if (error)
		goto fail_map;
	mapping->guarded = true;
	keep_private(mapping);
	*ret_host = (uint8_t *)mapping->base + slack;
	*ret_mapping = mapping;
	return 0;

fail_map:
	munmap(mapping->base, bytes);
fail_alloc:
	free(mapping);
	return error;
}

/* A private copy: of its pages there are those that were touched, and no larger ones than these. */
static int mapping_create_copy(uint64_t size, uint8_t **ret_host, struct guest_mapping **ret_mapping)
{
	struct guest_mapping *mapping;

	if (size > INT64_MAX)
		return -ENOMEM;
	mapping = calloc(1, sizeof(*mapping));
	if (!mapping)
		return -ENOMEM;
	mapping->references = 1;
	mapping->bytes = size;
	mapping->base =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (mapping->base == MAP_FAILED) {
		free(mapping);
		return -ENOMEM;
	}
	madvise(mapping->base, size, MADV_NOHUGEPAGE);
	keep_private(mapping);
	*ret_host = mapping->base;
	*ret_mapping = mapping;
	return 0;
}

static void mapping_get(struct guest_mapping *mapping)
{
	unsigned before = __atomic_fetch_add(&mapping->references, 1, __ATOMIC_RELAXED);

	assert(before > 0);
}

static void mapping_destroy(struct reaper_job *job)
{
	struct guest_mapping *mapping = container_of(job, struct guest_mapping, job);

	if (mapping->guarded)
		memory_guard_remove(mapping->base);
	munmap(mapping->base, mapping->bytes);
	free(mapping);
}

static void mapping_put(struct guest_mapping *mapping)
{
	unsigned before = __atomic_fetch_sub(&mapping->references, 1, __ATOMIC_ACQ_REL);

	assert(before > 0);
	if (before > 1)
		return;
	mapping->job.run = mapping_destroy;
	reaper_give(&mapping->job);
}

/* ---- sets ---- */

static struct guest_memory *memory_alloc(unsigned count)
{
	struct guest_memory *memory = calloc(1, sizeof(*memory) + count * sizeof(memory->region[0]));

	assert(count <= GUEST_MEMORY_REGIONS_MAX);

	if (memory) {
		memory->references = 1;
		memory->count = count;
	}
	return memory;
}

struct guest_memory *guest_memory_create(void)
{
	return memory_alloc(0);
}

struct guest_memory *guest_memory_get(struct guest_memory *memory)
{
	unsigned before = __atomic_fetch_add(&memory->references, 1, __ATOMIC_RELAXED);

	assert(before > 0);
	return memory;
}

void guest_memory_put(struct guest_memory *memory)
{
	unsigned before = memory ? __atomic_fetch_sub(&memory->references, 1, __ATOMIC_ACQ_REL) : 2;

	assert(before > 0);
	if (before > 1)
		return;
	for (unsigned i = 0; i < memory->count; i++)
		mapping_put(memory->region[i].mapping);
	free(memory);
}

bool guest_memory_lost(const struct guest_memory *memory)
{
	for (unsigned i = 0; i < memory->count; i++)
		if (__atomic_load_n(&memory->region[i].mapping->lost, __ATOMIC_ACQUIRE))
			return true;
	return false;
}

static bool overlaps(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static int description_check(const struct guest_memory *old,
			     const struct guest_region_description *description)
{
	uint64_t end;

	if (description->size == 0 || !checked_add(description->guest_address, description->size, &end) ||
	    !checked_add(description->user_address, description->size, &end))
		return -EINVAL;
	for (unsigned i = 0; i < old->count; i++) {
		const struct guest_region *region = &old->region[i];

		if (overlaps(region->guest_address, region->size, description->guest_address,
			     description->size) ||
		    overlaps(region->user_address, region->size, description->user_address,
			     description->size))
			return -EINVAL;
	}
	return old->count < GUEST_MEMORY_REGIONS_MAX ? 0 : -ENOSPC;
}

/* A new set with one region more, whose mapping is its own then, or is given back. */
static int insert(const struct guest_memory *old, const struct guest_region *added,
		  struct guest_memory **ret_new)
{
	struct guest_memory *memory = memory_alloc(old->count + 1);
	unsigned at = 0;

	if (!memory) {
		mapping_put(added->mapping);
		return -ENOMEM;
	}
	while (at < old->count && old->region[at].guest_address < added->guest_address)
		at++;
	/* In order and apart: guest_memory_find() relies on it, description_check() has seen to it. */
	assert(at == 0 ||
	       added->guest_address - old->region[at - 1].guest_address >= old->region[at - 1].size);
	assert(at == old->count || old->region[at].guest_address - added->guest_address >= added->size);
	memcpy(memory->region, old->region, at * sizeof(*added));
	memory->region[at] = *added;
	memcpy(memory->region + at + 1, old->region + at, (old->count - at) * sizeof(*added));
	memory->remotes = old->remotes + added->remote;
	for (unsigned i = 0; i < old->count; i++)
		mapping_get(old->region[i].mapping);
	*ret_new = memory;
	return 0;
}

static struct guest_region region_of(const struct guest_region_description *description)
{
	return (struct guest_region){
		.guest_address = description->guest_address,
		.size = description->size,
		.user_address = description->user_address,
	};
}

int guest_memory_add(const struct guest_memory *old, const struct guest_region_description *description,
		     int fd, struct guest_memory **ret_new)
{
	struct guest_region added = region_of(description);
	int error = description_check(old, description);

	if (!error)
		error = mapping_create(description, fd, &added.host, &added.mapping);
	return error ? error : insert(old, &added, ret_new);
}

int guest_memory_add_remote(const struct guest_memory *old,
			    const struct guest_region_description *description, struct guest_memory **ret_new)
{
	struct guest_region added = region_of(description);
	int error = description_check(old, description);

	assert(description->file_offset == 0);
	if (!error)
		error = mapping_create_copy(description->size, &added.host, &added.mapping);
	added.remote = true;
	return error ? error : insert(old, &added, ret_new);
}

struct guest_memory *guest_memory_without(const struct guest_memory *old, uint64_t guest_address,
					  uint64_t size)
{
	struct guest_memory *memory = memory_alloc(old->count);

	if (!memory)
		return NULL;
	memory->count = 0;
	for (unsigned i = 0; i < old->count; i++) {
		const struct guest_region *region = &old->region[i];

		if (overlaps(region->guest_address, region->size, guest_address, size))
			continue;
		mapping_get(region->mapping);
		memory->remotes += region->remote;
		memory->region[memory->count++] = *region;
	}
	return memory;
}

int guest_memory_remove(const struct guest_memory *old, uint64_t guest_address, uint64_t size,
			uint64_t user_address, struct guest_memory **ret_new)
{
	struct guest_memory *memory;
	unsigned at = 0;

	while (at < old->count &&
	       (old->region[at].guest_address != guest_address || old->region[at].size != size ||
		old->region[at].user_address != user_address))
		at++;
	if (at == old->count)
		return -ENOENT;
	memory = memory_alloc(old->count - 1);
	if (!memory)
		return -ENOMEM;
	memcpy(memory->region, old->region, at * sizeof(memory->region[0]));
	memcpy(memory->region + at, old->region + at + 1, (old->count - at - 1) * sizeof(memory->region[0]));
	for (unsigned i = 0; i < memory->count; i++) {
		mapping_get(memory->region[i].mapping);
		memory->remotes += memory->region[i].remote;
	}
	*ret_new = memory;
	return 0;
}

/* ---- translation ---- */

const struct guest_region *guest_memory_find(const struct guest_memory *memory, uint64_t guest_address)
{
	unsigned low = 0, high = memory->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		const struct guest_region *region = &memory->region[middle];

		if (guest_address < region->guest_address)
			high = middle;
		else if (guest_address - region->guest_address >= region->size)
			low = middle + 1;
		else
			return region;
	}
	return NULL;
}

void *guest_memory_at(const struct guest_memory *memory, uint64_t guest_address, uint64_t length)
{
	const struct guest_region *region = guest_memory_find(memory, guest_address);
	uint64_t offset;

	if (!region)
		return NULL;
	offset = guest_address - region->guest_address;
	return length <= region->size - offset ? region->host + offset : NULL;
}

static const struct guest_region *find_user(const struct guest_memory *memory, uint64_t user_address)
{
	for (unsigned i = 0; i < memory->count; i++) {
		const struct guest_region *region = &memory->region[i];

		if (user_address >= region->user_address &&
		    user_address - region->user_address < region->size)
			return region;
	}
	return NULL;
}

void *guest_memory_at_user(const struct guest_memory *memory, uint64_t user_address, uint64_t length)
{
	const struct guest_region *region = find_user(memory, user_address);
	uint64_t offset;

	if (!region)
		return NULL;
	offset = user_address - region->user_address;
	return length <= region->size - offset ? region->host + offset : NULL;
}

bool guest_memory_holds_user(const struct guest_memory *memory, uint64_t user_address, uint64_t length)
{
	return guest_memory_at_user(memory, user_address, length) != NULL;
}

bool guest_memory_user_to_guest(const struct guest_memory *memory, uint64_t user_address, uint64_t *ret_guest)
{
	const struct guest_region *region = find_user(memory, user_address);

	if (!region)
		return false;
	*ret_guest = region->guest_address + (user_address - region->user_address);
	return true;
}

const struct guest_region *guest_memory_find_host(const struct guest_memory *memory, const void *host)
{
	for (unsigned i = 0; i < memory->count; i++) {
		const struct guest_region *region = &memory->region[i];
		uintptr_t base = (uintptr_t)region->host, address = (uintptr_t)host;

		if (address >= base && address - base < region->size)
			return region;
	}
	return NULL;
}

bool guest_memory_host_to_guest(const struct guest_memory *memory, const void *host, uint64_t *ret_guest)
{
	const struct guest_region *region = guest_memory_find_host(memory, host);

	if (!region)
		return false;
	*ret_guest = region->guest_address + (uint64_t)((const uint8_t *)host - region->host);
	return true;
}

/* ---- private copies ---- */

bool guest_memory_is_remote(const struct guest_memory *memory, const struct iovec *iov, unsigned count)
{
	if (memory->remotes == 0)
		return false;
	for (unsigned i = 0; i < count; i++) {
		const uint8_t *at = iov[i].iov_base, *end = at + iov[i].iov_len;

		/* Neighbours in our address space may be one piece. */
		while (at < end) {
			const struct guest_region *region = guest_memory_find_host(memory, at);

			if (!region)
				break;
			if (region->remote)
				return true;
			at = region->host + region->size;
		}
	}
	return false;
}

void guest_memory_empty_copies(const struct guest_memory *memory)
{
	for (unsigned i = 0; i < memory->count; i++)
		if (memory->region[i].remote)
			madvise(memory->region[i].host, memory->region[i].size, MADV_DONTNEED);
}

/* ---- pieces ---- */

int guest_memory_iov(const struct guest_memory *memory, uint64_t guest_address, uint64_t length,
		     struct iovec *iov, unsigned max)
{
	unsigned count = 0;

	while (length > 0) {
		const struct guest_region *region = guest_memory_find(memory, guest_address);
		uint64_t offset, part;

		if (!region)
			return -EFAULT;
		if (count == max)
			return -E2BIG;
		offset = guest_address - region->guest_address;
		assert(offset < region->size);
		part = length < region->size - offset ? length : region->size - offset;
		iov[count].iov_base = region->host + offset;
		iov[count].iov_len = part;
		count++;
		guest_address += part;
		length -= part;
	}
	return (int)count;
}

int guest_memory_read(const struct guest_memory *memory, uint64_t guest_address, void *buffer, size_t bytes)
{
	uint8_t *to = buffer;

	while (bytes > 0) {
		struct iovec part;
		int count = guest_memory_iov(memory, guest_address, bytes, &part, 1);

		if (count < 0 && count != -E2BIG)
			return count;
		assert(part.iov_len <= bytes);
		shared_copy_in(to, part.iov_base, part.iov_len);
		to += part.iov_len;
		guest_address += part.iov_len;
		bytes -= part.iov_len;
	}
	return 0;
}
