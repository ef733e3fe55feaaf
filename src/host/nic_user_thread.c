/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NIC's thread. A turn waits for sockets, frames and commands, and then serves all three. Frames of
 * guests are taken in batches, so that a flood of them does not keep sockets and timers waiting. While the
 * worker is slow to take frames, sockets are not read, and their senders wait in the kernel instead of
 * losing frames here.
 */
#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "host/nic_user_private.h"

#define FRAMES_A_TURN 256

/* ---- bells ---- */

void user_bell_arm(struct user_bell *bell)
{
	(void)__atomic_exchange_n(&bell->armed, true, __ATOMIC_ACQ_REL);
}

void user_bell_ring(struct user_bell *bell)
{
	if (__atomic_exchange_n(&bell->armed, false, __ATOMIC_ACQ_REL))
		user_wake(bell->fd);
}

void user_wake(int fd)
{
	uint64_t one = 1;
	ssize_t ignored = write(fd, &one, sizeof(one));

	(void)ignored;
}

/* ---- a turn ---- */

static bool stopped(const struct nic_user *nic)
{
	return __atomic_load_n(&nic->stop, __ATOMIC_ACQUIRE);
}

static bool congested(const struct nic_user *nic)
{
	return frame_ring_used_bytes(&nic->to_guests) > nic->to_guests.size_bytes / 2;
}

static bool must_hold_back(struct nic_user *nic)
{
	if (!congested(nic))
		return false;
	user_bell_arm(&nic->drain_bell);
	return congested(nic);
}

/* Waits for the descriptors in nic->polls, or for the first only. */
static bool wait_for(struct nic_user *nic, bool sockets, uint32_t timeout_ms)
{
	struct timespec timeout = { .tv_sec = timeout_ms / 1000,
				    .tv_nsec = (long)(timeout_ms % 1000) * (long)NS_PER_MS };
	uint64_t ignored;
	int ready;

	user_bell_arm(&nic->thread_bell);
	if (frame_ring_used_bytes(&nic->to_slirp) > 0)
		timeout = (struct timespec){ .tv_sec = 0 };
	ready = ppoll(nic->polls, sockets ? nic->poll_count : 1, &timeout, NULL);
	__atomic_store_n(&nic->thread_bell.armed, false, __ATOMIC_RELAXED);
	if (ready > 0 && nic->polls[0].revents && read(nic->thread_fd, &ignored, sizeof(ignored)) < 0)
		assert(errno == EAGAIN);
	return sockets && ready >= 0;
}

static void take_frames(struct nic_user *nic)
{
	uint64_t cursor = nic->to_slirp.tail;
	uint32_t bytes, verdict;
	uint8_t *frame;

	for (unsigned i = 0; i < FRAMES_A_TURN; i++) {
		frame = frame_ring_next(&nic->to_slirp, &cursor, &bytes, &verdict);
		if (!frame)
			break;
		user_slirp_input(nic, frame, bytes, verdict);
		frame_ring_release(&nic->to_slirp, cursor);
	}
	if (frame_ring_used_bytes(&nic->to_slirp) <= nic->to_slirp.size_bytes / 2)
		user_bell_ring(&nic->room_bell);
}

static void run_command(struct nic_user *nic)
{
	struct user_command *command;

	pthread_mutex_lock(&nic->lock);
	command = nic->command;
	if (command) {
		command->result = command->run(nic, command->argument);
		command->done = true;
		nic->command = NULL;
		pthread_cond_signal(&nic->command_done);
	}
	pthread_mutex_unlock(&nic->lock);
}

static void *thread_main(void *context)
{
	struct nic_user *nic = context;

	pthread_setname_np(pthread_self(), "user-net");
	/* libslirp knows the time after its first poll, and must before it sees frames. */
	user_slirp_lock();
	user_slirp_prepare(nic);
	user_slirp_poll(nic, false);
	user_slirp_unlock();
	while (!stopped(nic)) {
		bool sockets = !must_hold_back(nic);
		uint32_t timeout_ms;

		user_slirp_lock();
		timeout_ms = user_slirp_prepare(nic);
		user_slirp_unlock();
		sockets = wait_for(nic, sockets, timeout_ms);
		user_slirp_lock();
		/* First the frames: what waits for the answer to an ARP question is sent by the poll. */
		take_frames(nic);
		user_slirp_poll(nic, sockets);
		run_command(nic);
		user_slirp_unlock();
		if (frame_ring_used_bytes(&nic->to_guests) > 0)
			user_bell_ring(&nic->worker_bell);
	}
	return NULL;
}

/* ---- from the control thread ---- */

int user_thread_start(struct nic_user *nic)
{
	sigset_t all, before;
	int error;

	/* Signals are the control thread's; SIGPIPE of a closed connection stays pending here for ever. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&nic->thread, NULL, thread_main, nic);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		return -error;
	return 0;
}

void user_thread_stop(struct nic_user *nic)
{
	__atomic_store_n(&nic->stop, true, __ATOMIC_RELEASE);
	user_wake(nic->thread_fd);
	pthread_join(nic->thread, NULL);
}

int user_thread_call(struct nic_user *nic, int (*run)(struct nic_user *nic, const void *argument),
		     const void *argument)
{
	struct user_command command = { .run = run, .argument = argument };

	pthread_mutex_lock(&nic->lock);
	assert(!nic->command);
	nic->command = &command;
	user_wake(nic->thread_fd);
	while (!command.done)
		pthread_cond_wait(&nic->command_done, &nic->lock);
	pthread_mutex_unlock(&nic->lock);
	return command.result;
}
