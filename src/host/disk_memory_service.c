/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Service times of the in-memory disk: `depth` servers with a FIFO before them, shared by all channels. As
 * every service time is known in advance, the moment a request completes is known when it arrives: it
 * starts when it came or when the first server is free, whichever is later. So nothing waits in a queue; each
 * channel has a list of its requests, sorted by completion, and a timer for its head.
 */
#include "core/container.h"
#include "host/disk_memory_private.h"

static uint64_t usual_service_ns(const struct disk_memory *disk, const struct host_io *io)
{
	const struct disk_memory_options *options = &disk->options;

	switch (io->op) {
	case HOST_IO_READ:
		return options->read_base_ns + io->range.length_bytes * options->read_ns_per_kib / 1024;
	case HOST_IO_WRITE:
		return options->write_base_ns + io->range.length_bytes * options->write_ns_per_kib / 1024;
	case HOST_IO_FLUSH:
		return options->flush_ns;
	default:
		return options->write_base_ns;	/* no bytes move */
	}
}

uint64_t memory_service_ns(const struct disk_memory *disk, const struct host_io *io)
{
	return usual_service_ns(disk, io) * __atomic_load_n(&disk->slow, __ATOMIC_RELAXED);
}

void disk_memory_slow(struct host_disk *base, unsigned factor)
{
	assert(factor > 0);
	__atomic_store_n(&memory_disk(base)->slow, factor, __ATOMIC_RELAXED);
}

/* Occupies the server that is free first; returns when it will be done with this request. */
static uint64_t reserve_server(struct disk_memory *disk, uint64_t now_ns, uint64_t service)
{
	uint64_t *first, complete_ns;

	if (!disk->server_free_ns)
		return now_ns + service;
	pthread_mutex_lock(&disk->lock);
	first = disk->server_free_ns;
	for (unsigned i = 1; i < disk->options.depth; i++)
		if (disk->server_free_ns[i] < *first)
			first = &disk->server_free_ns[i];
	complete_ns = (*first > now_ns ? *first : now_ns) + service;
	*first = complete_ns;
	pthread_mutex_unlock(&disk->lock);
	return complete_ns;
}

/* Equal times stay in order of arrival. Nearly sorted already: the walk from the end is short. */
static void serving_insert(struct memory_channel *channel, struct host_io *io)
{
	struct memory_io *own = memory_io(io);
	struct host_io *before = channel->serving_last;

	while (before && memory_io(before)->complete_ns > own->complete_ns)
		before = memory_io(before)->previous;
	own->previous = before;
	own->next = before ? memory_io(before)->next : channel->serving;
	if (own->next)
		memory_io(own->next)->previous = io;
	else
		channel->serving_last = io;
	if (before) {
		memory_io(before)->next = io;
	} else {
		channel->serving = io;
		loop_timer_start(channel->loop, &channel->timer, own->complete_ns);
	}
}

/* Takes the head when its time has come by `now_ns`. */
static struct host_io *serving_take(struct memory_channel *channel, uint64_t now_ns)
{
	struct host_io *io = channel->serving;

	if (!io || memory_io(io)->complete_ns > now_ns)
		return NULL;
	channel->serving = memory_io(io)->next;
	if (channel->serving)
		memory_io(channel->serving)->previous = NULL;
	else
		channel->serving_last = NULL;
	return io;
}

/* What is due is taken off the list at once, as done() may submit more and close the channel at last. */
void memory_timer_expired(struct loop_timer *timer)
{
	struct memory_channel *channel = container_of(timer, struct memory_channel, timer);
	struct disk_memory *disk = memory_disk(channel->base.disk);
	uint64_t now_ns = loop_now_ns(channel->loop);
	struct host_io *due = NULL, **due_end = &due, *io;

	while ((io = serving_take(channel, now_ns))) {
		if (memory_hold_back(channel, io))
			continue;
		memory_io(io)->next = NULL;
		*due_end = io;
		due_end = &memory_io(io)->next;
	}
	if (channel->serving)
		loop_timer_start(channel->loop, timer, memory_io(channel->serving)->complete_ns);
	while (due) {
		io = due;
		due = memory_io(io)->next;
		memory_perform(disk, io);
	}
}

void memory_serve(struct memory_channel *channel, struct host_io *io, uint64_t service_ns)
{
	struct disk_memory *disk = memory_disk(channel->base.disk);

	memory_io(io)->complete_ns = reserve_server(disk, loop_now_ns(channel->loop), service_ns);
	serving_insert(channel, io);
}
