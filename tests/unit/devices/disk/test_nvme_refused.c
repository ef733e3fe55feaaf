/* SPDX-License-Identifier: GPL-2.0-or-later */
/* I/O commands of the NVMe model that are refused or fail, and what is durable when one is answered. */
#include "nvme_driver.h"
#include "patience.h"

#define BLOCKS (DISK_BYTES / 512)
#define FUA    (1u << 30)

static struct nvme_command deallocate(unsigned ranges, uint32_t cdw11)
{
	struct nvme_command command = io(NVME_IO_DATASET_MANAGEMENT, 0, 8, DATA_AT);

	command.cdw10 = ranges - 1;
	command.cdw11 = cdw11;
	return command;
}

static void range_at(unsigned index, uint64_t first_block, uint32_t blocks)
{
	const struct nvme_range range = { .blocks = blocks, .first_block = first_block };

	memcpy(driver.ram + DATA_AT + 16 * index, &range, sizeof(range));
}

static void begin_punching(bool read_only)
{
	const struct disk_options options = { .guest = "alice", .name = "root", .read_only = read_only };
	struct held_disk *held = held_disk_create(DISK_BYTES, 512);

	held->host.geometry.can_punch = true;
	begin_on(held, &options, 2);
	enable();
	make_queue(1, 64, 64);
}

/* ---- refused ---- */

static void blocks_outside_of_the_disk(void **state)
{
	static const struct {
		uint64_t first;
		unsigned blocks;
	} bad[] = {
		{ BLOCKS, 1 },	   { BLOCKS - 1, 2 }, { 0, BLOCKS + 1 },     { 1, BLOCKS },
		{ UINT32_MAX, 1 }, { 1ull << 32, 1 }, { 1ull << 55, 1 },     { (1ull << 55) - 1, 2 },
		{ 1ull << 63, 8 }, { UINT64_MAX, 1 }, { UINT64_MAX - 7, 8 }, { UINT64_MAX / 512, 2 },
	};
	static const uint8_t opcodes[] = { NVME_IO_READ, NVME_IO_WRITE, NVME_IO_WRITE_ZEROES };

	begin_ready();
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (unsigned j = 0; j < 3; j++) {
			bool too_long = bad[i].blocks > BLOCKS && opcodes[j] != NVME_IO_WRITE_ZEROES;

			assert_int_equal(run_status(1, io(opcodes[j], bad[i].first, bad[i].blocks, DATA_AT)),
					 REFUSED(too_long ? NVME_INVALID_FIELD : NVME_LBA_OUT_OF_RANGE));
		}
	}
	assert_int_equal(run_status(1, io(NVME_IO_WRITE_ZEROES, UINT64_MAX - 65535, 65536, DATA_AT)),
			 REFUSED(NVME_LBA_OUT_OF_RANGE));
	assert_int_equal(driver.held->logged, 0);
	assert_int_equal(run_status(1, io(NVME_IO_READ, BLOCKS - 1, 1, DATA_AT)), NVME_SUCCESS);
	end();
}

/* MDTS: 1 MiB, which is all of this disk. Zeroes carry nothing and may be more. */
static void more_than_a_command_carries(void **state)
{
	begin_ready();
	assert_int_equal(run_status(1, io(NVME_IO_READ, 0, 2048, DATA_AT)), NVME_SUCCESS);
	assert_int_equal(run_status(1, io(NVME_IO_WRITE, 0, 2048, DATA_AT)), NVME_SUCCESS);
	driver.held->logged = 0;
	assert_int_equal(run_status(1, io(NVME_IO_READ, 0, 2049, DATA_AT)), REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(run_status(1, io(NVME_IO_WRITE, 0, 2049, DATA_AT)), REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(run_status(1, io(NVME_IO_READ, 0, 65536, DATA_AT)), REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(driver.held->logged, 0);
	end();
}

static void commands_that_are_not_known(void **state)
{
	static const uint8_t known[] = { 0x00, 0x01, 0x02, 0x08, 0x09 };
	static const uint32_t namespaces[] = { 0, 2, 0xfffffffe, 0xffffffff };
	struct nvme_command command;

	begin_ready();
	for (unsigned opcode = 0; opcode < 256; opcode++)
		if (!memchr(known, (int)opcode, sizeof(known)))
			assert_int_equal(run_status(1, io((uint8_t)opcode, 0, 1, DATA_AT)),
					 REFUSED(NVME_INVALID_OPCODE));
	for (unsigned i = 0; i < sizeof(known); i++) {
		command = io(known[i], 0, 1, DATA_AT);
		for (uint8_t fused = 1; fused < 4; fused++) {
			command.flags = fused;
			assert_int_equal(run_status(1, command), REFUSED(NVME_INVALID_FIELD));
		}
		command.flags = 0;
		for (unsigned j = 0; j < 4; j++) {
			bool flushes_all = known[i] == NVME_IO_FLUSH && j == 3;

			command.namespace_id = namespaces[j];
			assert_int_equal(run_status(1, command),
					 flushes_all ? NVME_SUCCESS : REFUSED(NVME_INVALID_NAMESPACE));
		}
	}
	assert_int_equal(driver.held->logged, 1);
	end();
}

static void a_read_only_disk(void **state)
{
	begin_punching(true);
	range_at(0, 0, 8);
	assert_int_equal(run_status(1, deallocate(1, 4)), REFUSED(NVME_WRITE_PROTECTED));
	assert_int_equal(run_status(1, io(NVME_IO_WRITE, 0, 1, DATA_AT)), REFUSED(NVME_WRITE_PROTECTED));
	assert_int_equal(run_status(1, io(NVME_IO_WRITE_ZEROES, 0, 1, DATA_AT)),
			 REFUSED(NVME_WRITE_PROTECTED));
	assert_int_equal(driver.held->logged, 0);
	assert_int_equal(run_status(1, io(NVME_IO_READ, 0, 1, DATA_AT)), NVME_SUCCESS);
	assert_int_equal(run_status(1, io(NVME_IO_FLUSH, 0, 1, DATA_AT)), NVME_SUCCESS);
	end();
}

/* ---- Dataset Management ---- */

/* No range is given up before all are known to lie inside. */
static void ranges_outside_of_the_disk(void **state)
{
	static const struct {
		uint64_t first;
		uint32_t blocks;
	} bad[] = {
		{ BLOCKS, 8 },	   { BLOCKS - 8, 16 }, { 0, UINT32_MAX },
		{ UINT64_MAX, 8 }, { 1ull << 55, 8 },  { UINT64_MAX - 7, 8 },
	};

	begin_punching(false);
	for (unsigned i = 0; i < 256; i++)
		range_at(i, 8 * (i % 200), 8);
	for (unsigned i = 0; i < 6; i++) {
		range_at(255, bad[i].first, bad[i].blocks);
		assert_int_equal(run_status(1, deallocate(256, 4)), REFUSED(NVME_LBA_OUT_OF_RANGE));
	}
	assert_int_equal(driver.held->logged, 0);
	/* Behind those that the command has, nothing is looked at. */
	assert_int_equal(run_status(1, deallocate(255, 4)), NVME_SUCCESS);
	assert_int_equal(driver.held->logged, 255);
	end();
}

static void ranges_that_fail(void **state)
{
	begin_punching(false);
	driver.held->at_once = false;
	range_at(0, 0, 8);
	range_at(1, 8, 0);
	range_at(2, 16, 8);
	range_at(3, 24, 8);
	submit(1, deallocate(4, 4));
	settle();
	/* One after the other, and those of no blocks are left out. */
	assert_int_equal(driver.held->held_count, 1);
	/* What was copied counts, not what is there now. */
	range_at(2, BLOCKS, 8);
	held_end(driver.held, 0, 0);
	assert_int_equal(driver.held->held_count, 1);
	assert_int_equal(driver.held->log[1].offset, 16 * 512);
	held_end(driver.held, 0, -EIO);
	assert_int_equal(driver.held->held_count, 0);
	assert_int_equal(status_of(await(1)), NVME_WRITE_FAULT);
	/* Only hints, only empty ranges. */
	range_at(2, 16, 8);
	assert_int_equal(run_status(1, deallocate(4, 3)), NVME_SUCCESS);
	range_at(0, 0, 0);
	assert_int_equal(run_status(1, deallocate(2, 4)), NVME_SUCCESS);
	assert_int_equal(driver.held->logged, 2);
	/* The ranges themselves lie nowhere. */
	driver.held->at_once = true;
	for (unsigned i = 0; i < 2; i++) {
		struct nvme_command command = deallocate(256, 4);

		command.prp1 = i == 0 ? OUTSIDE : RAM_BASE + RAM_BYTES - 2048;
		command.prp2 = OUTSIDE;
		assert_int_equal(run_status(1, command), REFUSED(NVME_DATA_TRANSFER_ERROR));
	}
	end();
}

static void a_disk_that_cannot_punch(void **state)
{
	begin_ready();
	range_at(0, 0, 8);
	assert_int_equal(run_status(1, deallocate(1, 4)), NVME_SUCCESS);
	range_at(0, BLOCKS, 8);
	assert_int_equal(run_status(1, deallocate(1, 4)), REFUSED(NVME_LBA_OUT_OF_RANGE));
	assert_int_equal(driver.held->logged, 0);
	end();
}

static uint64_t discarded;

static void count_discard(struct host_channel *channel, struct host_io *io)
{
	assert_int_equal(io->op, HOST_IO_DISCARD);
	discarded += io->range.length_bytes;
	io->done(io, 0);
}

/* A range may be longer than any other request: Linux trims a whole disk with one. */
static void the_longest_range(void **state)
{
	const struct disk_options options = { .guest = "alice", .name = "root" };
	struct held_disk *held = held_disk_create(DISK_BYTES, 512);
	struct host_disk_ops ops = held_ops;
	struct nvme_completion completion;

	ops.submit = count_discard;
	held->host.ops = &ops;
	held->host.geometry.can_punch = true;
	held->host.geometry.size_bytes = 5ull << 40;
	begin_on(held, &options, 1);
	enable();
	make_queue(1, 16, 16);
	discarded = 0;
	range_at(0, 0, 0xfffffff8);
	range_at(1, 1ull << 33, (3u << 21) + 8);
	submit(1, deallocate(2, 4));
	AWAIT(reap(1, &completion), turn());
	assert_int_equal(status_of(completion), NVME_SUCCESS);
	assert_int_equal(discarded, 512 * (0xfffffff8ull + (3u << 21) + 8));
	end();
}

/* ---- durable ---- */

static bool flushed_by(struct nvme_command command)
{
	driver.held->logged = 0;
	assert_int_equal(run_status(1, command), NVME_SUCCESS);
	assert_true(driver.held->logged == 1 || driver.held->logged == 2);
	return driver.held->log[driver.held->logged - 1].op == HOST_IO_FLUSH;
}

static void write_cache_of(bool on)
{
	const struct nvme_command command = {
		.opcode = NVME_ADMIN_SET_FEATURES,
		.cdw10 = NVME_FEATURE_WRITE_CACHE,
		.cdw11 = on,
	};

	assert_int_equal(run_status(ADMIN, command), NVME_SUCCESS);
}

static void what_is_durable(void **state)
{
	static const uint8_t opcodes[] = { NVME_IO_WRITE, NVME_IO_WRITE_ZEROES, NVME_IO_READ };

	begin_ready();
	for (unsigned i = 0; i < 3; i++) {
		struct nvme_command plain = io(opcodes[i], 0, 1, DATA_AT), fua = plain;
		bool is_write = opcodes[i] != NVME_IO_READ;

		fua.cdw12 |= FUA;
		write_cache_of(true);
		assert_false(flushed_by(plain));
		assert_int_equal(flushed_by(fua), is_write);
		assert_false(flushed_by(plain));
		write_cache_of(false);
		assert_int_equal(flushed_by(plain), is_write);
		assert_int_equal(flushed_by(fua), is_write);
	}
	end();
}

/* ---- errors of the disk ---- */

static void errors_of_the_disk(void **state)
{
	static const struct {
		int error;
		uint16_t read, write;
	} errors[] = {
		{ -EIO, NVME_UNRECOVERED_READ, NVME_WRITE_FAULT },
		{ -ENODEV, NVME_UNRECOVERED_READ, NVME_WRITE_FAULT },
		{ -EFAULT, NVME_DATA_TRANSFER_ERROR, NVME_DATA_TRANSFER_ERROR },
		{ -ENOSPC, REFUSED(NVME_CAPACITY_EXCEEDED), REFUSED(NVME_CAPACITY_EXCEEDED) },
		{ -EOPNOTSUPP, REFUSED(NVME_INVALID_OPCODE), REFUSED(NVME_INVALID_OPCODE) },
	};
	struct nvme_completion completion;

	begin_ready();
	driver.held->at_once = false;
	for (unsigned i = 0; i < 5; i++) {
		submit(1, io(NVME_IO_READ, 0, 1, DATA_AT));
		submit(1, io(NVME_IO_WRITE, 1, 1, DATA_AT));
		settle();
		assert_int_equal(driver.held->held_count, 2);
		held_end(driver.held, 0, errors[i].error);
		held_end(driver.held, 0, errors[i].error);
		completion = await(1);
		assert_int_equal(status_of(completion), errors[i].read);
		completion = await(1);
		assert_int_equal(status_of(completion), errors[i].write);
	}
	submit(1, io(NVME_IO_FLUSH, 0, 1, DATA_AT));
	settle();
	held_end(driver.held, 0, -EIO);
	assert_int_equal(status_of(await(1)), NVME_WRITE_FAULT);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_outside_of_the_disk),
		cmocka_unit_test(more_than_a_command_carries),
		cmocka_unit_test(commands_that_are_not_known),
		cmocka_unit_test(a_read_only_disk),
		cmocka_unit_test(ranges_outside_of_the_disk),
		cmocka_unit_test(ranges_that_fail),
		cmocka_unit_test(a_disk_that_cannot_punch),
		cmocka_unit_test(the_longest_range),
		cmocka_unit_test(what_is_durable),
		cmocka_unit_test(errors_of_the_disk),
	};

	return cmocka_run_group_tests_name("nvme_refused", tests, NULL, NULL);
}
