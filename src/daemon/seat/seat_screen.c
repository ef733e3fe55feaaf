/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/seat_screen.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arbiter/seat/seat_keymap.h"
#include "arbiter/seat/seat_typist.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/loop_account.h"
#include "daemon/seat/seat_hardware.h"

/* Returns the memory's descriptor, or -errno. What maps it later may not write. */
static int make_pixels(size_t bytes, uint32_t **ret_pixels)
{
	int file = fd_memfd("viaduct-seat", bytes), error;
	void *pixels;

	if (file < 0)
		return file;
	pixels = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (pixels != MAP_FAILED && fcntl(file, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0) {
		*ret_pixels = pixels;
		return file;
	}
	error = -errno;
	if (pixels != MAP_FAILED)
		munmap(pixels, bytes);
	close(file);
	return error;
}

static uint64_t frame_ns(const struct seat_screen *screen)
{
	bool seen = screen->viewers || (screen->hardware && seat_hardware_shows(screen->hardware));

	return seen ? SEAT_FRAME_NS : SEAT_FRAME_UNSEEN_NS;
}

/* A picture that is a little late does not put off those that follow. */
static uint64_t due_ns(const struct seat_screen *screen, uint64_t now_ns)
{
	uint64_t due_ns = screen->drawn_ns + frame_ns(screen);

	return due_ns <= now_ns && now_ns - due_ns < frame_ns(screen) / 2 ? due_ns : now_ns;
}

static void on_changed(void *context)
{
	struct seat_screen *screen = context;
	uint64_t now_ns = clock_now_ns(), next_ns = screen->drawn_ns + frame_ns(screen);

	if (next_ns < screen->from_ns)
		next_ns = screen->from_ns;
	if (screen->from_ns != UINT64_MAX)
		loop_timer_start(screen->loop, &screen->frame, next_ns > now_ns ? next_ns : now_ns);
}

static void on_rect(void *context, const struct seat_rect *rect)
{
	struct seat_screen *screen = context;

	counter_add(&screen->drawn_pixels, (uint64_t)rect->width * rect->height);
	for (struct seat_viewer *viewer = screen->viewers; viewer; viewer = viewer->next)
		seat_viewer_damage(viewer, rect);
	if (screen->hardware)
		seat_hardware_damage(screen->hardware, rect);
}

void seat_screen_draw(struct seat_screen *screen)
{
	if (!seat_has_changed(screen->seat) || clock_now_ns() < screen->from_ns)
		return;
	/* Before: windows that are told so may draw at once. */
	screen->drawn_ns = due_ns(screen, clock_now_ns());
	counter_add(&screen->frames, 1);
	seat_compose(screen->seat, screen->pixels, screen->stride_bytes, on_rect, screen);
	for (struct seat_viewer *viewer = screen->viewers; viewer; viewer = viewer->next)
		seat_viewer_flush(viewer);
	if (screen->hardware)
		seat_hardware_flush(screen->hardware);
	if (seat_has_changed(screen->seat))
		on_changed(screen);
}

static void on_frame(struct loop_timer *timer)
{
	struct seat_screen *screen = container_of(timer, struct seat_screen, frame);

	loop_pay(screen->loop, screen->account);
	seat_screen_draw(screen);
}

/* ---- typing ---- */

/* The typist's own counters are this thread's. */
static void count_strokes(struct seat_screen *screen)
{
	const struct seat_typist *typist = screen->typist;

	counter_add(&screen->typed_strokes, typist->typed - counter_read(&screen->typed_strokes));
	counter_add(&screen->dropped_strokes, typist->dropped - counter_read(&screen->dropped_strokes));
	__atomic_store_n(&screen->typing_left, seat_typist_left(typist), __ATOMIC_RELEASE);
}

static void on_typing(struct loop_timer *timer)
{
	struct seat_screen *screen = container_of(timer, struct seat_screen, typing);
	bool more;

	loop_pay(screen->loop, screen->account);
	more = seat_typist_step(screen->typist);
	count_strokes(screen);
	if (more)
		loop_timer_start(screen->loop, timer, clock_now_ns() + SEAT_TYPE_STEP_NS);
}

int seat_screen_type(struct seat_screen *screen, const char *utf8, size_t bytes, size_t *ret_bad_offset)
{
	int code = seat_typist_add(screen->typist, utf8, bytes, ret_bad_offset);

	if (!code)
		on_typing(&screen->typing);
	return code;
}

/* What cannot be pasted stays where it is. */
static void on_paste(void *context)
{
	struct seat_screen *screen = context;
	size_t ignored;

	seat_clipboard_paste(&screen->clipboard, screen, &ignored);
}

/* ---- life ---- */

static int open_seat(struct seat_screen *screen, const struct seat_options *options, struct error *error)
{
	struct seat_options own = *options;
	int code;

	own.changed = on_changed;
	own.paste = on_paste;
	own.context = screen;
	code = seat_create(&own, &screen->seat);
	if (code == -ENOENT)
		return error_set(error, code, "cannot read the font %s", own.font);
	return code ? error_set(error, code, "cannot make the seat: %s", strerror(-code)) : 0;
}

static int open_keyboard(struct seat_screen *screen, const char *layout, struct error *error)
{
	int code = seat_keymap_create(layout, &screen->keymap);

	if (code == -EINVAL)
		return error_set(error, code, "there is no keyboard layout %s", layout);
	if (code == -ENOENT)
		return error_set(error, code, "there are no keyboard layouts on this host; install xkb-data");
	screen->typist = code ? NULL : calloc(1, sizeof(*screen->typist));
	if (!screen->typist)
		return error_set(error, -ENOMEM, "out of memory");
	seat_typist_init(screen->typist, screen->seat, screen->keymap);
	return 0;
}

static int open_account(struct seat_screen *screen, struct error *error)
{
	screen->payer = loop_guest_create();
	if (screen->payer)
		screen->account = loop_account_create(screen->payer, screen->loop);
	return screen->account ? 0 : error_set(error, -ENOMEM, "out of memory");
}

int seat_screen_init(struct seat_screen *screen, struct loop *loop, const struct seat_screen_options *options,
		     struct error *error)
{
	int code;

	*screen = (struct seat_screen){
		.loop = loop,
		.name = options->name,
		.width = options->seat.width,
		.height = options->seat.height,
		.stride_bytes = (size_t)options->seat.width * 4,
		.file = -1,
		.frame.expired = on_frame,
		.typing.expired = on_typing,
		.from_ns = UINT64_MAX,
	};
	code = open_account(screen, error);
	if (!code)
		code = open_seat(screen, &options->seat, error);
	if (!code)
		code = open_keyboard(screen, options->layout, error);
	screen->bytes = screen->stride_bytes * screen->height;
	if (!code)
		screen->file = make_pixels(screen->bytes, &screen->pixels);
	if (!code && screen->file < 0)
		code = error_set(error, screen->file, "no memory for the screen: %s",
				 strerror(-screen->file));
	if (code)
		seat_screen_finish(screen);
	return code;
}

void seat_screen_finish(struct seat_screen *screen)
{
	assert(!screen->viewers);
	seat_clipboard_finish(&screen->clipboard);
	free(screen->typist);
	screen->typist = NULL;
	seat_keymap_destroy(screen->keymap);
	screen->keymap = NULL;
	seat_destroy(screen->seat);
	screen->seat = NULL;
	if (screen->pixels)
		munmap(screen->pixels, screen->bytes);
	screen->pixels = NULL;
	fd_close(&screen->file);
	loop_account_close(screen->account);
	screen->account = NULL;
	loop_guest_put(screen->payer);
	screen->payer = NULL;
}

void seat_screen_start(struct seat_screen *screen, uint64_t after_ns)
{
	screen->from_ns = clock_now_ns() + after_ns;
	on_changed(screen);
}

void seat_screen_stop(struct seat_screen *screen)
{
	loop_timer_stop(screen->loop, &screen->frame);
	loop_timer_stop(screen->loop, &screen->typing);
	seat_typist_stop(screen->typist);
}
