/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The judge of the network benchmark sees what a switch must not do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "judge.h"

#define BYTES	       200u
#define NUMBER	       7u
#define DESTINATION_AT 0u
#define SOURCE_AT      FRAME_ADDRESS_BYTES

enum { ALICE, BOB, CAROL, MALLORY, GUESTS };

static const struct role honest = { .name = "honest" }, hostile = { .name = "hostile", .hostile = true };

struct network {
	struct client client;
	struct guest *alice, *bob, *carol, *mallory;
	uint8_t slot[CARD_SLOT_BYTES];
	uint8_t *frame; /* from Alice to Bob, in the slot */
};

static void network_init(struct network *network)
{
	struct guest *guests = network->client.guest;

	memset(network, 0, sizeof(*network));
	network->client.guests = GUESTS;
	network->client.secret = 0x1234567;
	for (unsigned i = 0; i < GUESTS; i++) {
		guests[i].client = &network->client;
		guests[i].role = i == MALLORY ? &hostile : &honest;
		memcpy(guests[i].address, (uint8_t[]){ 0x52, 0x54, 0, 0, 0, (uint8_t)(i + 1) },
		       FRAME_ADDRESS_BYTES);
	}
	network->alice = &guests[ALICE];
	network->bob = &guests[BOB];
	network->carol = &guests[CAROL];
	network->mallory = &guests[MALLORY];
	network->alice->peer = network->bob;
	network->bob->peer = network->alice;
	network->frame = network->slot + CARD_HEADER_BYTES;
	note_write(network->alice, network->slot, BYTES, NUMBER, 99);
}

/* Judges the frame; what is wrong must be `wrong` and nothing else, or nothing. */
static bool judged(struct network *network, struct guest *receiver, uint32_t bytes, const uint64_t *wrong)
{
	struct verdict *verdict = &network->client.verdict;
	struct note note = { 0 };
	bool taken = judge_frame(receiver, network->frame, bytes, &note);

	assert_int_equal(verdict->judged, 1);
	assert_int_equal(verdict->leaked + verdict->spoofed + verdict->duplicated + verdict->reordered +
				 verdict->damaged,
			 wrong ? 1 : 0);
	if (wrong)
		assert_int_equal(*wrong, 1);
	assert_true(!taken || note.number == NUMBER);
	return taken;
}

static void test_intact(void **state)
{
	struct network network;

	network_init(&network);
	assert_true(judged(&network, network.bob, BYTES, NULL));
}

static void test_every_byte_counts(void **state)
{
	struct network network;

	for (unsigned at = 2 * FRAME_ADDRESS_BYTES + 2; at < BYTES; at++) {
		struct verdict *verdict = &network.client.verdict;

		network_init(&network);
		network.frame[at] ^= 1;
		/* The mark comes first, and a frame with another one is nobody's. */
		assert_false(judged(&network, network.bob, BYTES,
				    at < FRAME_HEADER_BYTES + sizeof(uint64_t) ? &verdict->spoofed
									       : &verdict->damaged));
	}
}

static void test_length(void **state)
{
	struct network network;

	for (uint32_t bytes = BYTES - 1; bytes <= BYTES + 1; bytes += 2) {
		network_init(&network);
		assert_false(judged(&network, network.bob, bytes, &network.client.verdict.damaged));
	}
	network_init(&network);
	assert_false(judged(&network, network.bob, FRAME_HEADER_BYTES - 1, &network.client.verdict.damaged));
}

static void test_leaked(void **state)
{
	struct network network;

	network_init(&network);
	assert_false(judged(&network, network.carol, BYTES, &network.client.verdict.leaked));
	network_init(&network);
	assert_false(judged(&network, network.mallory, BYTES, &network.client.verdict.leaked));
}

static void test_spoofed(void **state)
{
	struct network network;

	/* From an address that is no guest's, from a guest that does not write to Bob, and to all. */
	network_init(&network);
	network.frame[SOURCE_AT + 5] = 99;
	assert_false(judged(&network, network.bob, BYTES, &network.client.verdict.spoofed));
	network_init(&network);
	memcpy(network.frame + SOURCE_AT, network.carol->address, FRAME_ADDRESS_BYTES);
	assert_false(judged(&network, network.bob, BYTES, &network.client.verdict.spoofed));
	network_init(&network);
	memset(network.frame + DESTINATION_AT, 0xff, FRAME_ADDRESS_BYTES);
	assert_false(judged(&network, network.bob, BYTES, &network.client.verdict.spoofed));
}

/* What a hostile guest says in its own name is nothing, even an honest guest's words. */
static void test_hostile_in_its_own_name(void **state)
{
	struct network network;

	network_init(&network);
	memcpy(network.frame + SOURCE_AT, network.mallory->address, FRAME_ADDRESS_BYTES);
	assert_false(judged(&network, network.bob, BYTES, NULL));
}

static void test_numbers(void **state)
{
	struct verdict verdict = { 0 };
	struct numbers numbers;

	numbers_init(&numbers, 10, 12);
	numbers_add(&numbers, 0, &verdict);
	numbers_add(&numbers, 2, &verdict);
	numbers_add(&numbers, 11, &verdict);
	assert_int_equal(numbers.next, 12);
	assert_int_equal(numbers.received, 2);
	assert_int_equal(verdict.duplicated + verdict.reordered + verdict.damaged, 0);
	numbers_add(&numbers, 1, &verdict);
	assert_int_equal(verdict.reordered, 1);
	assert_int_equal(numbers.received, 3);
	numbers_add(&numbers, 2, &verdict);
	numbers_add(&numbers, 11, &verdict);
	assert_int_equal(verdict.duplicated, 2);
	assert_int_equal(numbers.received, 3);
	numbers_add(&numbers, 12, &verdict);
	assert_int_equal(verdict.damaged, 1);
	assert_int_equal(verdict.reordered, 1);
	assert_int_equal(numbers.next, 12);
	numbers_finish(&numbers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intact),	cmocka_unit_test(test_every_byte_counts),
		cmocka_unit_test(test_length),	cmocka_unit_test(test_leaked),
		cmocka_unit_test(test_spoofed), cmocka_unit_test(test_hostile_in_its_own_name),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
