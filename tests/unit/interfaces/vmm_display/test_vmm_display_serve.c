/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an honest QEMU and an honest daemon see of the process between them. */
#include "display_bench.h"

/* ---- the picture ---- */

/* Each pixel says where it is. */
static uint32_t pixel_at(unsigned x, unsigned y)
{
	return 0x010000u * x + 0x0100u * y + 0x5au;
}

/* The daemon's view of a surface. */
static const uint32_t *map_surface(const struct fake_news *news)
{
	const struct vmm_display_message *message = &news->message;
	size_t bytes = (size_t)message->stride_bytes * message->height;
	struct stat status;
	const uint32_t *pixels = mmap(NULL, bytes, PROT_READ, MAP_SHARED, news->file, 0);

	assert_ptr_not_equal(pixels, MAP_FAILED);
	assert_int_equal(fstat(news->file, &status), 0);
	assert_int_equal(status.st_size, bytes);
	return pixels;
}

static void unmap_surface(const uint32_t *pixels, const struct fake_news *news)
{
	munmap((void *)pixels, (size_t)news->message.stride_bytes * news->message.height);
}

static void assert_damage(const struct fake_news *news, uint32_t x, uint32_t y, uint32_t width,
			  uint32_t height)
{
	assert_int_equal(news->message.kind, VMM_DISPLAY_DAMAGE);
	assert_int_equal(news->message.x, x);
	assert_int_equal(news->message.y, y);
	assert_int_equal(news->message.width, width);
	assert_int_equal(news->message.height, height);
}

/* Lines of the source are longer than the picture. */
static void shows_the_picture(void **state)
{
	struct fake_qemu *qemu = *state;
	uint32_t source[5][8], patch[2][3] = { { 1, 2, 0xff0000 }, { 4, 5, 0xff0000 } };
	struct fake_news *news;
	const uint32_t *shown;

	for (unsigned i = 0; i < 40; i++)
		source[i / 8][i % 8] = pixel_at(i % 8, i / 8);
	assert_false(fake_scanout(qemu, 6, 5, (struct fake_pixels){ 32, X8R8G8B8, source, sizeof(source) }));
	news = fake_next(qemu);
	assert_int_equal(news->message.kind, VMM_DISPLAY_SURFACE);
	assert_int_equal(news->message.width, 6);
	assert_int_equal(news->message.height, 5);
	assert_int_equal(fcntl(news->file, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	shown = map_surface(news);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(shown[i / 6 * news->message.stride_bytes / 4 + i % 6] & 0xffffff,
				 pixel_at(i % 6, i / 6));
	daemon_take(qemu);
	assert_false(fake_update(qemu, 3, 2, 2, 2, (struct fake_pixels){ 12, X8R8G8B8, patch, 24 }));
	assert_damage(fake_next(qemu), 3, 2, 2, 2);
	for (unsigned i = 0; i < 30; i++) {
		unsigned x = i % 6, y = i / 6;
		bool is_patched = x >= 3 && x < 5 && y >= 2 && y < 4;

		assert_int_equal(shown[i] & 0xffffff, is_patched ? patch[y - 2][x - 3] : pixel_at(x, y));
	}
	unmap_surface(shown, news);
}

/* The same orange in all of them: as exact as the format is. */
static void converts_formats(void **state)
{
	static const struct {
		uint32_t format;
		uint8_t bytes[4];
		uint32_t shown;
	} rows[] = {
		{ X8R8G8B8, { 0x20, 0x80, 0xff, 0x77 }, 0xff8020 },
		{ 0x20028888, { 0x20, 0x80, 0xff, 0x11 }, 0xff8020 }, /* a8r8g8b8: alpha means nothing */
		{ 0x20030888, { 0xff, 0x80, 0x20, 0x77 }, 0xff8020 }, /* x8b8g8r8 */
		{ 0x20080888, { 0x77, 0xff, 0x80, 0x20 }, 0xff8020 }, /* b8g8r8x8 */
		{ 0x20090888, { 0x77, 0x20, 0x80, 0xff }, 0xff8020 }, /* r8g8b8x8 */
		{ 0x18020888, { 0x20, 0x80, 0xff, 0x00 }, 0xff8020 }, /* r8g8b8 */
		{ 0x18030888, { 0xff, 0x80, 0x20, 0x00 }, 0xff8020 }, /* b8g8r8 */
		{ 0x10020565, { 0x04, 0xfc, 0x00, 0x00 }, 0xff8221 }, /* r5g6b5 */
		{ 0x10020555, { 0x04, 0x7e, 0x00, 0x00 }, 0xff8421 }, /* x1r5g5b5 */
	};
	struct fake_qemu *qemu = *state;
	struct fake_news surface = *fake_fill(qemu, 1, 1, 0);
	const uint32_t *shown = map_surface(&surface);

	daemon_take(qemu);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct fake_pixels pixels = { 4, rows[i].format, rows[i].bytes, 4 };

		assert_false(fake_scanout(qemu, 1, 1, pixels));
		assert_damage(fake_next(qemu), 0, 0, 1, 1);
		assert_int_equal(shown[0] & 0xffffff, rows[i].shown);
		daemon_take(qemu);
	}
	unmap_surface(shown, &surface);
}

static ino_t inode_of(int file)
{
	struct stat status;

	assert_int_equal(fstat(file, &status), 0);
	return status.st_ino;
}

/* Another size is another file, and the daemon still has the one before; the same is all of it drawn. */
static void changes_size(void **state)
{
	struct fake_qemu *qemu = *state;
	uint32_t pixels[64], dot = 0;
	struct fake_pixels whole = { 32, X8R8G8B8, pixels, sizeof(pixels) };
	struct fake_news first = *fake_fill(qemu, 8, 8, 0x111111), other;
	const uint32_t *shown = map_surface(&first);

	for (unsigned i = 0; i < 64; i++)
		pixels[i] = 0x222222;
	/* It replaces what waits. */
	assert_false(fake_update(qemu, 1, 1, 1, 1, (struct fake_pixels){ 4, X8R8G8B8, &dot, 4 }));
	assert_false(fake_scanout(qemu, 8, 8, whole));
	assert_false(fake_has_news(qemu));
	daemon_take(qemu);
	assert_damage(fake_next(qemu), 0, 0, 8, 8);
	daemon_take(qemu);
	other = *fake_fill(qemu, 4, 16, 0x333333);
	assert_int_not_equal(inode_of(other.file), inode_of(first.file));
	assert_int_equal(other.message.width, 4);
	assert_int_equal(other.message.height, 16);
	assert_int_equal(shown[63] & 0xffffff, 0x222222);
	unmap_surface(shown, &first);
}

static void merges_until_taken(void **state)
{
	struct fake_qemu *qemu = *state;
	uint32_t dot = 0xabcdef;
	struct fake_pixels pixels = { 4, X8R8G8B8, &dot, 4 };

	fake_fill(qemu, 32, 32, 0);
	assert_false(fake_update(qemu, 5, 20, 1, 1, pixels));
	assert_false(fake_update(qemu, 9, 4, 1, 1, pixels));
	assert_false(fake_has_news(qemu));
	daemon_take(qemu);
	assert_damage(fake_next(qemu), 5, 4, 5, 17);
	/* The same between a damage and TAKEN. */
	assert_false(fake_update(qemu, 31, 31, 1, 1, pixels));
	assert_false(fake_update(qemu, 0, 0, 1, 1, pixels));
	assert_false(fake_has_news(qemu));
	daemon_take(qemu);
	assert_damage(fake_next(qemu), 0, 0, 32, 32);
	/* A surface replaces what waits. */
	assert_false(fake_update(qemu, 1, 1, 1, 1, pixels));
	assert_false(fake_scanout(qemu, 1, 1, pixels));
	assert_false(fake_has_news(qemu));
	daemon_take(qemu);
	assert_int_equal(fake_next(qemu)->message.kind, VMM_DISPLAY_SURFACE);
	daemon_take(qemu);
	assert_false(fake_has_news(qemu));
}

static void goes_dark(void **state)
{
	struct fake_qemu *qemu = *state;
	uint32_t dot = 0xabcdef;
	struct fake_pixels pixels = { 4, X8R8G8B8, &dot, 4 };

	fake_fill(qemu, 8, 8, 0);
	fake_send(qemu, fake_call(qemu, "Disable"));
	assert_false(fake_wait(qemu));
	daemon_take(qemu);
	assert_int_equal(fake_next(qemu)->message.kind, VMM_DISPLAY_DARK);
	assert_true(fake_update(qemu, 1, 1, 1, 1, pixels));
	assert_false(fake_has_news(qemu));
	/* The size is the one before, and yet it is a surface. */
	fake_fill(qemu, 8, 8, 0x123456);
	daemon_take(qemu);
	assert_false(fake_update(qemu, 1, 1, 1, 1, pixels));
	assert_damage(fake_next(qemu), 1, 1, 1, 1);
}

/* A successor has nothing, and never says TAKEN to what its predecessor got. */
static void tells_a_successor(void **state)
{
	struct fake_qemu *qemu = *state;
	struct fake_news first = *fake_fill(qemu, 8, 8, 0x111111), *again;

	daemon_say(qemu, (struct vmm_display_message){ .kind = VMM_DISPLAY_KEY, .number = KEY_A, .down = 1 });
	daemon_say(qemu, (struct vmm_display_message){ .kind = VMM_DISPLAY_POINTER, .number = 4 });
	UNTIL(qemu, qemu->call_count == 3);
	assert_int_equal(first.message.number, 0);
	daemon_say(qemu, (struct vmm_display_message){ .kind = VMM_DISPLAY_AGAIN, .number = 77 });
	again = fake_next(qemu);
	assert_int_equal(again->message.kind, VMM_DISPLAY_SURFACE);
	assert_int_equal(again->message.number, 77);
	assert_int_equal(inode_of(again->file), inode_of(first.file));
	UNTIL(qemu, qemu->call_count == 5);
	assert_string_equal(qemu->calls[3].text, "Mouse Release 2");
	assert_string_equal(qemu->calls[4].text, "Keyboard Release 30");
	daemon_take(qemu);
	assert_false(fake_has_news(qemu));
	/* One that shows a window to which there is no picture any more hears so. */
	fake_send(qemu, fake_call(qemu, "Disable"));
	assert_false(fake_wait(qemu));
	assert_int_equal(fake_next(qemu)->message.kind, VMM_DISPLAY_DARK);
	daemon_say(qemu, (struct vmm_display_message){ .kind = VMM_DISPLAY_AGAIN, .number = 78 });
	again = fake_next(qemu);
	assert_int_equal(again->message.kind, VMM_DISPLAY_DARK);
	assert_int_equal(again->message.number, 78);
}

/* QEMU does not send a picture whose size changed, when the guest then draws parts of it only. */
static void registers_anew_for_another_size(void **state)
{
	struct fake_qemu *qemu = *state;

	fake_fill(qemu, 8, 8, 0x111111);
	daemon_take(qemu);
	qemu->width = 16;
	qemu->height = 4;
	assert_true(sd_bus_emit_signal(qemu->control, qemu->graphic, "org.freedesktop.DBus.Properties",
				       "PropertiesChanged", "sa{sv}as", "org.qemu.Display1.Console", 0,
				       0) >= 0);
	UNTIL(qemu, qemu->registrations == 2 && sd_bus_is_ready(qemu->listener) > 0);
	assert_int_equal(fake_fill(qemu, 16, 4, 0x222222)->message.width, 16);
	/* A signal that tells nothing new changes nothing. */
	qemu->questions = 0;
	assert_true(sd_bus_emit_signal(qemu->control, qemu->graphic, "org.freedesktop.DBus.Properties",
				       "PropertiesChanged", "sa{sv}as", "org.qemu.Display1.Console", 0,
				       0) >= 0);
	UNTIL(qemu, qemu->questions == 4);
	fake_settle(qemu);
	assert_int_equal(qemu->registrations, 2);
}

/* ---- keys and the pointer ---- */

static void say_key(struct fake_qemu *qemu, uint32_t code, uint32_t down)
{
	daemon_say(qemu,
		   (struct vmm_display_message){ .kind = VMM_DISPLAY_KEY, .number = code, .down = down });
}

static void say_pointer(struct fake_qemu *qemu, uint32_t x, uint32_t y, uint32_t buttons, int32_t wheel)
{
	daemon_say(qemu,
		   (struct vmm_display_message){
			   .kind = VMM_DISPLAY_POINTER, .x = x, .y = y, .number = buttons, .wheel = wheel });
}

/* These calls, and no others. */
static void expect_calls(struct fake_qemu *qemu, const char *const *texts)
{
	unsigned count = 0;

	while (texts[count])
		count++;
	UNTIL(qemu, qemu->call_count >= count);
	fake_settle(qemu);
	for (unsigned i = 0; i < count; i++)
		assert_string_equal(qemu->calls[i].text, texts[i]);
	assert_int_equal(qemu->call_count, count);
	qemu->call_count = 0;
}

static void types(void **state)
{
	struct fake_qemu *qemu = *state;

	say_key(qemu, KEY_LEFTSHIFT, 1);
	say_key(qemu, KEY_A, 1);
	say_key(qemu, KEY_A, 1);	/* down already */
	say_key(qemu, KEY_B, 0);	/* was never down */
	say_key(qemu, KEY_RESERVED, 1); /* no key */
	say_key(qemu, KEY_MAX, 1);	/* none that QEMU knows */
	say_key(qemu, KEY_CNT, 1);	/* none at all */
	say_key(qemu, UINT32_MAX, 1);
	say_key(qemu, KEY_A, 0);
	say_key(qemu, KEY_RIGHTCTRL, 1);
	say_key(qemu, KEY_RIGHTCTRL, 0);
	say_key(qemu, KEY_LEFTSHIFT, 0);
	expect_calls(qemu, (const char *[]){ "Keyboard Press 42", "Keyboard Press 30", "Keyboard Release 30",
					     "Keyboard Press 157", "Keyboard Release 157",
					     "Keyboard Release 42", NULL });
}

/* A place outside of the picture, which QEMU would refuse, is its edge. */
static void points_where_it_is(void **state)
{
	struct fake_qemu *qemu = *state;

	fake_fill(qemu, 32, 16, 0);
	say_pointer(qemu, 3, 4, 0, 0);
	say_pointer(qemu, 3, 4, 1, 0);
	say_pointer(qemu, 100, 16, 5, 0);
	say_pointer(qemu, 100, 100, 0, 1);
	say_pointer(qemu, 100, 100, 2, -2);
	expect_calls(qemu,
		     (const char *[]){ "SetAbsPosition 3 4", "Mouse Press 0", "SetAbsPosition 31 15",
				       "Mouse Press 2", "Mouse Release 0", "Mouse Release 2", "Mouse Press 3",
				       "Mouse Release 3", "Mouse Press 1", "Mouse Press 4", "Mouse Release 4",
				       "Mouse Press 4", "Mouse Release 4", NULL });
}

static void moves_how_far_it_went(void **state)
{
	struct fake_qemu *qemu = *state;

	fake_fill(qemu, 32, 16, 0);
	say_pointer(qemu, 20, 10, 0, 0);
	expect_calls(qemu, (const char *[]){ "SetAbsPosition 20 10", NULL });
	/* The guest's driver for the tablet went. The answer comes before what is asked later. */
	qemu->is_absolute = false;
	qemu->questions = 0;
	assert_true(sd_bus_emit_signal(qemu->control, qemu->graphic, "org.freedesktop.DBus.Properties",
				       "PropertiesChanged", "sa{sv}as", "org.qemu.Display1.Mouse", 0,
				       0) >= 0);
	UNTIL(qemu, qemu->questions == 4);
	fake_settle(qemu);
	say_pointer(qemu, 10, 10, 0, 0); /* from nowhere */
	say_pointer(qemu, 12, 7, 0, 0);
	say_pointer(qemu, 12, 7, 1, 0);
	expect_calls(qemu, (const char *[]){ "RelMotion 2 -3", "Mouse Press 0", NULL });
}

/* One is on its way, and of those that came meanwhile the last one counts. */
static void asks_for_a_size(void **state)
{
	struct fake_qemu *qemu = *state;

	qemu->is_mute = true;
	for (uint32_t side = 100; side <= 900; side += 100)
		daemon_say(qemu, (struct vmm_display_message){
					 .kind = VMM_DISPLAY_SIZE, .width = side, .height = side / 2 });
	daemon_say(qemu, (struct vmm_display_message){ .kind = VMM_DISPLAY_SIZE, .width = 0, .height = 1 });
	UNTIL(qemu, qemu->call_count == 1);
	say_key(qemu, KEY_A, 1);
	UNTIL(qemu, qemu->call_count == 2);
	fake_answer_held(qemu);
	UNTIL(qemu, qemu->call_count == 3);
	assert_string_equal(qemu->calls[0].text, "SetUIInfo 100 50");
	assert_string_equal(qemu->calls[2].text, "SetUIInfo 900 450");
}

/* ---- beginning and end ---- */

/* Lines in pieces, and events between them. */
static void reads_qmp_in_pieces(void **state)
{
	static const char greeting[] = "\r\n{\"event\": \"RESUME\"}\r\n" GREETING "{\"event\": \"STOP\"}\r\n";
	struct fake_qemu *qemu = *state;

	for (unsigned i = 0; i < sizeof(greeting) - 1; i++)
		assert_int_equal(fd_send(qemu->qmp, greeting + i, 1, NULL, 0), 1);
	UNTIL(qemu, qemu->registrations == 1);
	assert_int_equal(qemu->commands, 3);
	fake_write(qemu, "{\"event\": \"RTC_CHANGE\"}\r\n");
	fake_settle(qemu);
}

static void finds_the_graphic_console(void **state)
{
	struct fake_qemu *qemu = *state;

	qemu->graphic = "/org/qemu/Display1/Console_1";
	fake_write(qemu, GREETING);
	UNTIL(qemu, qemu->registrations == 1);
	fake_settle(qemu);
}

static void expect_refusal(struct fake_qemu *qemu, const char *words)
{
	struct fake_news *news = fake_next(qemu);

	assert_int_equal(news->message.kind, VMM_DISPLAY_REFUSED);
	assert_non_null(memchr(news->message.text, '\0', sizeof(news->message.text)));
	assert_non_null(strstr(news->message.text, words));
	fake_expect_end(qemu);
}

static void tells_that_there_is_no_console(void **state)
{
	struct fake_qemu *qemu = *state;

	qemu->graphic = NULL;
	fake_write(qemu, GREETING);
	expect_refusal(qemu, "no graphic console");
}

static void tells_that_there_is_no_display(void **state)
{
	struct fake_qemu *qemu = *state;

	qemu->add_client =
		"{\"error\": {\"class\": \"DeviceNotActive\", \"desc\": \"it is not in use\\u0007\"}}\r\n";
	fake_write(qemu, GREETING);
	expect_refusal(qemu, "-display dbus,p2p=yes (it is not in use?)");
}

static void tells_that_it_is_no_qmp(void **state)
{
	struct fake_qemu *qemu = *state;

	fake_write(qemu, "QEMU 7.2.22 monitor - type 'help' for more information\r\n");
	expect_refusal(qemu, "mode=control");
}

/* What the daemon held down comes up, without a wait for the answers. */
static void ends_with_the_daemon(void **state)
{
	struct fake_qemu *qemu = *state;

	qemu->is_mute = true;
	say_key(qemu, KEY_A, 1);
	say_pointer(qemu, 0, 0, 1, 0);
	UNTIL(qemu, qemu->call_count == 3);
	fd_close(&qemu->daemon);
	UNTIL(qemu, qemu->call_count == 5);
	assert_string_equal(qemu->calls[3].text, "Keyboard Release 30");
	assert_string_equal(qemu->calls[4].text, "Mouse Release 0");
	fake_expect_end(qemu);
}

static void ends_with_qemu(void **state)
{
	struct fake_qemu *qemu = *state;

	fd_close(&qemu->qmp);
	fake_expect_end(qemu);
	assert_int_equal(qemu->news_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DISPLAY_TEST(shows_the_picture),
		DISPLAY_TEST(converts_formats),
		DISPLAY_TEST(changes_size),
		DISPLAY_TEST(merges_until_taken),
		DISPLAY_TEST(goes_dark),
		DISPLAY_TEST(tells_a_successor),
		DISPLAY_TEST(registers_anew_for_another_size),
		DISPLAY_TEST(types),
		DISPLAY_TEST(points_where_it_is),
		DISPLAY_TEST(moves_how_far_it_went),
		DISPLAY_TEST(asks_for_a_size),
		BARE_TEST(reads_qmp_in_pieces),
		BARE_TEST(finds_the_graphic_console),
		BARE_TEST(tells_that_there_is_no_console),
		BARE_TEST(tells_that_there_is_no_display),
		BARE_TEST(tells_that_it_is_no_qmp),
		DISPLAY_TEST(ends_with_the_daemon),
		DISPLAY_TEST(ends_with_qemu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
