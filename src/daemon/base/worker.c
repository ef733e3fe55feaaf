/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/worker.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/container.h"
#include "core/log.h"

unsigned worker_default_count(void)
{
	cpu_set_t cpus;
	int count = 2;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		count = CPU_COUNT(&cpus);
	return count < 2 ? 1 : (unsigned)count / 2;
}

static void *worker_main(void *context)
{
	struct worker *worker = context;
	char name[16];
	int error;

	/* A thread names itself: another's name is a file in /proc, which the daemon may not write to. */
	snprintf(name, sizeof(name), "%s-%u", worker->name, worker->index);
	pthread_setname_np(pthread_self(), name);
	/* Of this thread only; a lower priority is never refused. */
	if (worker->nice)
		setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + worker->nice);
	error = loop_run(worker->loop);
	/* The ring itself failed: this worker's queues hang, and only a restart helps. */
	if (error) {
		log_error(NULL, "%s-%u: the event loop failed: %s", worker->name, worker->index,
			  strerror(-error));
		abort();
	}
	return NULL;
}

static int start_thread(struct worker *worker)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	/* The guard of guest memory catches SIGBUS on the thread that touched the page. */
	sigdelset(&all, SIGBUS);
	sigdelset(&all, LOOP_RESCUE_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&worker->thread, NULL, worker_main, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		return -error;
	return 0;
}

static void apply_spin(struct loop_message *message)
{
	struct worker *worker = container_of(message, struct worker, spin_message);

	__atomic_store_n(&worker->spin_posted, false, __ATOMIC_RELEASE);
	loop_set_spin(worker->loop, __atomic_load_n(&worker->spin_max_ns, __ATOMIC_RELAXED));
}

void worker_set_spin(struct worker *worker, uint64_t spin_max_ns)
{
	__atomic_store_n(&worker->spin_max_ns, spin_max_ns, __ATOMIC_RELAXED);
	if (!__atomic_exchange_n(&worker->spin_posted, true, __ATOMIC_ACQ_REL))
		loop_post(worker->loop, &worker->spin_message);
}

struct worker_errand {
	struct loop_message message;
	void (*run)(void *context);
	void *context;
	sem_t done;
};

static void run_errand(struct loop_message *message)
{
	struct worker_errand *errand = container_of(message, struct worker_errand, message);

	errand->run(errand->context);
	sem_post(&errand->done);
}

void worker_call(struct worker *worker, void (*run)(void *context), void *context)
{
	struct worker_errand errand = { .message.run = run_errand, .run = run, .context = context };

	assert(worker->running);
	sem_init(&errand.done, 0, 0);
	loop_post(worker->loop, &errand.message);
	while (sem_wait(&errand.done) < 0)
		;
	sem_destroy(&errand.done);
}

int worker_start(struct worker *worker, const struct worker_options *options)
{
	struct loop_options loop_options = {
		.name = options->name,
		.entries = options->entries,
		.spin_max_ns = options->spin_max_ns,
	};
	int error;

	*worker = (struct worker){
		.name = options->name,
		.index = options->index,
		.nice = options->nice,
		.spin_max_ns = options->spin_max_ns,
	};
	worker->spin_message.run = apply_spin;
	error = loop_create(&loop_options, &worker->loop);
	if (error)
		return error;
	error = loop_rescue_add(options->rescue, worker->loop);
	if (!error)
		error = start_thread(worker);
	if (error) {
		loop_destroy(worker->loop);
		worker->loop = NULL;
		return error;
	}
	worker->running = true;
	return 0;
}

void worker_stop(struct worker *worker)
{
	if (!worker->running)
		return;
	loop_stop(worker->loop);
	pthread_join(worker->thread, NULL);
	loop_destroy(worker->loop);
	*worker = (struct worker){ .loop = NULL };
}
