/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts of clients that know the Extended Clipboard: an honest one, and others. */
#include "viewer_bench.h"

#include <zlib.h>

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

#define EXTENDED ((int32_t)0xc0a1e5ceu)
#define CAPS	 0x01000000u
#define REQUEST	 0x02000000u
#define NOTIFY	 0x08000000u
#define PROVIDE	 0x10000000u
#define TEXT	 1u

static void daemon_hear_cut(struct bench *bench, const char *text, size_t bytes)
{
	static struct {
		struct viewer_message message;
		char text[VIEWER_CUT_MAX + 1];
	} packet;
	ssize_t received;

	bench_wait_for(bench->daemon, POLLIN);
	received = recv(bench->daemon, &packet, sizeof(packet), MSG_TRUNC);
	assert_int_equal(received, sizeof(packet.message) + bytes);
	assert_int_equal(packet.message.kind, VIEWER_CUT);
	assert_int_equal(packet.message.number, bytes);
	assert_memory_equal(packet.text, text, bytes);
}

/* ---- what the client says ---- */

static void say_flags(struct bench *bench, uint32_t flags, const void *rest, size_t rest_bytes)
{
	uint8_t head[12] = { 6 };

	big32_put(head + 4, -(uint32_t)(4 + rest_bytes));
	big32_put(head + 8, flags);
	client_say(bench, head, sizeof(head));
	client_say(bench, rest, rest_bytes);
}

/* `length` is what it says of the text, with its NUL. */
static void provide(struct bench *bench, uint32_t length, const char *text, size_t bytes)
{
	static uint8_t plain[4 + (1 << 20)], packed[1 << 20];
	uLongf packed_bytes = sizeof(packed);

	big32_put(plain, length);
	memcpy(plain + 4, text, bytes);
	plain[4 + bytes] = '\0';
	assert_int_equal(compress(packed, &packed_bytes, plain, 4 + bytes + 1), Z_OK);
	say_flags(bench, PROVIDE | TEXT, packed, packed_bytes);
}

static void expect_answer(struct bench *bench, uint32_t flags, uint32_t numbers)
{
	uint8_t message[16];

	client_hear(bench, message, 12 + 4 * numbers);
	assert_int_equal(message[0], 3);
	assert_int_equal(big32_get(message + 4), (uint32_t)-(4 + 4 * (int32_t)numbers));
	assert_int_equal(big32_get(message + 8), flags);
}

static void meet(struct bench *bench)
{
	const int32_t encodings[] = { 0, EXTENDED };

	bench_meet(bench, WIDTH, HEIGHT);
	client_set_encodings(bench, encodings, 2);
	expect_answer(bench, CAPS | NOTIFY | PROVIDE | TEXT, 1);
}

/* ---- tests ---- */

static void takes_what_it_is_told_of(void **state)
{
	static const char text[] = "\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80\r\n";
	struct bench *bench = *state;
	uint8_t size[4] = { 0 };

	meet(bench);
	say_flags(bench, CAPS | NOTIFY | PROVIDE | TEXT, size, sizeof(size));
	say_flags(bench, NOTIFY | TEXT, NULL, 0);
	expect_answer(bench, REQUEST | TEXT, 0);
	provide(bench, sizeof(text), text, sizeof(text) - 1);
	daemon_hear_cut(bench, text, sizeof(text) - 1);
	/* It has none any more, or none that is a text. */
	say_flags(bench, NOTIFY, NULL, 0);
	/* It wants what there is: nothing. */
	say_flags(bench, REQUEST | TEXT, NULL, 0);
	/* Unasked. */
	provide(bench, 2, "x", 1);
	daemon_hear_cut(bench, "x", 1);
	bench_sync(bench);
}

/* Not finished, as of a stream that goes on with the next text. */
static void takes_a_text_byte_by_byte(void **state)
{
	static const uint8_t plain[] = { 0, 0, 0, 5, 0xe2, 0x82, 0xac, '!', 0 };
	struct bench *bench = *state;
	uint8_t message[128] = { 6 };
	z_stream stream = { .next_in = (Bytef *)plain,
			    .avail_in = sizeof(plain),
			    .next_out = message + 12,
			    .avail_out = sizeof(message) - 12 };
	size_t bytes;

	assert_int_equal(deflateInit(&stream, 6), Z_OK);
	assert_int_equal(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
	bytes = sizeof(message) - stream.avail_out;
	deflateEnd(&stream);
	big32_put(message + 4, -(uint32_t)(bytes - 8));
	big32_put(message + 8, PROVIDE | TEXT);
	meet(bench);
	for (size_t i = 0; i < bytes; i++)
		client_say(bench, message + i, 1);
	daemon_hear_cut(bench, "\xe2\x82\xac!", 4);
}

/* And none from before stays in its place. */
static void takes_texts_up_to_a_length(void **state)
{
	static char text[1 << 19];
	struct bench *bench = *state;

	memset(text, 'x', sizeof(text));
	meet(bench);
	provide(bench, VIEWER_CUT_MAX + 1, text, VIEWER_CUT_MAX);
	daemon_hear_cut(bench, text, VIEWER_CUT_MAX);
	provide(bench, VIEWER_CUT_MAX + 2, text, VIEWER_CUT_MAX + 1);
	daemon_hear_cut(bench, "", 0);
	provide(bench, UINT32_MAX, text, sizeof(text));
	daemon_hear_cut(bench, "", 0);
	/* More than it says: what is behind is not looked at. */
	provide(bench, 4, text, sizeof(text));
	daemon_hear_cut(bench, "xxxx", 4);
	provide(bench, 0, text, sizeof(text));
	daemon_hear_cut(bench, "", 0);
	bench_sync(bench);
}

static void sees_through_what_is_torn(void **state)
{
	static const uint8_t noise[] = "this was never compressed";
	struct bench *bench = *state;

	meet(bench);
	/* Less than it says. */
	provide(bench, 100, "x", 1);
	daemon_hear_cut(bench, "", 0);
	say_flags(bench, PROVIDE | TEXT, noise, sizeof(noise));
	daemon_hear_cut(bench, "", 0);
	say_flags(bench, PROVIDE | TEXT, NULL, 0);
	daemon_hear_cut(bench, "", 0);
	/* Of another format. */
	say_flags(bench, PROVIDE | 4, noise, sizeof(noise));
	say_flags(bench, 0, noise, sizeof(noise));
	bench_sync(bench);
}

/* Shorter than its flags, or longer than any. */
static void ends_with_lengths_that_there_are_not(void **state)
{
	static const uint32_t lengths[] = { UINT32_MAX, UINT32_MAX - 2, 0x80000000u, 0xfeffffffu };

	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct bench bench;
		uint8_t head[12] = { 6 };

		bench_start(&bench);
		meet(&bench);
		big32_put(head + 4, lengths[i]);
		client_say(&bench, head, sizeof(head));
		bench_await_end(&bench);
		bench_stop(&bench);
	}
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(takes_what_it_is_told_of),
		BENCH_TEST(takes_a_text_byte_by_byte),
		BENCH_TEST(takes_texts_up_to_a_length),
		BENCH_TEST(sees_through_what_is_torn),
		cmocka_unit_test(ends_with_lengths_that_there_are_not),
	};

	return cmocka_run_group_tests_name("viewer_clipboard", tests, NULL, NULL);
}
