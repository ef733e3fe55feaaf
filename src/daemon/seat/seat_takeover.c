/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a successor needs so that viewers of a seat see no change: the sockets at which viewers arrive and
 * those of viewers' processes, the picture on the screen, and where the windows are. Windows are handed over
 * in a memory file, by their names (display_window_name()):
 *
 *     u64 SEAT_STATE_VERSION
 *     u64 windows, { string window, u64 x, u64 y } … from the lowest to the highest
 *     string window with the focus, string window with all of the screen ("": none)
 *     u64 width, u64 height before it had all of the screen
 *     u64 windows, { string window, u64 scale, u64 lights } … also of those that show nothing
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/handover.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/base/takeover_wire.h"
#include "daemon/seat/display_device.h"
#include "daemon/seat/seat_room.h"

#define SEAT_STATE_VERSION 3 /* 2: without lights; 1: ends before the width */
#define STATE_BYTES_MAX	   (1u << 20)
#define WINDOWS_MAX	   4096u

/* On the seats' thread, while the control thread waits: the list of devices stands still. */
struct state_errand {
	struct daemon_seat *owner;
	struct handover state;
};

/* ---- the predecessor ---- */

static void put_name(struct state_errand *errand, const struct seat_window *window)
{
	char name[DISPLAY_WINDOW_NAME_SIZE] = "";

	display_window_for_each(errand->owner->daemon, one)
	{
		if (window && one->window == window)
			display_window_name(one, name);
	}
	handover_put_string(&errand->state, name);
}

static unsigned count_windows(const struct daemon_seat *owner)
{
	unsigned count = 0;

	display_window_for_each(owner->daemon, window) count += window->display->seat == owner;
	return count;
}

static void write_scales(struct state_errand *errand)
{
	handover_put_u64(&errand->state, count_windows(errand->owner));
	display_window_for_each(errand->owner->daemon, window)
	{
		if (window->display->seat != errand->owner)
			continue;
		put_name(errand, window->window);
		handover_put_u64(&errand->state, seat_window_scale(window->window));
		handover_put_u64(&errand->state, seat_window_lights(window->window));
	}
}

static void write_windows(void *context)
{
	struct state_errand *errand = context;
	struct seat *seat = errand->owner->screen.seat;
	const struct seat_window *window = NULL;
	unsigned width = 0, height = 0;
	uint64_t count = 0;

	/* What has the focus without it gets it there. */
	seat_set_overview(seat, false);
	while ((window = seat_window_above(seat, window)))
		count++;
	handover_put_u64(&errand->state, SEAT_STATE_VERSION);
	handover_put_u64(&errand->state, count);
	while ((window = seat_window_above(seat, window))) {
		int x, y;

		seat_window_corner(window, &x, &y);

		put_name(errand, window);
		handover_put_u64(&errand->state, (uint64_t)x);
		handover_put_u64(&errand->state, (uint64_t)y);
	}
	put_name(errand, seat_focus(seat));
	put_name(errand, seat_full_screen(seat));
	if (seat_full_screen(seat))
		seat_window_size_before(seat_full_screen(seat), &width, &height);
	handover_put_u64(&errand->state, width);
	handover_put_u64(&errand->state, height);
	write_scales(errand);
}

/* Returns a memory file, or -errno. */
static int state_file(struct daemon_seat *owner)
{
	struct state_errand errand = { .owner = owner };
	int file = -1;

	seat_call(owner->daemon, write_windows, &errand);
	if (!errand.state.error)
		file = fd_memfd("viaduct-seat-state", errand.state.length);
	if (file >= 0 &&
	    pwrite(file, errand.state.bytes, errand.state.length, 0) < (ssize_t)errand.state.length)
		fd_close(&file);
	handover_finish(&errand.state);
	return file;
}

void seats_hand_over(struct daemon *daemon, struct handover *header)
{
	for (struct daemon_seat *owner = daemon->seats; owner; owner = owner->next) {
		for (unsigned kind = 0; kind < SEAT_DOORS; kind++)
			seat_door_hand_over(&owner->doors[kind], header);
		seat_clients_hand_over(owner, &owner->screen, header);
		seat_hardware_hand_over(&owner->hardware, owner->name, header);
		takeover_put_fd(header, "seat-picture", owner->name, owner->screen.file);
		fd_close(&owner->state_file);
		owner->state_file = state_file(owner);
		if (owner->state_file >= 0)
			takeover_put_fd(header, "seat-windows", owner->name, owner->state_file);
	}
}

/* ---- the successor ---- */

/* Before the first picture. A screen of another size begins empty. */
void seat_take_over_picture(struct daemon_seat *owner)
{
	struct seat_screen *screen = &owner->screen;
	int file = takeover_offer_take(owner->daemon->offer, "seat-picture", owner->name);
	struct stat info;
	void *pixels = MAP_FAILED;

	if (file < 0)
		return;
	if (fstat(file, &info) == 0 && info.st_size == (off_t)screen->bytes)
		pixels = mmap(NULL, screen->bytes, PROT_READ, MAP_SHARED, file, 0);
	if (pixels != MAP_FAILED) {
		memcpy(screen->pixels, pixels, screen->bytes);
		munmap(pixels, screen->bytes);
	}
	fd_close(&file);
}

static struct seat_window *window_of(const struct daemon_seat *owner, const char *name)
{
	const struct display_window *window = display_window_find(owner->daemon, name);

	return window && window->display->seat == owner ? window->window : NULL;
}

static struct seat_window *read_window(struct state_errand *errand)
{
	char name[DISPLAY_WINDOW_NAME_SIZE];

	handover_get_string(&errand->state, name, sizeof(name));
	return window_of(errand->owner, name);
}

static void read_scales(struct state_errand *errand, bool with_lights)
{
	uint64_t count = handover_get_at_most(&errand->state, WINDOWS_MAX);

	for (uint64_t i = 0; i < count && !errand->state.error; i++) {
		struct seat_window *window = read_window(errand);
		unsigned scale = (unsigned)handover_get_u64(&errand->state),
			 lights = with_lights ? (unsigned)handover_get_u64(&errand->state) : 0;

		if (!window || errand->state.error)
			continue;
		seat_window_set_scale(window, scale);
		seat_window_set_lights(window, lights);
	}
}

static void read_windows(void *context)
{
	struct state_errand *errand = context;
	struct seat *seat = errand->owner->screen.seat;
	struct seat_window *focus, *full_screen;
	unsigned width = 0, height = 0;
	uint64_t count, version = handover_get_u64(&errand->state);

	handover_fail_if(&errand->state, version < 1 || version > SEAT_STATE_VERSION);
	count = handover_get_at_most(&errand->state, WINDOWS_MAX);
	for (uint64_t i = 0; i < count && !errand->state.error; i++) {
		struct seat_window *window = read_window(errand);
		int x = (int)handover_get_u64(&errand->state), y = (int)handover_get_u64(&errand->state);

		if (!window || errand->state.error)
			continue;
		seat_window_move(window, x, y);
		seat_window_raise(window);
	}
	focus = read_window(errand);
	full_screen = read_window(errand);
	if (version >= 2) {
		width = (unsigned)handover_get_u64(&errand->state);
		height = (unsigned)handover_get_u64(&errand->state);
		read_scales(errand, version >= 3);
	}
	if (errand->state.error)
		return;
	seat_set_full_screen(seat, full_screen);
	if (full_screen)
		seat_window_set_size_before(full_screen, width, height);
	seat_set_focus(seat, focus);
}

/* A file of a predecessor's that is not as it should be changes nothing. */
static bool read_state(int file, struct handover *ret_state)
{
	struct stat info;

	if (fstat(file, &info) < 0 || info.st_size <= 0 || info.st_size > STATE_BYTES_MAX)
		return false;
	ret_state->length = (size_t)info.st_size;
	ret_state->bytes = malloc(ret_state->length);
	return ret_state->bytes &&
	       pread(file, ret_state->bytes, ret_state->length, 0) == (ssize_t)ret_state->length;
}

void seat_take_over_windows(struct daemon_seat *owner)
{
	struct state_errand errand = { .owner = owner };
	int file = takeover_offer_take(owner->daemon->offer, "seat-windows", owner->name);

	if (file < 0)
		return;
	if (read_state(file, &errand.state))
		seat_call(owner->daemon, read_windows, &errand);
	if (errand.state.error)
		log_warning(&owner->subject,
			    "the windows of the daemon before cannot be read: they are where "
			    "new ones would be");
	handover_finish(&errand.state);
	fd_close(&file);
}
