/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NVMe model in memory that its VMM keeps to itself: the driver's memory is the guest's, and the model
 * has a copy, which is garbage wherever nothing was fetched for the step that reads it. The bus carries out
 * errands when the test says so.
 */
#include "nvme_driver.h"

#define GARBAGE 0xa5

static struct errands {
	struct register_errand *first, **last;
	bool refuses; /* all of them */
	bool gives_up;
	unsigned fetches, pushes;
	struct guest_memory *copy;
	uint8_t *host;
} errands;

/* ---- the bus ---- */

static void append(struct register_errand *errand, bool pushes)
{
	assert_non_null(errand->memory);
	guest_memory_get(errand->memory);
	errand->pushes = pushes;
	errand->next = NULL;
	*errands.last = errand;
	errands.last = &errand->next;
}

static void fetch(struct register_bus *bus, struct register_errand *errand)
{
	errands.fetches++;
	append(errand, false);
}

static void push(struct register_bus *bus, struct register_errand *errand)
{
	errands.pushes++;
	append(errand, true);
}

static const struct register_bus_ops remote_bus_ops = {
	.raise = bus_raise,
	.lower = bus_lower,
	.has_vectors = bus_has_vectors,
	.violated = bus_violated,
	.fetch = fetch,
	.push = push,
};

static void copy_piece(const struct register_errand *errand, const struct iovec *piece)
{
	uint64_t guest;

	if (piece->iov_len == 0)
		return;
	assert_true(guest_memory_host_to_guest(errand->memory, piece->iov_base, &guest));
	assert_true(guest - RAM_BASE + piece->iov_len <= RAM_BYTES);
	if (errand->pushes)
		memcpy(driver.ram + (guest - RAM_BASE), piece->iov_base, piece->iov_len);
	else
		memcpy(piece->iov_base, driver.ram + (guest - RAM_BASE), piece->iov_len);
}

/* Carries out the oldest errand; false: there is none. */
static bool carry(void)
{
	struct register_errand *errand = errands.first;

	if (!errand)
		return false;
	errands.first = errand->next;
	if (!errands.first)
		errands.last = &errands.first;
	for (unsigned i = 0; i < errand->count && !errands.refuses && !errands.gives_up; i++)
		copy_piece(errand, &errand->iov[i]);
	guest_memory_put(errand->memory);
	errand->done(errand, errands.gives_up ? -ECANCELED : errands.refuses ? -EFAULT : 0);
	return true;
}

static void carry_all(void)
{
	for (unsigned i = 0; i < 64; i++) {
		settle();
		while (carry())
			;
	}
}

/* ---- the bench ---- */

static void begin_remote(void)
{
	const struct guest_region_description description = {
		.guest_address = RAM_BASE,
		.size = RAM_BYTES,
		.user_address = RAM_BASE,
	};

	errands = (struct errands){ .last = &errands.first };
	begin();
	assert_int_equal(guest_memory_add_remote(driver.empty, &description, &errands.copy), 0);
	errands.host = guest_memory_at(errands.copy, RAM_BASE, RAM_BYTES);
	driver.bus.ops = &remote_bus_ops;
	driver.bus.memory = errands.copy;
	driver.has_vectors = true;
	nvme_model.memory_changed(driver.function);
	enable();
}

/* What is left of a command is of no use to the next one. */
static void spoil(void)
{
	memset(errands.host, GARBAGE, RAM_BYTES);
}

static void end_remote(void)
{
	carry_all();
	end();
	guest_memory_put(errands.copy);
}

static struct nvme_completion run_remote(unsigned index, struct nvme_command command)
{
	uint16_t id;
	struct nvme_completion completion = { 0 };

	spoil();
	id = submit(index, command);
	carry_all();
	assert_true(reap(index, &completion));
	assert_int_equal(completion.command_id, id);
	carry_all();
	return completion;
}

static uint16_t status_remote(unsigned index, struct nvme_command command)
{
	return status_of(run_remote(index, command));
}

static void make_queue_remote(unsigned id)
{
	queue_init(id, 64, 64);
	assert_int_equal(status_remote(ADMIN, create_cq(id, 64, id)), NVME_SUCCESS);
	assert_int_equal(status_remote(ADMIN, create_sq(id, 64, id)), NVME_SUCCESS);
}

/* ---- tests ---- */

static void each_byte_is_fetched_and_pushed(void **state)
{
	begin_remote();
	make_queue_remote(1);
	for (unsigned blocks = 1; blocks <= 256; blocks = blocks * 2 + 1) {
		for (size_t i = 0; i < blocks * 512u; i++)
			driver.ram[DATA_AT + 512 + i] = (uint8_t)(i * 13 + i / 251 + blocks);
		assert_int_equal(status_remote(1, io(NVME_IO_WRITE, 3, blocks, DATA_AT + 512)), NVME_SUCCESS);
		assert_memory_equal(driver.held->bytes + 3 * 512, driver.ram + DATA_AT + 512, blocks * 512u);
		memset(driver.ram + DATA_AT, 0, 300 * 512);
		assert_int_equal(status_remote(1, io(NVME_IO_READ, 3, blocks, DATA_AT + 512)), NVME_SUCCESS);
		assert_memory_equal(driver.held->bytes + 3 * 512, driver.ram + DATA_AT + 512, blocks * 512u);
		/* Not a byte before or behind: the garbage would show. */
		assert_int_equal(driver.ram[DATA_AT + 511], 0);
		assert_int_equal(driver.ram[DATA_AT + 512 + blocks * 512u], 0);
	}
	end_remote();
}

static void admin_commands(void **state)
{
	struct nvme_command identify = { .opcode = NVME_ADMIN_IDENTIFY,
					 .cdw10 = NVME_IDENTIFY_CONTROLLER,
					 .prp1 = RAM_BASE + DATA_AT + 8,
					 .prp2 = RAM_BASE + DATA_AT + 3 * PAGE };
	const struct nvme_identify_controller *answer;
	uint8_t whole[NVME_IDENTIFY_BYTES];

	begin_remote();
	assert_int_equal(status_remote(ADMIN, identify), NVME_SUCCESS);
	memcpy(whole, driver.ram + DATA_AT + 8, PAGE - 8);
	memcpy(whole + PAGE - 8, driver.ram + DATA_AT + 3 * PAGE, 8);
	answer = (const void *)whole;
	assert_int_equal(answer->vendor, 0x1b36);
	/* Doorbells in memory that nobody sees are not offered. */
	assert_int_equal(answer->admin_commands & NVME_DOORBELL_BUFFERS, 0);
	assert_int_equal(driver.ram[DATA_AT + 7], 0);
	/* Two at a time: one after the other. */
	submit(ADMIN, identify);
	identify.prp1 += PAGE;
	submit(ADMIN, identify);
	carry_all();
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(status_of(await(ADMIN)), NVME_SUCCESS);
	errands.refuses = true;
	assert_int_equal(violations(), 0);
	submit(ADMIN, identify);
	carry_all();
	assert_int_equal(get32(NVME_REG_CSTS) & NVME_CSTS_FATAL, NVME_CSTS_FATAL);
	errands.refuses = false;
	end_remote();
}

/* The guest has the answer's data, then the answer, then the interrupt. */
static void one_after_the_other(void **state)
{
	struct nvme_completion completion;

	begin_remote();
	make_queue_remote(1);
	driver.raised[1] = 0;
	submit(1, io(NVME_IO_READ, 0, 8, DATA_AT));
	settle();
	assert_true(carry()); /* the command */
	settle();
	assert_int_equal(errands.first->iov[0].iov_len, PAGE);
	assert_true(carry()); /* the data */
	settle();
	assert_int_equal(errands.first->iov[0].iov_len, sizeof(completion));
	assert_false(look(1, &completion));
	assert_int_equal(driver.raised[1], 0);
	assert_true(carry());
	settle();
	assert_int_equal(driver.raised[1], 1);
	assert_true(reap(1, &completion));
	end_remote();
}

static void answers_move_with_their_queue(void **state)
{
	struct guest_memory *before = errands.copy, *after;
	const struct guest_region_description description = {
		.guest_address = RAM_BASE,
		.size = RAM_BYTES,
		.user_address = RAM_BASE,
	};
	struct nvme_completion completion;

	begin_remote();
	make_queue_remote(1);
	before = errands.copy;
	for (unsigned i = 0; i < 5; i++)
		submit(1, io(NVME_IO_FLUSH, 0, 1, DATA_AT));
	settle();
	assert_true(carry());
	settle();
	/* The first is on its way, and the others wait behind it, or come later. */
	assert_int_equal(guest_memory_add_remote(driver.empty, &description, &after), 0);
	driver.bus.memory = errands.copy = after;
	errands.host = guest_memory_at(after, RAM_BASE, RAM_BYTES);
	nvme_model.memory_changed(driver.function);
	guest_memory_put(before);
	carry_all();
	for (unsigned i = 0; i < 5; i++)
		assert_true(reap(1, &completion));
	assert_int_equal(status_remote(1, io(NVME_IO_FLUSH, 0, 1, DATA_AT)), NVME_SUCCESS);
	end_remote();
}

/* A reset does not wait for a VMM that waits for it. */
static void given_up(void **state)
{
	for (unsigned carried = 0; carried < 4; carried++) {
		begin_remote();
		make_queue_remote(1);
		submit(1, io(NVME_IO_WRITE, 0, 64, DATA_AT));
		submit(1, io(NVME_IO_READ, 0, 64, DATA_AT));
		submit(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_IDENTIFY,
						     .cdw10 = 1,
						     .prp1 = RAM_BASE + DATA_AT });
		settle();
		for (unsigned i = 0; i < carried; i++) {
			carry();
			settle();
		}
		quiesce();
		assert_false(driver.quiet);
		errands.gives_up = true;
		carry_all();
		assert_true(driver.quiet);
		errands.gives_up = false;
		nvme_model.reset(driver.function);
		enable();
		make_queue_remote(1);
		assert_int_equal(status_remote(1, io(NVME_IO_WRITE, 0, 8, DATA_AT)), NVME_SUCCESS);
		end_remote();
	}
}

/* Frozen, what was given up goes on afterwards: nothing is lost, and the driver hears of each once. */
static void frozen(void **state)
{
	struct nvme_completion completion;

	for (unsigned carried = 0; carried < 6; carried++) {
		begin_remote();
		make_queue_remote(1);
		submit(1, io(NVME_IO_READ, 0, 8, DATA_AT));
		submit(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_IDENTIFY,
						     .cdw10 = 1,
						     .prp1 = RAM_BASE + DATA_AT + PAGE });
		settle();
		for (unsigned i = 0; i < carried; i++) {
			carry();
			settle();
		}
		nvme_model.freeze(driver.function);
		quiesce();
		errands.gives_up = true;
		carry_all();
		held_end_all(driver.held);
		carry_all();
		assert_true(driver.quiet);
		errands.gives_up = false;
		nvme_model.resume(driver.function);
		carry_all();
		assert_true(reap(1, &completion));
		assert_false(look(1, &completion));
		assert_true(reap(ADMIN, &completion));
		assert_int_equal(status_of(completion), NVME_SUCCESS);
		assert_false(look(ADMIN, &completion));
		assert_int_equal(status_remote(1, io(NVME_IO_READ, 0, 8, DATA_AT)), NVME_SUCCESS);
		end_remote();
	}
}

static void refused(void **state)
{
	begin_remote();
	make_queue_remote(1);
	submit(1, io(NVME_IO_WRITE, 0, 8, DATA_AT));
	settle();
	assert_true(carry());
	settle();
	errands.refuses = true;
	assert_true(carry());
	errands.refuses = false;
	carry_all();
	assert_int_equal(status_of(await(1)), NVME_DATA_TRANSFER_ERROR);
	assert_int_equal(violations(), 0);
	/* The queue itself. */
	submit(1, io(NVME_IO_FLUSH, 0, 1, DATA_AT));
	settle();
	errands.refuses = true;
	carry_all();
	errands.refuses = false;
	assert_int_equal(get32(NVME_REG_CSTS) & NVME_CSTS_FATAL, NVME_CSTS_FATAL);
	assert_int_equal(driver.violations[QUEUE_MEMORY], 1);
	end_remote();
}

static size_t resident(void)
{
	static unsigned char pages[RAM_BYTES / PAGE];
	size_t count = 0;

	assert_int_equal(mincore(errands.host, RAM_BYTES, pages), 0);
	for (size_t i = 0; i < RAM_BYTES / PAGE; i++)
		count += pages[i] & 1;
	return count * PAGE;
}

static void copies_are_given_back(void **state)
{
	begin_remote();
	make_queue_remote(1);
	carry_all();
	/* Garbage is more than commands may use; the next sleep gives it back. */
	assert_int_equal(status_remote(1, io(NVME_IO_READ, 0, 8, DATA_AT)), NVME_SUCCESS);
	/* Turns that wait are sleeps. */
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(loop_turn(driver.loop, NS_PER_US), 0);
	assert_true(resident() < 64 * PAGE);
	end_remote();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_byte_is_fetched_and_pushed),
		cmocka_unit_test(admin_commands),
		cmocka_unit_test(one_after_the_other),
		cmocka_unit_test(answers_move_with_their_queue),
		cmocka_unit_test(given_up),
		cmocka_unit_test(frozen),
		cmocka_unit_test(refused),
		cmocka_unit_test(copies_are_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
