/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What loop.c and loop_sources.c share. Nobody else includes this. */
#ifndef VIADUCT_CORE_LOOP_INTERNAL_H
#define VIADUCT_CORE_LOOP_INTERNAL_H

#include "core/loop.h"

/* Registered files; whoever finds none free uses the plain descriptor. */
#define LOOP_FILES_MAX 256

struct loop_watch_slot {
	struct loop_op op;
	struct loop *loop;
	struct loop_watch *watch;	/* NULL: stopped, freed by the poll's last completion */
	int fd;
	unsigned events;
	struct loop_watch_slot *next, *previous;
};

struct loop {
	struct io_uring ring;
	bool enabled;
	bool files_registered;
	unsigned threads;			/* asked for with loop_set_threads() */
	uint64_t file_slots[LOOP_FILES_MAX / 64];

	struct loop_message *messages;	/* atomic stack, newest first */
	int wake_fd;
	struct loop_watch wake_watch;
	bool stopping;			/* atomic */

	struct loop_watch_slot *watches;
	struct loop_timer *timers;	/* sorted by deadline */
	struct loop_task *tasks, **tasks_end;
	struct loop_poller *pollers;	/* awake ones */
	struct loop_poller *next_poller;/* where the walk over them stands */

	uint64_t now_ns;		/* 0: not read in this turn */
	uint64_t spin_max_ns, spin_ns;
	uint64_t idle_since_ns;		/* 0: the last turn did something */
	struct loop_counters counters;
};

/* Each returns true when it found work; called once a turn. */
bool loop_run_timers(struct loop *loop);
bool loop_run_pollers(struct loop *loop);
/* As many tasks as were queued at the start. */
void loop_run_tasks(struct loop *loop);
/* Returns true when every poller is asleep. */
bool loop_park_pollers(struct loop *loop);

#endif
