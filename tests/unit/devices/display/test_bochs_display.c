/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers as QEMU's docs/specs/standard-vga.rst has them, the mode's picture, power and takeover. */
#include "bochs_bench.h"

#include <sys/socket.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static const struct mode vga = { 320, 200, 32, 0, 0, 0 };

/* ---- registers ---- */

static void what_it_is(void **state)
{
	const struct register_model_ops *ops = bench.ops;

	assert_int_equal(ops->identity.vendor, 0x1234);
	assert_int_equal(ops->identity.device, 0x1111);
	assert_int_equal(ops->identity.revision, 2);
	assert_int_equal(ops->identity.class_code, 0x038000);
	assert_int_equal(ops->vectors, 0);
	assert_int_equal(ops->bars[MEMORY].bytes, BYTES);
	assert_int_equal(ops->bars[MEMORY].mapped_bytes, BYTES);
	assert_int_equal(ops->bars[REGISTERS].bytes, 4096);
	assert_int_equal(ops->bars[REGISTERS].mapped_bytes, 0);
	for (unsigned i = 0; i < REGISTER_BARS; i++)
		if (i != MEMORY && i != REGISTERS)
			assert_int_equal(ops->bars[i].kind, REGISTER_BAR_NONE);
}

static void after_power_on(void **state)
{
	assert_int_equal(get(0x500, 2), 0xb0c5);
	for (unsigned index = WIDTH; index < MEMORY_64K; index++)
		assert_int_equal(get(0x500 + 2 * index, 2), 0);
	assert_int_equal(get(0x514, 2), BYTES >> 16);
	assert_int_equal(get(0x600, 4), 8);
	assert_int_equal(get(0x604, 4), 0x1e1e1e1e);
	for (uint32_t offset = 0x400; offset < 0x1000; offset++)
		if ((offset < 0x500 || offset >= 0x516) && (offset < 0x600 || offset >= 0x608))
			assert_int_equal(get(offset, 1), 0);
}

/* All ones everywhere: the registers of the mode keep them, and nothing else does. */
static void what_can_be_written(void **state)
{
	uint8_t before[0x1000];

	for (uint32_t offset = 0; offset < sizeof(before); offset++)
		before[offset] = (uint8_t)get(offset, 1);
	for (uint32_t offset = 0; offset < sizeof(before); offset += 8)
		put(offset, 8, UINT64_MAX);
	for (uint32_t offset = 0; offset < sizeof(before); offset++)
		assert_int_equal(get(offset, 1), offset >= 0x502 && offset < 0x514 ? 0xff : before[offset]);
	assert_int_equal(get(0x500, 2), 0xb0c5);
}

/* Of any size, like bytes of memory. */
static void accesses_of_any_size(void **state)
{
	put(0x500, 8, 0x1122334455667788);
	assert_true(get(0x500, 8) == 0x112233445566b0c5);
	put(0x503, 1, 0xaa);
	assert_int_equal(get(0x502, 2), 0xaa66);
	put(0x510, 8, 0x1122334455667788);
	assert_true(get(0x510, 8) == ((uint64_t)(BYTES >> 16) << 32 | 0x55667788));
	put(0x502, 4, 0x01e00280);
	assert_int_equal(get(0x502, 2), 640);
	assert_int_equal(get(0x504, 2), 480);
	assert_int_equal(get(0x5fc, 8) >> 32, 8);
	assert_int_equal(get(0x606, 2), 0x1e1e);
}

static void the_memory(void **state)
{
	int fd = bench.ops->bar_memory(bench.function, MEMORY);

	assert_int_equal(fcntl(fd, F_GET_SEALS) & SEALS, SEALS);
	assert_int_equal(ftruncate(fd, BYTES / 2), -1);
	assert_int_equal(ftruncate(fd, BYTES * 2), -1);
	for (unsigned bytes = 1; bytes <= 8; bytes *= 2) {
		uint64_t value = 0x1122334455667788 >> (64 - 8 * bytes);

		bench.ops->write(bench.function, MEMORY, BYTES - bytes, bytes, value);
		assert_int_equal(memcmp((uint8_t *)bench.vram + BYTES - bytes, &value, bytes), 0);
		assert_true(bench.ops->read(bench.function, MEMORY, BYTES - bytes, bytes) == value);
	}
	bench.vram[0] = 77;
	assert_int_equal(bench.ops->read(bench.function, MEMORY, 0, 4), 77);
}

/* ---- the monitor ---- */

static void expect_monitor(unsigned width, unsigned height, bool extended)
{
	static const uint8_t header[] = { 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0 };
	unsigned blocks = 1 + extended;
	uint8_t edid[0x400];

	for (uint32_t offset = 0; offset < sizeof(edid); offset++)
		edid[offset] = (uint8_t)get(offset, 1);
	assert_memory_equal(edid, header, sizeof(header));
	assert_int_equal(edid[126], extended);
	for (unsigned i = 0; i < blocks; i++) {
		uint8_t sum = 0;

		for (unsigned at = 0; at < 128; at++)
			sum = (uint8_t)(sum + edid[i * 128 + at]);
		assert_int_equal(sum, 0);
	}
	for (size_t at = blocks * 128ul; at < sizeof(edid); at++)
		assert_int_equal(edid[at], 0);
	if (extended)
		return;
	/* E-EDID A.2, 3.10.2 */
	assert_int_equal(edid[56] | (edid[58] & 0xf0u) << 4, width);
	assert_int_equal(edid[59] | (edid[61] & 0xf0u) << 4, height);
}

/* Another size is seen from config_changed() on. */
static void the_monitor(void **state)
{
	expect_monitor(800, 600, false);
	assert_int_equal(bochs_display_set_size(bench.display, 1280, 720), 0);
	expect_monitor(800, 600, false);
	bench.ops->config_changed(bench.function);
	expect_monitor(1280, 720, false);
	assert_int_equal(bochs_display_set_size(bench.display, 8192, 8192), 0);
	bench.ops->config_changed(bench.function);
	expect_monitor(0, 0, true);
	assert_int_equal(bochs_display_set_size(bench.display, 0, 1), -EINVAL);
	assert_int_equal(bochs_display_set_size(bench.display, 1, 8193), -EINVAL);
	assert_int_equal(bochs_display_set_size(bench.display, 64, 65), 0);
	quiesce();
	bench.ops->reset(bench.function);
	expect_monitor(64, 65, false);
}

static void sizes_of_the_memory(void **state)
{
	static const uint32_t bad[] = { 1u << 19, 3u << 20, 1u << 29, UINT32_MAX };
	struct bochs_display_options options = { .width = 64, .height = 64, .output = &output };
	struct bochs_display *display;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		options.memory_bytes = bad[i];
		assert_int_equal(bochs_display_create(&options, &display), -EINVAL);
	}
	for (options.memory_bytes = 1u << 20; options.memory_bytes <= 1u << 28; options.memory_bytes *= 2) {
		assert_int_equal(bochs_display_create(&options, &display), 0);
		assert_int_equal(bochs_display_model(display)->bars[0].bytes, options.memory_bytes);
		bochs_display_destroy(display);
	}
	options.memory_bytes = 0;
	assert_int_equal(bochs_display_create(&options, &display), 0);
	assert_int_equal(bochs_display_model(display)->bars[0].bytes, 16u << 20);
	bochs_display_destroy(display);
	bochs_display_destroy(NULL);
}

/* ---- pictures ---- */

static void fill(uint32_t seed)
{
	for (unsigned i = 0; i < BYTES / 4; i++)
		bench.vram[i] = (i * 2654435761u + seed) * 40503u;
}

static void a_mode_and_drawing(void **state)
{
	fill(1);
	set_mode(&vga);
	pass(3);
	expect_mode(&vga);
	assert_int_equal(bench.shows, 1);
	assert_int_equal(bench.damages, 0);
	for (unsigned i = 0; i < 20; i++) {
		unsigned x = i * 13 % 300, y = i * 29 % 190;

		bench.vram[y * 320 + x] ^= 1;
		bench.vram[(y + 7) * 320 + x + 11] ^= 0x100;
		pass(1);
		expect_mode(&vga);
		assert_int_equal(bench.damages, i + 1);
		assert_int_equal(bench.damaged_pixels, (i + 1) * 8 * 12);
	}
	/* Outside of the picture. */
	bench.vram[320 * 200] ^= 1;
	pass(20);
	assert_int_equal(bench.damages, 20);
	assert_int_equal(bench.violations, 0);
}

/* Off is dark, and on is as it was; another size is another picture, another place is the same one. */
static void modes_in_turn(void **state)
{
	static const struct mode modes[] = {
		{ 320, 200, 32, 0, 0, 0 },   { 320, 200, 32, 400, 0, 0 },   { 320, 200, 32, 400, 7, 3 },
		{ 320, 200, 32, 300, 0, 0 }, { 320, 200, 32, 0, 0, 200 },   { 64, 64, 32, 0, 0, 0 },
		{ 1, 1, 32, 65535, 5, 2 },   { 512, 512, 32, 512, 0, 0 },   { 8192, 32, 32, 0, 0, 0 },
		{ 32, 8192, 32, 0, 0, 0 },   { 100, 20, 32, 8192, 50, 1 },
	};

	fill(2);
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		set_mode(&modes[i]);
		pass(3);
		assert_true(naive_is_lit(&modes[i]));
		expect_mode(&modes[i]);
		set(ENABLE, 0);
		pass(2);
		assert_null(bench.picture);
		assert_int_equal(bench.darks, i + 1);
		set(ENABLE, 0x41);
		pass(3);
		expect_mode(&modes[i]);
	}
	assert_int_equal(bench.absents + bench.violations, 0);
}

/* Two pictures in turn: the output is told of what differs. */
static void flips(void **state)
{
	fill(3);
	memcpy(bench.vram + 320 * 200, bench.vram, 320 * 200 * 4ul);
	bench.vram[320 * 200 + 320 * 5 + 6] ^= 1;
	set_mode(&vga);
	pass(3);
	for (unsigned i = 0; i < 20; i++) {
		set(Y, i % 2 ? 0 : 200);
		pass(1);
		assert_int_equal(bench.shows, 1);
		assert_int_equal(bench.damages, i + 1);
		assert_int_equal(bench.damaged_pixels, i + 1);
	}
}

static void reset(void **state)
{
	fill(4);
	set_mode(&vga);
	pass(3);
	quiesce();
	bench.ops->reset(bench.function);
	assert_null(bench.picture);
	assert_int_equal(bench.absents, 1);
	assert_int_equal(get(0x508, 2), 0);
	pass(3);
	assert_null(bench.picture);
	set_mode(&vga);
	pass(3);
	expect_mode(&vga);
}

/* ---- takeover ---- */

static void receive(struct handover *out, struct handover *in)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(handover_send(out, pair[0], UINT64_MAX), 0);
	assert_int_equal(handover_receive(pair[1], in), 0);
	close(pair[0]);
	close(pair[1]);
}

static void taken_over(void **state)
{
	struct handover out = { 0 }, in;
	void *before = bench.function;

	fill(5);
	set_mode(&(struct mode){ 320, 200, 32, 400, 1, 2 });
	pass(3);
	quiesce();
	bench.ops->leave(before);
	bench.ops->save(before, &out);
	receive(&out, &in);
	bench.ops->power_off(before);
	assert_null(bench.picture);
	assert_int_equal(bench.ops->power_on(bench.display, &bench.bus, &bench.function), 0);
	bench.ops->restore(bench.function, &in);
	assert_int_equal(in.error, 0);
	assert_int_equal(in.position, in.length);
	handover_finish(&in);
	handover_finish(&out);
	/* It is shown before the first look. */
	expect_mode(&(struct mode){ 320, 200, 32, 400, 1, 2 });
	assert_int_equal(bench.ops->arrive(bench.function), 0);
	bench.ops->resume(bench.function);
	/* The guest draws in the memory that it has. */
	bench.vram[2 * 400 + 1] ^= 0xff;
	pass(3);
	expect_mode(&(struct mode){ 320, 200, 32, 400, 1, 2 });
	assert_int_equal(get(0x50c, 2), 400);
	bench.vram[2 * 400 + 1] ^= 0xff;
	pass(2);
	expect_mode(&(struct mode){ 320, 200, 32, 400, 1, 2 });
}

static void put_state(struct handover *out, uint64_t version, uint64_t bytes, int fd, size_t registers)
{
	static const uint8_t zeroes[64];

	*out = (struct handover){ 0 };
	handover_put_u64(out, version);
	handover_put_u64(out, bytes);
	handover_put_fd(out, fd);
	handover_put_bytes(out, zeroes, registers);
}

static void streams_that_are_wrong(void **state)
{
	int good = fd_memfd("test", BYTES), small = fd_memfd("test", BYTES / 2);
	int open = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const struct {
		uint64_t version, bytes;
		int fd;
		size_t registers;
	} cases[] = {
		{ 2, BYTES, good, 22 }, { 1, BYTES / 2, small, 22 }, { 1, BYTES, small, 22 },
		{ 1, BYTES, open, 22 }, { 1, BYTES, -1, 22 },	     { 1, BYTES, STDIN_FILENO, 22 },
		{ 1, BYTES, good, 20 }, { 1, BYTES, good, 24 },
	};

	assert_int_equal(ftruncate(open, BYTES), 0);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct handover out, in;
		void *function;

		put_state(&out, cases[i].version, cases[i].bytes, cases[i].fd, cases[i].registers);
		receive(&out, &in);
		assert_int_equal(bench.ops->power_on(bench.display, &bench.bus, &function), 0);
		bench.ops->restore(function, &in);
		assert_int_equal(in.error, -EBADMSG);
		bench.ops->power_off(function);
		handover_finish(&in);
		handover_finish(&out);
	}
	close(good);
	close(small);
	close(open);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_it_is),
		TEST(after_power_on),
		TEST(what_can_be_written),
		TEST(accesses_of_any_size),
		TEST(the_memory),
		TEST(the_monitor),
		TEST(sizes_of_the_memory),
		TEST(a_mode_and_drawing),
		TEST(modes_in_turn),
		TEST(flips),
		TEST(reset),
		TEST(taken_over),
		TEST(streams_that_are_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
