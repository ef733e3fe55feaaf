/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests on a loop, in time that passes only while a poller or task says so. */
#ifndef VIADUCT_TESTS_UNIT_LOOP_GUESTS_H
#define VIADUCT_TESTS_UNIT_LOOP_GUESTS_H

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/loop_account.h"

#define POLLERS_MAX 64u
/* A slice begins after the first poll, and the last one may begin just before it ends. */
#define TURN_NS(poll_ns)  (LOOP_SLICE_NS + 2 * (uint64_t)(poll_ns))
/* Who is a slice ahead of the others may have another turn. */
#define AHEAD_NS(poll_ns) (LOOP_SLICE_NS + TURN_NS(poll_ns))

static uint64_t now_ns, tick_ns, stolen_ns;
static unsigned thread_clock_readings;

static inline uint64_t fake_clock(void)
{
	now_ns += tick_ns;
	return now_ns;
}

static inline uint64_t fake_thread_clock(void)
{
	thread_clock_readings++;
	return now_ns - stolen_ns;
}

static const struct loop_clocks clocks = { fake_clock, fake_thread_clock };

struct fake_guest;

struct fake_poller {
	struct loop_poller poller;
	struct fake_guest *guest;
};

/* A guest with one account, and pollers that all do the same. */
struct fake_guest {
	struct loop_guest *guest;
	struct loop_account *account;
	struct fake_poller poller[POLLERS_MAX];
	unsigned pollers;
	uint64_t poll_ns;
	bool wants;		/* polls find work */
	unsigned polls;
};

/* 0: as many submissions as usual. */
static inline struct loop *make_loop_of(unsigned entries)
{
	struct loop_options options = { .name = "test", .entries = entries, .clocks = &clocks };
	struct loop *loop = NULL;

	now_ns = NS_PER_S;
	tick_ns = stolen_ns = 0;
	assert_int_equal(loop_create(&options, &loop), 0);
	return loop;
}

static inline struct loop *make_loop(void)
{
	return make_loop_of(0);
}

static inline bool fake_poll(struct loop_poller *poller)
{
	struct fake_guest *guest = ((struct fake_poller *)poller)->guest;

	guest->polls++;
	now_ns += guest->poll_ns;
	return guest->wants;
}

static inline bool fake_park(struct loop_poller *poller)
{
	return true;
}

static inline void wake(struct loop *loop, struct fake_guest *guest)
{
	for (unsigned i = 0; i < guest->pollers; i++)
		loop_poller_wake(loop, &guest->poller[i].poller);
}

static inline void sleep_all(struct loop *loop, struct fake_guest *guest)
{
	for (unsigned i = 0; i < guest->pollers; i++)
		loop_poller_remove(loop, &guest->poller[i].poller);
}

static inline void begin(struct loop *loop, struct fake_guest *guest, unsigned pollers, uint64_t poll_ns)
{
	memset(guest, 0, sizeof(*guest));
	guest->guest = loop_guest_create();
	assert_non_null(guest->guest);
	guest->account = loop_account_create(guest->guest, loop);
	assert_non_null(guest->account);
	guest->pollers = pollers;
	guest->poll_ns = poll_ns;
	guest->wants = true;
	for (unsigned i = 0; i < pollers; i++)
		guest->poller[i] = (struct fake_poller){
			.poller = { .poll = fake_poll, .park = fake_park, .account = guest->account },
			.guest = guest,
		};
	wake(loop, guest);
}

static inline void end(struct loop *loop, struct fake_guest *guest)
{
	sleep_all(loop, guest);
	loop_guest_put(guest->guest);
	loop_account_close(guest->account);
}

static inline void turn_until(struct loop *loop, uint64_t end_ns)
{
	while (now_ns < end_ns) {
		uint64_t before = now_ns;

		assert_int_equal(loop_turn(loop, 0), 0);
		/* Work-conserving: no turn passes in which nobody was served. */
		assert_true(now_ns > before);
	}
	/* What the last turn took. */
	loop_pay(loop, NULL);
}

static inline uint64_t used(const struct fake_guest *guest)
{
	return counter_read(&guest->account->used_ns);
}

static inline void assert_near(uint64_t a, uint64_t b, uint64_t tolerance)
{
	if ((a > b ? a - b : b - a) > tolerance)
		fail_msg("%llu and %llu differ by more than %llu", (unsigned long long)a,
			 (unsigned long long)b, (unsigned long long)tolerance);
}

#endif
