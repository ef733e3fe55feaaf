/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A QEMU that lies, floods, stands still or goes away: what it costs, and that it ends. */
#include "display_bench.h"

#include <stdlib.h>

#include "core/sanitized.h"

/* A build with a sanitizer keeps memory that was freed. */
#define UPDATES	     (SANITIZED ? 20000u : 200000u)
#define GROWTH_BYTES (16u << 20)

static const uint32_t dot = 0x123456;
static const struct fake_pixels dot_pixels = { 4, X8R8G8B8, &dot, 4 };

static void say_key(struct fake_qemu *qemu, uint32_t code, uint32_t down)
{
	daemon_say(qemu,
		   (struct vmm_display_message){ .kind = VMM_DISPLAY_KEY, .number = code, .down = down });
}

/* What the process has in memory. */
static size_t resident_bytes(const struct fake_qemu *qemu)
{
	char path[64];
	char text[128] = "", *after;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", qemu->pid);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	/* The first number is what it has mapped. */
	strtoul(text, &after, 10);
	return strtoul(after, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- lies ---- */

static void sees_through_scanouts(void **state)
{
	static const struct {
		uint32_t width, height, stride, format;
		size_t count;
	} lies[] = {
		{ 0, 1, 4, X8R8G8B8, 4 },
		{ 1, 0, 4, X8R8G8B8, 4 },
		{ VMM_DISPLAY_SIDE_MAX + 1, 1, 4 * (VMM_DISPLAY_SIDE_MAX + 1), X8R8G8B8, 32772 },
		{ 1, VMM_DISPLAY_SIDE_MAX + 1, 4, X8R8G8B8, 32772 },
		{ UINT32_MAX, UINT32_MAX, UINT32_MAX, X8R8G8B8, 4 },
		{ 2, 2, 4, X8R8G8B8, 16 }, /* lines overlap */
		{ 2, 2, 9, X8R8G8B8, 24 }, /* lines begin between pixels */
		{ 2, 2, 8, X8R8G8B8, 15 }, /* a byte is missing */
		{ 2, 2, 8, X8R8G8B8, 0 },
		{ 1, 3, 0x80000000, X8R8G8B8, 64 }, /* 2^32 bytes and a pixel */
		{ 1, 2, 0xfffffffc, X8R8G8B8, 64 },
		{ 8192, 8192, 0x40000, X8R8G8B8, 64 }, /* 2^31 bytes */
		{ 1, 1, 4, 0, 4 },		       /* no format */
		{ 1, 1, 4, 0x08040000, 4 },	       /* c8: has a palette */
		{ 16, 16, 16, 0x0c070000, 256 },       /* yv12: three planes */
		{ 1, 1, 4, UINT32_MAX, 4 },
	};
	static uint8_t bytes[65536];
	struct fake_qemu *qemu = *state;

	for (unsigned i = 0; i < sizeof(lies) / sizeof(*lies); i++)
		assert_true(fake_scanout(
			qemu, lies[i].width, lies[i].height,
			(struct fake_pixels){ lies[i].stride, lies[i].format, bytes, lies[i].count }));
	assert_false(fake_has_news(qemu));
	/* The longest sides that are none. */
	assert_false(fake_scanout(qemu, VMM_DISPLAY_SIDE_MAX, 1,
				  (struct fake_pixels){ 32768, X8R8G8B8, bytes, 32768 }));
	assert_int_equal(fake_next(qemu)->message.width, VMM_DISPLAY_SIDE_MAX);
	daemon_take(qemu);
	assert_false(fake_scanout(qemu, 1, VMM_DISPLAY_SIDE_MAX,
				  (struct fake_pixels){ 4, X8R8G8B8, bytes, 32768 }));
	assert_int_equal(fake_next(qemu)->message.height, VMM_DISPLAY_SIDE_MAX);
}

static void sees_through_updates(void **state)
{
	static const int32_t lies[][4] = {
		{ -1, 0, 1, 1 }, { 0, -1, 1, 1 },	 { 8, 0, 1, 1 },	 { 0, 8, 1, 1 },
		{ 7, 0, 2, 1 },	 { 0, 7, 1, 2 },	 { 0, 0, 0, 1 },	 { 0, 0, 1, 0 },
		{ 0, 0, -1, 1 }, { 0, 0, 1, -1 },	 { INT32_MAX, 0, 1, 1 }, { INT32_MIN, 0, 1, 1 },
		{ 0, 0, 9, 1 },	 { 1, 1, INT32_MAX, 1 }, { 0, INT32_MAX, 1, 1 }, { 0, 0, 1, INT32_MIN },
	};
	static uint32_t pixels[16];
	struct fake_qemu *qemu = *state;

	/* Before there is a picture nothing is inside of it. */
	assert_true(fake_update(qemu, 0, 0, 1, 1, dot_pixels));
	fake_fill(qemu, 8, 8, 0);
	daemon_take(qemu);
	for (unsigned i = 0; i < sizeof(lies) / sizeof(*lies); i++)
		assert_true(fake_update(qemu, lies[i][0], lies[i][1], lies[i][2], lies[i][3],
					(struct fake_pixels){ 32, X8R8G8B8, pixels, sizeof(pixels) }));
	/* Inside, but its bytes are not there. */
	assert_true(fake_update(qemu, 0, 0, 8, 3, (struct fake_pixels){ 32, X8R8G8B8, pixels, 64 }));
	assert_false(fake_has_news(qemu));
	assert_false(fake_update(qemu, 7, 7, 1, 1, dot_pixels));
	assert_int_equal(fake_next(qemu)->message.kind, VMM_DISPLAY_DAMAGE);
}

/* sd-bus compares the types with ours. */
static void refuses_other_types(void **state)
{
	struct fake_qemu *qemu = *state;
	sd_bus_message *call = fake_call(qemu, "Scanout");

	assert_true(sd_bus_message_append(call, "ss", "wide", "high") >= 0);
	fake_send(qemu, call);
	assert_true(fake_wait(qemu));
	call = fake_call(qemu, "Update");
	assert_true(sd_bus_message_append(call, "uuuuuuay", 0, 0, 1, 1, 4, X8R8G8B8, 0) >= 0);
	fake_send(qemu, call);
	assert_true(fake_wait(qemu));
	fake_send(qemu, fake_call(qemu, "Explode"));
	assert_true(fake_wait(qemu));
	assert_false(fake_has_news(qemu));
}

/* Memory of a graphics card cannot be shown: the picture before would be an old one. */
static void refuses_dmabufs(void **state)
{
	struct fake_qemu *qemu = *state;
	sd_bus_message *call;

	fake_fill(qemu, 8, 8, 0x777777);
	daemon_take(qemu);
	call = fake_call(qemu, "ScanoutDMABUF");
	assert_true(sd_bus_message_append(call, "huuuutb", STDERR_FILENO, 8, 8, 32, 0, (uint64_t)0, 0) >= 0);
	fake_send(qemu, call);
	assert_true(fake_wait(qemu));
	assert_int_equal(fake_next(qemu)->message.kind, VMM_DISPLAY_DARK);
	call = fake_call(qemu, "UpdateDMABUF");
	assert_true(sd_bus_message_append(call, "iiii", 0, 0, 8, 8) >= 0);
	fake_send(qemu, call);
	assert_true(fake_wait(qemu));
	assert_false(fake_has_news(qemu));
}

/* ---- floods ---- */

static void send_unanswered(struct fake_qemu *qemu, sd_bus_message *call)
{
	assert_true(sd_bus_message_set_expect_reply(call, 0) >= 0);
	assert_true(sd_bus_send(qemu->listener, call, NULL) >= 0);
	sd_bus_message_unref(call);
}

static bool is_unsent(struct fake_qemu *qemu)
{
	uint64_t count;

	assert_true(sd_bus_get_n_queued_write(qemu->listener, &count) >= 0);
	return count > 0;
}

/* However much is drawn, the daemon that does not take it hears of it once. */
static void draws_without_end(void **state)
{
	struct fake_qemu *qemu = *state;
	size_t before;

	fake_fill(qemu, 32, 32, 0);
	before = resident_bytes(qemu);
	for (uint32_t i = 0; i < UPDATES; i++) {
		int32_t rect[4] = { (int32_t)(i % 32), (int32_t)(i / 32 % 32), 1, 1 };

		send_unanswered(qemu, fake_update_call(qemu, rect, dot_pixels));
		if (is_unsent(qemu))
			fake_step(qemu);
	}
	assert_false(fake_has_news(qemu));
	assert_true(SANITIZED || resident_bytes(qemu) < before + GROWTH_BYTES);
	daemon_take(qemu);
	assert_int_equal(fake_next(qemu)->message.width, 32);
}

/* Pictures of ever other sizes: the process has one of them at a time. */
static void changes_size_without_end(void **state)
{
	static uint32_t pixels[512 * 513];
	struct fake_qemu *qemu = *state;
	size_t before;

	fake_fill(qemu, 1, 1, 0);
	before = resident_bytes(qemu);
	for (uint32_t i = 0; i < 200; i++)
		assert_false(fake_scanout(qemu, 512, 512 + i % 2,
					  (struct fake_pixels){ 2048, X8R8G8B8, pixels, sizeof(pixels) }));
	assert_true(SANITIZED || resident_bytes(qemu) < before + GROWTH_BYTES);
	assert_false(fake_has_news(qemu));
}

/*
 * It asks, and does not read the answers: it is not read from, either, until it does. Meanwhile keys reach
 * it.
 */
static void reads_no_answers(void **state)
{
	struct fake_qemu *qemu = *state;
	unsigned sent = 0;
	size_t before = resident_bytes(qemu);

	while (!is_unsent(qemu) || sent % 1000 != 0) {
		sd_bus_message *call = fake_call(qemu, "Disable");

		assert_true(sd_bus_call_async(qemu->listener, NULL, call, fake_on_answer, qemu, UINT64_MAX) >=
			    0);
		sd_bus_message_unref(call);
		assert_true(++sent < 400000);
	}
	/* Its other connection works, and still nothing more is taken from this one. */
	for (unsigned i = 0; i < 50; i++) {
		unsigned calls = qemu->call_count;

		say_key(qemu, KEY_A, 1);
		say_key(qemu, KEY_A, 0);
		AWAIT(qemu->call_count == calls + 2, (fake_read(qemu), fake_process(&qemu->control)));
	}
	assert_true(is_unsent(qemu));
	assert_true(SANITIZED || resident_bytes(qemu) < before + GROWTH_BYTES);
	sent += qemu->answers;
	UNTIL(qemu, qemu->answers >= sent);
	fake_settle(qemu);
}

/* Presses are lost as a whole, and are counted; and what is down comes up. */
static void answers_no_keys(void **state)
{
	struct fake_qemu *qemu = *state;
	unsigned presses = 0, releases = 0;

	say_key(qemu, KEY_LEFTSHIFT, 1);
	UNTIL(qemu, qemu->call_count == 1);
	qemu->is_mute = true;
	for (unsigned i = 0; i < 600; i++) {
		say_key(qemu, KEY_A, 1);
		say_key(qemu, KEY_A, 0);
		if (i % 20 == 0)
			fake_step(qemu);
	}
	say_key(qemu, KEY_LEFTSHIFT, 0);
	UNTIL(qemu, qemu->keys.x == SETTLE_KEYS + 1202);
	assert_in_range(qemu->call_count, 2, 32);
	/* When it answers, it is typed on. */
	assert_int_equal(qemu->held_count + 1, qemu->call_count);
	fake_answer_held(qemu);
	UNTIL(qemu, strcmp(qemu->calls[qemu->call_count - 1].text, "Keyboard Release 42") == 0);
	for (unsigned i = 1; i < qemu->call_count; i++) {
		presses += strcmp(qemu->calls[i].text, "Keyboard Press 30") == 0;
		releases += strcmp(qemu->calls[i].text, "Keyboard Release 30") == 0;
	}
	assert_int_equal(presses, releases);
	assert_in_range(presses, VMM_DISPLAY_KEYS_MAX / 2 - 2, VMM_DISPLAY_KEYS_MAX / 2 + 8);
	UNTIL(qemu, qemu->keys.y == 0);
	assert_int_equal(qemu->keys.width, 600 - presses);
	fake_settle(qemu);
}

/* Of the property's changes, however many it tells, one is asked for at a time. */
static void signals_without_end(void **state)
{
	struct fake_qemu *qemu = *state;
	unsigned questions = qemu->questions;

	qemu->is_dumb = true;
	for (unsigned i = 0; i < 1000; i++)
		assert_true(sd_bus_emit_signal(qemu->control, qemu->graphic,
					       "org.freedesktop.DBus.Properties", "PropertiesChanged",
					       "sa{sv}as", "org.qemu.Display1.Mouse", 0, 0) >= 0);
	UNTIL(qemu, qemu->questions == questions + 4);
	fake_settle(qemu);
	assert_int_equal(qemu->questions, questions + 4);
}

static void sends_an_endless_line(void **state)
{
	static char letters[4096];
	struct fake_qemu *qemu = *state;
	struct fake_news *news;

	memset(letters, 'x', sizeof(letters));
	while (!qemu->is_over && qemu->news_count == 0) {
		ssize_t sent = fd_send(qemu->qmp, letters, sizeof(letters), NULL, 0);

		if (sent == -EPIPE || sent == -ECONNRESET)
			break;
		fake_step(qemu);
	}
	news = fake_next(qemu);
	assert_int_equal(news->message.kind, VMM_DISPLAY_REFUSED);
	assert_non_null(strstr(news->message.text, "no end"));
	fake_expect_end(qemu);
}

/* ---- standing still and going away ---- */

/* The daemon is let go at once by a process whose QEMU answers nothing. */
static void says_nothing(void **state)
{
	struct fake_qemu *qemu = *state;

	fd_close(&qemu->daemon);
	fake_expect_end(qemu);
}

static void speaks_no_dbus(void **state)
{
	struct fake_qemu *qemu = *state;

	qemu->is_dumb = true;
	fake_write(qemu, GREETING);
	UNTIL(qemu, qemu->commands == 1);
	fake_write(qemu, "{\"return\": {}}\r\n");
	UNTIL(qemu, qemu->commands == 2);
	fake_write(qemu, "{\"return\": {}}\r\n{\"return\": {}}\r\n");
	assert_true(fd_send(qemu->display, "REJECTED\r\nwhat\r\n\xff\r\n", 19, NULL, 0) > 0);
	fake_expect_end(qemu);
}

static void close_all(struct fake_qemu *qemu)
{
	fd_close(&qemu->qmp);
	fd_close(&qemu->display);
	fake_close(&qemu->control);
	fake_close(&qemu->listener);
}

/* QEMU goes when it has had so many commands and questions. */
static void goes_at_every_stage(void **state)
{
	for (unsigned stage = 0; stage <= 11; stage++) {
		struct fake_qemu *qemu;

		fake_setup(state);
		qemu = *state;
		fake_write(qemu, GREETING);
		UNTIL(qemu, qemu->commands + qemu->questions + qemu->registrations * 2 >= stage);
		close_all(qemu);
		fake_expect_end(qemu);
		fake_teardown(state);
	}
}

static void closes_its_display(void **state)
{
	struct fake_qemu *qemu = *state;

	fake_close(&qemu->control);
	fake_expect_end(qemu);
}

static void closes_its_listener(void **state)
{
	struct fake_qemu *qemu = *state;

	fake_close(&qemu->listener);
	fake_expect_end(qemu);
}

/* The daemon goes while QEMU draws, and reads nothing. */
static void goes_with_the_daemon_in_a_flood(void **state)
{
	struct fake_qemu *qemu = *state;

	while (!is_unsent(qemu)) {
		sd_bus_message *call = fake_call(qemu, "Disable");

		fake_send(qemu, call);
	}
	fd_close(&qemu->daemon);
	AWAIT(waitpid(qemu->pid, NULL, WNOHANG) == qemu->pid, poll(NULL, 0, 1));
	qemu->pid = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DISPLAY_TEST(sees_through_scanouts),
		DISPLAY_TEST(sees_through_updates),
		DISPLAY_TEST(refuses_other_types),
		DISPLAY_TEST(refuses_dmabufs),
		DISPLAY_TEST(draws_without_end),
		DISPLAY_TEST(changes_size_without_end),
		DISPLAY_TEST(reads_no_answers),
		DISPLAY_TEST(answers_no_keys),
		DISPLAY_TEST(signals_without_end),
		BARE_TEST(sends_an_endless_line),
		BARE_TEST(says_nothing),
		BARE_TEST(speaks_no_dbus),
		cmocka_unit_test(goes_at_every_stage),
		DISPLAY_TEST(closes_its_display),
		DISPLAY_TEST(closes_its_listener),
		DISPLAY_TEST(goes_with_the_daemon_in_a_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
