/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is shown. A mode has a copy of its own, and is shown when the first look has filled that: nobody sees
 * an empty picture, or a half of one.
 */
#include <string.h>

#include "core/checked.h"
#include "core/container.h"
#include "core/loop_account.h"
#include "core/loop_blame.h"
#include "devices/display/bochs_display_private.h"

/* Of a look, in one turn: 256 KiB of the memory, in pieces after which the time is asked (5 us or so). */
#define TURN_BYTES  (256u << 10)
#define PIECE_BYTES (32u << 10)
/* So many looks that found nothing, and the next are at one line of IDLE_STEP. */
#define IDLE_AFTER 8u
#define IDLE_STEP  8u

#define FUNCTION_OF(pointer, member) container_of(pointer, struct bochs_function, member)

/* ---- the mode ---- */

bool bochs_mode_of(const struct bochs_function *function, struct bochs_mode *ret_mode)
{
	const uint16_t *registers = function->registers;
	unsigned width = registers[BOCHS_WIDTH], height = registers[BOCHS_HEIGHT];
	/* A virtual width that is smaller than the picture is taken for none. */
	uint64_t stride = registers[BOCHS_VIRTUAL_WIDTH] > width ? registers[BOCHS_VIRTUAL_WIDTH] : width;
	uint64_t offset = registers[BOCHS_Y] * stride + registers[BOCHS_X];

	*ret_mode = (struct bochs_mode){ .width = 0 };
	if (!(registers[BOCHS_ENABLE] & BOCHS_ENABLE_ON))
		return true;
	/* All numbers have 16 bits, so that the sums are far from an overflow. */
	if (registers[BOCHS_DEPTH] != PIXEL_BYTES * 8 || width == 0 || height == 0 ||
	    width > DISPLAY_SIDE_MAX || height > DISPLAY_SIDE_MAX ||
	    !checked_range(offset * PIXEL_BYTES, (stride * (height - 1) + width) * PIXEL_BYTES,
			   bochs_memory_bytes(function->display)))
		return false;
	*ret_mode = (struct bochs_mode){ width, height, (uint32_t)offset * PIXEL_BYTES,
					 (uint32_t)stride * PIXEL_BYTES };
	return true;
}

static void drop_picture(struct bochs_function *function)
{
	virtio_gpu_picture_put(function->picture);
	function->picture = NULL;
	function->copy = NULL;
	function->shown = false;
	function->look.damage.width = 0;
}

static void darken(struct bochs_function *function)
{
	const struct bochs_display *display = function->display;

	if (function->lit)
		display->output->show(display->context, 0, NULL);
	function->lit = false;
	drop_picture(function);
	function->mode.width = 0;
}

/* The picture that was shown stays until there is the next one. */
static bool make_picture(struct bochs_function *function, const struct bochs_mode *mode)
{
	const struct virtio_gpu_rect all = { 0, 0, mode->width, mode->height };
	size_t stride = (size_t)mode->width * PIXEL_BYTES;
	struct gpu_pixels *pixels = gpu_pixels_create(function->display->budget, stride * mode->height);
	struct virtio_gpu_picture *picture = pixels ? gpu_picture_create(pixels, stride, &all) : NULL;

	if (picture) {
		drop_picture(function);
		function->picture = picture;
		function->copy = gpu_pixels_at(pixels);
		function->mode = *mode;
	}
	gpu_pixels_put(pixels);
	return picture;
}

/* False: it is to be tried again, as the output still has the pictures of before. */
static bool change_mode(struct bochs_function *function)
{
	struct bochs_mode mode;
	bool possible = bochs_mode_of(function, &mode);

	if (!possible)
		function->bus->ops->violated(function->bus, BOCHS_VIOLATION_MODE,
					     (uint64_t)function->registers[BOCHS_DEPTH] << 32 |
						     (uint32_t)function->registers[BOCHS_HEIGHT] << 16 |
						     function->registers[BOCHS_WIDTH]);
	function->unchanged = 0;
	if (mode.width == 0) {
		darken(function);
		return true;
	}
	/* Drivers that show two pictures in turn change nothing but where they begin. */
	if (function->picture && mode.width == function->mode.width && mode.height == function->mode.height) {
		function->mode = mode;
		return true;
	}
	return make_picture(function, &mode);
}

/* ---- a look ---- */

static void begin_look(struct bochs_function *function)
{
	bool idle = function->shown && function->unchanged >= IDLE_AFTER;

	function->look = (struct bochs_look){ .under_way = true, .step = 1, .damage = function->look.damage };
	if (!idle)
		return;
	function->look.step = IDLE_STEP;
	function->look.line = function->first;
	function->first = (function->first + 1) % IDLE_STEP;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/*
 * From the first pixel that differs to the last; there is one. A look that did not come to its end may have
 * left damage below this line.
 */
static void note_damage(struct bochs_function *function, const uint32_t *before)
{
	struct virtio_gpu_rect *damage = &function->look.damage;
	const uint32_t *now = function->line;
	uint32_t left = 0, right = function->mode.width, top = function->look.line, bottom = top + 1;

	while (now[left] == before[left])
		left++;
	while (now[right - 1] == before[right - 1])
		right--;
	if (damage->width == 0) {
		*damage = (struct virtio_gpu_rect){ left, top, right - left, 1 };
		return;
	}
	right = larger(right, damage->x + damage->width);
	bottom = larger(bottom, damage->y + damage->height);
	damage->x = smaller(left, damage->x);
	damage->y = smaller(top, damage->y);
	damage->width = right - damage->x;
	damage->height = bottom - damage->y;
}

static void look_at_line(struct bochs_function *function)
{
	struct bochs_look *look = &function->look;
	const struct bochs_mode *mode = &function->mode;
	size_t bytes = (size_t)mode->width * PIXEL_BYTES;
	uint32_t *before = function->copy + (size_t)look->line * mode->width;

	/* The guest draws meanwhile: what is compared, and shown, is what was read here. */
	memcpy(function->line,
	       function->memory->bytes + mode->offset_bytes + (size_t)look->line * mode->stride_bytes, bytes);
	if (memcmp(function->line, before, bytes) != 0) {
		if (look->step > 1) {
			function->unchanged = 0;
			begin_look(function);
			return;
		}
		note_damage(function, before);
		memcpy(before, function->line, bytes);
	}
	look->line += look->step;
}

static void tell(struct bochs_function *function)
{
	const struct bochs_display *display = function->display;

	if (!function->shown)
		display->output->show(display->context, 0, function->picture);
	else
		display->output->damage(display->context, 0, &function->look.damage);
	function->look.damage.width = 0;
	function->shown = function->lit = function->waiting = true;
	function->told_ns = loop_now_ns(function->bus->loop);
}

static void start_timer(struct bochs_function *function, uint64_t after_ns)
{
	struct loop *loop = function->bus->loop;

	if (!function->runs)
		return;
	function->timed = true;
	loop_timer_start(loop, &function->timer, loop_now_ns(loop) + after_ns);
}

static void end_look(struct bochs_function *function)
{
	function->look.under_way = false;
	if (!function->shown || function->look.damage.width > 0) {
		function->unchanged = 0;
		tell(function);
		start_timer(function, BOCHS_LOOK_NS);
		return;
	}
	if (function->unchanged < IDLE_AFTER)
		function->unchanged++;
	start_timer(function, function->pace_ns);
}

bool bochs_poll(struct loop_poller *poller)
{
	struct bochs_function *function = FUNCTION_OF(poller, poller);
	struct loop *loop = function->bus->loop;
	size_t line_bytes = (size_t)function->mode.width * PIXEL_BYTES, looked_at = 0, piece = 0;

	if (!function->look.under_way)
		return false;
	while (looked_at < TURN_BYTES && function->look.line < function->mode.height) {
		look_at_line(function);
		looked_at += line_bytes;
		piece += line_bytes;
		if (piece < PIECE_BYTES)
			continue;
		piece = 0;
		if (__atomic_load_n(function->held, __ATOMIC_RELAXED) || loop_slice_over(loop))
			break;
	}
	if (function->look.line >= function->mode.height)
		end_look(function);
	loop_worked(loop, looked_at <= PIECE_BYTES);
	return true;
}

bool bochs_park(struct loop_poller *poller)
{
	return !FUNCTION_OF(poller, poller)->look.under_way;
}

/* ---- when ---- */

/* Does the output wait to be told? How long it took tells how often it is worth looking. */
static bool output_waits(struct bochs_function *function)
{
	const struct bochs_display *display = function->display;
	uint64_t took_ns = loop_now_ns(function->bus->loop) - function->told_ns;

	if (!display->has_shown(display->context))
		return false;
	if (function->waiting)
		function->pace_ns = took_ns < BOCHS_LOOK_NS	  ? BOCHS_LOOK_NS
				    : took_ns > BOCHS_LOOK_NS_MAX ? BOCHS_LOOK_NS_MAX
								  : took_ns;
	function->waiting = false;
	return true;
}

void bochs_on_time(struct loop_timer *timer)
{
	struct bochs_function *function = FUNCTION_OF(timer, timer);

	function->timed = false;
	loop_pay(function->bus->loop, function->bus->account);
	if (function->mode_changed && !change_mode(function)) {
		start_timer(function, BOCHS_LOOK_NS);
		return;
	}
	function->mode_changed = false;
	/* Until the registers say otherwise, nothing is to be done. */
	if (function->mode.width == 0)
		return;
	if (!output_waits(function)) {
		start_timer(function, BOCHS_LOOK_NS);
		return;
	}
	begin_look(function);
	loop_poller_wake(function->bus->loop, &function->poller);
}

void bochs_mode_touched(struct bochs_function *function)
{
	function->mode_changed = true;
	/* A look under way, or the timer, comes to it. */
	if (!function->look.under_way && !function->timed)
		start_timer(function, BOCHS_LOOK_NS);
}

/* In one piece: the seat arranges the windows that a successor shows by then as they were. */
void bochs_picture_restore(struct bochs_function *function)
{
	const struct bochs_display *display = function->display;
	struct bochs_mode mode;

	if (!bochs_mode_of(function, &mode) || mode.width == 0 || !make_picture(function, &mode)) {
		bochs_mode_touched(function);
		return;
	}
	for (size_t line = 0; line < mode.height; line++)
		memcpy(function->copy + line * mode.width,
		       function->memory->bytes + mode.offset_bytes + line * mode.stride_bytes,
		       (size_t)mode.width * PIXEL_BYTES);
	display->output->show(display->context, 0, function->picture);
	function->shown = function->lit = true;
}

void bochs_looks_start(struct bochs_function *function)
{
	function->runs = true;
	function->pace_ns = BOCHS_LOOK_NS;
	if (function->mode_changed || function->mode.width > 0)
		start_timer(function, 0);
}

void bochs_looks_stop(struct bochs_function *function)
{
	if (!function->runs)
		return;
	function->runs = function->timed = function->look.under_way = false;
	loop_timer_stop(function->bus->loop, &function->timer);
	loop_poller_remove(function->bus->loop, &function->poller);
}

void bochs_picture_forget(struct bochs_function *function)
{
	const struct bochs_display *display = function->display;

	darken(function);
	display->output->absent(display->context);
}
