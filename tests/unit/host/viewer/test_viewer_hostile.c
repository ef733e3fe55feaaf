/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients that say what they must not, or nothing, or do not listen; and what a daemon never sends. */
#include "viewer_bench.h"

#define LARGE_SIDE 2048u

/* Bytes of memory that the process has. */
static size_t resident_bytes(const struct bench *bench)
{
	char path[64], line[128], *resident;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)bench->viewer);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_non_null(fgets(line, sizeof(line), file));
	fclose(file);
	/* The first is all that is mapped. */
	resident = strchr(line, ' ');
	assert_non_null(resident);
	return strtoul(resident, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

/* The process waits: a process that turns in a circle never does. */
static void await_rest(struct bench *bench)
{
	AWAIT(bench_state(bench) == 'S', (void)0);
}

static void ends_after(const char *hello, size_t hello_bytes, bool shakes_hands)
{
	struct bench bench;

	bench_start(&bench);
	if (shakes_hands) {
		bench_meet(&bench, WIDTH, HEIGHT);
	} else {
		daemon_hear_kind(&bench, VIEWER_READY);
		daemon_show(&bench, WIDTH, HEIGHT);
	}
	client_say(&bench, hello, hello_bytes);
	client_hear_end(&bench);
	daemon_hear_end(&bench);
	bench_await_end(&bench);
	bench_stop(&bench);
}

#define ENDS_AFTER(hello, shakes_hands) ends_after(hello, sizeof(hello) - 1, shakes_hands)

static void refuses_what_is_no_handshake(void **state)
{
	ENDS_AFTER("GET / HTTP/1.1\r\n\r\n", false);
	ENDS_AFTER("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00", false);
	ENDS_AFTER("RFB 004.001\n", false);
	ENDS_AFTER("RFB 003.008 ", false);
	ENDS_AFTER("RFB 003.008\n\2", false);  /* a password */
	ENDS_AFTER("RFB 003.008\n\20", false); /* TightVNC's, with files */
	(void)state;
}

static void refuses_messages(void **state)
{
	/* Kinds of pixels: 24 bits, a colour map, a depth or a channel larger than the pixel, no channel. */
	ENDS_AFTER("\0\0\0\0\x18\x18\0\1\0\xff\0\xff\0\xff\x10\x8\0\0\0\0", true);
	ENDS_AFTER("\0\0\0\0\x08\x08\0\0\0\x7\0\x7\0\x3\0\3\6\0\0\0", true);
	ENDS_AFTER("\0\0\0\0\x10\x18\0\1\0\xff\0\xff\0\xff\0\4\x8\0\0\0", true);
	ENDS_AFTER("\0\0\0\0\x20\x18\0\1\0\xff\0\xff\0\xff\x19\x8\0\0\0\0", true);
	ENDS_AFTER("\0\0\0\0\x20\x18\0\1\0\xff\0\xff\0\xff\xff\x8\0\0\0\0", true);
	ENDS_AFTER("\0\0\0\0\x20\x18\0\1\0\xfe\0\xff\0\xff\x10\x8\0\0\0\0", true);
	ENDS_AFTER("\0\0\0\0\x20\x18\0\1\0\0\0\xff\0\xff\x10\x8\0\0\0\0", true);
	/* More encodings than there are. */
	ENDS_AFTER("\2\0\xff\xff", true);
	/* Clipboards of 2 GiB; of the extended kind, whose length is negative; and one without flags. */
	ENDS_AFTER("\6\0\0\0\x7f\xff\xff\xff", true);
	ENDS_AFTER("\6\0\0\0\x80\0\0\0", true);
	ENDS_AFTER("\6\0\0\0\xff\xff\xff\xfd", true);
	/* A colour map, a file, a scale, a chat, power, sound, and what nobody knows. */
	ENDS_AFTER("\1\0\0\0\0\0", true);
	ENDS_AFTER("\7\1\0\0\0\0\0\0\0\0\0\0", true);
	ENDS_AFTER("\x8\2\0\0", true);
	ENDS_AFTER("\xf\2\0\0", true);
	ENDS_AFTER("\xb\0\0\0\0\0\x8\0", true);
	ENDS_AFTER("\xfa\0\1\2", true);
	ENDS_AFTER("\xff\1\0\0", true);
	ENDS_AFTER("\x63", true);
	(void)state;
}

static void survives_noise(void **state)
{
	enum { STREAMS = 60, BYTES = 4000 };

	srandom(1);
	for (unsigned i = 0; i < STREAMS; i++) {
		struct bench bench;
		char noise[BYTES];

		bench_start(&bench);
		bench_meet(&bench, WIDTH, HEIGHT);
		for (unsigned j = 0; j < BYTES; j++)
			noise[j] = (char)(random() % (j % 3 ? 256 : 8));
		/* It may end before all is said. */
		send(bench.client, noise, BYTES, MSG_NOSIGNAL);
		fd_close(&bench.client);
		bench_await_end(&bench);
		bench_stop(&bench);
	}
	(void)state;
}

/* Half of each kind of message: the process waits, and ends with the daemon. */
static void waits_for_the_rest(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
	} halves[] = {
		{ "\0\0", 2 },
		{ "\2\0\0\x10\0", 5 },
		{ "\3", 1 },
		{ "\4\1\0", 3 },
		{ "\5\0\0\1\0", 5 },
		{ "\6\0\0\0\0\0", 6 },
		{ "\6\0\0\0\0\0\x10\0Hello", 13 },
		{ "\xfb\0\1\0\1\0\5\0", 8 },
		{ "\xff\0\0", 3 },
	};

	for (unsigned i = 0; i < sizeof(halves) / sizeof(halves[0]); i++) {
		struct bench bench;

		bench_start(&bench);
		bench_meet(&bench, WIDTH, HEIGHT);
		bench_sync(&bench);
		client_say(&bench, halves[i].bytes, halves[i].count);
		await_rest(&bench);
		/* The daemon is heard meanwhile. */
		daemon_show(&bench, WIDTH, HEIGHT);
		await_rest(&bench);
		fd_close(&bench.daemon);
		bench_await_end(&bench);
		bench_stop(&bench);
	}
	(void)state;
}

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

static void takes_messages_byte_by_byte(void **state)
{
	struct bench *bench = *state;
	const uint8_t stream[] = { 6, 0, 0, 0, 0, 0, 0, 3, 'c', 0xfc, 't', 4, 1, 0, 0, 0, 0, 0, 'a' };

	bench_meet(bench, WIDTH, HEIGHT);
	for (size_t i = 0; i < sizeof(stream); i++) {
		client_say(bench, stream + i, 1);
		await_rest(bench);
	}
	daemon_hear_cut(bench, "c\xc3\xbct", 4);
	assert_int_equal(daemon_hear(bench).number, 'a');
}

static void skips_clipboards_without_keeping_them(void **state)
{
	static char cut[8 + (15 << 20)] = { 6, 0, 0, 0, 0, (char)0xf0 };
	struct bench *bench = *state;
	size_t before;

	bench_meet(bench, WIDTH, HEIGHT);
	bench_sync(bench);
	before = resident_bytes(bench);
	memset(cut + 8, 4, sizeof(cut) - 8);
	client_say(bench, cut, sizeof(cut));
	/* Nor does one from before stay. */
	daemon_hear_cut(bench, "", 0);
	bench_sync(bench);
	assert_true(resident_bytes(bench) < before + (4u << 20));
}

/* In UTF-8. */
static void takes_texts_up_to_a_length(void **state)
{
	static uint8_t cut[8 + VIEWER_CUT_MAX + 1] = { 6 };
	static char wanted[VIEWER_CUT_MAX];
	struct bench *bench = *state;

	bench_meet(bench, WIDTH, HEIGHT);
	memset(cut + 8, 'x', sizeof(cut) - 8);
	memset(wanted, 'x', sizeof(wanted));
	big32_put(cut + 4, VIEWER_CUT_MAX);
	client_say(bench, cut, sizeof(cut) - 1);
	daemon_hear_cut(bench, wanted, VIEWER_CUT_MAX);
	big32_put(cut + 4, VIEWER_CUT_MAX + 1);
	client_say(bench, cut, sizeof(cut));
	daemon_hear_cut(bench, "", 0);
	/* The last byte is two of UTF-8. */
	cut[8 + VIEWER_CUT_MAX - 1] = 0xe9;
	big32_put(cut + 4, VIEWER_CUT_MAX);
	client_say(bench, cut, sizeof(cut) - 1);
	daemon_hear_cut(bench, "", 0);
	cut[8] = 0xe9;
	big32_put(cut + 4, 1);
	client_say(bench, cut, 9);
	daemon_hear_cut(bench, "\xc3\xa9", 2);
	big32_put(cut + 4, 0);
	client_say(bench, cut, 8);
	daemon_hear_cut(bench, "", 0);
	bench_sync(bench);
}

/* It asks for single pixels, far apart; beyond a number of them, it has asked for all between them. */
static void keeps_requests_simple(void **state)
{
	struct bench *bench = *state;

	bench_meet(bench, WIDTH, HEIGHT);
	bench_settle(bench);
	daemon_damage(bench, 0, 0, 1, 1);
	assert_int_equal(client_take_update(bench), 1);
	for (uint32_t y = 0; y < HEIGHT; y += 2) {
		for (uint32_t x = 0; x < WIDTH; x += 2)
			client_request_part(bench, true, x, y, 1, 1);
	}
	daemon_hear_kind(bench, VIEWER_READY);
	bench_sync(bench);
	daemon_damage(bench, 1, 1, 1, 1);
	assert_int_equal(client_take_update(bench), 1);
}

/* Requests that are empty, or lie outside of the screen, ask for nothing. */
static void survives_requests_for_nothing(void **state)
{
	static const uint32_t parts[][4] = {
		{ 0, 0, 0, 0 },
		{ 5, 5, 0, 1 },
		{ WIDTH, 0, 1, 1 },
		{ 0, HEIGHT, 1, 1 },
		{ 65535, 65535, 65535, 1 },
		{ WIDTH, HEIGHT, 0, 0 },
	};
	struct bench *bench = *state;

	bench_meet(bench, WIDTH, HEIGHT);
	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		client_request_part(bench, i % 2, parts[i][0], parts[i][1], parts[i][2], parts[i][3]);
	bench_sync(bench);
	assert_true(client_hears_nothing(bench));
	client_request_part(bench, false, WIDTH - 1, HEIGHT - 1, 65535, 65535);
	assert_int_equal(client_take_update(bench), 1);
}

/* A picture of 16 MiB, of which the client reads nothing. */
static void is_not_held_by_a_client_that_does_not_read(void **state)
{
	struct bench *bench = *state;

	bench_meet(bench, LARGE_SIDE, LARGE_SIDE);
	client_request(bench, false);
	bench_wait_for(bench->client, POLLIN);
	/* The keys of such a client are heard. */
	bench_sync(bench);
	await_rest(bench);
	fd_close(&bench->daemon);
	bench_await_end(bench);
}

/* It keeps one picture for such a client, however often it asks. */
static void keeps_one_picture_for_a_client_that_does_not_read(void **state)
{
	struct bench *bench = *state;
	size_t before;

	bench_meet(bench, LARGE_SIDE, LARGE_SIDE);
	client_request(bench, false);
	bench_sync(bench);
	before = resident_bytes(bench);
	for (unsigned i = 0; i < 100; i++) {
		client_request(bench, false);
		daemon_damage(bench, 0, 0, LARGE_SIDE, LARGE_SIDE);
		bench_sync(bench);
	}
	assert_true(resident_bytes(bench) < before + (4u << 20));
}

/* When it reads at last, it gets all that it was promised. */
static void continues_when_the_client_reads_again(void **state)
{
	struct bench *bench = *state;

	bench_meet(bench, LARGE_SIDE, LARGE_SIDE);
	client_request(bench, false);
	bench_sync(bench);
	await_rest(bench);
	assert_int_equal(client_take_update(bench), LARGE_SIDE * LARGE_SIDE);
	assert_same_picture(bench);
	client_request(bench, true);
	daemon_hear_kind(bench, VIEWER_READY);
}

/* ---- what a daemon never sends ---- */

static void ends_after_packet(const void *packet, size_t bytes, int fd)
{
	struct bench bench;

	bench_start(&bench);
	daemon_hear_kind(&bench, VIEWER_READY);
	assert_int_equal(fd_send(bench.daemon, packet, bytes, &fd, fd >= 0), bytes);
	client_hear_end(&bench);
	bench_await_end(&bench);
	bench_stop(&bench);
	if (fd >= 0)
		close(fd);
}

static void ends_after_screen(struct viewer_message message, int fd)
{
	ends_after_packet(&message, sizeof(message), fd);
}

static int file_of(size_t bytes)
{
	int fd = fd_memfd("screen", bytes);

	assert_true(fd >= 0);
	return fd;
}

static void refuses_screens(void **state)
{
	struct viewer_message good = screen_message(WIDTH, HEIGHT), bad = good;
	size_t bytes = (size_t)good.stride_bytes * HEIGHT;

	ends_after_screen(good, file_of(bytes - 1));
	ends_after_screen(good, -1);
	ends_after_screen(good, socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	bad.stride_bytes = WIDTH * 4 - 4;
	ends_after_screen(bad, file_of(bytes));
	bad.stride_bytes = WIDTH * 4 + 1;
	ends_after_screen(bad, file_of(bytes));
	bad = good;
	bad.width = 0;
	ends_after_screen(bad, file_of(bytes));
	bad = good;
	bad.height = 0;
	ends_after_screen(bad, file_of(bytes));
	/* In 32 bits the product is 0. */
	bad.height = 0x1000;
	bad.stride_bytes = 0x100000;
	ends_after_screen(bad, file_of(bytes));
	bad = good;
	bad.width = VIEWER_SIDE_MAX + 1;
	bad.stride_bytes = bad.width * 4;
	bad.height = 1;
	ends_after_screen(bad, file_of(bad.stride_bytes));
	bad = good;
	memset(bad.name, 'x', sizeof(bad.name));
	ends_after_screen(bad, file_of(bytes));
	(void)state;
}

static void refuses_packets(void **state)
{
	struct viewer_message message = { .kind = VIEWER_DAMAGE };
	char packet[sizeof(message) + 1] = { VIEWER_END };

	/* Damage without a screen, a kind that is none, too few bytes, and too many. */
	ends_after_packet(&message, sizeof(message), -1);
	message.kind = 77;
	ends_after_packet(&message, sizeof(message), -1);
	ends_after_packet(packet, sizeof(message) - 1, -1);
	ends_after_packet(packet, sizeof(packet), -1);
	(void)state;
}

static void refuses_damage(void **state)
{
	static const struct viewer_rect rects[] = {
		{ WIDTH, 0, 1, 1 },
		{ 0, HEIGHT - 1, 1, 2 },
		{ 1, 0, UINT32_MAX, 1 },
		{ UINT32_MAX, 0, 2, 1 },
	};

	for (unsigned i = 0; i < 5; i++) {
		struct viewer_message message = { .kind = VIEWER_DAMAGE, .number = VIEWER_RECTS_MAX + 1 };
		struct bench bench;

		bench_start(&bench);
		bench_meet(&bench, WIDTH, HEIGHT);
		if (i < 4) {
			message.number = 1;
			message.rects[0] = rects[i];
		}
		daemon_say(&bench, &message, -1);
		client_hear_end(&bench);
		bench_await_end(&bench);
		bench_stop(&bench);
	}
	(void)state;
}

/* Each message is answered with more than it is, and no answer is read. */
static void ends_a_client_that_asks_and_does_not_read(void **state)
{
	/* SetEncodings: QEMU's keys and the Extended Clipboard. */
	static const uint8_t message[] = { 2, 0, 0, 2, 0xff, 0xff, 0xfe, 0xfe, 0xc0, 0xa1, 0xe5, 0xce };
	unsigned said = 0, deaf = 0;
	struct bench bench;

	bench_start(&bench);
	bench_meet(&bench, WIDTH, HEIGHT);
	/* The process reads no more when it has ended. */
	while (deaf < 2000) {
		ssize_t sent = send(bench.client, message, sizeof(message), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno != EAGAIN)
			break;
		assert_true(sent < 0 || sent == sizeof(message));
		said += sent > 0;
		assert_true(said < 1000000);
		if (sent < 0) {
			struct pollfd poll_fd = { .fd = bench.client, .events = POLLOUT };

			deaf = poll(&poll_fd, 1, 10) == 0 ? deaf + 1 : 0;
		}
	}
	assert_true(deaf < 2000);
	daemon_hear_end(&bench);
	bench_await_end(&bench);
	bench_stop(&bench);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_what_is_no_handshake),
		cmocka_unit_test(refuses_messages),
		cmocka_unit_test(survives_noise),
		cmocka_unit_test(waits_for_the_rest),
		cmocka_unit_test_setup_teardown(takes_messages_byte_by_byte, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(skips_clipboards_without_keeping_them, bench_setup,
						bench_teardown),
		cmocka_unit_test_setup_teardown(takes_texts_up_to_a_length, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(keeps_requests_simple, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(survives_requests_for_nothing, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(is_not_held_by_a_client_that_does_not_read, bench_setup,
						bench_teardown),
		cmocka_unit_test_setup_teardown(keeps_one_picture_for_a_client_that_does_not_read,
						bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(continues_when_the_client_reads_again, bench_setup,
						bench_teardown),
		cmocka_unit_test(ends_a_client_that_asks_and_does_not_read),
		cmocka_unit_test(refuses_screens),
		cmocka_unit_test(refuses_packets),
		cmocka_unit_test(refuses_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
