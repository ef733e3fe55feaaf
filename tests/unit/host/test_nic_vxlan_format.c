/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The header of a VXLAN datagram. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "host/nic_vxlan_format.h"

#define VNI 0x123456u

static const uint8_t right[VXLAN_HEADER_BYTES] = { 0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0 };

/* In memory of just this size, so that a byte too many that is read is found. */
static enum vxlan_fault parse(const uint8_t header[VXLAN_HEADER_BYTES], size_t bytes)
{
	uint8_t *datagram = calloc(1, bytes ? bytes : 1);
	struct vxlan_inner inner = { 0 };
	enum vxlan_fault fault;

	assert_non_null(datagram);
	memcpy(datagram, header, bytes < VXLAN_HEADER_BYTES ? bytes : VXLAN_HEADER_BYTES);
	fault = vxlan_parse(datagram, bytes, VNI, &inner);
	if (fault == VXLAN_FINE) {
		assert_ptr_equal(inner.frame, datagram + VXLAN_HEADER_BYTES);
		assert_int_equal(inner.bytes, bytes - VXLAN_HEADER_BYTES);
	} else {
		assert_null(inner.frame);
	}
	free(datagram);
	return fault;
}

static void test_sizes(void **state)
{
	for (size_t bytes = 0; bytes < VXLAN_HEADER_BYTES + FRAME_HEADER_BYTES; bytes++)
		assert_int_equal(parse(right, bytes), VXLAN_SHORT);
	assert_int_equal(parse(right, VXLAN_HEADER_BYTES + FRAME_HEADER_BYTES), VXLAN_FINE);
	assert_int_equal(parse(right, 1500), VXLAN_FINE);
	assert_int_equal(parse(right, VXLAN_HEADER_BYTES + FRAME_BYTES_MAX), VXLAN_FINE);
	assert_int_equal(parse(right, VXLAN_HEADER_BYTES + FRAME_BYTES_MAX + 1), VXLAN_LONG);
}

/* Each bit of the header that is not as it has to be. */
static void test_every_bit_of_the_header(void **state)
{
	for (unsigned bit = 0; bit < 8 * VXLAN_HEADER_BYTES; bit++) {
		bool is_vni = bit / 8 >= 4 && bit / 8 < 7;
		uint8_t wrong[VXLAN_HEADER_BYTES];

		memcpy(wrong, right, sizeof(wrong));
		wrong[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(parse(wrong, 100), is_vni ? VXLAN_VNI : VXLAN_FLAGS);
	}
}

static void test_header_put(void **state)
{
	static const uint8_t last[VXLAN_HEADER_BYTES] = { 0x08, 0, 0, 0, 0xff, 0xff, 0xff, 0 };
	uint8_t header[VXLAN_HEADER_BYTES];

	memset(header, 0xee, sizeof(header));
	vxlan_header_put(header, VNI);
	assert_memory_equal(header, right, sizeof(header));
	vxlan_header_put(header, VXLAN_VNI_MAX);
	assert_memory_equal(header, last, sizeof(header));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_every_bit_of_the_header),
		cmocka_unit_test(test_header_put),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
