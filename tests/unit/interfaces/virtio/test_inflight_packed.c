/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed rings after a crash. A naive device carries the protocol's procedure out on the region and the ring,
 * one counted store after the other, and dies when its budget is used up, for every budget. Whatever the
 * moment, the chains that the driver has not seen as used must be handed over again, in the order in which it
 * made them available, and the ring must go on. Order of stores: vhost-user protocol, "Inflight I/O
 * tracking".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inflight_device.h"

/* ---- what must come of it ---- */

/*
 * Chains become used where the driver looks for them, each as long as it was, for three rounds of the ring.
 */
static void assert_goes_on(const struct chain *held, unsigned count, unsigned at, bool at_wrap)
{
	uint16_t mask = DESCRIPTOR_AVAILABLE | DESCRIPTOR_USED;

	for (unsigned done = 0; done < count + 3 * SIZE; done++) {
		struct chain chain = { .id = done % 3, .count = 1 + done % 3 };

		if (done < count) {
			chain = held[done];
		} else {
			add(chain.id, chain.count);
			chain_count--;
			places--;
			turn();
		}
		assert_true(bench.device.held_count >= 1);
		echo_answer(&bench.device, 0);
		turn();
		assert_int_equal(ring(at)->id, chain.id);
		assert_int_equal(ring(at)->flags & mask, at_wrap ? mask : 0);
		at += chain.count;
		if (at >= SIZE) {
			at -= SIZE;
			at_wrap = !at_wrap;
		}
	}
	assert_int_equal(bench.broken, 0);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(region->entry[i].inflight, 0);
	assert_int_equal(region->old_used_idx, at);
	assert_int_equal(region->old_used_wrap, at_wrap);
}

/* Where the driver will look for the next used chain: behind all that it has seen. */
static void driver_position(unsigned start, unsigned *ret_at, bool *ret_wrap)
{
	unsigned at = start;

	for (unsigned i = 0; i < chain_count; i++)
		if (chains[i].visible)
			at += chains[i].count;
	*ret_at = at % SIZE;
	*ret_wrap = at / SIZE % 2 == 0;
}

/* A new process starts on what the dead one left. */
static void recover(unsigned start)
{
	struct chain expected[CHAINS_MAX];
	unsigned count = 0, at;
	bool at_wrap;

	for (unsigned i = 0; i < chain_count; i++)
		if (!chains[i].visible)
			expected[count++] = chains[i];
	driver_position(start, &at, &at_wrap);
	start_queue();
	assert_int_equal(bench.broken, 0);
	if (bench.device.held_count != count)
		fail_msg("start %u, store %u: %u chains instead of %u", start, budget,
			 bench.device.held_count, count);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(bench_held(&bench, i), expected[i].place);
		assert_int_equal(bench.device.held[i]->slot, expected[i].id);
		assert_int_equal(bench.device.held[i]->readable_count, expected[i].count);
	}
	assert_goes_on(expected, count, at, at_wrap);
}

/* Out of order: the middle one first, then the others in one batch; between them the driver adds another. */
static void publish_all(void)
{
	struct chain *middle[] = { &chains[1] }, *others[] = { &chains[2], &chains[0] };

	take_three();
	publish(middle, 1);
	if (!chains[1].visible || stores == budget)
		return;
	add(7, 4);
	take(3);
	publish(others, 2);
}

/* The batch that becomes used is the whole ring: its end is its beginning. */
static void publish_a_full_ring(void)
{
	struct chain *batch[] = { &chains[1], &chains[0], &chains[2] };

	add(3, 1);
	add(5, 3);
	add(0, 4);
	for (unsigned i = 0; i < 3; i++)
		take(i);
	publish(batch, 3);
}

/*
 * The ring wraps into a descriptor that is the rest of a chain of the last round: it was never marked as
 * used, and looks available in that round's sense.
 */
static void wrap_into_an_old_chain(void)
{
	struct chain *one[] = { &chains[0] }, *two[] = { &chains[1] }, *three[] = { &chains[2] };

	add(1, 3);
	take(0);
	publish(one, 1);
	if (stores == budget)
		return;
	add(2, 4);
	take(1);
	publish(two, 1);
	if (stores == budget)
		return;
	add(4, 3);
	take(2);
	publish(three, 1);
}

static void die_everywhere(void (*procedure)(void), unsigned start)
{
	unsigned total;

	begin(start, UINT32_MAX);
	procedure();
	total = stores;
	end();
	assert_true(total > 20);
	for (unsigned stop = 0; stop <= total; stop++) {
		begin(start, stop);
		procedure();
		recover(start);
		end();
	}
}

static void death_while_taking(void **state)
{
	for (unsigned start = 0; start < SIZE; start += 3)
		die_everywhere(take_three, start);
}

static void death_while_publishing(void **state)
{
	static const unsigned starts[] = { 0, 2, 5, 7 };

	for (unsigned i = 0; i < 4; i++)
		die_everywhere(publish_all, starts[i]);
}

static void death_while_publishing_a_full_ring(void **state)
{
	die_everywhere(publish_a_full_ring, 0);
	die_everywhere(publish_a_full_ring, 5);
}

static void death_at_the_wrap(void **state)
{
	die_everywhere(wrap_into_an_old_chain, 0);
	die_everywhere(wrap_into_an_old_chain, 7);
}

static void a_fresh_region_is_made_ready(void **state)
{
	begin(5, UINT32_MAX);
	memset(region, 0, sizeof(*region));
	bench.setup.position = (struct virtqueue_position){ 5, 5, true, true };
	add(2, 2);
	recover(5);
	assert_int_equal(region->version, 1);
	assert_int_equal(region->desc_num, SIZE);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_region_is_made_ready),
		cmocka_unit_test(death_while_taking),
		cmocka_unit_test(death_while_publishing),
		cmocka_unit_test(death_while_publishing_a_full_ring),
		cmocka_unit_test(death_at_the_wrap),
	};

	return cmocka_run_group_tests_name("inflight_packed", tests, NULL, NULL);
}
