/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A model that pulls: buffers that stay in the ring, chains that go back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "receiver.h"

static struct queue_bench bench;

static void kick(void)
{
	ring_driver_kick(&bench.driver);
	bench_turn(&bench);
}

/* ---- buffers that stay in the ring ---- */

static void post(unsigned first, unsigned count)
{
	for (unsigned place = first; place < first + count; place++)
		receiver_post(&bench, place);
}

/* Buffers are posted and no frame comes: a stop is over at once, and the next start goes on with them. */
static void a_stop_does_not_wait(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		receiver_begin(&bench, packed, BENCH_SIZE, 0);
		bench_start(&bench);
		post(0, 5);
		kick();
		assert_true(receiver_deliver() && receiver_deliver());
		bench_turn(&bench);
		receiver_assert_used(&bench, 0, 1);
		receiver_assert_used(&bench, 1, 2);

		virtqueue_stop(bench.queue, bench_stopped, &bench);
		assert_true(bench.stopped);
		assert_int_equal(receiver.drains, 0);
		assert_int_equal(bench.position.available_idx, 2);
		assert_false(receiver_deliver());
		virtqueue_destroy(bench.queue);

		bench.setup.position = bench.position;
		bench_start(&bench);
		for (unsigned frame = 3; frame <= 5; frame++)
			assert_true(receiver_deliver());
		assert_false(receiver_deliver());
		bench_turn(&bench);
		for (unsigned place = 2; place < 5; place++)
			receiver_assert_used(&bench, place, (uint8_t)(place + 1));
		bench_end(&bench);
	}
}

/* Memory changes under posted buffers: the old one goes at once, and they are found in the new one. */
static void memory_does_not_wait(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		receiver_begin(&bench, packed, BENCH_SIZE, 0);
		bench_start(&bench);
		post(0, 4);
		kick();
		for (unsigned round = 1; round <= 4; round++) {
			struct guest_memory *again = ring_driver_map(&bench.driver);

			virtqueue_set_memory(bench.queue, again, bench_released, &bench);
			guest_memory_put(again);
			assert_int_equal(bench.released, round);
			assert_true(receiver_deliver());
		}
		bench_turn(&bench);
		for (unsigned place = 0; place < 4; place++)
			receiver_assert_used(&bench, place, (uint8_t)(place + 1));
		assert_int_equal(receiver.drains, 0);
		bench_end(&bench);
	}
}

/* While the queue is disabled, stops or is broken there is nothing to take, whatever is posted. */
static void nothing_to_take(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		receiver_begin(&bench, packed, BENCH_SIZE, 0);
		bench.setup.enabled = false;
		bench_start(&bench);
		post(0, 4);
		kick();
		assert_int_equal(receiver.ready, 0);
		assert_false(receiver_deliver());
		assert_false(receiver.ring->ops->pending(receiver.ring));
		virtqueue_set_enabled(bench.queue, true);
		assert_true(receiver.ring->ops->pending(receiver.ring));
		assert_true(receiver_deliver());
		virtqueue_set_enabled(bench.queue, false);
		assert_false(receiver_deliver());
		virtqueue_set_enabled(bench.queue, true);

		assert_int_equal(receiver_take(1), 1);
		virtqueue_stop(bench.queue, bench_stopped, &bench);
		assert_false(bench.stopped);
		assert_false(receiver_deliver());
		assert_false(receiver.ring->ops->pending(receiver.ring));
		receiver_complete(0);
		bench_turn(&bench);
		assert_true(bench.stopped);
		virtqueue_destroy(bench.queue);

		bench.setup.position = bench.position;
		bench.setup.enabled = true;
		bench_start(&bench);
		assert_int_equal(receiver_take(1), 1);
		receiver.ring->ops->reject(receiver.ring, receiver.held[--receiver.held_count]);
		assert_int_equal(bench.violation, VIOLATION_REQUEST);
		assert_false(receiver_deliver());
		assert_false(receiver.ring->ops->pending(receiver.ring));
		bench_end(&bench);
	}
}

/* ---- chains that go back ---- */

/* Takes three and keeps one, over and over: the ring wraps many times, and each buffer comes in its order. */
static void given_back_as_if_never_taken(void **state)
{
	for (int packed = 0; packed < 2; packed++)
		for (int indirect = 0; indirect < 2; indirect++) {
			receiver_begin(&bench, packed, 4, indirect ? FEATURE(VIRTIO_RING_F_INDIRECT) : 0);
			bench_start(&bench);
			post(0, 4);
			for (unsigned round = 0; round < 200; round++) {
				assert_int_equal(receiver_take(4), 4);
				assert_int_equal(receiver_take(1), 0);
				receiver_give_back(1);
				receiver_give_back(2);
				receiver_complete(0);
				bench_turn(&bench);
				receiver_assert_used(&bench, round % 4, (uint8_t)(round + 1));
				receiver_post(&bench, round % 4);
			}
			assert_int_equal(counter_read(&virtqueue_get_counters(bench.queue)->chains), 200);
			assert_int_equal(bench.broken, 0);
			bench_end(&bench);
		}
}

/* Chains of three descriptors each in a ring of eight: they lie across the wrap, in every position. */
static void long_chains_across_the_wrap(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		receiver_begin(&bench, packed, 8, 0);
		bench_start(&bench);
		for (unsigned round = 0; round < 50; round++) {
			for (unsigned i = 0; i < 2; i++) {
				uint64_t at = DATA + 4096ull * i;
				struct driver_element element[3] = { { at, 30, true }, { at + 30, 30, true },
								     { at + 60, 40, true } };

				assert_true(ring_driver_add(&bench.driver, element, 3, false) >= 0);
			}
			for (unsigned i = 0; i < 3; i++) {
				assert_int_equal(receiver_take(8), 2);
				receiver_give_back(2);
			}
			assert_true(receiver_deliver() && receiver_deliver());
			bench_turn(&bench);
			for (unsigned i = 0; i < 2; i++)
				receiver_assert_used(&bench, i, (uint8_t)(2 * round + i + 1));
		}
		assert_int_equal(bench.broken, 0);
		bench_end(&bench);
	}
}

static void set_length(unsigned descriptor, uint32_t length)
{
	if (bench.driver.packed)
		ring_driver_packed_descriptors(&bench.driver)[descriptor].length = length;
	else
		ring_driver_split_descriptors(&bench.driver)[descriptor].length = length;
}

/* What is taken again is read and checked again: the driver may have changed it meanwhile. */
static void read_anew(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		receiver_begin(&bench, packed, BENCH_SIZE, 0);
		bench_start(&bench);
		post(0, 2);
		assert_int_equal(receiver_take(2), 2);
		set_length(0, 7);
		set_length(1, 8);
		assert_int_equal(receiver.held[0]->writable_bytes, BUFFER_BYTES);
		receiver_give_back(2);
		assert_int_equal(receiver_take(2), 2);
		assert_int_equal(receiver.held[0]->writable_bytes, 7);
		assert_int_equal(receiver.held[1]->writable_bytes, 8);
		receiver_give_back(2);

		set_length(0, UINT32_MAX);
		assert_int_equal(receiver_take(1), 1);
		assert_true(receiver.held[0]->unmapped);
		receiver_give_back(1);
		if (packed)
			ring_driver_packed_descriptors(&bench.driver)[0].address = UINT64_MAX - 1;
		else
			ring_driver_split_descriptors(&bench.driver)[0].address = UINT64_MAX - 1;
		assert_int_equal(receiver_take(1), 0);
		assert_int_equal(bench.violation, VIOLATION_ADDRESS);
		bench_end(&bench);
	}
}

/* A head that was given back is still the device's: a driver that posts it again breaks the ring. */
static void a_head_posted_again(void **state)
{
	receiver_begin(&bench, false, BENCH_SIZE, 0);
	bench_start(&bench);
	bench_publish(&bench, (unsigned)receiver_post(&bench, 0));
	assert_int_equal(receiver_take(1), 1);
	receiver_give_back(1);
	assert_int_equal(receiver_take(2), 1);
	assert_int_equal(bench.violation, VIOLATION_HEAD);
	receiver_give_back(1);
	bench_end(&bench);
}

/* The driver may not be further ahead of what was given back than of what was never taken. */
static void a_jump_over_chains_given_back(void **state)
{
	receiver_begin(&bench, false, BENCH_SIZE, 0);
	bench_start(&bench);
	post(0, 3);
	assert_int_equal(receiver_take(3), 3);
	ring_driver_available(&bench.driver)->idx = BENCH_SIZE + 1;
	receiver_give_back(3);
	assert_int_equal(receiver_take(1), 0);
	assert_int_equal(bench.violation, VIOLATION_AVAILABLE_JUMP);
	bench_end(&bench);
}

/* The second of three is answered, the third goes back: answers still come in the order of the buffers. */
static void in_order(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		receiver_begin(&bench, packed, 4, FEATURE(VIRTIO_F_IN_ORDER));
		bench_start(&bench);
		post(0, 3);
		for (unsigned round = 0; round < 20; round++) {
			assert_int_equal(receiver_take(4), 3);
			receiver_complete(1);
			bench_turn(&bench);
			bench_take_none(&bench);
			receiver_give_back(1);
			receiver_complete(0);
			bench_turn(&bench);
			receiver_assert_used(&bench, 2 * round % 3, (uint8_t)(2 * round + 2));
			receiver_assert_used(&bench, (2 * round + 1) % 3, (uint8_t)(2 * round + 1));
			receiver_post(&bench, 2 * round % 3);
			receiver_post(&bench, (2 * round + 1) % 3);
		}
		bench_end(&bench);
	}
}

/* Chains held go back when the model is asked to hurry: that ends a stop and a change of memory. */
static void given_back_when_drained(void **state)
{
	for (int packed = 0; packed < 2; packed++) {
		struct guest_memory *again;

		receiver_begin(&bench, packed, BENCH_SIZE, 0);
		bench_start(&bench);
		receiver.gives_back_on_drain = true;
		post(0, 3);
		assert_int_equal(receiver_take(2), 2);
		again = ring_driver_map(&bench.driver);
		virtqueue_set_memory(bench.queue, again, bench_released, &bench);
		guest_memory_put(again);
		assert_int_equal(bench.released, 1);
		assert_int_equal(receiver_take(3), 3);
		virtqueue_stop(bench.queue, bench_stopped, &bench);
		bench_turn(&bench);
		assert_true(bench.stopped);
		assert_int_equal(bench.position.available_idx, 0);
		assert_true(bench.position.available_wrap || !packed);
		virtqueue_destroy(bench.queue);
		bench.queue = NULL;
		bench_end(&bench);
	}
}

/* Dies in `wrong`, which holds three chains. */
static void assert_dies(void (*wrong)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		assert_non_null(freopen("/dev/null", "w", stderr));
		wrong();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
		fail_msg("wait status %x", (unsigned)status);
}

static void back_before_later_ones(void)
{
	receiver.ring->ops->give_back(receiver.ring, receiver.held, 2);
}

/* The child has none of the guest's memory: nothing is filled. */
static void back_after_a_later_one_was_completed(void)
{
	receiver.ring->ops->complete(receiver.ring, receiver.held + 2, 1);
	receiver.ring->ops->give_back(receiver.ring, receiver.held + 1, 1);
}

static void back_twice(void)
{
	receiver.ring->ops->give_back(receiver.ring, receiver.held + 2, 1);
	receiver.ring->ops->give_back(receiver.ring, receiver.held + 2, 1);
}

static void only_the_last_taken_goes_back(void **state)
{
	receiver_begin(&bench, false, BENCH_SIZE, 0);
	bench_start(&bench);
	post(0, 3);
	assert_int_equal(receiver_take(3), 3);
	assert_dies(back_before_later_ones);
	assert_dies(back_after_a_later_one_was_completed);
	assert_dies(back_twice);
	receiver_give_back(3);
	bench_end(&bench);
}

/* A model says how many chains it wants in a turn; others wait for the next one. */
static void chains_of_a_turn(void **state)
{
	struct virtio_model_ops eager = echo_model;

	eager.turn_chains = 32;
	for (int packed = 0; packed < 2; packed++) {
		for (int more = 0; more < 2; more++) {
			bench_begin(&bench, packed, 128, 0);
			bench.device.at_once = true;
			if (more)
				bench.setup.model = &eager;
			bench_start(&bench);
			for (unsigned i = 0; i < 40; i++)
				bench_add(&bench, i);
			ring_driver_kick(&bench.driver);
			AWAIT(bench.device.taken > 0,
			      assert_int_equal(loop_turn(bench.loop, NS_PER_MS), 0));
			/* Of the default the time may leave 8. */
			assert_true(more ? bench.device.taken == 32 : bench.device.taken <= 16);
			AWAIT(bench.device.taken == 40,
			      assert_int_equal(loop_turn(bench.loop, NS_PER_MS), 0));
			bench_end(&bench);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_of_a_turn),
		cmocka_unit_test(a_stop_does_not_wait),
		cmocka_unit_test(memory_does_not_wait),
		cmocka_unit_test(nothing_to_take),
		cmocka_unit_test(given_back_as_if_never_taken),
		cmocka_unit_test(long_chains_across_the_wrap),
		cmocka_unit_test(read_anew),
		cmocka_unit_test(a_head_posted_again),
		cmocka_unit_test(a_jump_over_chains_given_back),
		cmocka_unit_test(in_order),
		cmocka_unit_test(given_back_when_drained),
		cmocka_unit_test(only_the_last_taken_goes_back),
	};

	return cmocka_run_group_tests_name("virtqueue_pull", tests, NULL, NULL);
}
