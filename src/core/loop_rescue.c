/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/loop_rescue.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "core/loop_internal.h"

#define LOOK_NS (5 * NS_PER_MS / 2)
/* Looks at which a loop has not turned: then it is sent a signal, if it writes. */
#define STILL_MAX 2u
/*
 * Looks at which all loops slept, enough for one at each of them: then nobody looks until one wakes. A look
 * costs some 50 us, and to be woken for one that wakes a few times a second costs less than to go on looking.
 */
#define QUIET_MAX 8u
/* From the first look at a thread that waits to the one at which that is held against it. */
#define WAITED_NS (15 * NS_PER_MS)
/* At one that sleeps the looks are rarer: the kernel may do in it what it has put off. */
#define ASLEEP_LOOKS 4u

/* The name of a function of the kernel, cut. */
#define WAIT_BYTES 64u

/* One loop as it was at the last look. */
struct ward {
	struct loop *loop;
	uint64_t turns;
	unsigned still;
	bool asleep;		 /* because there was nothing to do, at the last look that was taken at it */
	uint64_t waits_since_ns; /* 0: it was not waiting at the last look */
};

struct loop_rescue {
	pthread_t thread;
	pthread_mutex_t mutex; /* of all that follows, and of a loop's thread that begins or ends */
	pthread_cond_t news;
	struct ward *wards;
	unsigned count;
	bool asleep;	   /* atomic: read by loops that wake */
	bool kernel_tells; /* what a thread waits for: it did, once */
	bool stopping;
};

/* That a signal came is enough: it ends the wait. */
static void on_signal(int signal)
{
}

bool loop_stands_still(const struct loop *loop)
{
	return __atomic_load_n(&loop->held, __ATOMIC_RELAXED) & LOOP_HELD_LONG;
}

/* ---- what loops do ---- */

/* In a loop that is suspicious, of a submission of its own: so it is known how long it takes. */
void loop_peer_write_begin(struct loop *loop)
{
	struct loop_account *payer = loop->payer;

	if (loop_is_suspicious(loop) && io_uring_sq_ready(&loop->ring) > 0) {
		loop_submit_entries(loop, false);
		loop_pay_on(loop, payer);
	}
	__atomic_store_n(&loop->peer_writes, loop->peer_writes + 1, __ATOMIC_RELAXED);
}

void loop_peer_write_prepared(struct loop *loop)
{
	struct loop_account *payer = loop->payer;

	if (!loop_is_suspicious(loop))
		return;
	loop->writing = true;
	loop_charge_payer(loop, loop_clock_ns(loop));
	loop_thread_clock_begin(loop);
	loop_submit_entries(loop, false);
	loop->writing = false;
	loop_pay_on(loop, payer);
}

void loop_peer_write_end(struct loop *loop)
{
	assert(loop->peer_writes > 0);
	__atomic_store_n(&loop->peer_writes, loop->peer_writes - 1, __ATOMIC_RELAXED);
}

/* With the mutex. */
static void wake(struct loop_rescue *rescue)
{
	__atomic_store_n(&rescue->asleep, false, __ATOMIC_SEQ_CST);
	pthread_cond_signal(&rescue->news);
}

void loop_rescue_enter(struct loop *loop)
{
	if (!loop->rescue)
		return;
	pthread_mutex_lock(&loop->rescue->mutex);
	loop->thread = pthread_self();
	loop->state_fd = open("/proc/thread-self/stat", O_RDONLY | O_CLOEXEC);
	loop->wchan_fd = open("/proc/thread-self/wchan", O_RDONLY | O_CLOEXEC);
	loop->running = true;
	/* It may turn for a while before it sleeps, and wakes, for the first time. */
	wake(loop->rescue);
	pthread_mutex_unlock(&loop->rescue->mutex);
}

void loop_rescue_leave(struct loop *loop)
{
	if (!loop->rescue)
		return;
	pthread_mutex_lock(&loop->rescue->mutex);
	loop->running = false;
	fd_close(&loop->state_fd);
	fd_close(&loop->wchan_fd);
	pthread_mutex_unlock(&loop->rescue->mutex);
}

void loop_rescue_sleeps(struct loop *loop, bool sleeps)
{
	struct loop_rescue *rescue = loop->rescue;

	if (!rescue)
		return;
	/* Full barrier: the thread sees that we are awake, or we see that it sleeps. Pairs with its own. */
	__atomic_store_n(&loop->sleeps, sleeps, __ATOMIC_SEQ_CST);
	if (sleeps || !__atomic_load_n(&rescue->asleep, __ATOMIC_SEQ_CST))
		return;
	pthread_mutex_lock(&rescue->mutex);
	wake(rescue);
	pthread_mutex_unlock(&rescue->mutex);
}

/* ---- the thread ---- */

static bool is_quiet(const struct loop *loop)
{
	return !loop->running || (__atomic_load_n(&loop->sleeps, __ATOMIC_SEQ_CST) &&
				  __atomic_load_n(&loop->peer_writes, __ATOMIC_RELAXED) == 0);
}

/* A thread that waits for a page was seen to do so, and may wait long. */
static bool all_quiet(const struct loop_rescue *rescue)
{
	for (unsigned i = 0; i < rescue->count; i++) {
		if (!is_quiet(rescue->wards[i].loop) || rescue->wards[i].waits_since_ns > 0)
			return false;
	}
	return true;
}

/* proc(5): the letter behind the name in parentheses. 0: unknown. */
static char state_of(const struct loop *loop)
{
	char text[64];
	ssize_t bytes = loop->state_fd < 0 ? -1 : pread(loop->state_fd, text, sizeof(text), 0);
	const char *end = bytes > 0 ? memrchr(text, ')', (size_t)bytes) : NULL;

	return end && end + 2 < text + bytes ? end[2] : 0;
}

static bool begins_with(const char *text, const char *word)
{
	return strncmp(text, word, strlen(word)) == 0;
}

/*
 * proc(5): the function of the kernel that the thread waits in. "0": the kernel does not tell; or not yet,
 * since a thread that has just begun to wait may still be on its processor's queue (since Linux 6.12 for
 * milliseconds, where others want the processor).
 */
static bool read_wait(const struct loop *loop, char text[WAIT_BYTES])
{
	ssize_t bytes = loop->wchan_fd < 0 ? -1 : pread(loop->wchan_fd, text, WAIT_BYTES - 1, 0);

	if (bytes <= 0 || text[0] == '0')
		return false;
	text[bytes] = '\0';
	return true;
}

/*
 * For a page of a peer's file: in a function of the file's, or of its pages'. Other waits in the middle of a
 * turn are for what all threads share, such as the lock of the process's memory, which another may keep while
 * it waits for its page.
 */
static bool is_wait_for_peer(const char *text, char state)
{
	static const char *const pages[] = { "shmem_", "hugetlb_", "folio_", "__folio_", "filemap_" };

	if (state == 'S')
		return !begins_with(text, "futex_");
	for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (begins_with(text, pages[i]))
			return true;
	return false;
}

enum wait { WAIT_NONE, WAIT_UNKNOWN, WAIT_FOR_PEER };

/* A thread that waits for work is interruptible; one that waits in a submission for a page is not. */
static enum wait wait_of(struct loop_rescue *rescue, const struct loop *loop, char state, bool may_sleep)
{
	char text[WAIT_BYTES];
	bool told;

	if (state != 'D' && state != 'S')
		return WAIT_NONE;
	/* A thread that sleeps for want of work shows whether the kernel ever tells. */
	if (state == 'S' && may_sleep && rescue->kernel_tells)
		return WAIT_NONE;
	told = read_wait(loop, text);
	rescue->kernel_tells = rescue->kernel_tells || told;
	if (state == 'S' && may_sleep)
		return WAIT_NONE;
	if (!told)
		return rescue->kernel_tells ? WAIT_UNKNOWN : WAIT_FOR_PEER;
	return is_wait_for_peer(text, state) ? WAIT_FOR_PEER : WAIT_NONE;
}

static void hold(struct loop *loop, unsigned how)
{
	__atomic_or_fetch(&loop->held, how, __ATOMIC_RELAXED);
}

static void look_for_wait(struct loop_rescue *rescue, struct ward *ward)
{
	struct loop *loop = ward->loop;
	bool may_sleep = __atomic_load_n(&loop->sleeps, __ATOMIC_RELAXED);
	uint64_t now_ns = clock_now_ns();
	char state = state_of(loop);

	switch (wait_of(rescue, loop, state, may_sleep)) {
	case WAIT_FOR_PEER:
		hold(loop, LOOP_HELD_BRIEFLY);
		if (ward->waits_since_ns == 0)
			ward->waits_since_ns = now_ns;
		else if (now_ns - ward->waits_since_ns >= WAITED_NS)
			hold(loop, LOOP_HELD_LONG);
		break;
	case WAIT_UNKNOWN: /* the next look tells */
		break;
	case WAIT_NONE:
		ward->waits_since_ns = 0;
		ward->asleep = state == 'S' && may_sleep;
		break;
	}
}

static void look_at_still(struct loop_rescue *rescue, struct ward *ward)
{
	struct loop *loop = ward->loop;

	if (ward->still >= STILL_MAX && __atomic_load_n(&loop->peer_writes, __ATOMIC_RELAXED) > 0)
		pthread_kill(loop->thread, LOOP_RESCUE_SIGNAL);
	if (!ward->asleep || !rescue->kernel_tells || ward->still % ASLEEP_LOOKS == 0)
		look_for_wait(rescue, ward);
}

static void look_after(struct loop_rescue *rescue, struct ward *ward)
{
	struct loop *loop = ward->loop;
	uint64_t turns = counter_read(&loop->counters.turns);

	if (!loop->running || turns != ward->turns) {
		*ward = (struct ward){ .loop = loop, .turns = turns };
		return;
	}
	ward->still++;
	look_at_still(rescue, ward);
}

/* With the mutex: until the time is over, or somebody has news. */
static void wait_for_news(struct loop_rescue *rescue, uint64_t ns)
{
	uint64_t until_ns = clock_now_ns() + ns;
	struct timespec until = { .tv_sec = (time_t)(until_ns / NS_PER_S),
				  .tv_nsec = (long)(until_ns % NS_PER_S) };

	pthread_cond_timedwait(&rescue->news, &rescue->mutex, &until);
}

static void sleep_until_one_wakes(struct loop_rescue *rescue)
{
	__atomic_store_n(&rescue->asleep, true, __ATOMIC_SEQ_CST);
	if (all_quiet(rescue)) {
		while (__atomic_load_n(&rescue->asleep, __ATOMIC_SEQ_CST) && !rescue->stopping)
			pthread_cond_wait(&rescue->news, &rescue->mutex);
	}
	__atomic_store_n(&rescue->asleep, false, __ATOMIC_SEQ_CST);
}

static void *look(void *argument)
{
	struct loop_rescue *rescue = argument;
	unsigned quiet = 0;

	pthread_setname_np(pthread_self(), "rescue");
	pthread_mutex_lock(&rescue->mutex);
	while (!rescue->stopping) {
		quiet = all_quiet(rescue) ? quiet + 1 : 0;
		if (quiet > QUIET_MAX) {
			sleep_until_one_wakes(rescue);
			quiet = 0;
		}
		for (unsigned i = 0; i < rescue->count; i++)
			look_after(rescue, &rescue->wards[i]);
		wait_for_news(rescue, LOOK_NS);
	}
	pthread_mutex_unlock(&rescue->mutex);
	return NULL;
}

/* ---- life ---- */

int loop_rescue_start(struct loop_rescue **ret_rescue)
{
	/* Not restarted: the call that waits is to end. */
	const struct sigaction action = { .sa_handler = on_signal };
	struct loop_rescue *rescue = calloc(1, sizeof(*rescue));
	pthread_condattr_t clock;
	int error;

	if (!rescue)
		return -ENOMEM;
	sigaction(LOOP_RESCUE_SIGNAL, &action, NULL);
	pthread_mutex_init(&rescue->mutex, NULL);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&rescue->news, &clock);
	pthread_condattr_destroy(&clock);
	error = pthread_create(&rescue->thread, NULL, look, rescue);
	if (error) {
		free(rescue);
		return -error;
	}
	*ret_rescue = rescue;
	return 0;
}

int loop_rescue_add(struct loop_rescue *rescue, struct loop *loop)
{
	struct ward *wards;
	int error = 0;

	assert(!loop->rescue);
	pthread_mutex_lock(&rescue->mutex);
	wards = realloc(rescue->wards, (rescue->count + 1) * sizeof(*wards));
	if (wards) {
		wards[rescue->count++] = (struct ward){ .loop = loop };
		rescue->wards = wards;
		loop->rescue = rescue;
	} else {
		error = -ENOMEM;
	}
	pthread_mutex_unlock(&rescue->mutex);
	return error;
}

void loop_rescue_forget(struct loop *loop)
{
	struct loop_rescue *rescue = loop->rescue;

	if (!rescue)
		return;
	pthread_mutex_lock(&rescue->mutex);
	for (unsigned i = 0; i < rescue->count; i++) {
		if (rescue->wards[i].loop == loop)
			rescue->wards[i--] = rescue->wards[--rescue->count];
	}
	pthread_mutex_unlock(&rescue->mutex);
}

void loop_rescue_stop(struct loop_rescue *rescue)
{
	if (!rescue)
		return;
	assert(rescue->count == 0);
	pthread_mutex_lock(&rescue->mutex);
	rescue->stopping = true;
	pthread_cond_signal(&rescue->news);
	pthread_mutex_unlock(&rescue->mutex);
	pthread_join(rescue->thread, NULL);
	pthread_cond_destroy(&rescue->news);
	pthread_mutex_destroy(&rescue->mutex);
	free(rescue->wards);
	free(rescue);
}
