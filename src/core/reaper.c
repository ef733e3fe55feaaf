/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/reaper.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/container.h"
#include "core/fd.h"

/* Of all that the process may have: one guest can make so many wait, however few it may have itself. */
#define WAITING_FDS_MAX 32u

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t news;
	pthread_t thread;
	bool started, stopping;
	struct reaper_job *first, **end;
} reaper = { .mutex = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER };

static unsigned waiting_fds; /* atomic */

static struct reaper_job *take_first(void)
{
	struct reaper_job *job = reaper.first;

	reaper.first = job->next;
	if (!reaper.first)
		reaper.end = &reaper.first;
	return job;
}

static void *reap(void *argument)
{
	pthread_setname_np(pthread_self(), "reaper");
	pthread_mutex_lock(&reaper.mutex);
	for (;;) {
		struct reaper_job *job;

		while (!reaper.first && !reaper.stopping)
			pthread_cond_wait(&reaper.news, &reaper.mutex);
		if (!reaper.first)
			break;
		job = take_first();
		pthread_mutex_unlock(&reaper.mutex);
		job->run(job);
		pthread_mutex_lock(&reaper.mutex);
	}
	pthread_mutex_unlock(&reaper.mutex);
	return NULL;
}

int reaper_start(void)
{
	int error;

	assert(!reaper.started);
	reaper.first = NULL;
	reaper.end = &reaper.first;
	reaper.stopping = false;
	error = pthread_create(&reaper.thread, NULL, reap, NULL);
	reaper.started = error == 0;
	return -error;
}

void reaper_stop(void)
{
	if (!reaper.started)
		return;
	pthread_mutex_lock(&reaper.mutex);
	reaper.stopping = true;
	pthread_cond_signal(&reaper.news);
	pthread_mutex_unlock(&reaper.mutex);
	pthread_join(reaper.thread, NULL);
	reaper.started = false;
}

void reaper_give(struct reaper_job *job)
{
	if (!reaper.started) {
		job->run(job);
		return;
	}
	job->next = NULL;
	pthread_mutex_lock(&reaper.mutex);
	*reaper.end = job;
	reaper.end = &job->next;
	pthread_cond_signal(&reaper.news);
	pthread_mutex_unlock(&reaper.mutex);
}

/* ---- descriptors ---- */

struct closing {
	struct reaper_job job;
	int fd;
};

static void close_one(struct reaper_job *job)
{
	struct closing *closing = container_of(job, struct closing, job);

	fd_close(&closing->fd);
	__atomic_sub_fetch(&waiting_fds, 1, __ATOMIC_RELAXED);
	free(closing);
}

void reaper_close(int *fd)
{
	struct closing *closing = NULL;
	int saved = errno;

	if (*fd < 0)
		return;
	if (reaper.started && __atomic_load_n(&waiting_fds, __ATOMIC_RELAXED) < WAITING_FDS_MAX)
		closing = malloc(sizeof(*closing));
	if (closing) {
		__atomic_add_fetch(&waiting_fds, 1, __ATOMIC_RELAXED);
		*closing = (struct closing){ .job.run = close_one, .fd = fd_take(fd) };
		reaper_give(&closing->job);
	}
	fd_close(fd);
	errno = saved;
}
