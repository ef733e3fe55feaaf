/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed rings after a crash. A naive device carries the protocol's procedure out on the region and the ring,
 * one counted store after the other, and dies when its budget is used up, for every budget. Whatever the moment,
 * the chains that the driver has not seen as used must be handed over again, in the order in which it made
 * them available, and the ring must go on. Order of stores: vhost-user protocol, "Inflight I/O tracking".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "queue_bench.h"

#define SIZE	   8u
#define CHAINS_MAX 8u

/* The layout as the protocol gives it, on purpose not taken from the code under test. */
struct entry {
	uint8_t inflight, padding;
	uint16_t next, last, num;
	uint64_t counter;
	uint16_t id, flags;
	uint32_t length;
	uint64_t address;
};

struct region {
	uint64_t features;
	uint16_t version, desc_num, free_head, old_free_head, used_idx, old_used_idx;
	uint8_t used_wrap, old_used_wrap;
	uint8_t padding[10];
	struct entry entry[SIZE];
};

/* A chain that the driver made available. */
struct chain {
	unsigned id, count, place;	/* place: which data, see bench_held() */
	unsigned at;			/* first descriptor */
	unsigned first_entry, last_entry;
	bool visible;
};

static struct queue_bench bench;
static struct region *region;
static struct chain chains[CHAINS_MAX];
static unsigned chain_count, places;
static unsigned budget, stores;		/* the device dies when stores == budget */
static unsigned next, used;
static bool wrap;

/* False: the device died before this store. */
static bool alive(void)
{
	return stores < budget && ++stores;
}

#define STORE(assignment)                                                                                    \
	do {                                                                                                 \
		if (!alive())                                                                                \
			return;                                                                              \
		assignment;                                                                                  \
	} while (0)

static struct packed_descriptor *ring(unsigned index)
{
	return &ring_driver_packed_descriptors(&bench.driver)[index % SIZE];
}

static void begin(unsigned start, unsigned stores_allowed)
{
	bench_begin(&bench, true, SIZE, 0);
	region = aligned_alloc(64, inflight_region_bytes(true, SIZE));
	assert_non_null(region);
	memset(region, 0, inflight_region_bytes(true, SIZE));
	region->version = 1;
	region->desc_num = SIZE;
	region->used_idx = region->old_used_idx = (uint16_t)start;
	region->used_wrap = region->old_used_wrap = 1;
	for (unsigned i = 0; i < SIZE; i++)
		region->entry[i].next = (uint16_t)(i + 1);
	bench.driver.next_available = (uint16_t)start;
	bench.setup.inflight = region;
	chain_count = places = stores = 0;
	budget = stores_allowed;
	next = used = start;
	wrap = true;
}

static void end(void)
{
	bench_end(&bench);
	free(region);
}

/* The driver: a readable byte that tells the chain, and count - 1 more of them. */
static void add(unsigned id, unsigned count)
{
	struct chain chain = { .id = id, .count = count, .place = places, .at = bench.driver.next_available };

	*ring_driver_at(&bench.driver, DATA + 256 * places) = (uint8_t)(places + 1);
	for (unsigned i = 0; i < count; i++)
		bench_packed(&bench, DATA + 256 * places, 1, id, i + 1 < count ? DESCRIPTOR_NEXT : 0);
	places++;
	assert_true(chain_count < CHAINS_MAX);
	chains[chain_count++] = chain;
}

/* Without sleeping: the queue stays awake and looks at the ring each turn. */
static void turn(void)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_turn(bench.loop, 0), 0);
}

static void start_queue(void)
{
	assert_int_equal(virtqueue_start(&bench.setup, &bench.queue), 0);
	turn();
}

/* ---- the naive device ---- */

static void take(unsigned index)
{
	struct chain *chain = &chains[index];
	unsigned at = region->free_head, first = region->old_free_head, after;

	for (unsigned i = 0; i < chain->count; i++) {
		struct packed_descriptor d = *ring(next + i);

		after = region->entry[at].next;
		if (i == 0) {
			STORE(region->entry[first].num = 0);
			STORE(region->entry[first].counter = 100 + chain->place);
			STORE(region->entry[first].inflight = 1);
		}
		if (i + 1 == chain->count)
			STORE(region->entry[first].last = (uint16_t)at);
		STORE(region->entry[first].num = (uint16_t)(i + 1));
		STORE(region->entry[at].address = d.address);
		STORE(region->entry[at].length = d.length);
		STORE(region->entry[at].flags = d.flags);
		STORE(region->entry[at].id = d.id);
		STORE(region->free_head = (uint16_t)after);
		chain->last_entry = at;
		at = after;
	}
	STORE(region->old_free_head = (uint16_t)at);
	chain->first_entry = first;
	next = (next + chain->count) % SIZE;
}

static void publish(struct chain *const *batch, unsigned count)
{
	unsigned at = used;
	bool at_wrap = wrap;
	uint16_t first_flags = wrap ? DESCRIPTOR_AVAILABLE | DESCRIPTOR_USED : 0;

	for (unsigned i = 0; i < count; i++) {
		STORE(ring(at)->id = (uint16_t)batch[i]->id);
		STORE(ring(at)->length = 0);
		if (i > 0)
			STORE(ring(at)->flags = at_wrap ? DESCRIPTOR_AVAILABLE | DESCRIPTOR_USED : 0);
		at += batch[i]->count;
		if (at >= SIZE) {
			at -= SIZE;
			at_wrap = !at_wrap;
		}
	}
	for (unsigned i = 0; i < count; i++) {
		STORE(region->entry[batch[i]->last_entry].next = region->free_head);
		STORE(region->free_head = (uint16_t)batch[i]->first_entry);
	}
	STORE(region->used_idx = (uint16_t)at);
	STORE(region->used_wrap = at_wrap);
	STORE(ring(used)->flags = first_flags);
	for (unsigned i = 0; i < count; i++)
		batch[i]->visible = true;
	for (unsigned i = 0; i < count; i++)
		STORE(region->entry[batch[i]->first_entry].inflight = 0);
	STORE(region->old_free_head = region->free_head);
	/* Index and wrap counter share a word, and are stored as one. */
	STORE((region->old_used_idx = (uint16_t)at, region->old_used_wrap = at_wrap));
	used = at;
	wrap = at_wrap;
}

/* ---- what must come of it ---- */

/* Chains become used where the driver looks for them, each as long as it was, for three rounds of the ring. */
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
		fail_msg("start %u, store %u: %u chains instead of %u", start, budget, bench.device.held_count, count);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(bench_held(&bench, i), expected[i].place);
		assert_int_equal(bench.device.held[i]->slot, expected[i].id);
		assert_int_equal(bench.device.held[i]->readable_count, expected[i].count);
	}
	assert_goes_on(expected, count, at, at_wrap);
}

/* Every store of taking three chains, one of them long. */
static void take_three(void)
{
	add(3, 1);
	add(5, 3);
	add(0, 2);
	for (unsigned i = 0; i < 3; i++)
		take(i);
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

/* ---- hostile regions ---- */

static void set_version(void)
{
	region->version = 7;
}

static void set_size(void)
{
	region->desc_num = SIZE + 1;
}

static void set_used(void)
{
	region->used_idx = SIZE;
}

static void set_old_used(void)
{
	region->old_used_idx = 0xffff;
}

static void set_free_head(void)
{
	region->old_free_head = SIZE + 1;
}

static void set_free_next(void)
{
	region->entry[region->old_free_head].next = 0xffff;
}

static void set_free_loop(void)
{
	region->entry[region->old_free_head].next = region->old_free_head;
}

static void set_num_zero(void)
{
	region->entry[chains[0].first_entry].num = 0;
}

static void set_num_large(void)
{
	region->entry[chains[0].first_entry].num = SIZE + 1;
}

static void set_num_all_full(void)
{
	region->entry[chains[0].first_entry].num = SIZE - 1;
	region->entry[chains[1].first_entry].num = SIZE - 1;
}

static void set_chain_next(void)
{
	region->entry[chains[1].first_entry].next = SIZE;
}

static void assert_broken_by(void (*lie)(void), enum virtqueue_violation violation)
{
	begin(0, UINT32_MAX);
	take_three();
	lie();
	start_queue();
	assert_int_equal(bench.broken, 1);
	assert_int_equal(bench.violation, violation);
	assert_true(bench.device.taken <= 3);
	end();
	assert_int_equal(bench.broken, 1);
}

static void hostile_regions_break_the_ring(void **state)
{
	static void (*const lies[])(void) = {
		set_version,   set_size,      set_used,	    set_old_used,     set_free_head,  set_free_next,
		set_free_loop, set_num_zero, set_num_large, set_num_all_full, set_chain_next,
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		assert_broken_by(lies[i], VIOLATION_INFLIGHT);
}

/* The recorded copies are as hostile as a ring. */
static void copy_with_a_wrong_id(void)
{
	region->entry[chains[0].last_entry].id = SIZE;
}

static void copy_with_an_id_twice(void)
{
	region->entry[chains[1].last_entry].id = 3;
}

static void copy_that_wraps(void)
{
	region->entry[chains[0].first_entry].address = UINT64_MAX;
}

static void copy_with_a_table(void)
{
	region->entry[chains[0].first_entry].flags |= DESCRIPTOR_INDIRECT;
}

static void hostile_copies_break_the_ring(void **state)
{
	assert_broken_by(copy_with_a_wrong_id, VIOLATION_HEAD);
	assert_broken_by(copy_with_an_id_twice, VIOLATION_HEAD);
	assert_broken_by(copy_that_wraps, VIOLATION_ADDRESS);
	assert_broken_by(copy_with_a_table, VIOLATION_INDIRECT);
}

/* Random bytes in every place, before the start and while it runs: no crash, and the queue stops. */
static void scribbled_on(void **state)
{
	uint64_t random = 88172645463325252ull;

	for (unsigned round = 0; round < 400; round++) {
		uint8_t *bytes;

		begin(0, UINT32_MAX);
		take_three();
		bytes = (uint8_t *)region;
		bench.device.at_once = round % 3 == 0;
		for (unsigned i = 0; i < 1 + round % 5; i++) {
			random = random * 6364136223846793005ull + 1442695040888963407ull;
			bytes[12 + (random >> 33) % (sizeof(*region) - 12)] = (uint8_t)(random >> 56);
		}
		assert_int_equal(virtqueue_start(&bench.setup, &bench.queue), 0);
		assert_int_equal(loop_turn(bench.loop, 0), 0);
		for (unsigned i = 0; i < 8; i++) {
			random = random * 6364136223846793005ull + 1442695040888963407ull;
			bytes[(random >> 33) % sizeof(*region)] = (uint8_t)(random >> 56);
			if (bench.device.held_count > 0)
				echo_answer(&bench.device, 0);
			ring_driver_kick(&bench.driver);
			assert_int_equal(loop_turn(bench.loop, 0), 0);
		}
		end();
		assert_true(bench.broken <= 1);
	}
}

/* A free list that the VMM broke while the queue runs ends the queue, when it is next used. */
static void a_broken_free_list(void **state)
{
	begin(0, UINT32_MAX);
	add(1, 2);
	recover(0);
	region->free_head = 0xffff;
	for (unsigned i = 0; i < SIZE; i++)
		region->entry[i].next = 0xffff;
	add(1, 3);
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
	assert_int_equal(bench.broken, 1);
	assert_int_equal(bench.violation, VIOLATION_INFLIGHT);
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
		cmocka_unit_test(hostile_regions_break_the_ring),
		cmocka_unit_test(hostile_copies_break_the_ring),
		cmocka_unit_test(scribbled_on),
		cmocka_unit_test(a_broken_free_list),
	};

	return cmocka_run_group_tests_name("inflight_packed", tests, NULL, NULL);
}
