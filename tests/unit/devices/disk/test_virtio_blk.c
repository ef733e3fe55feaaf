/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of the virtio-blk model: framing, ranges, types, answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>

#include "blk_bench.h"

/* ---- headers and status bytes ---- */

static void assert_sector_read(void)
{
	assert_int_equal(status(), VIRTIO_BLK_STATUS_OK);
	assert_memory_equal(memory + DATA_AT, held->bytes + 5 * 512, 512);
	assert_int_equal(held->log[held->logged - 1].offset, 5 * 512);
	memset(memory + DATA_AT, 0, 512);
}

static void headers_in_pieces(void **state)
{
	begin(0);
	for (unsigned i = 0; i < 512; i++)
		held->bytes[5 * 512 + i] = (uint8_t)(i * 3);
	for (uint32_t cut = 1; cut < 16; cut++) {
		chain_new(VIRTIO_BLK_IN, 5);
		readable(0, cut);
		readable(cut, 16 - cut);
		writable(DATA_AT, 512);
		writable(STATUS_AT, 1);
		handle();
		assert_sector_read();
	}
	chain_new(VIRTIO_BLK_IN, 5);
	for (unsigned i = 0; i < 16; i++)
		readable(i, 1);
	writable(DATA_AT, 512);
	writable(STATUS_AT, 1);
	handle();
	assert_sector_read();
	end();
}

/* Header and data may share a descriptor (virtio 1.2, 5.2.6: no framing is to be assumed). */
static void header_and_data_together(void **state)
{
	begin(0);
	for (uint32_t cut = 0; cut < 16; cut += 5) {
		chain_new(VIRTIO_BLK_OUT, 7);
		memset(memory + 16, (int)(cut + 1), 1024);
		if (cut)
			readable(0, cut);
		readable(cut, 16 - cut + 100);
		readable(116, 924);
		writable(STATUS_AT, 1);
		handle();
		assert_int_equal(status(), VIRTIO_BLK_STATUS_OK);
		assert_memory_equal(held->bytes + 7 * 512, memory + 16, 1024);
	}
	end();
}

static void status_at_the_end_of_data(void **state)
{
	begin(0);
	memset(held->bytes + 5 * 512, 0x77, 512);
	chain_new(VIRTIO_BLK_IN, 5);
	readable(0, 16);
	writable(STATUS_AT - 512, 513);
	handle();
	assert_int_equal(status(), VIRTIO_BLK_STATUS_OK);
	assert_memory_equal(memory + STATUS_AT - 512, held->bytes + 5 * 512, 512);
	chain_new(VIRTIO_BLK_IN, 5);
	readable(0, 16);
	writable(DATA_AT, 500);
	writable(STATUS_AT - 12, 13);
	handle();
	assert_int_equal(status(), VIRTIO_BLK_STATUS_OK);
	end();
}

static void no_header_or_no_status(void **state)
{
	begin(0);
	chain_new(VIRTIO_BLK_IN, 0);
	readable(0, 15);
	writable(STATUS_AT, 1);
	handle();
	assert_rejected();
	chain_new(VIRTIO_BLK_IN, 0);
	writable(STATUS_AT, 1);
	handle();
	assert_rejected();
	chain_new(VIRTIO_BLK_OUT, 0);
	readable(0, 16);
	readable(DATA_AT, 512);
	handle();
	assert_rejected();
	end();
}

static void unmapped_parts(void **state)
{
	begin(0);
	for (unsigned part = 0; part < 4; part++) {
		chain_new(part < 3 ? VIRTIO_BLK_OUT : VIRTIO_BLK_IN, 0);
		readable(0, 8);
		readable(8, 8);
		if (part < 3)
			readable(DATA_AT, 512);
		else
			writable(DATA_AT, 512);
		writable(STATUS_AT, 1);
		unmap(part < 3 ? part : 2);
		handle();
		if (part < 2)
			assert_rejected();
		else
			assert_int_equal(status(), VIRTIO_BLK_STATUS_ERROR);
	}
	chain_new(VIRTIO_BLK_IN, 0);
	readable(0, 16);
	writable(DATA_AT, 512);
	writable(STATUS_AT, 1);
	unmap(2);
	handle();
	assert_rejected();
	/* Header and data in one descriptor that lies nowhere. */
	chain_new(VIRTIO_BLK_OUT, 0);
	readable(0, 16 + 512);
	writable(STATUS_AT, 1);
	unmap(0);
	handle();
	assert_rejected();
	assert_int_equal(held->logged, 0);
	end();
}

/* ---- requests ---- */

/* What a migration's log is told: so much of the data, and the status. */
static void assert_written(uint32_t data_bytes)
{
	assert_int_equal(chain.first, data_bytes);
	assert_int_equal(chain.last, 1);
}

static void bad_ranges_touch_nothing(void **state)
{
	static const uint64_t sectors[] = { SECTORS,	SECTORS + 1,	  1ull << 32,
					    1ull << 55, UINT64_MAX / 512, UINT64_MAX };
	static const uint32_t lengths[] = { 0, 1, 511, 513, 1023 };

	begin(0);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(request(VIRTIO_BLK_IN, sectors[i], 0, 512), VIRTIO_BLK_STATUS_ERROR);
		assert_written(0);
		assert_int_equal(request(VIRTIO_BLK_OUT, sectors[i], 512, 0), VIRTIO_BLK_STATUS_ERROR);
	}
	assert_int_equal(request(VIRTIO_BLK_IN, SECTORS - 1, 0, 1024), VIRTIO_BLK_STATUS_ERROR);
	assert_int_equal(request(VIRTIO_BLK_OUT, SECTORS - 1, 1024, 0), VIRTIO_BLK_STATUS_ERROR);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(request(VIRTIO_BLK_IN, 0, 0, lengths[i]), VIRTIO_BLK_STATUS_ERROR);
		assert_written(0);
		assert_int_equal(request(VIRTIO_BLK_OUT, 0, lengths[i], 0), VIRTIO_BLK_STATUS_ERROR);
	}
	assert_int_equal(held->logged, 0);
	assert_int_equal(request(VIRTIO_BLK_IN, SECTORS - 1, 0, 512), VIRTIO_BLK_STATUS_OK);
	assert_int_equal(held->logged, 1);
	assert_written(512);
	end();
}

static void unknown_types(void **state)
{
	static const uint32_t types[] = { 2, 3, 5, 6, 7, 9, 10, 12, 14, 0x80000000u, UINT32_MAX };

	begin(EVERYTHING);
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		assert_int_equal(request(types[i], 0, 16, 512), VIRTIO_BLK_STATUS_UNSUPPORTED);
		assert_written(0);
	}
	assert_int_equal(held->logged, 0);
	end();
}

static void get_id(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 19, 20, 21, 65536 };

	begin(0);
	for (unsigned i = 0; i < 6; i++) {
		uint32_t copied = sizes[i] < 20 ? sizes[i] : 20;

		memset(memory + DATA_AT, UNTOUCHED, 32);
		assert_int_equal(request(VIRTIO_BLK_GET_ID, 0, 0, sizes[i]), VIRTIO_BLK_STATUS_OK);
		assert_memory_equal(memory + DATA_AT, "0123456789abcdefghij", copied);
		assert_written(copied);
		for (unsigned j = copied; j < 32; j++)
			assert_int_equal(memory[DATA_AT + j], UNTOUCHED);
	}
	end();
}

static uint8_t request_of_segments(unsigned count)
{
	chain_new(VIRTIO_BLK_IN, 0);
	readable(0, 16);
	for (unsigned i = 0; i < count; i++)
		writable(DATA_AT + 512 * i, 512);
	writable(STATUS_AT, 1);
	handle();
	return status();
}

static void segments_up_to_the_limit(void **state)
{
	begin(0);
	assert_int_equal(request_of_segments(254), VIRTIO_BLK_STATUS_OK);
	assert_int_equal(held->logged, 1);
	/* what drivers send beyond what they were offered; the transport bounds it */
	assert_int_equal(request_of_segments(255), VIRTIO_BLK_STATUS_OK);
	assert_int_equal(held->logged, 2);
	end();
}

static void errors_of_the_disk(void **state)
{
	static const int errors[] = { -EIO, -ENOSPC, -ENODEV, -EFAULT, -EOPNOTSUPP };

	begin(BIT(VIRTIO_BLK_F_FLUSH));
	held->at_once = false;
	for (unsigned i = 0; i < 5; i++) {
		chain_new(VIRTIO_BLK_IN, 1);
		readable(0, 16);
		writable(DATA_AT, 512);
		writable(STATUS_AT, 1);
		handle();
		assert_int_equal(chain.completed, 0);
		assert_int_equal(memory[STATUS_AT], UNTOUCHED);
		held_end(held, 0, errors[i]);
		assert_int_equal(status(), errors[i] == -EOPNOTSUPP ? VIRTIO_BLK_STATUS_UNSUPPORTED
								    : VIRTIO_BLK_STATUS_ERROR);
		/* A part of it may have come. */
		assert_written(512);
	}
	end();
}

static void a_read_only_disk(void **state)
{
	begin_on(held_disk_create(SECTORS * 512, 512), true, EVERYTHING);
	segment(0, 0, 8, 0);
	assert_int_equal(request(VIRTIO_BLK_OUT, 0, 512, 0), VIRTIO_BLK_STATUS_ERROR);
	assert_int_equal(request(VIRTIO_BLK_WRITE_ZEROES, 0, 16, 0), VIRTIO_BLK_STATUS_ERROR);
	assert_int_equal(request(VIRTIO_BLK_DISCARD, 0, 16, 0), VIRTIO_BLK_STATUS_ERROR);
	assert_int_equal(held->logged, 0);
	assert_int_equal(request(VIRTIO_BLK_IN, 0, 0, 512), VIRTIO_BLK_STATUS_OK);
	assert_int_equal(request(VIRTIO_BLK_FLUSH, 0, 0, 0), VIRTIO_BLK_STATUS_OK);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_in_pieces),
		cmocka_unit_test(header_and_data_together),
		cmocka_unit_test(status_at_the_end_of_data),
		cmocka_unit_test(no_header_or_no_status),
		cmocka_unit_test(unmapped_parts),
		cmocka_unit_test(bad_ranges_touch_nothing),
		cmocka_unit_test(unknown_types),
		cmocka_unit_test(get_id),
		cmocka_unit_test(segments_up_to_the_limit),
		cmocka_unit_test(errors_of_the_disk),
		cmocka_unit_test(a_read_only_disk),
	};

	return cmocka_run_group_tests_name("virtio_blk", tests, NULL, NULL);
}
