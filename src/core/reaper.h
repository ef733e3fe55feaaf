/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gives back what a peer shared with us: mappings of its files, and descriptors. The last to hold a file
 * waits while the kernel frees its pages, 65 ms a GiB, or goes through all who wait for it; so a thread of
 * its own does that, and no guest's I/O waits for another's leaving.
 *
 * Process-wide, as mappings and descriptors are. In a process that has not started it, all is given back at
 * once by whoever gives it.
 */
#ifndef VIADUCT_CORE_REAPER_H
#define VIADUCT_CORE_REAPER_H

/* Lies in what is given back, and lives until run() was called. */
struct reaper_job {
	void (*run)(struct reaper_job *job);
	struct reaper_job *next; /* private */
};

/* Starts the thread. Once, before other threads give it anything. Returns 0 or -errno. */
int reaper_start(void);
/* Ends when all that it was given is done. Nothing may be given any more, or it is done at once. */
void reaper_stop(void);

/* Has run(job) called, in the order of the calls. Any thread. */
void reaper_give(struct reaper_job *job);

/*
 * Closes a peer's descriptor, and makes *fd -1; a negative one is ignored. Any thread. errno stays. When
 * very many wait to be closed, or memory is short, it is closed at once: they count among the process's own.
 */
void reaper_close(int *fd);

#endif
