/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Modes that there cannot be, floods of stores, and an output that keeps what it was shown. */
#include "bochs_bench.h"

#define MODE_AT 0x500u

static uint32_t seed;

static uint32_t any(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)seed * below >> 32);
}

static void fill(void)
{
	for (unsigned i = 0; i < BYTES / 4; i++)
		bench.vram[i] = i * 2654435761u;
}

static void modes_that_cannot_be(void **state)
{
	static const struct mode modes[] = {
		{ 0, 0, 32, 0, 0, 0 },
		{ 0, 200, 32, 0, 0, 0 },
		{ 320, 0, 32, 0, 0, 0 },
		{ 65535, 65535, 32, 0, 0, 0 },
		{ 65535, 1, 32, 0, 0, 0 },
		{ 1, 65535, 32, 0, 0, 0 },
		{ 8193, 1, 32, 0, 0, 0 },
		{ 1, 8193, 32, 0, 0, 0 },
		{ 320, 200, 8, 0, 0, 0 },
		{ 320, 200, 15, 0, 0, 0 },
		{ 320, 200, 16, 0, 0, 0 },
		{ 320, 200, 24, 0, 0, 0 },
		{ 320, 200, 0, 0, 0, 0 },
		{ 320, 200, 65535, 0, 0, 0 },
		{ 512, 513, 32, 0, 0, 0 },
		{ 512, 512, 32, 513, 0, 0 },
		{ 512, 512, 32, 0, 1, 0 },
		{ 512, 512, 32, 0, 0, 1 },
		{ 1, 1, 32, 0, 0, 65535 },
		{ 64, 64, 32, 65535, 0, 0 },
		{ 320, 200, 32, 0, 65535, 65535 },
		{ 320, 200, 32, 65535, 65535, 65535 },
		{ 4, 1, 32, 65535, 13, 4 },
	};

	fill();
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		bool lit = naive_is_lit(&modes[i]);

		set_mode(&modes[i]);
		pass(3);
		expect_mode(&modes[i]);
		assert_int_equal(bench.violations, lit ? 0 : 1);
		/* One that can follows at once. */
		set_mode(&(struct mode){ 16, 16, 32, 0, 0, 0 });
		pass(3);
		expect_mode(&(struct mode){ 16, 16, 32, 0, 0, 0 });
		bench.violations = 0;
	}
}

/* The last pixel of the memory, and one more. */
static void the_end_of_the_memory(void **state)
{
	for (uint16_t x = 0; x < 3; x++) {
		const struct mode mode = { 2, 3, 32, 512, (uint16_t)(509 + x), 509 };

		fill();
		set_mode(&mode);
		pass(3);
		expect_mode(&mode);
		assert_int_equal(bench.picture != NULL, x < 2);
	}
}

/* Any stores, against bytes that remember them: what is read, and what is seen. */
static void any_stores(void **state)
{
	static const uint16_t likely[] = { 0, 1, 16, 32, 64, 0x41, 200, 320, 512, 8192, 65535 };
	uint8_t model[22] = { 0xc5, 0xb0, [20] = BYTES >> 16 };
	unsigned lit = 0;

	fill();
	seed = 1;
	for (unsigned round = 0; round < 3000; round++) {
		struct mode mode;

		for (unsigned stores = 1 + any(6); stores > 0; stores--) {
			unsigned bytes = 1u << any(4);
			uint32_t offset = MODE_AT + any(24) / bytes * bytes;
			uint64_t value = likely[any(11)] | (uint64_t)likely[any(11)] << 16 |
					 (uint64_t)likely[any(11)] << 32 | (uint64_t)likely[any(11)] << 48;

			/* Else there is hardly ever a picture. */
			if (any(4) == 0) {
				offset = MODE_AT + 2 * DEPTH;
				bytes = 4;
				value = 0x410020;
			}
			put(offset, bytes, value);
			for (unsigned i = 0; i < bytes; i++)
				if (offset - MODE_AT + i >= 2 && offset - MODE_AT + i < 20)
					model[offset - MODE_AT + i] = (uint8_t)(value >> 8 * i);
		}
		for (unsigned i = 0; i < sizeof(model); i++)
			assert_int_equal(get(MODE_AT + i, 1), model[i]);
		pass(3);
#define WORD(index) (uint16_t)(model[(index)*2] | model[(index)*2 + 1] << 8)
		mode = (struct mode){ WORD(WIDTH),	   WORD(HEIGHT), WORD(DEPTH),
				      WORD(VIRTUAL_WIDTH), WORD(X),	 WORD(Y) };
		if (WORD(ENABLE) & 1)
			expect_mode(&mode);
		else
			assert_null(bench.picture);
		lit += bench.picture != NULL;
	}
	assert_in_range(lit, 100, 2900);
}

/* However many stores, the output is told once a look. */
static void a_flood_of_modes(void **state)
{
	fill();
	for (unsigned i = 0; i < 100; i++) {
		for (unsigned stores = 0; stores < 1000; stores++) {
			set(WIDTH, (uint16_t)(1 + any(512)));
			set(HEIGHT, (uint16_t)(1 + any(512)));
			set(DEPTH, 32);
			set(ENABLE, (uint16_t)any(4));
		}
		pass(1);
	}
	assert_true(bench.shows <= 100 && bench.darks <= 100 && bench.shows + bench.darks > 20);
}

/* Copies are bounded: a driver whose pictures are kept waits, and goes on when one is let go. */
static void pictures_that_are_kept(void **state)
{
	struct virtio_gpu_picture *kept[16];
	unsigned count = 0;

	fill();
	for (unsigned i = 0; i < 16; i++) {
		set_mode(&(struct mode){ (uint16_t)(512 - i), 512, 32, 0, 0, 0 });
		pass(3);
		if (bench.shows == count)
			break;
		kept[count++] = virtio_gpu_picture_get(bench.picture);
	}
	assert_int_equal(count, 3);
	assert_int_equal(bench.picture->width, 510);
	pass(20);
	assert_int_equal(bench.shows, 3);
	virtio_gpu_picture_put(kept[0]);
	pass(3);
	expect_mode(&(struct mode){ 509, 512, 32, 0, 0, 0 });
	virtio_gpu_picture_put(kept[1]);
	virtio_gpu_picture_put(kept[2]);
	/* In the middle of a change, off is dark. */
	set_mode(&(struct mode){ 512, 512, 32, 0, 0, 0 });
	stopped_clock_ns += BOCHS_LOOK_NS;
	loop_turn(bench.loop, 0);
	set(ENABLE, 0);
	pass(3);
	assert_null(bench.picture);
}

/* The memory can be emptied under us by whoever has its file; it stays as large as it is. */
static void holes(void **state)
{
	const struct mode mode = { 320, 200, 32, 0, 0, 0 };
	int fd = bench.ops->bar_memory(bench.function, MEMORY);

	fill();
	set_mode(&mode);
	pass(3);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BYTES), 0);
	pass(3);
	expect_mode(&mode);
	assert_int_equal(bench.screen[77], 0);
	assert_int_equal(bench.ops->read(bench.function, MEMORY, BYTES - 8, 8), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(modes_that_cannot_be), TEST(the_end_of_the_memory),  TEST(any_stores),
		TEST(a_flood_of_modes),	    TEST(pictures_that_are_kept), TEST(holes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
