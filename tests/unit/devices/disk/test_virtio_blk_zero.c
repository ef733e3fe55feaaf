/* SPDX-License-Identifier: GPL-2.0-or-later */
/* DISCARD and WRITE_ZEROES of the virtio-blk model, and its write cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>

#include "blk_bench.h"

/* ---- DISCARD and WRITE_ZEROES ---- */

static void zeroing_several_ranges(void **state)
{
	begin(BIT(VIRTIO_BLK_F_WRITE_ZEROES) | BIT(VIRTIO_BLK_F_FLUSH));
	for (unsigned i = 0; i < 16; i++)
		segment(i, 20 * i, i + 1, i % 2);
	assert_int_equal(request(VIRTIO_BLK_WRITE_ZEROES, 99, 256, 0), VIRTIO_BLK_STATUS_OK);
	assert_int_equal(held->logged, 16);
	for (unsigned s = 0; s < 400; s++)
		assert_int_equal(held->bytes[512 * s], s / 20 < 16 && s % 20 < s / 20 + 1 ? 0 : 0xee);
	end();
}

static void zeroing_that_is_refused(void **state)
{
	static const uint32_t lengths[] = { 0, 1, 15, 17, 31, 16 * 17 };

	begin(BIT(VIRTIO_BLK_F_WRITE_ZEROES) | BIT(VIRTIO_BLK_F_FLUSH));
	for (unsigned i = 0; i < 17; i++)
		segment(i, i, 1, 0);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(request(VIRTIO_BLK_WRITE_ZEROES, 0, lengths[i], 0), VIRTIO_BLK_STATUS_ERROR);
	/* All ranges are looked at before the first is carried out. */
	segment(1, 1, 1, 2);
	assert_int_equal(request(VIRTIO_BLK_WRITE_ZEROES, 0, 32, 0), VIRTIO_BLK_STATUS_UNSUPPORTED);
	segment(1, 1, 0, 0);
	assert_int_equal(request(VIRTIO_BLK_WRITE_ZEROES, 0, 32, 0), VIRTIO_BLK_STATUS_ERROR);
	segment(1, 1, (1u << 16) + 1, 0);
	assert_int_equal(request(VIRTIO_BLK_WRITE_ZEROES, 0, 32, 0), VIRTIO_BLK_STATUS_ERROR);
	assert_int_equal(held->logged, 0);
	/* Outside the disk: that is the arbiter's to find, range by range. */
	segment(1, SECTORS, 1, 0);
	assert_int_equal(request(VIRTIO_BLK_WRITE_ZEROES, 0, 32, 0), VIRTIO_BLK_STATUS_ERROR);
	segment(1, UINT64_MAX, UINT16_MAX, 0);
	assert_int_equal(request(VIRTIO_BLK_WRITE_ZEROES, 0, 32, 0), VIRTIO_BLK_STATUS_ERROR);
	assert_int_equal(held->logged, 2);
	/* Not negotiated. */
	segment(0, 0, 1, 0);
	assert_int_equal(request(VIRTIO_BLK_DISCARD, 0, 16, 0), VIRTIO_BLK_STATUS_UNSUPPORTED);
	end();
	begin(0);
	assert_int_equal(request(VIRTIO_BLK_WRITE_ZEROES, 0, 16, 0), VIRTIO_BLK_STATUS_UNSUPPORTED);
	end();
}

static void discard(void **state)
{
	struct held_disk *host = held_disk_create(SECTORS * 512, 512);

	host->host.geometry.can_punch = true;
	begin_on(host, false, BIT(VIRTIO_BLK_F_DISCARD));
	segment(0, 8, 16, 0);
	segment(1, 64, 8, 0);
	assert_int_equal(request(VIRTIO_BLK_DISCARD, 0, 32, 0), VIRTIO_BLK_STATUS_OK);
	assert_int_equal(held->bytes[8 * 512], 0);
	assert_int_equal(held->bytes[24 * 512], 0xee);
	assert_int_equal(held->bytes[64 * 512], 0);
	segment(0, 0, 8, 1);	/* UNMAP means nothing to DISCARD, and is refused (5.2.6.2) */
	assert_int_equal(request(VIRTIO_BLK_DISCARD, 0, 16, 0), VIRTIO_BLK_STATUS_UNSUPPORTED);
	segment(0, 0, (1u << 21) + 1, 0);
	assert_int_equal(request(VIRTIO_BLK_DISCARD, 0, 16, 0), VIRTIO_BLK_STATUS_ERROR);
	end();
}

/* The second of three ranges fails: the third is not carried out. */
static void the_first_error_ends_the_request(void **state)
{
	begin(BIT(VIRTIO_BLK_F_WRITE_ZEROES) | BIT(VIRTIO_BLK_F_FLUSH));
	held->at_once = false;
	for (unsigned i = 0; i < 3; i++)
		segment(i, i, 1, 0);
	chain_new(VIRTIO_BLK_WRITE_ZEROES, 0);
	readable(0, 16);
	readable(DATA_AT, 48);
	writable(STATUS_AT, 1);
	handle();
	/* What the guest writes now comes too late. */
	segment(1, SECTORS - 1, 1, 0);
	held_end(held, 0, 0);
	assert_int_equal(held->log[1].offset, 512);
	held_end(held, 0, -EIO);
	assert_int_equal(status(), VIRTIO_BLK_STATUS_ERROR);
	assert_int_equal(held->logged, 2);
	end();
}

/* ---- the write cache ---- */

static void write_through_or_back(void **state)
{
	/* FLUSH, CONFIG_WCE, and the field that the driver wrote. */
	for (unsigned i = 0; i < 8; i++) {
		bool flush = i & 1, wce = i & 2, writeback = i & 4;
		uint64_t features =
			(flush ? BIT(VIRTIO_BLK_F_FLUSH) : 0) | (wce ? BIT(VIRTIO_BLK_F_CONFIG_WCE) : 0);
		bool through = wce ? !writeback : !flush;
		uint8_t value = writeback;

		begin(features | BIT(VIRTIO_BLK_F_WRITE_ZEROES));
		assert_int_equal(virtio_blk_model.config_write(device, features, 32, &value, 1),
				 wce ? 0 : -EINVAL);
		assert_int_equal(request(VIRTIO_BLK_OUT, 0, 512, 0), VIRTIO_BLK_STATUS_OK);
		assert_int_equal(held->logged, through ? 2 : 1);
		assert_int_equal(held->log[held->logged - 1].op, through ? HOST_IO_FLUSH : HOST_IO_WRITE);
		held->logged = 0;
		segment(0, 0, 1, 0);
		assert_int_equal(request(VIRTIO_BLK_WRITE_ZEROES, 0, 16, 0), VIRTIO_BLK_STATUS_OK);
		assert_int_equal(held->log[held->logged - 1].op, through ? HOST_IO_FLUSH : HOST_IO_ZERO);
		held->logged = 0;
		assert_int_equal(request(VIRTIO_BLK_IN, 0, 0, 512), VIRTIO_BLK_STATUS_OK);
		assert_int_equal(held->logged, 1);
		assert_int_equal(request(VIRTIO_BLK_FLUSH, 0, 0, 0), VIRTIO_BLK_STATUS_OK);
		assert_int_equal(held->log[1].op, HOST_IO_FLUSH);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeroing_several_ranges),
		cmocka_unit_test(zeroing_that_is_refused),
		cmocka_unit_test(discard),
		cmocka_unit_test(the_first_error_ends_the_request),
		cmocka_unit_test(write_through_or_back),
	};

	return cmocka_run_group_tests_name("virtio_blk_zero", tests, NULL, NULL);
}
