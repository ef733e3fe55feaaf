/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One thread types while workers serve the xHCI model, in turn: each stroke comes once, in order. */
#include <pthread.h>
#include <sched.h>

#include "xhci_guest.h"

#define STROKES 20000u
#define MOVES	50u
#define KEYS	8u /* in turn, from KEY_1 on: usages 30 to 37 */
/* What waits must not overflow: so many strokes are under way at most. */
#define AHEAD 50u

static unsigned heard; /* atomic */

static void *type(void *unused)
{
	for (unsigned i = 0; i < STROKES; i++) {
		while (i >= __atomic_load_n(&heard, __ATOMIC_ACQUIRE) + AHEAD)
			sched_yield();
		usb_input_key(driver.device, KEY_1 + i % KEYS, true);
		usb_input_key(driver.device, KEY_1 + i % KEYS, false);
	}
	return NULL;
}

/* To the other worker; a ring of the bell may be on its way to the one that it leaves. */
static struct loop *move(struct loop *other)
{
	struct loop *left = driver.loop;

	quiesce();
	usb_input_model.leave(driver.function);
	loop_account_close(driver.bus.account);
	driver.loop = driver.bus.loop = other;
	driver.bus.account = loop_account_create(driver.guest, other);
	go();
	assert_int_equal(loop_turn(left, 0), 0);
	return left;
}

/* Offers a buffer if there is none, and looks at the answer. */
static void serve(bool *offered, bool *down)
{
	struct trb event;

	if (!*offered) {
		put_buffer();
		set32(DOORBELL(driver.slot), 3);
		*offered = true;
	}
	assert_int_equal(loop_turn(driver.loop, NS_PER_MS / 4), 0);
	if (!look(&event))
		return;
	consume();
	*offered = false;
	*down = !*down;
	assert_int_equal(event.status, SUCCESS << 24);
	assert_int_equal(driver.ram[DATA_AT + 0x1002], *down ? 30 + heard % KEYS : 0);
	if (!*down)
		__atomic_store_n(&heard, heard + 1, __ATOMIC_RELEASE);
}

static void typed_while_it_moves(void **state)
{
	const struct loop_options options = { .name = "other" };
	bool offered = false, down = false;
	struct loop *other;
	pthread_t typist;
	unsigned moves = 0;

	begin_ready(USB_INPUT_KEYBOARD);
	assert_int_equal(loop_create(&options, &other), 0);
	assert_int_equal(pthread_create(&typist, NULL, type, NULL), 0);
	while (heard < STROKES) {
		serve(&offered, &down);
		if (heard / (STROKES / MOVES) > moves) {
			moves++;
			other = move(other);
		}
	}
	assert_int_equal(pthread_join(typist, NULL), 0);
	assert_int_equal(usb_input_dropped(driver.device), 0);
	assert_int_equal(moves, MOVES);
	assert_int_equal(loop_turn(other, 0), 0);
	end();
	loop_destroy(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(typed_while_it_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
