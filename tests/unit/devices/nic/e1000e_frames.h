/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames that tests of the 82574 send, and their sums. */
#ifndef VIADUCT_TESTS_UNIT_E1000E_FRAMES_H
#define VIADUCT_TESTS_UNIT_E1000E_FRAMES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/internet_sum.h"

#define IP_HEAD_BYTES 54u

/* TCP over IPv4, with a right sum of the header; of what is to be cut: without lengths, as drivers do. */
static inline uint32_t write_tcp(uint8_t *bytes, const uint8_t to[6], const uint8_t from[6], uint32_t payload,
				 bool without_length)
{
	struct internet_sum sum = { 0 };
	uint16_t word;

	memset(bytes, 0, IP_HEAD_BYTES);
	memcpy(bytes, to, 6);
	memcpy(bytes + 6, from, 6);
	bytes[12] = 8;
	bytes[14] = 0x45;
	big16_put(bytes + 16, without_length ? 0 : (uint16_t)(40 + payload));
	bytes[22] = 64;
	bytes[23] = 6;
	big32_put(bytes + 26, 0x0a000001);
	big32_put(bytes + 30, 0x0a000002);
	bytes[46] = 0x50;
	for (uint32_t i = 0; i < payload; i++)
		bytes[IP_HEAD_BYTES + i] = (uint8_t)(i * 7 + i / 256);
	if (!without_length) {
		internet_sum_add(&sum, bytes + 14, 20);
		word = (uint16_t)~internet_sum_fold(&sum);
		memcpy(bytes + 24, &word, 2);
	}
	/* The pseudo header's sum in TCP's place. */
	sum = (struct internet_sum){ 0 };
	internet_sum_add(&sum, bytes + 26, 8);
	internet_sum_add_word(&sum, htobe16(6));
	if (!without_length)
		internet_sum_add_word(&sum, htobe16((uint16_t)(20 + payload)));
	word = internet_sum_fold(&sum);
	memcpy(bytes + 50, &word, 2);
	return IP_HEAD_BYTES + payload;
}

/* Are the sums of IPv4 and TCP right? `at`: where IP begins. */
static inline bool sums_are_right(const uint8_t *bytes, uint32_t count, uint32_t at)
{
	struct internet_sum ip = { 0 }, tcp = { 0 };
	uint32_t tcp_bytes = big16_get(bytes + at + 2) - 20u;

	assert_int_equal(at + 20 + tcp_bytes, count);
	internet_sum_add(&ip, bytes + at, 20);
	internet_sum_add(&tcp, bytes + at + 12, 8);
	internet_sum_add_word(&tcp, htobe16(6));
	internet_sum_add_word(&tcp, htobe16((uint16_t)tcp_bytes));
	internet_sum_add(&tcp, bytes + at + 20, tcp_bytes);
	return internet_sum_fold(&ip) == 0xffff && internet_sum_fold(&tcp) == 0xffff;
}

/* A frame of no protocol. */
static inline uint32_t write_plain(uint8_t *bytes, const uint8_t to[6], const uint8_t from[6], uint32_t count)
{
	memcpy(bytes, to, 6);
	memcpy(bytes + 6, from, 6);
	big16_put(bytes + 12, 0x88b5);
	for (uint32_t i = 14; i < count; i++)
		bytes[i] = (uint8_t)(i * 3);
	return count;
}

#endif
