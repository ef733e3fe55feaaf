/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ring on another worker than home: what home changes meanwhile, and which of the two has not heard of it.
 */
#include "pci_bench.h"

static void begin_driven(struct pci_bench *bench)
{
	bench_elsewhere = true;
	bench_begin(bench, false);
	bench->has_vectors = true;
	bench->model->vectors_changed(bench->function);
	drive(bench);
}

static void home_turns(struct pci_bench *bench)
{
	for (int i = 0; i < 6; i++)
		assert_int_equal(loop_turn(bench->loop, 0), 0);
}

static void lane_turns(struct pci_bench *bench)
{
	for (int i = 0; i < 6; i++)
		assert_int_equal(loop_turn(bench->lane_loop, 0), 0);
}

/* Home turns in vain: the lane serves the ring, and tells of it by itself. */
static void the_lane_serves(void **state)
{
	struct pci_bench bench;

	begin_driven(&bench);
	add(&bench, 0);
	kick(&bench);
	home_turns(&bench);
	assert_int_equal(bench.device.held_count, 0);
	lane_turns(&bench);
	assert_int_equal(bench.device.held_count, 1);
	memset(bench.raised, 0, sizeof(bench.raised));
	echo_answer_all(&bench.device);
	lane_turns(&bench);
	assert_true(is_answered(&bench, 0));
	assert_int_equal(bench.raised[1], 1);
	assert_int_equal(bench.raised[0], 0);
	bench_end(&bench);
}

/* The lane answers before it has heard that there are no vectors: the pin tells of it. */
static void vectors_go(void **state)
{
	struct pci_bench bench;

	begin_driven(&bench);
	add(&bench, 0);
	kick(&bench);
	turn(&bench);
	bench.has_vectors = false;
	bench.model->vectors_changed(bench.function);
	memset(bench.raised, 0, sizeof(bench.raised));
	echo_answer_all(&bench.device);
	turn(&bench);
	assert_true(bench.raised[0] > 0);
	assert_int_equal(get(&bench, VIRTIO_PCI_ISR, 1) & ISR_QUEUE, ISR_QUEUE);
	memset(bench.raised, 0, sizeof(bench.raised));
	add(&bench, 1);
	kick(&bench);
	turn(&bench);
	echo_answer_all(&bench.device);
	turn(&bench);
	assert_int_equal(bench.raised[0], 1);
	assert_int_equal(bench.raised[1], 0);
	/* And back: it is told of once more, by a message. */
	bench.has_vectors = true;
	bench.model->vectors_changed(bench.function);
	turn(&bench);
	assert_int_equal(bench.raised[1], 1);
	bench_end(&bench);
}

/* The VMM has its answer when the lane has taken the change, and not before. */
static void memory_goes_and_comes(void **state)
{
	struct pci_bench bench;

	begin_driven(&bench);
	for (unsigned round = 0; round < 3; round++) {
		bench.bus.memory = bench.none;
		bench.model->memory_changed(bench.function);
		assert_int_equal(bench.answers_wait, 1);
		add(&bench, round);
		kick(&bench);
		home_turns(&bench);
		assert_int_equal(bench.answers_wait, 1);
		lane_turns(&bench);
		home_turns(&bench);
		assert_int_equal(bench.answers_wait, 0);
		assert_int_equal(bench.device.held_count, 0);
		bench.bus.memory = bench.memory;
		bench.model->memory_changed(bench.function);
		turn(&bench);
		assert_int_equal(bench.answers_wait, 0);
		assert_int_equal(bench.device.held_count, 1);
		echo_answer_all(&bench.device);
		turn(&bench);
		assert_true(is_answered(&bench, round));
	}
	bench_end(&bench);
}

/* The change comes while the ring is being started with the memory before. */
static void memory_changes_during_the_start(void **state)
{
	struct pci_bench bench;

	bench_elsewhere = true;
	bench_begin(&bench, false);
	agree(&bench, bench.driver.features);
	describe_queue(&bench);
	put(&bench, COMMON_QUEUE_ENABLE, 2, 1);
	put(&bench, COMMON_STATUS, 1, DRIVEN);
	home_turns(&bench);
	bench.bus.memory = bench.none;
	bench.model->memory_changed(bench.function);
	assert_int_equal(bench.answers_wait, 1);
	add(&bench, 0);
	kick(&bench);
	lane_turns(&bench);
	home_turns(&bench);
	turn(&bench);
	assert_int_equal(bench.answers_wait, 0);
	bench.bus.memory = bench.memory;
	bench.model->memory_changed(bench.function);
	turn(&bench);
	echo_answer_all(&bench.device);
	turn(&bench);
	assert_true(is_answered(&bench, 0));
	bench_end(&bench);
}

/* It cannot start, and kicks are on their way meanwhile. */
static void a_start_that_fails(void **state)
{
	struct pci_bench bench;

	bench_elsewhere = true;
	bench_begin(&bench, false);
	agree(&bench, bench.driver.features);
	describe_queue(&bench);
	put(&bench, COMMON_QUEUE_DRIVER, 4, 0);
	put(&bench, COMMON_QUEUE_DRIVER + 4, 4, 0);
	put(&bench, COMMON_QUEUE_ENABLE, 2, 1);
	put(&bench, COMMON_STATUS, 1, DRIVEN);
	home_turns(&bench);
	kick(&bench);
	lane_turns(&bench);
	kick(&bench);
	turn(&bench);
	assert_true(status(&bench) & STATUS_NEEDS_RESET);
	put(&bench, COMMON_STATUS, 1, 0);
	AWAIT(status(&bench) == 0, turn(&bench));
	bench.violated = 0;
	drive(&bench);
	add(&bench, 0);
	kick(&bench);
	turn(&bench);
	assert_int_equal(bench.device.held_count, 1);
	echo_answer_all(&bench.device);
	bench_end(&bench);
}

/* The lane's worker has waited, and home hears of it later: what was in flight is done again elsewhere. */
static void the_lane_is_frozen(void **state)
{
	struct pci_bench bench;

	begin_driven(&bench);
	for (unsigned i = 0; i < 3; i++)
		add(&bench, i);
	kick(&bench);
	turn(&bench);
	assert_int_equal(bench.device.held_count, 3);
	bench.model->lane_freeze(bench.function, 1);
	lane_turns(&bench);
	bench.model->freeze(bench.function);
	bench.model->freeze(bench.function);
	quiesce(&bench);
	assert_int_equal(take_all(&bench), 0);
	bench.model->leave(bench.function);
	/* It goes on at home. */
	bench.bus.lane_count = 1;
	memset(bench.bus.queue_lane, 0, sizeof(bench.bus.queue_lane));
	assert_int_equal(bench.model->arrive(bench.function), 0);
	resume(&bench);
	echo_answer_all(&bench.device);
	turn(&bench);
	assert_int_equal(take_all(&bench), 3);
	bench_end(&bench);
}

/* The function comes to rest between an order and its answer. */
static void rest_between_orders(void **state)
{
	struct pci_bench bench;

	begin_driven(&bench);
	bench.model->memory_changed(bench.function);
	bench.bus.memory = bench.none;
	bench.model->memory_changed(bench.function);
	bench.has_vectors = false;
	bench.model->vectors_changed(bench.function);
	put(&bench, COMMON_STATUS, 1, 0);
	quiesce(&bench);
	assert_int_equal(bench.answers_wait, 0);
	assert_int_equal(status(&bench), 0);
	bench.bus.memory = bench.memory;
	bench_end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lane_serves),	 cmocka_unit_test(vectors_go),
		cmocka_unit_test(memory_goes_and_comes), cmocka_unit_test(memory_changes_during_the_start),
		cmocka_unit_test(a_start_that_fails),	 cmocka_unit_test(the_lane_is_frozen),
		cmocka_unit_test(rest_between_orders),
	};

	return cmocka_run_group_tests_name("virtio_pci_lanes", tests, NULL, NULL);
}
