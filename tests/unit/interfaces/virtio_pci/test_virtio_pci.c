/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A life of a virtio-pci function: driven, reset, brought to rest, moved, handed over. */
#include "pci_bench.h"

#include <stdlib.h>

static bool packed_of(void **state)
{
	return *state != NULL;
}

static void test_requests(void **state)
{
	struct pci_bench bench;

	bench_begin(&bench, packed_of(state));
	bench.has_vectors = true;
	drive(&bench);
	assert_int_equal(bench.raised[1], 0);
	for (unsigned round = 0; round < 40; round++) {
		add(&bench, round % 4);
		kick(&bench);
		turn(&bench);
		assert_int_equal(bench.device.held_count, 1);
		echo_answer_all(&bench.device);
		turn(&bench);
		assert_true(is_answered(&bench, round % 4));
		assert_int_equal(take_all(&bench), 1);
		assert_int_equal(bench.raised[1], round + 1);
	}
	assert_int_equal(bench.raised[0], 0);
	bench_end(&bench);
}

/* By the pin: the status of the interrupt says why, and a load of it takes the reason back. */
static void test_pin(void **state)
{
	struct pci_bench bench;

	bench_begin(&bench, false);
	drive(&bench);
	add(&bench, 0);
	kick(&bench);
	turn(&bench);
	echo_answer_all(&bench.device);
	turn(&bench);
	assert_int_equal(bench.raised[0], 1);
	bench.lowered = 0;
	assert_int_equal(get(&bench, VIRTIO_PCI_ISR, 1), ISR_QUEUE);
	assert_int_equal(bench.lowered, 1);
	assert_int_equal(get(&bench, VIRTIO_PCI_ISR, 1), 0);
	bench.model->config_changed(bench.function);
	assert_int_equal(bench.raised[0], 2);
	assert_int_equal(get(&bench, VIRTIO_PCI_ISR, 1), ISR_CONFIG);
	bench_end(&bench);
}

/* The status stays until what is in flight has ended; then nothing of it is left. */
static void test_reset_in_flight(void **state)
{
	struct pci_bench bench;

	bench_begin(&bench, packed_of(state));
	drive(&bench);
	add(&bench, 0);
	kick(&bench);
	turn(&bench);
	put(&bench, COMMON_STATUS, 1, 0);
	turn(&bench);
	assert_int_equal(status(&bench), DRIVEN);
	assert_true(bench.device.draining);
	/* What a driver stores meanwhile goes nowhere. */
	put(&bench, COMMON_STATUS, 1, 1);
	put(&bench, COMMON_QUEUE_SELECT, 2, 7);
	echo_answer_all(&bench.device);
	AWAIT(status(&bench) == 0, turn(&bench));
	assert_int_equal(bench.device.queues_running, 0);
	assert_int_equal(get(&bench, COMMON_QUEUE_ENABLE, 2), 0);
	assert_int_equal(get(&bench, COMMON_QUEUE_SIZE, 2), 64);
	assert_int_equal(get(&bench, COMMON_QUEUE_DESCRIPTORS, 8), 0);
	bench_end(&bench);
}

/* With nothing in flight, a reset is over at once; of a ring elsewhere, its end has to be heard of. */
static void test_reset_at_once(void **state)
{
	struct pci_bench bench;

	bench_begin(&bench, packed_of(state));
	drive(&bench);
	put(&bench, COMMON_STATUS, 1, 0);
	if (bench_elsewhere)
		turn(&bench);
	assert_int_equal(status(&bench), 0);
	assert_int_equal(bench.device.queues_running, 0);
	bench_end(&bench);
}

static void test_rest_in_flight(void **state)
{
	struct pci_bench bench;

	bench_begin(&bench, packed_of(state));
	drive(&bench);
	for (unsigned round = 0; round < 20; round++) {
		add(&bench, 0);
		kick(&bench);
		turn(&bench);
		bench.model->quiesce(bench.function, on_quiet, &bench);
		turn(&bench);
		assert_false(bench.quiet);
		AWAIT(bench.quiet, (echo_answer_all(&bench.device), turn(&bench)));
		/* Posted while it rests: found when it goes on. */
		add(&bench, 1);
		bench.model->leave(bench.function);
		assert_int_equal(bench.model->arrive(bench.function), 0);
		resume(&bench);
		assert_int_equal(bench.device.held_count, 1);
		echo_answer_all(&bench.device);
		turn(&bench);
		assert_int_equal(take_all(&bench), 2);
	}
	bench_end(&bench);
}

/* The guest's memory made the worker wait: what was in flight is done again elsewhere. */
static void test_freeze_in_flight(void **state)
{
	struct pci_bench bench;

	bench_begin(&bench, false);
	drive(&bench);
	add(&bench, 0);
	add(&bench, 1);
	kick(&bench);
	turn(&bench);
	assert_int_equal(bench.device.held_count, 2);
	bench.model->freeze(bench.function);
	quiesce(&bench);
	assert_int_equal(take_all(&bench), 0);
	bench.model->leave(bench.function);
	assert_int_equal(bench.model->arrive(bench.function), 0);
	resume(&bench);
	assert_int_equal(bench.device.held_count, 2);
	echo_answer_all(&bench.device);
	turn(&bench);
	assert_int_equal(take_all(&bench), 2);
	assert_int_equal(status(&bench), DRIVEN);
	bench_end(&bench);
}

/* ---- memory ---- */

static void give_memory(struct pci_bench *bench, struct guest_memory *memory)
{
	bench->bus.memory = memory;
	bench->model->memory_changed(bench->function);
	turn(bench);
}

static void test_without_memory_it_waits(void **state)
{
	struct pci_bench bench;

	bench_begin(&bench, packed_of(state));
	bench.bus.memory = bench.none;
	agree(&bench, bench.driver.features);
	describe_queue(&bench);
	put(&bench, COMMON_QUEUE_ENABLE, 2, 1);
	put(&bench, COMMON_STATUS, 1, DRIVEN);
	add(&bench, 0);
	kick(&bench);
	turn(&bench);
	assert_int_equal(bench.device.queues_running, 0);
	give_memory(&bench, bench.memory);
	assert_int_equal(bench.device.held_count, 1);
	/* It goes, and nothing new is taken; what is in flight ends. */
	give_memory(&bench, bench.none);
	add(&bench, 1);
	kick(&bench);
	turn(&bench);
	assert_int_equal(bench.device.held_count, 1);
	echo_answer_all(&bench.device);
	turn(&bench);
	give_memory(&bench, bench.memory);
	assert_int_equal(bench.device.held_count, 1);
	echo_answer_all(&bench.device);
	turn(&bench);
	assert_int_equal(take_all(&bench), 2);
	assert_int_equal(status(&bench), DRIVEN);
	bench_end(&bench);
}

/* Two changes while a chain of the first memory is in flight: new ones wait for its end, and then use the
 * newest. */
static void test_changes_overtake_each_other(void **state)
{
	struct pci_bench bench;
	struct guest_memory *second, *third;

	bench_begin(&bench, packed_of(state));
	second = map_as_guest(&bench.driver);
	third = map_as_guest(&bench.driver);
	drive(&bench);
	add(&bench, 0);
	kick(&bench);
	turn(&bench);
	give_memory(&bench, second);
	add(&bench, 1);
	kick(&bench);
	turn(&bench);
	assert_int_equal(bench.device.held_count, 2);
	give_memory(&bench, third);
	add(&bench, 2);
	kick(&bench);
	turn(&bench);
	assert_int_equal(bench.device.held_count, 2);
	echo_answer_all(&bench.device);
	turn(&bench);
	assert_int_equal(bench.device.held_count, 1);
	echo_answer_all(&bench.device);
	turn(&bench);
	assert_int_equal(take_all(&bench), 3);
	quiesce(&bench);
	bench.bus.memory = bench.memory;
	guest_memory_put(second);
	guest_memory_put(third);
	bench_end(&bench);
}

/* ---- takeover ---- */

/* The same device goes on with what the successor reads. */
static void hand_over(struct pci_bench *bench)
{
	struct handover handover = { 0 };
	void *predecessor = bench->function;

	bench->model->save(predecessor, &handover);
	power_on(bench);
	bench->model->restore(bench->function, &handover);
	assert_int_equal(handover.error, 0);
	assert_int_equal(handover.position, handover.length);
	bench->model->power_off(predecessor);
	handover_finish(&handover);
}

static void test_takeover(void **state)
{
	struct pci_bench bench;

	bench_begin(&bench, packed_of(state));
	bench.has_vectors = true;
	drive(&bench);
	for (unsigned round = 0; round < 10; round++) {
		add(&bench, 0);
		kick(&bench);
		turn(&bench);
		quiesce(&bench);
		add(&bench, 1);
		hand_over(&bench);
		resume(&bench);
		assert_int_equal(status(&bench), DRIVEN);
		assert_int_equal(get(&bench, COMMON_QUEUE_VECTOR, 2), 1);
		echo_answer_all(&bench.device);
		turn(&bench);
		assert_int_equal(take_all(&bench), 2);
	}
	bench_end(&bench);
}

static void test_takeover_of_what_was_frozen(void **state)
{
	struct pci_bench bench;

	bench_begin(&bench, false);
	drive(&bench);
	add(&bench, 0);
	kick(&bench);
	turn(&bench);
	bench.model->freeze(bench.function);
	quiesce(&bench);
	hand_over(&bench);
	resume(&bench);
	assert_int_equal(bench.device.held_count, 1);
	echo_answer_all(&bench.device);
	turn(&bench);
	assert_int_equal(take_all(&bench), 1);
	bench_end(&bench);
}

#define BOTH(test)                                                                                           \
	{ #test "/split", test, NULL, NULL, NULL },                                                          \
	{                                                                                                    \
#test "/packed", test, NULL, NULL, (void *)1                                                 \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_requests),
		cmocka_unit_test(test_pin),
		BOTH(test_reset_in_flight),
		BOTH(test_reset_at_once),
		BOTH(test_rest_in_flight),
		cmocka_unit_test(test_freeze_in_flight),
		BOTH(test_without_memory_it_waits),
		BOTH(test_changes_overtake_each_other),
		BOTH(test_takeover),
		cmocka_unit_test(test_takeover_of_what_was_frozen),
	};

	int failed = cmocka_run_group_tests_name("home", tests, NULL, NULL);

	bench_elsewhere = true;
	return failed + cmocka_run_group_tests_name("elsewhere", tests, NULL, NULL);
}
