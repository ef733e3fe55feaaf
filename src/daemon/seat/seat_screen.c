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

void seat_screen_drop_pixels(struct seat_screen *screen)
{
	if (screen->pixels)
		munmap(screen->pixels, screen->bytes);
	screen->pixels = NULL;
	fd_close(&screen->file);
}

int seat_screen_make_pixels(struct seat_screen *screen, unsigned width, unsigned height)
{
	screen->width = width;
	screen->height = height;
	screen->stride_bytes = (size_t)width * 4;
	screen->bytes = screen->stride_bytes * height;
	screen->file = make_pixels(screen->bytes, &screen->pixels);
	return screen->file < 0 ? screen->file : 0;
}

/*
 * What guests draw is taken as often as the seat's screen is drawn: so that is drawn, too, for those who look
 * at one guest alone.
 */
static uint64_t frame_ns(const struct seat_screen *screen)
{
	bool seen = screen->viewers || screen->bare_viewers > 0 ||
		    (screen->hardware && seat_hardware_shows(screen->hardware));

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

	if (screen->whole && !screen->viewers)
		return;
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
	if (clock_now_ns() < screen->from_ns || (screen->whole && !seat_screen_fit(screen)) ||
	    !seat_has_changed(screen->seat))
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

void seat_screen_add_viewer(struct seat_screen *screen, struct seat_viewer *viewer)
{
	viewer->next = screen->viewers;
	screen->viewers = viewer;
	if (screen->whole) {
		screen->whole->bare_viewers++;
		seat_screen_draw(screen->whole);
	}
	seat_screen_draw(screen);
	/* Else its first picture is to come. */
	if (!screen->pixels)
		on_changed(screen);
}

void seat_screen_remove_viewer(struct seat_screen *screen, struct seat_viewer *viewer)
{
	struct seat_viewer **link = &screen->viewers;

	while (*link != viewer)
		link = &(*link)->next;
	*link = viewer->next;
	if (screen->whole)
		screen->whole->bare_viewers--;
	if (screen->whole && !screen->viewers)
		seat_screen_drop_pixels(screen);
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
		loop_timer_start(screen->loop, timer, clock_now_ns() + seat_typist_step_ns(screen->typist));
}

int seat_screen_type(struct seat_screen *screen, const char *utf8, size_t bytes, size_t *ret_bad_offset)
{
	int code = seat_typist_add(screen->typist, utf8, bytes, ret_bad_offset);

	if (!code)
		on_typing(&screen->typing);
	return code;
}

/* What cannot be pasted stays where it is. That nothing was copied, or no guest has the focus, is no news. */
static void on_paste(void *context)
{
	struct seat_screen *screen = context;
	size_t bad_offset;

	switch (seat_clipboard_paste(&screen->clipboard, screen, &bad_offset)) {
	case -ENOTSUP:
	case -EILSEQ:
		log_guest(&screen->typing_subject,
			  "nothing was pasted: the character at byte %zu of what was copied cannot be typed "
			  "with the seat's keyboard layout",
			  bad_offset + 1);
		break;
	case -ENOSPC:
		log_guest(&screen->typing_subject, "nothing was pasted: there is no room for so much text");
		break;
	default:
		break;
	}
}

static void on_lights(void *context, unsigned lights)
{
	const struct seat_screen *screen = context;

	if (screen->hardware)
		seat_hardware_light(screen->hardware, lights);
}

/* ---- life ---- */

static int open_seat(struct seat_screen *screen, const struct seat_options *options, struct error *error)
{
	struct seat_options own = *options;
	int code;

	own.changed = on_changed;
	own.paste = on_paste;
	own.lights = on_lights;
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

static int open_account(struct seat_screen *screen)
{
	if (screen->payer)
		screen->account = loop_account_create(screen->payer, screen->loop);
	return screen->account ? 0 : -ENOMEM;
}

static void init(struct seat_screen *screen, struct loop *loop, const struct seat_screen_options *options)
{
	*screen = (struct seat_screen){
		.loop = loop,
		.name = options->name,
		.subject = options->subject,
		.file = -1,
		.frame.expired = on_frame,
		.typing.expired = on_typing,
		.from_ns = UINT64_MAX,
	};
}

int seat_screen_init(struct seat_screen *screen, struct loop *loop, const struct seat_screen_options *options,
		     struct error *error)
{
	int code;

	init(screen, loop, options);
	log_subject_name(&screen->typing_subject, "seat %s", options->name);
	screen->payer = loop_guest_create();
	code = open_account(screen) ? error_set(error, -ENOMEM, "out of memory") : 0;
	if (!code)
		code = open_seat(screen, &options->seat, error);
	if (!code)
		code = open_keyboard(screen, options->layout, error);
	if (!code && seat_screen_make_pixels(screen, options->seat.width, options->seat.height))
		code = error_set(error, screen->file, "no memory for the screen: %s",
				 strerror(-screen->file));
	if (code)
		seat_screen_finish(screen);
	return code;
}

int seat_screen_init_bare(struct seat_screen *screen, struct seat_screen *whole,
			  const struct seat_screen_options *options, struct loop_guest *guest)
{
	init(screen, whole->loop, options);
	screen->whole = whole;
	screen->keymap = whole->keymap;
	screen->payer = loop_guest_get(guest);
	screen->typist = calloc(1, sizeof(*screen->typist));
	if (screen->typist && open_account(screen) == 0)
		return 0;
	seat_screen_finish(screen);
	return -ENOMEM;
}

int seat_screen_open_bare(struct seat_screen *screen, struct seat_window *window, uint64_t after_ns)
{
	const struct seat_options options = {
		.changed = on_changed,
		.paste = on_paste,
		.context = screen,
	};
	int code = seat_create_bare(window, &options, &screen->seat);

	if (code)
		return code;
	seat_typist_init(screen->typist, screen->seat, screen->keymap);
	seat_screen_list_bare(screen);
	seat_screen_start(screen, after_ns);
	return 0;
}

void seat_screen_finish(struct seat_screen *screen)
{
	assert(!screen->viewers);
	seat_clipboard_finish(&screen->clipboard);
	free(screen->typist);
	screen->typist = NULL;
	if (!screen->whole)
		seat_keymap_destroy(screen->keymap);
	screen->keymap = NULL;
	seat_destroy(screen->seat);
	screen->seat = NULL;
	seat_screen_drop_pixels(screen);
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
