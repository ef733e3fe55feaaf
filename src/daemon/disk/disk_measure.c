/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/disk/disk_measure.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "arbiter/disk/disk_calibrate.h"
#include "core/clock.h"
#include "core/loop.h"
#include "host/host_disk.h"

/* How often the thread looks whether a disk that hung came back to life. */
#define LOOK_AGAIN_NS (100 * NS_PER_MS)
/* A disk gets 128 requests at most. */
#define LOOP_ENTRIES 256

struct measurement {
	struct host_disk *host;
	struct disk_cost cost;
	int error;
	struct calibration *left; /* of a disk that hangs; the thread's, like the link */
	struct measurement *next;
	/* Atomic; of a disk that hung: the thread or the gate has ended, and the other cleans up */
	bool one_left;
};

struct disk_measurer {
	pthread_t thread;
	struct loop *loop;
	sem_t wanted, known;
	struct measurement *asked; /* NULL with `wanted`: there will be no more */
	struct measurement *hung;  /* the thread's */
	unsigned hung_count;	   /* the control thread's: disks that ever hung */
};

/* ---- the thread ---- */

static void look_after_hung(struct disk_measurer *measurer)
{
	struct measurement **link = &measurer->hung;

	while (*link) {
		struct measurement *hung = *link;

		if (calibration_finish(hung->left) == -EBUSY) {
			link = &hung->next;
			continue;
		}
		*link = hung->next;
		if (__atomic_exchange_n(&hung->one_left, true, __ATOMIC_ACQ_REL)) {
			hung->host->ops->close(hung->host);
			free(hung);
		}
	}
}

/* Returns when something is wanted; as long as a disk hangs, looks after it meanwhile. */
static void wait_for_wish(struct disk_measurer *measurer)
{
	while (measurer->hung) {
		uint64_t until_ns = LOOK_AGAIN_NS;
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until_ns += (uint64_t)until.tv_nsec;
		until.tv_sec += (time_t)(until_ns / NS_PER_S);
		until.tv_nsec = (long)(until_ns % NS_PER_S);
		if (sem_timedwait(&measurer->wanted, &until) == 0)
			return;
		look_after_hung(measurer);
	}
	while (sem_wait(&measurer->wanted) < 0)
		; /* EINTR */
}

static void free_measurer(struct disk_measurer *measurer)
{
	sem_destroy(&measurer->wanted);
	sem_destroy(&measurer->known);
	loop_destroy(measurer->loop);
	free(measurer);
}

static void measure(struct disk_measurer *measurer, struct measurement *asked)
{
	struct calibrate_options options = { .loop = measurer->loop };

	asked->error = disk_calibrate(asked->host, &options, &asked->cost, &asked->left);
	if (asked->error == -ETIMEDOUT) {
		asked->next = measurer->hung;
		measurer->hung = asked;
	}
}

static void *measurer_main(void *context)
{
	static const struct timespec pause = { .tv_nsec = LOOK_AGAIN_NS };
	struct disk_measurer *measurer = context;
	bool joined;

	pthread_setname_np(pthread_self(), "measure");
	for (;;) {
		wait_for_wish(measurer);
		if (!measurer->asked)
			break;
		measure(measurer, measurer->asked);
		sem_post(&measurer->known);
	}
	/* The destroyer waits for the thread only if no disk ever hung. */
	joined = measurer->hung_count == 0;
	while (measurer->hung) {
		nanosleep(&pause, NULL);
		look_after_hung(measurer);
	}
	if (!joined)
		free_measurer(measurer);
	return NULL;
}

/* ---- the control thread ---- */

int disk_measurer_create(struct disk_measurer **ret_measurer)
{
	struct loop_options options = { .name = "measure",
					.entries = LOOP_ENTRIES,
					.spin_max_ns = CALIBRATE_SPIN_NS };
	struct disk_measurer *measurer = calloc(1, sizeof(*measurer));
	int error = measurer ? loop_create(&options, &measurer->loop) : -ENOMEM;

	if (error) {
		free(measurer);
		return error;
	}
	sem_init(&measurer->wanted, 0, 0);
	sem_init(&measurer->known, 0, 0);
	error = -pthread_create(&measurer->thread, NULL, measurer_main, measurer);
	if (error) {
		free_measurer(measurer);
		return error;
	}
	*ret_measurer = measurer;
	return 0;
}

void disk_measurer_destroy(struct disk_measurer *measurer)
{
	pthread_t thread;
	bool join;

	if (!measurer)
		return;
	thread = measurer->thread;
	join = measurer->hung_count == 0;
	measurer->asked = NULL;
	sem_post(&measurer->wanted);
	if (!join) {
		pthread_detach(thread);
		return;
	}
	pthread_join(thread, NULL);
	free_measurer(measurer);
}

int disk_measure(struct disk_measurer *measurer, struct host_disk *host, struct disk_cost *ret_cost,
		 struct measurement **ret_hung)
{
	struct measurement *measurement = calloc(1, sizeof(*measurement));
	int error;

	if (!measurement)
		return -ENOMEM;
	measurement->host = host;
	measurer->asked = measurement;
	sem_post(&measurer->wanted);
	while (sem_wait(&measurer->known) < 0)
		; /* EINTR */
	error = measurement->error;
	*ret_cost = measurement->cost;
	if (error == -ETIMEDOUT) {
		measurer->hung_count++;
		*ret_hung = measurement;
		return error;
	}
	free(measurement);
	return error;
}

bool measurement_let_go(struct measurement *hung)
{
	if (!hung)
		return true;
	if (!__atomic_exchange_n(&hung->one_left, true, __ATOMIC_ACQ_REL))
		return false;
	free(hung);
	return true;
}
