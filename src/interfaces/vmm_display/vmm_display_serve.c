/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_serve.h"

#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "interfaces/vmm_display/vmm_display_bus.h"
#include "interfaces/vmm_display/vmm_display_console.h"
#include "interfaces/vmm_display/vmm_display_input.h"
#include "interfaces/vmm_display/vmm_display_keyboard.h"
#include "interfaces/vmm_display/vmm_display_listener.h"
#include "interfaces/vmm_display/vmm_display_message.h"
#include "interfaces/vmm_display/vmm_display_qmp.h"

/* Of the daemon's messages in a turn. */
#define TURN_MESSAGES 64u
/* Many descriptors are on their way in the whole system: when to try again. */
#define CROWDED_US 10000u

/*
 * Memory of messages that is kept for the next: the most that mallopt() takes, and a picture of 3840 to 2160.
 * Unmapped each time, its pages cost more than all copies of the picture.
 */
#define KEPT_BYTES (32 << 20)

enum { INNER, PEER, CONTROL, LISTENER, POLLED };

struct vmm_display {
	int peer, inner;
	struct vmm_display_qmp qmp;
	struct vmm_display_bus control, listener; /* QEMU is called on one, and calls on the other */
	struct vmm_display_console console;
	struct vmm_display_input input;
	struct vmm_display_keyboard keyboard;
	struct vmm_display_guest guest;
	uint32_t number; /* of the daemon that is told */
	bool is_full;	 /* the daemon's socket is */
	bool is_crowded; /* the system has too many descriptors on their way */
};

/* ---- the daemon ---- */

static void refuse(struct vmm_display *display, const char *text)
{
	struct vmm_display_message message = { .kind = VMM_DISPLAY_REFUSED };

	snprintf(message.text, sizeof(message.text), "%s", text);
	fd_send_now(display->inner, &message, sizeof(message), NULL, 0);
}

/* Returns 1, 0 when it is to be sent later, or -errno: the daemon has gone. */
static int send_news(struct vmm_display *display, const struct vmm_display_message *message, int file)
{
	ssize_t sent = fd_send_now(display->inner, message, sizeof(*message), &file, file >= 0);

	display->is_full |= sent == -EAGAIN;
	display->is_crowded |= sent == -ETOOMANYREFS;
	if (sent == -EAGAIN || sent == -ETOOMANYREFS)
		return 0;
	return sent < 0 ? (int)sent : 1;
}

/* Returns false when the daemon has gone. */
static bool tell(struct vmm_display *display)
{
	struct vmm_display_message message;
	int file, sent = 1;

	display->is_full = display->is_crowded = false;
	vmm_display_surface_read(&display->guest.surface);
	while (sent > 0 && vmm_display_surface_news(&display->guest.surface, &message, &file)) {
		sent = send_news(display, &message, file);
		if (sent > 0)
			vmm_display_surface_told(&display->guest.surface);
	}
	if (sent > 0 && vmm_display_cursor_news(&display->guest.cursor, &message, &file)) {
		sent = send_news(display, &message, file);
		if (sent > 0)
			vmm_display_cursor_told(&display->guest.cursor);
	}
	if (sent > 0 && vmm_display_keyboard_news(&display->keyboard, &message)) {
		message.number = display->number;
		sent = send_news(display, &message, -1);
		if (sent > 0)
			vmm_display_keyboard_told(&display->keyboard);
	}
	return sent >= 0;
}

static struct vmm_display_size picture_size(const struct vmm_display *display)
{
	return (struct vmm_display_size){ display->guest.surface.width, display->guest.surface.height };
}

static void obey(struct vmm_display *display, const struct vmm_display_message *message)
{
	switch (message->kind) {
	case VMM_DISPLAY_TAKEN:
		vmm_display_surface_taken(&display->guest.surface);
		break;
	case VMM_DISPLAY_AGAIN:
		vmm_display_surface_again(&display->guest.surface, message->number);
		vmm_display_cursor_again(&display->guest.cursor, message->number);
		vmm_display_input_release(&display->input);
		vmm_display_keyboard_again(&display->keyboard);
		display->number = message->number;
		break;
	case VMM_DISPLAY_KEY:
		vmm_display_keyboard_key(&display->keyboard, message);
		break;
	case VMM_DISPLAY_POINTER:
		vmm_display_input_pointer(&display->input, message, picture_size(display));
		break;
	case VMM_DISPLAY_SIZE:
		vmm_display_input_size(&display->input, message);
		break;
	case VMM_DISPLAY_CURSOR_TAKEN:
		vmm_display_cursor_taken(&display->guest.cursor);
		break;
	default:
		/* A later daemon may say more. */
		break;
	}
}

/* Returns false when the daemon has gone. */
static bool hear(struct vmm_display *display)
{
	for (unsigned i = 0; i < TURN_MESSAGES; i++) {
		struct vmm_display_message message;
		size_t fd_count = 0;
		ssize_t received = fd_receive(display->inner, &message, sizeof(message), NULL, 0, &fd_count);

		if (received == -EAGAIN)
			return true;
		if (received != sizeof(message))
			return false;
		obey(display, &message);
	}
	return true;
}

/* ---- QEMU ---- */

/* The console is asked for when QEMU has the socket on which it answers. */
static bool hear_qmp(struct vmm_display *display)
{
	bool was_done = display->qmp.stage == VMM_DISPLAY_QMP_DONE;
	int error = vmm_display_qmp_read(&display->qmp);

	if (display->qmp.refusal[0])
		refuse(display, display->qmp.refusal);
	if (error < 0)
		return false;
	return was_done || display->qmp.stage != VMM_DISPLAY_QMP_DONE ||
	       vmm_display_console_begin(&display->console) == 0;
}

/* Returns 0 or -errno. The connection before is closed first, so that it does not draw between. */
static int open_listener(struct vmm_display *display, int *ret_theirs)
{
	int theirs, error;

	vmm_display_bus_close(&display->listener);
	error = vmm_display_bus_open(&display->listener, &theirs);
	if (error < 0)
		return error;
	error = vmm_display_listener_attach(&display->listener, &display->guest);
	if (error < 0)
		close(theirs);
	else
		*ret_theirs = theirs;
	return error;
}

/* Nothing that QEMU drew is unread: it has not sent the size that it says. */
static bool renew_listener(struct vmm_display *display)
{
	int theirs;

	if (open_listener(display, &theirs) < 0)
		return false;
	vmm_display_console_register(&display->console, theirs);
	return true;
}

static bool hear_buses(struct vmm_display *display, const struct pollfd *polled)
{
	bool is_quiet = !polled[LISTENER].revents && !display->listener.is_busy;
	bool is_fine = vmm_display_bus_process(&display->control, polled[CONTROL].revents) == 0 &&
		       vmm_display_bus_process(&display->listener, polled[LISTENER].revents) == 0;

	if (is_fine && is_quiet && vmm_display_console_is_resized(&display->console, picture_size(display)))
		is_fine = renew_listener(display);
	if (!display->console.refusal)
		return is_fine;
	refuse(display, display->console.refusal);
	return false;
}

/* ---- life ---- */

/* Until the deadline, in milliseconds; -1: as long as it takes. */
static int timeout_until(uint64_t deadline_us)
{
	uint64_t now_us = clock_now_ns() / 1000;

	if (deadline_us == UINT64_MAX)
		return -1;
	if (deadline_us <= now_us)
		return 0;
	/* Not a little too early, which would be waiting again and again. */
	return (int)((deadline_us - now_us) / 1000 + 1);
}

static int wait_for(const struct vmm_display *display, uint64_t keys_us, struct pollfd *polled)
{
	uint64_t control_us, listener_us, deadline_us;

	polled[INNER] = (struct pollfd){ display->inner, display->is_full ? POLLIN | POLLOUT : POLLIN, 0 };
	polled[PEER] = (struct pollfd){ display->peer, POLLIN, 0 };
	polled[CONTROL] = vmm_display_bus_waits_for(&display->control, &control_us);
	polled[LISTENER] = vmm_display_bus_waits_for(&display->listener, &listener_us);
	deadline_us = control_us < listener_us ? control_us : listener_us;
	if (keys_us < deadline_us)
		deadline_us = keys_us;
	if (display->is_crowded && clock_now_ns() / 1000 + CROWDED_US < deadline_us)
		deadline_us = clock_now_ns() / 1000 + CROWDED_US;
	return poll(polled, POLLED, timeout_until(deadline_us));
}

/* Returns false when it is over. */
static bool wait_and_serve(struct vmm_display *display)
{
	struct pollfd polled[POLLED];
	int error;
	uint64_t keys_us = vmm_display_keyboard_run(&display->keyboard, &error);

	if (error || !tell(display))
		return false;
	if (wait_for(display, keys_us, polled) < 0)
		return errno == EINTR;
	if (polled[INNER].revents & (POLLHUP | POLLERR | POLLNVAL))
		return false;
	if (polled[INNER].revents & POLLIN && !hear(display))
		return false;
	if (polled[PEER].revents && !hear_qmp(display))
		return false;
	return hear_buses(display, polled);
}

/* jansson would open a device for it, which this process may not. */
static void seed_hashes(void)
{
	size_t seed = 0;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed))
		json_object_seed(seed);
}

static void keep_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
	mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

/* Returns 0 or -errno; what was made is in *display in both cases. */
static int prepare(struct vmm_display *display)
{
	int theirs = -1, error = vmm_display_bus_open(&display->control, &theirs);

	seed_hashes();
	keep_memory();
	vmm_display_surface_init(&display->guest.surface);
	vmm_display_cursor_init(&display->guest.cursor);
	vmm_display_qmp_init(&display->qmp, display->peer, theirs);
	vmm_display_input_init(&display->input, &display->control);
	vmm_display_keyboard_init(&display->keyboard, &display->control, &display->qmp);
	theirs = -1;
	if (error == 0)
		error = open_listener(display, &theirs);
	vmm_display_console_init(&display->console, &display->control, &display->input, &display->keyboard,
				 theirs);
	return error;
}

void vmm_display_serve(int peer, int inner)
{
	static struct vmm_display display;

	display = (struct vmm_display){ .peer = peer, .inner = inner };
	if (prepare(&display) == 0) {
		while (wait_and_serve(&display))
			;
	} else {
		refuse(&display, "the process for it could not be set up");
	}
	/* What QEMU takes without a wait. It lets keys up itself, too, when the listener's socket closes. */
	vmm_display_keyboard_release(&display.keyboard);
	vmm_display_input_release(&display.input);
	vmm_display_bus_close(&display.control);
	vmm_display_bus_close(&display.listener);
	vmm_display_console_finish(&display.console);
	vmm_display_qmp_finish(&display.qmp);
	vmm_display_surface_finish(&display.guest.surface);
	vmm_display_cursor_finish(&display.guest.cursor);
	/* The end of the process may take long to close it. */
	shutdown(peer, SHUT_RDWR);
}
