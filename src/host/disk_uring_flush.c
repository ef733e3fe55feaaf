/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FLUSH. One fsync runs at a time on a disk (why: struct flush_entry); a channel sends what it has
 * collected through the gate as one, so that any number of flushes costs at most two fsyncs of waiting.
 */
#include <assert.h>
#include <semaphore.h>
#include <string.h>
#include <unistd.h>

#include "core/container.h"
#include "host/disk_uring_private.h"

/* ---- the gate ---- */

void flush_gate_init(struct flush_gate *gate)
{
	*gate = (struct flush_gate){ .lock = PTHREAD_MUTEX_INITIALIZER };
	gate->waiting_end = &gate->waiting;
}

void flush_gate_finish(struct flush_gate *gate)
{
	assert(!gate->running);
	pthread_mutex_destroy(&gate->lock);
}

bool flush_gate_enter(struct flush_gate *gate, struct flush_entry *entry)
{
	bool leads;

	pthread_mutex_lock(&gate->lock);
	leads = !gate->running;
	gate->running = true;
	if (!leads) {
		entry->next = NULL;
		*gate->waiting_end = entry;
		gate->waiting_end = &entry->next;
	}
	pthread_mutex_unlock(&gate->lock);
	return leads;
}

void flush_gate_leave(struct flush_gate *gate, int error)
{
	struct flush_entry *served, *leader;

	pthread_mutex_lock(&gate->lock);
	assert(gate->running);
	served = gate->followers;
	leader = gate->waiting;
	gate->running = leader != NULL;
	gate->followers = leader ? leader->next : NULL;
	gate->waiting = NULL;
	gate->waiting_end = &gate->waiting;
	pthread_mutex_unlock(&gate->lock);

	while (served) {
		struct flush_entry *entry = served;

		served = entry->next;
		entry->finished(entry, error);
	}
	if (leader)
		leader->lead(leader);
}

/* ---- the latch ---- */

/* What an fsync's result means for the flushes that wait for it; the first failure decides for good. */
static int flush_verdict(struct disk_uring *disk, int result)
{
	if (__atomic_load_n(&disk->base.flush_failed, __ATOMIC_ACQUIRE))
		return -EIO;
	if (result >= 0)
		return 0;
	__atomic_store_n(&disk->base.flush_failed, true, __ATOMIC_RELEASE);
	log_error(&disk->subject,
		  "flush failed: %s; written data may be lost, so no flush succeeds any more until the disk "
		  "is opened again", strerror(-result));
	return result;
}

/* ---- channels ---- */

static void flush_begin(struct uring_channel *channel);

static struct flush_gate *gate_of(struct uring_channel *channel)
{
	return &uring_disk(channel->base.disk)->flushes;
}

/* Completes what went through the gate. Those asked for meanwhile go next. */
static void flush_complete(struct uring_channel *channel, int error)
{
	struct host_io *io = channel->flush_now;

	channel->flush_now = NULL;
	channel->flushing = false;
	if (channel->flush_waiting)
		flush_begin(channel);
	while (io) {
		struct host_io *next = uring_io(io)->next;

		io->done(io, error);
		io = next;
	}
}

static void fsync_issue(struct uring_channel *channel)
{
	struct io_uring_sqe *sqe = loop_sqe(channel->loop);

	io_uring_prep_fsync(sqe, channel->sqe_fd, IORING_FSYNC_DATASYNC);
	uring_channel_send(channel, sqe, &channel->fsync_op);
}

static void fsync_done(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct uring_channel *channel = container_of(op, struct uring_channel, fsync_op);
	int error;

	if ((result == -EINTR || result == -EAGAIN) && channel->fsync_attempts++ < DISK_URING_ATTEMPTS_MAX) {
		fsync_issue(channel);
		return;
	}
	error = flush_verdict(uring_disk(channel->base.disk), result);
	flush_gate_leave(gate_of(channel), error);
	flush_complete(channel, error);
}

static void fsync_start(struct uring_channel *channel)
{
	channel->fsync_attempts = 0;
	fsync_issue(channel);
}

static void flush_message_run(struct loop_message *message)
{
	struct uring_channel *channel = container_of(message, struct uring_channel, flush_message);

	if (channel->flush_lead)
		fsync_start(channel);
	else
		flush_complete(channel, channel->flush_error);
}

static struct uring_channel *channel_of_entry(struct flush_entry *entry)
{
	return container_of(entry, struct uring_channel, flush_entry);
}

/* On another worker's thread, like channel_finished(); the message carries the fields over. */
static void channel_lead(struct flush_entry *entry)
{
	struct uring_channel *channel = channel_of_entry(entry);

	channel->flush_lead = true;
	loop_post(channel->loop, &channel->flush_message);
}

static void channel_finished(struct flush_entry *entry, int error)
{
	struct uring_channel *channel = channel_of_entry(entry);

	channel->flush_lead = false;
	channel->flush_error = error;
	loop_post(channel->loop, &channel->flush_message);
}

static void flush_begin(struct uring_channel *channel)
{
	assert(!channel->flushing && !channel->flush_now);
	channel->flushing = true;
	channel->flush_now = channel->flush_waiting;
	channel->flush_waiting = NULL;
	channel->flush_waiting_end = &channel->flush_waiting;
	if (flush_gate_enter(gate_of(channel), &channel->flush_entry))
		fsync_start(channel);
}

void uring_flush_channel_init(struct uring_channel *channel)
{
	channel->flush_waiting_end = &channel->flush_waiting;
	channel->flush_entry.lead = channel_lead;
	channel->flush_entry.finished = channel_finished;
	channel->fsync_op.done = fsync_done;
	channel->flush_message.run = flush_message_run;
}

void uring_flush_submit(struct uring_channel *channel, struct host_io *io)
{
	if (__atomic_load_n(&channel->base.disk->flush_failed, __ATOMIC_ACQUIRE)) {
		io->done(io, -EIO);
		return;
	}
	*channel->flush_waiting_end = io;
	channel->flush_waiting_end = &uring_io(io)->next;
	if (!channel->flushing)
		flush_begin(channel);
}

/* ---- blocking ---- */

struct sync_flush {
	struct flush_entry entry;
	sem_t turn;
	bool leads;
	int error;
};

static void sync_lead(struct flush_entry *entry)
{
	struct sync_flush *flush = (struct sync_flush *)entry;

	flush->leads = true;
	sem_post(&flush->turn);
}

static void sync_finished(struct flush_entry *entry, int error)
{
	struct sync_flush *flush = (struct sync_flush *)entry;

	flush->error = error;
	sem_post(&flush->turn);
}

int uring_flush_sync(struct host_disk *base)
{
	struct disk_uring *disk = uring_disk(base);
	struct sync_flush flush = { .entry = { .lead = sync_lead, .finished = sync_finished } };
	bool leads;
	int result;

	if (__atomic_load_n(&base->flush_failed, __ATOMIC_ACQUIRE))
		return -EIO;
	sem_init(&flush.turn, 0, 0);
	leads = flush_gate_enter(&disk->flushes, &flush.entry);
	if (!leads) {
		/* From here on, another thread writes to `flush` until it posts. */
		while (sem_wait(&flush.turn) < 0)
			;
		leads = flush.leads;
	}
	if (leads) {
		do
			result = fdatasync(disk->fd) < 0 ? -errno : 0;
		while (result == -EINTR);
		flush.error = flush_verdict(disk, result);
		flush_gate_leave(&disk->flushes, flush.error);
	}
	sem_destroy(&flush.turn);
	return flush.error;
}
