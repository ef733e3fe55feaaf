/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory as the front end describes it. A change makes a new set; rings that run change over to
 * it, and the message is answered when the last request in the old set has completed, so that the front end
 * may take the memory away.
 *
 * A region in a file on a disk (an NVDIMM's) is left out: whoever touches a page of it waits for that disk.
 * The guest runs, and a request whose buffers lie there is one whose addresses are nowhere. Other memory must
 * be there, and be told of first.
 */
#include "interfaces/vhost_user/vhost_user_memory.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/guest_memory.h"
#include "core/log.h"
#include "core/memory_guard.h"
#include "core/reaper.h"
#include "interfaces/endpoint_fd.h"
#include "interfaces/vhost_user/vhost_user_connection.h"
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "interfaces/vhost_user/vhost_user_handlers.h"
#include "interfaces/vhost_user/vhost_user_queue.h"

int vhost_user_memory_init(struct vhost_user_memory *memory)
{
	*memory = (struct vhost_user_memory){ .removed_fd = -1 };
	memory->set.guest = guest_memory_create();
	return memory->set.guest ? 0 : -ENOMEM;
}

static void files_close(struct vhost_user_memory_file *files, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		reaper_close(&files[i].fd);
}

void vhost_user_memory_finish(struct vhost_user_memory *memory)
{
	assert(!memory->next.files && !memory->next.guest);
	files_close(memory->set.files, memory->set.file_count);
	free(memory->set.files);
	guest_memory_put(memory->set.guest);
	memory->set = (struct vhost_user_memory_set){ 0 };
}

/* ---- the next set ---- */

/* What a connection has, or will have once the change that is under way is done. */
static const struct vhost_user_memory_set *set_of(const struct vhost_user_connection *other,
						  const struct vhost_user_connection *changing)
{
	return other == changing ? &other->memory.next : &other->memory.set;
}

unsigned vhost_user_memory_times_added(const struct vhost_user_memory_set *set)
{
	unsigned times = 0;

	for (unsigned i = 0; i < set->file_count; i++)
		times += set->files[i].added;
	return times;
}

/* `changing`: whose next set counts, or NULL. */
static unsigned slots_left(const struct vhost_user_endpoint *endpoint,
			   const struct vhost_user_connection *changing)
{
	unsigned used = 0;

	for (const struct vhost_user_connection *other = endpoint->connections; other; other = other->next)
		used += vhost_user_memory_times_added(set_of(other, changing));
	return used < VHOST_USER_ENDPOINT_SLOTS ? VHOST_USER_ENDPOINT_SLOTS - used : 0;
}

/* Is there room in the process, with what the endpoint has already? */
static bool admitted(const struct vhost_user_connection *connection, uint64_t bytes)
{
	unsigned count = 0;
	uint64_t total = 0;

	for (const struct vhost_user_connection *other = connection->endpoint->connections; other;
	     other = other->next) {
		const struct vhost_user_memory_set *set = set_of(other, connection);

		/* Sizes that were accepted do not add up to 2^64. */
		for (unsigned i = 0; i < set->file_count; i++)
			total += set->files[i].region.size;
		count += set->file_count;
	}
	return memory_guard_admits(count, total, bytes);
}

/*
 * Entries that are kept share their descriptor with the set in use; only fresh ones are the next set's own.
 */
static int next_begin(struct vhost_user_memory *memory, bool keep)
{
	struct vhost_user_memory_set *set = &memory->set, *next = &memory->next;
	unsigned count = keep ? set->file_count : 0;

	assert(!next->guest && !next->files);
	next->files = calloc(count + VHOST_USER_MEMORY_REGIONS_MAX, sizeof(*next->files));
	next->guest = keep ? guest_memory_get(set->guest) : guest_memory_create();
	next->file_count = 0;
	memory->replaces = !keep;
	memory->removed_fd = -1;
	if (!next->files || !next->guest)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		next->files[i] = set->files[i];
		next->files[i].fresh = false;
	}
	next->file_count = count;
	return 0;
}

static void next_forget(struct vhost_user_memory *memory)
{
	memory->next = (struct vhost_user_memory_set){ 0 };
	memory->removed_fd = -1;
}

static void next_drop(struct vhost_user_memory *memory)
{
	struct vhost_user_memory_set *next = &memory->next;

	for (unsigned i = 0; i < next->file_count; i++)
		if (next->files[i].fresh)
			reaper_close(&next->files[i].fd);
	free(next->files);
	guest_memory_put(next->guest);
	next_forget(memory);
}

static void next_commit(struct vhost_user_memory *memory)
{
	if (memory->replaces)
		files_close(memory->set.files, memory->set.file_count);
	reaper_close(&memory->removed_fd);
	free(memory->set.files);
	guest_memory_put(memory->set.guest);
	memory->set = memory->next;
	next_forget(memory);
}

/* Is any of it in the guest's memory? */
static bool is_present(const struct vhost_user_memory_set *set)
{
	for (unsigned i = 0; i < set->file_count; i++)
		if (!set->files[i].absent)
			return true;
	return false;
}

static void tell_left_out(struct vhost_user_connection *connection)
{
	const struct vhost_user_memory_set *next = &connection->memory.next;

	for (unsigned i = 0; i < next->file_count; i++) {
		const struct vhost_user_memory_file *file = &next->files[i];

		if (file->fresh && file->absent)
			log_guest(&connection->endpoint->subject,
				  "front end: memory of %llu bytes at %#llx is in a file on a disk and left "
				  "out: requests with buffers there fail (guest memory is to be in a memfd, "
				  "tmpfs or hugetlbfs)",
				  (unsigned long long)file->region.size,
				  (unsigned long long)file->region.guest_address);
	}
}

/* Takes `fd` on success. */
static int next_add(struct vhost_user_connection *connection, const struct vhost_user_memory_region *region,
		    int fd)
{
	struct vhost_user_memory_set *next = &connection->memory.next;
	struct guest_region_description description = {
		.guest_address = region->guest_address,
		.size = region->size,
		.user_address = region->user_address,
		.file_offset = region->file_offset,
	};
	struct guest_memory *guest = NULL;
	bool absent;
	int error;

	if (vhost_user_memory_times_added(next) >= VHOST_USER_MEMORY_SLOTS ||
	    slots_left(connection->endpoint, connection) == 0 || !admitted(connection, region->size))
		return -ENOSPC;
	error = guest_memory_add(next->guest, &description, fd, &guest);
	absent = error == -EBADF && endpoint_fd_is_file(fd);
	if (error && !absent)
		return error;
	if (!absent) {
		guest_memory_put(next->guest);
		next->guest = guest;
	}
	next->files[next->file_count++] = (struct vhost_user_memory_file){
		.region = *region,
		.fd = fd,
		.added = 1,
		.fresh = true,
		.absent = absent,
	};
	return 0;
}

static bool same_region(const struct vhost_user_memory_region *a, const struct vhost_user_memory_region *b)
{
	return a->guest_address == b->guest_address && a->size == b->size &&
	       a->user_address == b->user_address;
}

static struct vhost_user_memory_file *find_file(struct vhost_user_memory_set *set,
						const struct vhost_user_memory_region *region)
{
	for (unsigned i = 0; i < set->file_count; i++)
		if (same_region(&set->files[i].region, region))
			return &set->files[i];
	return NULL;
}

static int next_remove(struct vhost_user_memory *memory, const struct vhost_user_memory_region *region)
{
	struct vhost_user_memory_set *next = &memory->next;
	struct vhost_user_memory_file *file = find_file(next, region);
	struct guest_memory *guest;
	int error;

	if (!file)
		return -ENOENT;
	if (!file->absent) {
		error = guest_memory_remove(next->guest, region->guest_address, region->size,
					    region->user_address, &guest);
		if (error)
			return error;
		guest_memory_put(next->guest);
		next->guest = guest;
	}
	memory->removed_fd = file->fd;
	*file = next->files[--next->file_count];
	return 0;
}

/* ---- a region that is told of more than once ---- */

static bool same_file(int one, int other)
{
	struct stat a, b;

	return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* True: the region is in the set already, from the same place of the same file. */
static bool added_again(struct vhost_user_connection *connection,
			const struct vhost_user_memory_region *region, int fd)
{
	struct vhost_user_memory_set *set = &connection->memory.set;
	struct vhost_user_memory_file *file = find_file(set, region);

	if (!file || file->region.file_offset != region->file_offset || !same_file(file->fd, fd) ||
	    vhost_user_memory_times_added(set) >= VHOST_USER_MEMORY_SLOTS ||
	    slots_left(connection->endpoint, NULL) == 0)
		return false;
	file->added++;
	return true;
}

/* True: the region stays, because it was added more often than it was removed. */
static bool removed_once(struct vhost_user_memory_set *set, const struct vhost_user_memory_region *region)
{
	struct vhost_user_memory_file *file = find_file(set, region);

	if (!file || file->added < 2)
		return false;
	file->added--;
	return true;
}

int vhost_user_memory_append(struct vhost_user_connection *connection,
			     const struct vhost_user_memory_region *region, int fd)
{
	int error;

	if (added_again(connection, region, fd)) {
		reaper_close(&fd);
		return 0;
	}
	error = next_begin(&connection->memory, true);

	if (!error)
		error = next_add(connection, region, fd);
	if (error)
		next_drop(&connection->memory);
	else
		next_commit(&connection->memory);
	return error;
}

/* ---- messages ---- */

/* Every ring uses the new set now and no request uses the old one. */
static void on_released(struct vhost_user_connection *connection)
{
	enum vhost_user_outcome outcome;

	next_commit(&connection->memory);
	outcome = vhost_user_rings_start(connection);
	if (outcome != VHOST_USER_LATER)
		vhost_user_message_finish(connection, outcome);
}

static enum vhost_user_outcome next_use(struct vhost_user_connection *connection)
{
	tell_left_out(connection);
	vhost_user_job_begin(connection, on_released);
	vhost_user_queues_post_memory(connection, connection->memory.next.guest);
	vhost_user_job_end_posting(connection);
	return VHOST_USER_LATER;
}

static enum vhost_user_outcome next_refuse(struct vhost_user_connection *connection, int error,
					   uint64_t address)
{
	static const struct {
		int error;
		const char *text;
	} texts[] = {
		{ -EINVAL, "region is empty, wraps or overlaps another" },
		{ -EBADF, "not a memory file (memfd, tmpfs, hugetlbfs)" },
		{ -ERANGE, "file is smaller than the region" },
		{ -EACCES, "memory file is not writable" },
		{ -ENOSPC, "too many or too large regions" },
		{ -ENOENT, "no such region" },
	};
	const char *text = "out of memory";

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].error == error)
			text = texts[i].text;
	next_drop(&connection->memory);
	vhost_user_complain(connection, text, address);
	return error == -EBADF || error == -EACCES ? VHOST_USER_VIOLATION : VHOST_USER_REFUSED;
}

enum vhost_user_outcome vhost_user_set_mem_table(struct vhost_user_connection *connection,
						 struct vhost_user_message *message)
{
	const struct vhost_user_memory_table *table = &message->payload.memory;
	uint64_t address = 0;
	int error;

	if (table->count > VHOST_USER_MEMORY_REGIONS_MAX || message->fd_count != table->count ||
	    message->header.size != offsetof(struct vhost_user_memory_table, region) +
					    table->count * sizeof(table->region[0])) {
		vhost_user_complain(connection, "regions, descriptors and size disagree", table->count);
		return VHOST_USER_VIOLATION;
	}
	if (table->count == 0) {
		vhost_user_complain(connection, "no regions", 0);
		return VHOST_USER_REFUSED;
	}
	error = next_begin(&connection->memory, false);
	for (unsigned i = 0; !error && i < table->count; i++) {
		address = table->region[i].guest_address;
		error = next_add(connection, &table->region[i], message->fds[i]);
		if (!error)
			vhost_user_message_take_fd(message, i);
	}
	if (!error && !is_present(&connection->memory.next))
		error = -EBADF;
	return error ? next_refuse(connection, error, address) : next_use(connection);
}

enum vhost_user_outcome vhost_user_get_max_mem_slots(struct vhost_user_connection *connection,
						     struct vhost_user_message *message)
{
	connection->reply.u64 = VHOST_USER_MEMORY_SLOTS;
	connection->reply_size = sizeof(connection->reply.u64);
	return VHOST_USER_DONE;
}

enum vhost_user_outcome vhost_user_add_mem_reg(struct vhost_user_connection *connection,
					       struct vhost_user_message *message)
{
	const struct vhost_user_memory_region *region = &message->payload.region.region;
	int error;

	if (added_again(connection, region, message->fds[0]))
		return VHOST_USER_DONE;
	error = next_begin(&connection->memory, true);
	if (!error)
		error = next_add(connection, region, message->fds[0]);
	if (!error)
		vhost_user_message_take_fd(message, 0);
	if (!error && !is_present(&connection->memory.next))
		error = -EBADF;
	return error ? next_refuse(connection, error, region->guest_address) : next_use(connection);
}

enum vhost_user_outcome vhost_user_rem_mem_reg(struct vhost_user_connection *connection,
					       struct vhost_user_message *message)
{
	const struct vhost_user_memory_region *region = &message->payload.region.region;
	int error;

	if (removed_once(&connection->memory.set, region))
		return VHOST_USER_DONE;
	error = next_begin(&connection->memory, true);
	if (!error)
		error = next_remove(&connection->memory, region);
	return error ? next_refuse(connection, error, region->guest_address) : next_use(connection);
}
