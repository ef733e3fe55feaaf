/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of the server's, by which a function reaches memory that its VMM keeps to itself. */
#include "server_bench.h"

#include "core/container.h"
#include "devices/register_model.h"

#define BASE	 0x100000ull
#define BYTES	 (64 * PAGE)
#define FLIGHTS	 16u
#define ANSWER_S 30u
#define HURRY_S	 2u

/* What a function has on its way. */
static struct load {
	struct register_errand errand;
	struct iovec iov[4];
	unsigned done;
	int error;
} loads[4];

static void on_done(struct register_errand *errand, int error)
{
	struct load *one = container_of(errand, struct load, errand);

	one->done++;
	one->error = error;
	/* It is quiet when nothing is under way. */
	if (fake.quiescing && fake.quiet)
		fake_let_go();
}

/* Of [address, +bytes), in so many pieces. */
static struct load *begin(unsigned index, bool pushes, uint64_t address, size_t bytes)
{
	struct load *one = &loads[index];
	int count = guest_memory_iov(fake.bus->memory, address, bytes, one->iov, 4);

	assert_true(count > 0);
	*one = (struct load){
		.errand = { .done = on_done,
			    .memory = fake.bus->memory,
			    .iov = one->iov,
			    .count = (unsigned)count },
		.iov = { one->iov[0], one->iov[1], one->iov[2], one->iov[3] },
	};
	fake.hold = true;
	if (pushes)
		fake.bus->ops->push(fake.bus, &one->errand);
	else
		fake.bus->ops->fetch(fake.bus, &one->errand);
	assert_int_equal(one->done, 0);
	return one;
}

static uint8_t *copy_at(uint64_t address)
{
	uint8_t *at = guest_memory_at(fake.bus->memory, address, 1);

	assert_non_null(at);
	return at;
}

/* ---- the VMM ---- */

struct asked {
	struct vfio_user_header header;
	struct vfio_user_dma_access access;
	uint8_t data[PAGE];
};

static void map_private(int vmm, uint64_t address, uint64_t bytes)
{
	const struct vfio_user_dma_map map = { sizeof(map), VFIO_USER_DMA_READABLE | VFIO_USER_DMA_WRITABLE,
					       0, address, bytes };

	assert_int_equal(ask(vmm, VFIO_USER_DMA_MAP, &map, sizeof(map)), 0);
}

static int private_vmm(void)
{
	int vmm = vmm_ready();
	uint16_t master = 6;

	map_private(vmm, BASE, BYTES);
	assert_int_equal(store(vmm, VFIO_USER_REGION_CONFIG, 4, master, 2), 0);
	return vmm;
}

/* The next message of the server's. */
static struct asked next_asked(int vmm)
{
	struct asked asked = { .header.size = 0 };
	size_t bytes;

	AWAIT(readable(vmm), bench_turn());
	assert_int_equal(recv(vmm, &asked, 32, MSG_WAITALL), 32);
	assert_int_equal(asked.header.flags, 0);
	bytes = asked.header.size - 32;
	assert_int_equal(bytes, asked.header.command == VFIO_USER_DMA_WRITE ? asked.access.count : 0);
	assert_true(asked.access.count > 0 && asked.access.count <= PAGE);
	if (bytes > 0)
		assert_int_equal(recv(vmm, asked.data, bytes, MSG_WAITALL), bytes);
	return asked;
}

static void answer(int vmm, const struct asked *asked, uint32_t error, uint8_t fill)
{
	struct asked reply = *asked;

	reply.header.flags = VFIO_USER_TYPE_REPLY | (error ? VFIO_USER_FLAG_ERROR : 0);
	reply.header.error = error;
	reply.header.size = 16;
	if (!error && asked->header.command == VFIO_USER_DMA_READ) {
		memset(reply.data, fill, asked->access.count);
		reply.header.size = 32 + (uint32_t)asked->access.count;
	}
	assert_int_equal(fd_send(vmm, &reply, reply.header.size, NULL, 0), reply.header.size);
	bench_settle();
}

static void assert_silence(int vmm)
{
	bench_settle();
	assert_false(readable(vmm));
}

static void assert_ended(int vmm)
{
	AWAIT(bench_status().connections == 0, bench_turn());
	close(vmm);
}

/* ---- tests ---- */

static void pieces_in_order(void **state)
{
	int vmm = private_vmm();
	struct load *one = begin(0, false, BASE + 100, 2 * PAGE), *after;
	struct asked asked[3];

	memset(copy_at(BASE), 0xee, BYTES);
	after = begin(1, true, BASE + 8 * PAGE, 8);
	for (unsigned i = 0; i < 2; i++) {
		asked[i] = next_asked(vmm);
		assert_int_equal(asked[i].header.command, VFIO_USER_DMA_READ);
		assert_int_equal(asked[i].access.address, BASE + 100 + i * PAGE);
		assert_int_equal(asked[i].access.count, PAGE);
	}
	asked[2] = next_asked(vmm);
	assert_int_equal(asked[2].header.command, VFIO_USER_DMA_WRITE);
	assert_int_equal(asked[2].access.address, BASE + 8 * PAGE);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(asked[2].data[i], 0xee);
	assert_true(asked[0].header.id != asked[1].header.id && asked[1].header.id != asked[2].header.id);
	/* Answered in another order: each goes where it belongs. */
	answer(vmm, &asked[2], 0, 0);
	assert_int_equal(after->done, 1);
	answer(vmm, &asked[1], 0, 2);
	assert_int_equal(one->done, 0);
	answer(vmm, &asked[0], 0, 1);
	assert_int_equal(one->done, 1);
	assert_int_equal(one->error, 0);
	assert_int_equal(*copy_at(BASE + 99), 0xee);
	assert_int_equal(*copy_at(BASE + 100), 1);
	assert_int_equal(*copy_at(BASE + 100 + PAGE), 2);
	assert_int_equal(*copy_at(BASE + 100 + 2 * PAGE), 0xee);
	fake.hold = false;
	close(vmm);
}

/* What is shared is passed over, in a function that has both. */
static void shared_memory_is_passed_over(void **state)
{
	const struct vfio_user_dma_map map = { sizeof(map), 3, 0, BASE + BYTES, PAGE };
	int vmm = private_vmm(), file = fd_memfd("ram", PAGE);
	struct reply reply;
	struct asked asked;
	struct load *one;

	assert_int_equal(ask_with(vmm, VFIO_USER_DMA_MAP, &map, sizeof(map), &file, 1, &reply), 0);
	map_private(vmm, BASE + BYTES + PAGE, PAGE);
	one = begin(0, false, BASE + BYTES - 4, PAGE + 8);
	for (unsigned i = 0; i < 2; i++) {
		asked = next_asked(vmm);
		assert_int_equal(asked.access.address, i ? BASE + BYTES + PAGE : BASE + BYTES - 4);
		assert_int_equal(asked.access.count, 4);
		answer(vmm, &asked, 0, 7);
	}
	assert_int_equal(one->done, 1);
	one = begin(0, true, BASE + BYTES, PAGE);
	assert_silence(vmm);
	assert_int_equal(one->done, 1);
	fake.hold = false;
	close(file);
	close(vmm);
}

static void few_at_a_time(void **state)
{
	int vmm = private_vmm();
	struct load *one = begin(0, false, BASE, BYTES);
	struct asked asked[FLIGHTS];

	for (unsigned i = 0; i < FLIGHTS; i++)
		asked[i] = next_asked(vmm);
	assert_silence(vmm);
	/* Registers are answered meanwhile. */
	assert_int_equal((int)load(vmm, 0, 0x40, 4), 0);
	for (unsigned i = FLIGHTS; i < BYTES / PAGE; i++) {
		answer(vmm, &asked[i % FLIGHTS], 0, 1);
		asked[i % FLIGHTS] = next_asked(vmm);
		assert_silence(vmm);
	}
	for (unsigned i = 0; i < FLIGHTS; i++)
		answer(vmm, &asked[i], i == 3 ? EFAULT : 0, 1);
	assert_int_equal(one->done, 1);
	assert_int_equal(one->error, -EFAULT);
	fake.hold = false;
	close(vmm);
}

static void a_vmm_has_time(void **state)
{
	int vmm = private_vmm();
	struct load *one = begin(0, false, BASE, 2 * PAGE);
	struct asked asked[2] = { next_asked(vmm), next_asked(vmm) };

	/* From one answer to the next. */
	stopped_clock_ns += (ANSWER_S - 1) * NS_PER_S;
	assert_silence(vmm);
	answer(vmm, &asked[0], 0, 1);
	stopped_clock_ns += (ANSWER_S - 1) * NS_PER_S;
	assert_silence(vmm);
	answer(vmm, &asked[1], 0, 1);
	assert_int_equal(one->done, 1);
	stopped_clock_ns += 2 * ANSWER_S * NS_PER_S;
	assert_silence(vmm);
	one = begin(0, false, BASE, PAGE);
	next_asked(vmm);
	stopped_clock_ns += (ANSWER_S + 1) * NS_PER_S;
	assert_ended(vmm);
	assert_int_equal(one->done, 1);
	assert_int_equal(one->error, -ECANCELED);
	assert_int_equal(bench_status().protocol_errors, 1);
}

static void a_reset_gives_up(void **state)
{
	int vmm = private_vmm();
	struct load *first = begin(0, false, BASE, BYTES), *second = begin(1, true, BASE, PAGE);
	uint8_t before = *copy_at(BASE);
	struct asked asked[FLIGHTS];

	for (unsigned i = 0; i < FLIGHTS; i++)
		asked[i] = next_asked(vmm);
	/* It is answered although the VMM answers nothing. */
	assert_int_equal(ask(vmm, VFIO_USER_RESET, NULL, 0), 0);
	assert_true(first->done == 1 && second->done == 1);
	assert_true(first->error == -ECANCELED && second->error == -ECANCELED);
	assert_int_equal(fake.resets, 1);
	assert_int_equal(store(vmm, VFIO_USER_REGION_CONFIG, 4, 6, 2), 0);
	/* The slots are free when they are answered, and what is said then goes nowhere. */
	first = begin(0, false, BASE + PAGE, PAGE);
	assert_silence(vmm);
	answer(vmm, &asked[0], 0, before + 1);
	assert_int_equal(*copy_at(BASE), before);
	asked[0] = next_asked(vmm);
	for (unsigned i = 1; i < FLIGHTS; i++)
		assert_true(asked[i].header.id != asked[0].header.id);
	for (unsigned i = 0; i < FLIGHTS; i++)
		answer(vmm, &asked[i], i % 2 ? EFAULT : 0, 9);
	assert_int_equal(first->done, 1);
	assert_int_equal(first->error, 0);
	assert_int_equal(*copy_at(BASE + PAGE), 9);
	fake.hold = false;
	close(vmm);
}

static void takeover_with_what_was_given_up(void **state)
{
	int vmm = private_vmm();
	struct load *one = begin(0, false, BASE, 3 * PAGE);
	struct asked asked[3] = { next_asked(vmm), next_asked(vmm), next_asked(vmm) }, later;

	assert_int_equal(ask(vmm, VFIO_USER_RESET, NULL, 0), 0);
	fake.hold = false;
	take_over();
	assert_int_equal(store(vmm, VFIO_USER_REGION_CONFIG, 4, 6, 2), 0);
	one = begin(0, false, BASE, PAGE);
	later = next_asked(vmm);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(asked[i].header.id != later.header.id);
		answer(vmm, &asked[i], 0, 1);
	}
	assert_int_equal(one->done, 0);
	answer(vmm, &later, 0, 5);
	assert_int_equal(one->done, 1);
	assert_int_equal(*copy_at(BASE), 5);
	fake.hold = false;
	close(vmm);
}

static void suspend_and_answer(int vmm, unsigned answers, bool *suspended)
{
	struct asked asked[2] = { next_asked(vmm), next_asked(vmm) };

	endpoint_suspend(bench.endpoint, on_suspended, suspended);
	bench_settle();
	for (unsigned i = 0; i < answers; i++) {
		assert_false(*suspended);
		/* No time is won by answers one by one. */
		stopped_clock_ns += HURRY_S * NS_PER_S / 2;
		bench_settle();
		answer(vmm, &asked[i], 0, 4);
	}
}

static void a_takeover_waits_for_answers(void **state)
{
	int vmm = private_vmm();
	struct load *one = begin(0, false, BASE, 2 * PAGE);
	bool suspended = false;

	suspend_and_answer(vmm, 1, &suspended);
	assert_int_equal(one->done, 0);
	stopped_clock_ns += HURRY_S * NS_PER_S;
	AWAIT(suspended, bench_turn());
	assert_int_equal(one->error, -ECANCELED);
	assert_int_equal(bench_status().connections, 0);
	endpoint_resume(bench.endpoint);
	close(vmm);

	fake.hold = suspended = false;
	vmm = private_vmm();
	one = begin(0, false, BASE, 2 * PAGE);
	{
		struct asked asked[2] = { next_asked(vmm), next_asked(vmm) };

		endpoint_suspend(bench.endpoint, on_suspended, &suspended);
		bench_settle();
		assert_false(suspended);
		/* What the VMM asks for before it answers is done, too. */
		assert_int_equal((int)load(vmm, 0, 0x40, 4), 0);
		answer(vmm, &asked[0], 0, 4);
		answer(vmm, &asked[1], 0, 4);
	}
	AWAIT(suspended, bench_turn());
	assert_true(one->done == 1 && one->error == 0);
	assert_int_equal(bench_status().connections, 1);
	endpoint_resume(bench.endpoint);
	assert_int_equal((int)load(vmm, 0, 0x40, 4), 0);
	fake.hold = false;
	close(vmm);
}

/* A function that runs no errands has no such memory. */
static void other_functions(void **state)
{
	int vmm = private_vmm();

	assert_null(guest_memory_find(fake.bus->memory, BASE));
	close(vmm);
}

static struct register_model_ops with_errands;

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pieces_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(shared_memory_is_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(few_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_vmm_has_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reset_gives_up, setup, teardown),
		cmocka_unit_test_setup_teardown(takeover_with_what_was_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(a_takeover_waits_for_answers, setup, teardown),
	};
	const struct CMUnitTest others[] = {
		cmocka_unit_test_setup_teardown(other_functions, setup, teardown),
	};
	int failed = cmocka_run_group_tests(others, NULL, NULL);

	with_errands = fake_model;
	with_errands.runs_errands = true;
	fake_ops = &with_errands;
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
