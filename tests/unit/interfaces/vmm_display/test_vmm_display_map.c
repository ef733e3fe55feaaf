/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A QEMU that draws in a memory file of its own: what is seen of it, and of one that lies about the file. */
#include "display_bench.h"

#include <stdlib.h>

#define MAP LISTENER ".Unix.Map"

/* The file holds WIDTH x HEIGHT pixels, behind AHEAD bytes, with a gap behind each line. */
#define WIDTH  6u
#define HEIGHT 5u
#define STRIDE 32u
#define AHEAD  20u
#define BYTES  (AHEAD + STRIDE * HEIGHT)
#define END    (BYTES - STRIDE + WIDTH * 4) /* of the last pixel */

/* Each pixel says where it is, and when it was drawn. */
static uint32_t pixel_at(unsigned x, unsigned y, unsigned turn)
{
	return 0x010000u * x + 0x0100u * y + turn;
}

static void draw(int file, unsigned x, unsigned y, unsigned turn)
{
	uint32_t pixel = pixel_at(x, y, turn);

	assert_int_equal(pwrite(file, &pixel, 4, AHEAD + y * STRIDE + x * 4), 4);
}

static int create_file(unsigned flags)
{
	int file = memfd_create("qemu", MFD_CLOEXEC | flags);

	assert_true(file >= 0);
	assert_int_equal(ftruncate(file, BYTES), 0);
	for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
		draw(file, i % WIDTH, i / WIDTH, 0);
	return file;
}

/* ---- calls ---- */

static sd_bus_message *map_call(struct fake_qemu *qemu, const char *method)
{
	sd_bus_message *call;

	assert_true(sd_bus_message_new_method_call(qemu->listener, &call, NULL, LISTENER_PATH, MAP, method) >=
		    0);
	return call;
}

struct numbers {
	uint32_t offset, width, height, stride, format;
};

static const struct numbers honest = { AHEAD, WIDTH, HEIGHT, STRIDE, X8R8G8B8 };

/* Both return whether the answer was an error. */
static bool scanout_map(struct fake_qemu *qemu, int file, const struct numbers *numbers)
{
	sd_bus_message *call = map_call(qemu, "ScanoutMap");

	assert_true(sd_bus_message_append(call, "huuuuu", file, numbers->offset, numbers->width,
					  numbers->height, numbers->stride, numbers->format) >= 0);
	fake_send(qemu, call);
	return fake_wait(qemu);
}

static bool update_map(struct fake_qemu *qemu, int32_t x, int32_t y, int32_t width, int32_t height)
{
	sd_bus_message *call = map_call(qemu, "UpdateMap");

	assert_true(sd_bus_message_append(call, "iiii", x, y, width, height) >= 0);
	fake_send(qemu, call);
	return fake_wait(qemu);
}

/* ---- what is seen ---- */

static const uint32_t *map_surface(const struct fake_news *news)
{
	const uint32_t *pixels = mmap(NULL, (size_t)news->message.stride_bytes * news->message.height,
				      PROT_READ, MAP_SHARED, news->file, 0);

	assert_int_equal(news->message.kind, VMM_DISPLAY_SURFACE);
	assert_ptr_not_equal(pixels, MAP_FAILED);
	return pixels;
}

static void unmap_surface(const uint32_t *pixels)
{
	munmap((void *)pixels, (size_t)WIDTH * HEIGHT * 4);
}

static void expect_damage(struct fake_qemu *qemu, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	const struct vmm_display_message *message = &fake_next(qemu)->message;

	assert_int_equal(message->kind, VMM_DISPLAY_DAMAGE);
	assert_int_equal(message->x, x);
	assert_int_equal(message->y, y);
	assert_int_equal(message->width, width);
	assert_int_equal(message->height, height);
}

/* Starts with the honest picture, which the daemon has taken. */
static const uint32_t *begin(struct fake_qemu *qemu, int file)
{
	const uint32_t *shown;
	struct fake_news *news;

	assert_false(scanout_map(qemu, file, &honest));
	news = fake_next(qemu);
	assert_int_equal(news->message.down, 1);
	shown = map_surface(news);
	daemon_take(qemu);
	return shown;
}

/* QEMU asks which interfaces there are before it uses this one. */
static void offers_the_interface(void **state)
{
	struct fake_qemu *qemu = *state;
	sd_bus_message *call, *answer = NULL;
	const char *name = NULL;

	assert_true(sd_bus_message_new_method_call(qemu->listener, &call, NULL, LISTENER_PATH,
						   "org.freedesktop.DBus.Properties", "Get") >= 0);
	assert_true(sd_bus_message_append(call, "ss", LISTENER, "Interfaces") >= 0);
	assert_true(sd_bus_call(qemu->listener, call, 0, NULL, &answer) >= 0);
	assert_true(sd_bus_message_enter_container(answer, 'v', "as") > 0);
	assert_true(sd_bus_message_enter_container(answer, 'a', "s") > 0);
	assert_true(sd_bus_message_read(answer, "s", &name) > 0);
	assert_string_equal(name, MAP);
	sd_bus_message_unref(call);
	sd_bus_message_unref(answer);
}

static void shows_the_file(void **state)
{
	struct fake_qemu *qemu = *state;
	int file = create_file(0);
	const uint32_t *shown = begin(qemu, file);

	for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
		assert_int_equal(shown[i], pixel_at(i % WIDTH, i / WIDTH, 0));
	/* Of what changes, that is seen which is said to have changed. */
	for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
		draw(file, i % WIDTH, i / WIDTH, 1);
	assert_false(update_map(qemu, 2, 1, 3, 2));
	expect_damage(qemu, 2, 1, 3, 2);
	for (unsigned i = 0; i < WIDTH * HEIGHT; i++) {
		unsigned x = i % WIDTH, y = i / WIDTH;

		assert_int_equal(shown[i], pixel_at(x, y, x >= 2 && x < 5 && y >= 1 && y < 3));
	}
	unmap_surface(shown);
	close(file);
}

/* Without a gap between lines, all of them are read at once. */
static void shows_a_file_without_gaps(void **state)
{
	struct fake_qemu *qemu = *state;
	int file = create_file(0);
	struct numbers numbers = { AHEAD, STRIDE / 4, HEIGHT, STRIDE, 0x20028888 /* a8r8g8b8 */ };
	const uint32_t *shown;

	assert_false(scanout_map(qemu, file, &numbers));
	shown = map_surface(fake_next(qemu));
	daemon_take(qemu);
	draw(file, 0, 1, 1);
	draw(file, 5, 2, 1);
	draw(file, 0, 3, 1);
	assert_false(update_map(qemu, 0, 1, STRIDE / 4, 2));
	expect_damage(qemu, 0, 1, STRIDE / 4, 2);
	for (unsigned y = 0; y < HEIGHT; y++)
		for (unsigned x = 0; x < WIDTH; x++)
			assert_int_equal(shown[y * STRIDE / 4 + x],
					 pixel_at(x, y, (x == 0 && y == 1) || (x == 5 && y == 2)));
	munmap((void *)shown, (size_t)STRIDE * HEIGHT);
	close(file);
}

/* Pixels of each size, at each place of a word. */
static void converts_formats(void **state)
{
	static const struct {
		uint32_t format, bytes;
		uint8_t pixel[4];
		uint32_t shown;
	} rows[] = {
		{ 0x20030888, 4, { 0xff, 0x80, 0x20, 0x77 }, 0xff8020 }, /* x8b8g8r8 */
		{ 0x18020888, 3, { 0x20, 0x80, 0xff }, 0xff8020 },	 /* r8g8b8 */
		{ 0x10020565, 2, { 0x04, 0xfc }, 0xff8221 },		 /* r5g6b5 */
	};
	struct fake_qemu *qemu = *state;
	int file = create_file(0);

	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		/* Of another height each, so that the daemon is sent a surface. */
		struct numbers numbers = { AHEAD, WIDTH, HEIGHT - i, STRIDE, rows[i].format };
		static const uint8_t black[BYTES];
		const uint32_t *shown;

		assert_int_equal(pwrite(file, black, BYTES, 0), BYTES);
		assert_false(scanout_map(qemu, file, &numbers));
		shown = map_surface(fake_next(qemu));
		daemon_take(qemu);
		for (unsigned x = 0; x < WIDTH; x++) {
			off_t place = AHEAD + 1 * STRIDE + x * rows[i].bytes;

			assert_int_equal(shown[1 * WIDTH + x] & 0xffffff, 0);
			assert_int_equal(pwrite(file, rows[i].pixel, rows[i].bytes, place), rows[i].bytes);
			assert_false(update_map(qemu, (int32_t)x, 1, 1, 1));
			expect_damage(qemu, x, 1, 1, 1);
			daemon_take(qemu);
			assert_int_equal(shown[1 * WIDTH + x] & 0xffffff, rows[i].shown);
		}
		for (unsigned x = 0; x < WIDTH; x++) {
			assert_int_equal(shown[x] & 0xffffff, 0);
			assert_int_equal(shown[2 * WIDTH + x] & 0xffffff, 0);
		}
		unmap_surface(shown);
	}
	close(file);
}

/* While the daemon draws, nothing is read, however much is drawn; then all that was. */
static void reads_when_the_daemon_asks(void **state)
{
	struct fake_qemu *qemu = *state;
	int file = create_file(0);
	const uint32_t *shown = begin(qemu, file);

	assert_false(update_map(qemu, 0, 0, 1, 1));
	expect_damage(qemu, 0, 0, 1, 1);
	draw(file, 1, 1, 1);
	assert_false(update_map(qemu, 1, 1, 1, 1));
	draw(file, 3, 4, 1);
	assert_false(update_map(qemu, 3, 4, 1, 1));
	assert_false(fake_has_news(qemu));
	assert_int_equal(shown[1 * WIDTH + 1], pixel_at(1, 1, 0));
	daemon_take(qemu);
	expect_damage(qemu, 1, 1, 3, 4);
	assert_int_equal(shown[1 * WIDTH + 1], pixel_at(1, 1, 1));
	assert_int_equal(shown[4 * WIDTH + 3], pixel_at(3, 4, 1));
	unmap_surface(shown);
	close(file);
}

/* A guest that changes its picture may make QEMU send it, and the file of before is not read any more. */
static void goes_back_to_messages(void **state)
{
	static uint32_t sent[WIDTH * HEIGHT];
	struct fake_pixels pixels = { WIDTH * 4, X8R8G8B8, sent, sizeof(sent) };
	struct fake_qemu *qemu = *state;
	int file = create_file(0);
	const uint32_t *shown = begin(qemu, file);

	for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
		sent[i] = 0x112233;
	assert_false(update_map(qemu, 0, 0, 1, 1));
	expect_damage(qemu, 0, 0, 1, 1);
	assert_false(update_map(qemu, 0, 0, 6, 5));
	assert_false(fake_scanout(qemu, WIDTH, HEIGHT, pixels));
	daemon_take(qemu);
	expect_damage(qemu, 0, 0, WIDTH, HEIGHT);
	assert_int_equal(shown[0] & 0xffffff, 0x112233);
	assert_true(update_map(qemu, 0, 0, 1, 1));
	daemon_take(qemu);
	/* And forth. */
	assert_false(scanout_map(qemu, file, &honest));
	expect_damage(qemu, 0, 0, WIDTH, HEIGHT);
	assert_int_equal(shown[0], pixel_at(0, 0, 0));
	daemon_take(qemu);
	/* There is no picture at all any more. */
	fake_send(qemu, fake_call(qemu, "Disable"));
	assert_false(fake_wait(qemu));
	assert_true(update_map(qemu, 0, 0, 1, 1));
	assert_int_equal(fake_next(qemu)->message.kind, VMM_DISPLAY_DARK);
	unmap_surface(shown);
	close(file);
}

/* ---- lies ---- */

static void sees_through_numbers(void **state)
{
	static const struct numbers lies[] = {
		{ AHEAD + 1, WIDTH, HEIGHT, STRIDE + 4, X8R8G8B8 }, /* some bytes are missing */
		{ BYTES - 3, 1, 1, 4, X8R8G8B8 },		    /* one is */
		{ BYTES, 1, 1, 4, X8R8G8B8 },			    /* all are */
		{ 0x80000000, 1, 1, 4, X8R8G8B8 },
		{ 0xfffffffc, 1, 1, 4, X8R8G8B8 }, /* 2^32 */
		{ 0xffffffff, VMM_DISPLAY_SIDE_MAX, VMM_DISPLAY_SIDE_MAX, 0x7ffffffc, X8R8G8B8 },
		{ 0, 1, HEIGHT, 0x40000000, X8R8G8B8 }, /* 2^32 and a pixel */
		{ 0, 1, 3, 0x80000000, X8R8G8B8 },
		{ 0, 1, 2, 0xfffffffc, X8R8G8B8 },
		{ 0, 0, 1, 4, X8R8G8B8 },
		{ 0, 1, 0, 4, X8R8G8B8 },
		{ 0, 1, BYTES / 4 + 1, 4, X8R8G8B8 },
		{ 0, VMM_DISPLAY_SIDE_MAX + 1, 1, 4 * (VMM_DISPLAY_SIDE_MAX + 1), X8R8G8B8 },
		{ 0, UINT32_MAX, UINT32_MAX, UINT32_MAX, X8R8G8B8 },
		{ 0, 2, 2, 4, X8R8G8B8 },     /* lines overlap */
		{ 0, 2, 2, 9, X8R8G8B8 },     /* lines begin between pixels */
		{ 0, 1, 1, 4, 0 },	      /* no format */
		{ 0, 1, 1, 4, 0x08040000 },   /* c8: has a palette */
		{ 0, 16, 8, 16, 0x0c070000 }, /* yv12: three planes */
		{ 0, 1, 1, 4, UINT32_MAX },
	};
	struct fake_qemu *qemu = *state;
	int file = create_file(0);

	for (unsigned i = 0; i < sizeof(lies) / sizeof(*lies); i++)
		assert_true(scanout_map(qemu, file, &lies[i]));
	assert_true(update_map(qemu, 0, 0, 1, 1));
	assert_false(fake_has_news(qemu));
	/* The last pixel of the file. */
	assert_false(scanout_map(qemu, file, &(struct numbers){ BYTES - 4, 1, 1, 4, X8R8G8B8 }));
	assert_int_equal(fake_next(qemu)->message.width, 1);
	close(file);
}

static void sees_through_updates(void **state)
{
	static const int32_t lies[][4] = {
		{ -1, 0, 1, 1 },	{ 0, -1, 1, 1 },	{ 6, 0, 1, 1 },
		{ 0, 5, 1, 1 },		{ 5, 0, 2, 1 },		{ 0, 4, 1, 2 },
		{ 0, 0, 0, 1 },		{ 0, 0, 1, 0 },		{ 0, 0, -1, 1 },
		{ 0, 0, 1, -1 },	{ INT32_MAX, 0, 1, 1 }, { INT32_MIN, 0, 1, 1 },
		{ 1, 1, INT32_MAX, 1 }, { 0, INT32_MAX, 1, 1 }, { 0, 0, 1, INT32_MIN },
		{ 0, 0, 7, 1 },
	};
	struct fake_qemu *qemu = *state;
	int file = create_file(0);

	unmap_surface(begin(qemu, file));
	for (unsigned i = 0; i < sizeof(lies) / sizeof(*lies); i++)
		assert_true(update_map(qemu, lies[i][0], lies[i][1], lies[i][2], lies[i][3]));
	assert_false(fake_has_news(qemu));
	assert_false(update_map(qemu, 5, 4, 1, 1));
	expect_damage(qemu, 5, 4, 1, 1);
	close(file);
}

/* Of these, reading could wait for ever, or means something else than it does for memory. */
static void takes_memory_only(void **state)
{
	struct fake_qemu *qemu = *state;
	struct numbers numbers = { 0, 1, 1, 4, X8R8G8B8 };
	int ends[2], file = create_file(0);
	char path[64];
	const int others[] = { open("/dev/zero", O_RDONLY | O_CLOEXEC),
			       open("/proc/self/maps", O_RDONLY | O_CLOEXEC),
			       open("/", O_RDONLY | O_CLOEXEC) };

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_true(scanout_map(qemu, ends[0], &numbers));
	assert_true(scanout_map(qemu, qemu->qmp, &numbers));
	for (unsigned i = 0; i < sizeof(others) / sizeof(*others); i++) {
		assert_true(others[i] >= 0);
		assert_true(scanout_map(qemu, others[i], &numbers));
		close(others[i]);
	}
	assert_false(fake_has_news(qemu));
	/* Memory that may be written to only. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	ends[0] = (close(ends[0]), open(path, O_WRONLY | O_CLOEXEC));
	assert_true(ends[0] >= 0);
	assert_false(scanout_map(qemu, ends[0], &numbers));
	assert_false(fake_has_news(qemu));
	/* It is none, and says so: the next may be. */
	unmap_surface(begin(qemu, file));
	close(ends[0]);
	close(ends[1]);
	close(file);
}

/* Wherever it is cut between its last pixel and its beginning. */
static void survives_a_file_that_is_cut_short(void **state)
{
	struct fake_qemu *qemu = *state;

	for (off_t bytes = END - 1; bytes >= 0; bytes -= 1 + bytes / 8) {
		int file = create_file(0);

		unmap_surface(begin(qemu, file));
		assert_int_equal(ftruncate(file, bytes), 0);
		assert_false(update_map(qemu, 0, 0, WIDTH, HEIGHT));
		assert_int_equal(fake_next(qemu)->message.kind, VMM_DISPLAY_DARK);
		/* Nothing is read from it any more. */
		assert_true(update_map(qemu, 0, 0, 1, 1));
		close(file);
	}
	/* What is there of a shorter one is still seen. */
	{
		int file = create_file(0);

		unmap_surface(begin(qemu, file));
		assert_int_equal(ftruncate(file, AHEAD + STRIDE), 0);
		assert_false(update_map(qemu, 0, 0, WIDTH, 1));
		expect_damage(qemu, 0, 0, WIDTH, 1);
		close(file);
	}
}

static unsigned open_files(const struct fake_qemu *qemu)
{
	char path[64];
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", qemu->pid, fd);
		count += faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	}
	return count;
}

/* Of the files that it is sent it keeps one, and no descriptor of those that it refuses. */
static void keeps_one_file(void **state)
{
	struct fake_qemu *qemu = *state;
	int file = create_file(0);
	unsigned before;

	unmap_surface(begin(qemu, file));
	fake_settle(qemu);
	before = open_files(qemu);
	for (unsigned i = 0; i < 600; i++) {
		assert_false(scanout_map(qemu, file, &honest));
		assert_true(scanout_map(qemu, file, &(struct numbers){ BYTES, 1, 1, 4, X8R8G8B8 }));
	}
	expect_damage(qemu, 0, 0, WIDTH, HEIGHT);
	fake_settle(qemu);
	assert_int_equal(open_files(qemu), before);
	close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DISPLAY_TEST(offers_the_interface),
		DISPLAY_TEST(shows_the_file),
		DISPLAY_TEST(shows_a_file_without_gaps),
		DISPLAY_TEST(converts_formats),
		DISPLAY_TEST(reads_when_the_daemon_asks),
		DISPLAY_TEST(goes_back_to_messages),
		DISPLAY_TEST(sees_through_numbers),
		DISPLAY_TEST(sees_through_updates),
		DISPLAY_TEST(takes_memory_only),
		DISPLAY_TEST(survives_a_file_that_is_cut_short),
		DISPLAY_TEST(keeps_one_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
