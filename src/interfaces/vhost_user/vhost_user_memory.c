/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory as the front end describes it. A change makes a new set; rings that run change over to
 * it, and the message is answered when the last request in the old set has completed, so that the front end
 * may take the memory away.
 */
#include "interfaces/vhost_user/vhost_user_connection.h"

#include <errno.h>
#include <stdlib.h>

#include "core/fd.h"
#include "core/memory_guard.h"

static void files_close(struct vhost_user_memory_file *files, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		fd_close(&files[i].fd);
}

void vhost_user_memory_finish(struct vhost_user_connection *connection)
{
	assert(!connection->files_next && !connection->memory_next);
	files_close(connection->files, connection->file_count);
	free(connection->files);
	guest_memory_put(connection->memory);
	connection->files = NULL;
	connection->file_count = 0;
	connection->memory = NULL;
}

/* ---- the next set ---- */

static unsigned slots_left(const struct vhost_user_connection *connection)
{
	unsigned used = 0;

	for (const struct vhost_user_connection *other = connection->endpoint->connections; other;
	     other = other->next)
		used += other == connection ? other->file_next_count : other->file_count;
	return used < VHOST_USER_ENDPOINT_SLOTS ? VHOST_USER_ENDPOINT_SLOTS - used : 0;
}

/* Is there room in the process, with what the endpoint has already? */
static bool admitted(const struct vhost_user_connection *connection, uint64_t bytes)
{
	unsigned count = 0;
	uint64_t total = 0;

	for (const struct vhost_user_connection *other = connection->endpoint->connections; other;
	     other = other->next) {
		const struct vhost_user_memory_file *files =
			other == connection ? other->files_next : other->files;
		unsigned file_count = other == connection ? other->file_next_count : other->file_count;

		/* Sizes that were accepted do not add up to 2^64. */
		for (unsigned i = 0; i < file_count; i++)
			total += files[i].region.size;
		count += file_count;
	}
	return memory_guard_admits(count, total, bytes);
}

/*
 * Entries that are kept share their descriptor with the set in use; only fresh ones are the next set's own.
 */
static int next_begin(struct vhost_user_connection *connection, bool keep)
{
	unsigned count = keep ? connection->file_count : 0;

	assert(!connection->memory_next && !connection->files_next);
	connection->files_next =
		calloc(count + VHOST_USER_MEMORY_REGIONS_MAX, sizeof(*connection->files_next));
	connection->memory_next = keep ? guest_memory_get(connection->memory) : guest_memory_create();
	connection->file_next_count = 0;
	connection->files_replaced = !keep;
	connection->file_removed_fd = -1;
	if (!connection->files_next || !connection->memory_next)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		connection->files_next[i] = connection->files[i];
		connection->files_next[i].fresh = false;
	}
	connection->file_next_count = count;
	return 0;
}

static void next_forget(struct vhost_user_connection *connection)
{
	connection->files_next = NULL;
	connection->memory_next = NULL;
	connection->file_next_count = 0;
	connection->file_removed_fd = -1;
}

static void next_drop(struct vhost_user_connection *connection)
{
	for (unsigned i = 0; i < connection->file_next_count; i++)
		if (connection->files_next[i].fresh)
			fd_close(&connection->files_next[i].fd);
	free(connection->files_next);
	guest_memory_put(connection->memory_next);
	next_forget(connection);
}

static void next_commit(struct vhost_user_connection *connection)
{
	if (connection->files_replaced)
		files_close(connection->files, connection->file_count);
	fd_close(&connection->file_removed_fd);
	free(connection->files);
	guest_memory_put(connection->memory);
	connection->files = connection->files_next;
	connection->file_count = connection->file_next_count;
	connection->memory = connection->memory_next;
	next_forget(connection);
}

/* Takes `fd` on success. */
static int next_add(struct vhost_user_connection *connection, const struct vhost_user_memory_region *region,
		    int fd)
{
	struct guest_region_description description = {
		.guest_address = region->guest_address,
		.size = region->size,
		.user_address = region->user_address,
		.file_offset = region->file_offset,
	};
	struct guest_memory *memory;
	int error;

	if (connection->file_next_count >= VHOST_USER_MEMORY_SLOTS || slots_left(connection) == 0 ||
	    !admitted(connection, region->size))
		return -ENOSPC;
	error = guest_memory_add(connection->memory_next, &description, fd, &memory);
	if (error)
		return error;
	guest_memory_put(connection->memory_next);
	connection->memory_next = memory;
	connection->files_next[connection->file_next_count].region = *region;
	connection->files_next[connection->file_next_count].fd = fd;
	connection->files_next[connection->file_next_count].fresh = true;
	connection->file_next_count++;
	return 0;
}

static bool same_region(const struct vhost_user_memory_region *a, const struct vhost_user_memory_region *b)
{
	return a->guest_address == b->guest_address && a->size == b->size &&
	       a->user_address == b->user_address;
}

static int next_remove(struct vhost_user_connection *connection,
		       const struct vhost_user_memory_region *region)
{
	struct guest_memory *memory;
	int error = guest_memory_remove(connection->memory_next, region->guest_address, region->size,
					region->user_address, &memory);

	if (error)
		return error;
	guest_memory_put(connection->memory_next);
	connection->memory_next = memory;
	for (unsigned i = 0; i < connection->file_next_count; i++) {
		struct vhost_user_memory_file *file = &connection->files_next[i];

		if (!same_region(&file->region, region))
			continue;
		connection->file_removed_fd = file->fd;
		*file = connection->files_next[--connection->file_next_count];
		break;
	}
	return 0;
}

int vhost_user_memory_append(struct vhost_user_connection *connection,
			     const struct vhost_user_memory_region *region, int fd)
{
	int error = next_begin(connection, true);

	if (!error)
		error = next_add(connection, region, fd);
	if (error)
		next_drop(connection);
	else
		next_commit(connection);
	return error;
}

/* ---- messages ---- */

/* Every ring uses the new set now and no request uses the old one. */
static void on_released(struct vhost_user_connection *connection)
{
	enum vhost_user_outcome outcome;

	next_commit(connection);
	outcome = vhost_user_rings_start(connection);
	if (outcome != VHOST_USER_LATER)
		vhost_user_message_finish(connection, outcome);
}

static enum vhost_user_outcome next_use(struct vhost_user_connection *connection)
{
	vhost_user_job_begin(connection, on_released);
	vhost_user_queues_post_memory(connection, connection->memory_next);
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
		{ -EBADF, "not a memory file" },
		{ -ERANGE, "file is smaller than the region" },
		{ -EACCES, "memory file is not writable" },
		{ -ENOSPC, "too many or too large regions" },
		{ -ENOENT, "no such region" },
	};
	const char *text = "out of memory";

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].error == error)
			text = texts[i].text;
	next_drop(connection);
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
	error = next_begin(connection, false);
	for (unsigned i = 0; !error && i < table->count; i++) {
		address = table->region[i].guest_address;
		error = next_add(connection, &table->region[i], message->fds[i]);
		if (!error)
			vhost_user_message_take_fd(message, i);
	}
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
	int error = next_begin(connection, true);

	if (!error)
		error = next_add(connection, region, message->fds[0]);
	if (error)
		return next_refuse(connection, error, region->guest_address);
	vhost_user_message_take_fd(message, 0);
	return next_use(connection);
}

enum vhost_user_outcome vhost_user_rem_mem_reg(struct vhost_user_connection *connection,
					       struct vhost_user_message *message)
{
	const struct vhost_user_memory_region *region = &message->payload.region.region;
	int error = next_begin(connection, true);

	if (!error)
		error = next_remove(connection, region);
	return error ? next_refuse(connection, error, region->guest_address) : next_use(connection);
}
