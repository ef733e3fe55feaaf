/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bochs display alone, to be included by one program: a bus, a loop whose clock the test moves, an output
 * that draws what it is told to, and a driver that is a naive one: it stores, and knows what must be seen.
 */
#ifndef VIADUCT_TESTS_UNIT_BOCHS_BENCH_H
#define VIADUCT_TESTS_UNIT_BOCHS_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/handover.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "devices/display/bochs_display.h"
#include "stopped_clock.h"

#define MEMORY	  0u
#define REGISTERS 2u
#define BYTES	  (1u << 20) /* of the memory */
/* Registers of the mode, by their index. */
enum { ID, WIDTH, HEIGHT, DEPTH, ENABLE, BANK, VIRTUAL_WIDTH, VIRTUAL_HEIGHT, X, Y, MEMORY_64K, COUNT };

static struct bench {
	struct loop *loop;
	struct bochs_display *display;
	const struct register_model_ops *ops;
	struct register_bus bus;
	struct loop_guest *guest;
	void *function;
	uint32_t *vram; /* as the guest sees it, at another address than the model */

	/* the output */
	struct virtio_gpu_picture *picture;
	uint32_t *screen; /* what it has drawn of the picture */
	unsigned shows, darks, damages, absents, violations;
	uint64_t damaged_pixels;
	bool busy;	/* it has not shown what it was told */
	unsigned asked; /* whether it has */
} bench;

/* ---- the output ---- */

static void draw(const struct virtio_gpu_rect *rect)
{
	const struct virtio_gpu_picture *picture = bench.picture;

	assert_non_null(picture);
	assert_true(rect->width > 0 && rect->height > 0 && rect->x + rect->width <= picture->width &&
		    rect->y + rect->height <= picture->height);
	for (unsigned y = rect->y; y < rect->y + rect->height; y++)
		memcpy(bench.screen + y * picture->width + rect->x,
		       (const uint8_t *)picture->pixels + y * picture->stride_bytes + rect->x * 4ul,
		       rect->width * 4ul);
}

static void on_show(void *context, unsigned scanout, struct virtio_gpu_picture *picture)
{
	assert_ptr_equal(context, &bench);
	assert_int_equal(scanout, 0);
	virtio_gpu_picture_put(bench.picture);
	bench.picture = picture ? virtio_gpu_picture_get(picture) : NULL;
	free(bench.screen);
	bench.screen = NULL;
	if (!picture) {
		bench.darks++;
		return;
	}
	bench.shows++;
	bench.screen = calloc((size_t)picture->width * picture->height, 4);
	draw(&(struct virtio_gpu_rect){ 0, 0, picture->width, picture->height });
}

static void on_damage(void *context, unsigned scanout, const struct virtio_gpu_rect *rect)
{
	bench.damages++;
	bench.damaged_pixels += (uint64_t)rect->width * rect->height;
	draw(rect);
}

static void on_absent(void *context)
{
	bench.absents++;
}

static const struct virtio_gpu_output_ops output = {
	.show = on_show,
	.damage = on_damage,
	.absent = on_absent,
};

static bool has_shown(void *context)
{
	bench.asked++;
	return !bench.busy;
}

/* ---- the bus ---- */

static void on_violated(struct register_bus *bus, unsigned kind, uint64_t value)
{
	assert_int_equal(kind, 0);
	bench.violations++;
}

static const struct register_bus_ops bus_ops = { .violated = on_violated };

/* So many looks' time passes, and all that there is to do is done. */
static inline void pass(unsigned looks)
{
	for (unsigned i = 0; i < looks; i++) {
		stopped_clock_ns += BOCHS_LOOK_NS;
		for (unsigned turn = 0; turn < 40; turn++)
			loop_turn(bench.loop, 0);
	}
}

static void on_quiet(void *context)
{
	*(bool *)context = true;
}

static inline void quiesce(void)
{
	bool quiet = false;

	bench.ops->quiesce(bench.function, on_quiet, &quiet);
	assert_true(quiet);
}

static inline void map_vram(void)
{
	bench.vram = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			  bench.ops->bar_memory(bench.function, MEMORY), 0);
	assert_true(bench.vram != MAP_FAILED);
}

static inline void power_on(void)
{
	assert_int_equal(bench.ops->power_on(bench.display, &bench.bus, &bench.function), 0);
	assert_int_equal(bench.ops->arrive(bench.function), 0);
	bench.ops->resume(bench.function);
}

static inline void power_off(void)
{
	quiesce();
	bench.ops->power_off(bench.function);
}

static int setup(void **state)
{
	const struct loop_options loop = { .name = "test", .clocks = &stopped_clocks };
	const struct bochs_display_options options = {
		.memory_bytes = BYTES,
		.width = 800,
		.height = 600,
		.output = &output,
		.has_shown = has_shown,
		.context = &bench,
	};

	memset(&bench, 0, sizeof(bench));
	assert_int_equal(loop_create(&loop, &bench.loop), 0);
	loop_turn(bench.loop, 0);
	bench.guest = loop_guest_create();
	bench.bus = (struct register_bus){ .ops = &bus_ops, .loop = bench.loop };
	bench.bus.account = loop_account_create(bench.guest, bench.loop);
	assert_int_equal(bochs_display_create(&options, &bench.display), 0);
	bench.ops = bochs_display_model(bench.display);
	power_on();
	map_vram();
	return 0;
}

static int teardown(void **state)
{
	power_off();
	assert_null(bench.picture);
	assert_true(bench.absents > 0);
	munmap(bench.vram, BYTES);
	bochs_display_destroy(bench.display);
	loop_account_close(bench.bus.account);
	loop_guest_put(bench.guest);
	loop_turn(bench.loop, 0);
	loop_destroy(bench.loop);
	return 0;
}

/* ---- the driver ---- */

static inline uint64_t get(uint32_t offset, unsigned bytes)
{
	return bench.ops->read(bench.function, REGISTERS, offset, bytes);
}

static inline void put(uint32_t offset, unsigned bytes, uint64_t value)
{
	bench.ops->write(bench.function, REGISTERS, offset, bytes, value);
}

static inline void set(unsigned index, uint16_t value)
{
	put(0x500 + index * 2, 2, value);
}

struct mode {
	uint16_t width, height, depth, virtual_width, x, y;
};

static inline void set_mode(const struct mode *mode)
{
	set(ENABLE, 0);
	set(WIDTH, mode->width);
	set(HEIGHT, mode->height);
	set(DEPTH, mode->depth);
	set(VIRTUAL_WIDTH, mode->virtual_width);
	set(X, mode->x);
	set(Y, mode->y);
	set(ENABLE, 0x41);
}

/* As the document says it, in numbers that cannot overflow. False: dark. */
static inline bool naive_pixel(const struct mode *mode, uint64_t x, uint64_t y, uint64_t *ret_index)
{
	uint64_t stride = mode->virtual_width > mode->width ? mode->virtual_width : mode->width;

	*ret_index = (mode->y + y) * stride + mode->x + x;
	return *ret_index < BYTES / 4;
}

static inline bool naive_is_lit(const struct mode *mode)
{
	uint64_t index;

	return mode->depth == 32 && mode->width >= 1 && mode->width <= 8192 && mode->height >= 1 &&
	       mode->height <= 8192 && naive_pixel(mode, mode->width - 1u, mode->height - 1u, &index);
}

static inline void expect_mode(const struct mode *mode)
{
	assert_int_equal(bench.picture != NULL, naive_is_lit(mode));
	if (!bench.picture)
		return;
	assert_int_equal(bench.picture->width, mode->width);
	assert_int_equal(bench.picture->height, mode->height);
	for (unsigned y = 0; y < mode->height; y++) {
		for (unsigned x = 0; x < mode->width; x++) {
			uint64_t index = 0;

			assert_true(naive_pixel(mode, x, y, &index));
			if (bench.screen[y * mode->width + x] != bench.vram[index])
				fail_msg("pixel %u, %u", x, y);
		}
	}
}

#endif
