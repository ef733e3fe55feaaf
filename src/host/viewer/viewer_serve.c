/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/viewer/viewer_serve.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/big_endian.h"
#include "core/fd.h"
#include "core/sanitized.h"
#include "host/viewer/client_message.h"
#include "host/viewer/viewer_cut.h"
#include "host/viewer/viewer_guard.h"
#include "host/viewer/viewer_input.h"
#include "host/viewer/viewer_message.h"
#include "host/viewer/viewer_outbox.h"
#include "host/viewer/viewer_rfb.h"
#include "host/viewer/viewer_screen.h"
#include "host/viewer/viewer_tls.h"
#include "host/viewer/viewer_wire.h"

/*
 * A belt: what the library needs is bounded by the size of the screen, whose encoded picture can be as large
 * as the screen (256 MiB at most), in up to three buffers that double as they grow.
 */
#define DATA_MAX_BYTES (2ull << 30)
/* As much is read at a time. */
#define INTAKE_BYTES ((size_t)2 * CLIENT_MESSAGE_MAX)
/* FramebufferUpdate of one empty rectangle, whose encoding says what is understood. */
#define ACK_BYTES	   16
#define ENCODING_QEMU_KEYS (-258)

struct viewer {
	int inner;
	struct viewer_wire wire; /* to the client */
	struct viewer_tls *tls;	 /* it has proven itself within this; NULL: it need not */
	struct viewer_outbox outbox;
	struct viewer_rfb *rfb; /* NULL: the first screen is to come */
	struct viewer_input input;
	bool owes_ready;
	/* What the client said that is not yet a whole message. */
	uint8_t intake[INTAKE_BYTES];
	size_t intake_bytes;
	struct viewer_cut cut;
};

/* ---- the daemon ---- */

static bool tell_ready(struct viewer *viewer)
{
	const struct viewer_message message = { .kind = VIEWER_READY };

	return viewer_tell(viewer->inner, &message);
}

/* Takes over the screen only when it succeeds. */
static bool show_screen(struct viewer *viewer, const struct viewer_screen *screen, const char *name)
{
	if (viewer->rfb) {
		viewer_rfb_show(viewer->rfb, screen);
		return true;
	}
	return viewer_rfb_create(&viewer->outbox, screen, name, &viewer->rfb) == 0;
}

static bool take_screen(struct viewer *viewer, const struct viewer_message *message, int fd)
{
	struct viewer_screen screen;
	bool begins = !viewer->rfb;

	if (!memchr(message->name, 0, sizeof(message->name)) || viewer_screen_map(message, fd, &screen))
		return false;
	if (!show_screen(viewer, &screen, message->name)) {
		viewer_screen_unmap(&screen);
		return false;
	}
	viewer->owes_ready = true;
	return !begins || !viewer->tls || viewer_rfb_skip_security(viewer->rfb) == 0;
}

/* The client proves itself, and then the screen is asked for as if it were the first time. */
static bool take_guard(struct viewer *viewer, const struct viewer_message *message, int file)
{
	return !viewer->rfb && !viewer->tls &&
	       viewer_guard_pass(viewer->inner, message, file, &viewer->wire, &viewer->tls) == 0 &&
	       tell_ready(viewer);
}

static bool take_damage(struct viewer *viewer, const struct viewer_message *message)
{
	if (!viewer->rfb || message->number > VIEWER_RECTS_MAX)
		return false;
	for (uint32_t i = 0; i < message->number; i++) {
		if (!viewer_rfb_damage(viewer->rfb, &message->rects[i]))
			return false;
	}
	viewer->owes_ready = true;
	return true;
}

static bool obey(struct viewer *viewer, const struct viewer_message *message, int fd)
{
	switch (message->kind) {
	case VIEWER_SCREEN:
		return fd >= 0 && take_screen(viewer, message, fd);
	case VIEWER_GUARD:
		return fd >= 0 && take_guard(viewer, message, fd);
	case VIEWER_DAMAGE:
		return fd < 0 && take_damage(viewer, message);
	default:
		return false; /* VIEWER_END, and what is none */
	}
}

/* Returns false when the daemon has gone, or wants the end. */
static bool hear_daemon(struct viewer *viewer)
{
	/* One byte more than is expected, so that what is too long is noticed. */
	struct {
		struct viewer_message message;
		char beyond;
	} packet;
	size_t fd_count = 0;
	int fd = -1;
	ssize_t received =
		fd_receive(viewer->inner, &packet, offsetof(typeof(packet), beyond) + 1, &fd, 1, &fd_count);
	bool goes_on = received == -EAGAIN;

	if (received == sizeof(packet.message))
		goes_on = obey(viewer, &packet.message, fd);
	fd_close(&fd);
	return goes_on;
}

/* ---- the client ---- */

/* Until it is told, the client says keysyms only. */
static bool acknowledge_key_codes(struct viewer *viewer)
{
	const struct viewer_screen *screen = viewer_rfb_screen(viewer->rfb);
	uint8_t ack[ACK_BYTES] = { 0 };

	big16_put(ack + 2, 1);
	big16_put(ack + 8, (uint16_t)screen->width);
	big16_put(ack + 10, (uint16_t)screen->height);
	big32_put(ack + 12, (uint32_t)ENCODING_QEMU_KEYS);
	return viewer_outbox_put(&viewer->outbox, ack, sizeof(ack)) == 0;
}

static bool pass_on(struct viewer *viewer, const struct client_message *message)
{
	uint8_t caps[VIEWER_CUT_ANSWER_MAX];

	if (viewer_rfb_feed(viewer->rfb, message))
		return false;
	if (message->offers_clipboard && viewer_outbox_put(&viewer->outbox, caps, viewer_cut_caps(caps)))
		return false;
	return !message->offers_key_codes || acknowledge_key_codes(viewer);
}

static bool ask_size(struct viewer *viewer, const struct client_message *message)
{
	const struct viewer_message wish = { .kind = VIEWER_SIZE,
					     .width = message->width,
					     .height = message->height };

	return !viewer_rfb_ask_size(viewer->rfb, message->width, message->height) ||
	       viewer_tell(viewer->inner, &wish);
}

static bool serve_message(struct viewer *viewer, const struct client_message *message)
{
	const struct viewer_screen *screen = viewer_rfb_screen(viewer->rfb);

	switch (message->kind) {
	case CLIENT_PASS:
		return pass_on(viewer, message);
	case CLIENT_REQUEST:
		return viewer_rfb_request(viewer->rfb, message) == 0;
	case CLIENT_KEY:
		return viewer_input_key(&viewer->input, message->keysym, message->scancode, message->down);
	case CLIENT_POINTER:
		return viewer_input_pointer(&viewer->input, message->x, message->y, message->buttons,
					    screen->width, screen->height);
	case CLIENT_SIZE:
		return ask_size(viewer, message);
	case CLIENT_CUT:
		viewer_cut_begin(&viewer->cut, message->cut_bytes, message->cut_is_extended);
		return message->cut_bytes > 0 || viewer_cut_tell(&viewer->cut, viewer->inner);
	}
	return false;
}

/* A text has come, or what the client says about one. */
static bool end_cut(struct viewer *viewer)
{
	uint8_t request[VIEWER_CUT_ANSWER_MAX];

	switch (viewer_cut_end(&viewer->cut)) {
	case VIEWER_CUT_TEXT:
		return viewer_cut_tell(&viewer->cut, viewer->inner);
	case VIEWER_CUT_NOTICE:
		return viewer_outbox_put(&viewer->outbox, request, viewer_cut_request(request)) == 0;
	default:
		return true;
	}
}

/* Returns how much of the intake is done with: a message or of a text. 0: the rest is to come. */
static ssize_t serve_first(struct viewer *viewer, const uint8_t *bytes, size_t count)
{
	struct client_message message;
	ssize_t length;

	if (viewer->cut.left > 0) {
		length = (ssize_t)viewer_cut_take(&viewer->cut, bytes, count);
		if (viewer->cut.left == 0 && !end_cut(viewer))
			return -EPROTO;
		return length;
	}
	length = client_message_read(viewer_rfb_stage(viewer->rfb), bytes, count, &message);
	if (length > 0 && !serve_message(viewer, &message))
		return -EPROTO;
	return length;
}

static bool serve_intake(struct viewer *viewer)
{
	size_t done = 0;
	ssize_t length;

	while ((length = serve_first(viewer, viewer->intake + done, viewer->intake_bytes - done)) > 0)
		done += (size_t)length;
	viewer->intake_bytes -= done;
	memmove(viewer->intake, viewer->intake + done, viewer->intake_bytes);
	return length == 0;
}

/* Returns false when the client has gone, or is to go. */
static bool hear_client(struct viewer *viewer)
{
	ssize_t received;

	/* Half a message is never longer. */
	assert(viewer->intake_bytes < CLIENT_MESSAGE_MAX);
	received = viewer_wire_receive(&viewer->wire, viewer->intake + viewer->intake_bytes,
				       INTAKE_BYTES - viewer->intake_bytes);
	if (received < 0)
		return received == -EAGAIN;
	viewer->intake_bytes += (size_t)received;
	return received > 0 && serve_intake(viewer);
}

/* Sends what the client asked for and takes; returns false when it has gone. */
static bool send_pictures(struct viewer *viewer)
{
	int error = viewer_outbox_send(&viewer->outbox, &viewer->wire);

	while (!error && viewer_outbox_is_empty(&viewer->outbox) && viewer_rfb_has_update(viewer->rfb)) {
		error = viewer_rfb_update(viewer->rfb);
		if (!error)
			error = viewer_outbox_send(&viewer->outbox, &viewer->wire);
	}
	return !error;
}

static bool ask_for_damage(struct viewer *viewer)
{
	if (!viewer->owes_ready || !viewer_rfb_waits(viewer->rfb))
		return true;
	viewer->owes_ready = false;
	return tell_ready(viewer);
}

/* ---- life ---- */

/* The client is not heard before there is a screen, whose size is the first that it is told. */
static short client_events(const struct viewer *viewer)
{
	if (!viewer->rfb)
		return 0;
	return viewer_outbox_is_empty(&viewer->outbox) ? POLLIN : POLLIN | POLLOUT;
}

/* Returns false at the end. */
static bool wait_and_serve(struct viewer *viewer)
{
	struct pollfd poll_fds[2] = {
		{ .fd = viewer->inner, .events = POLLIN },
		{ .fd = viewer->wire.fd, .events = client_events(viewer) },
	};
	bool holds = viewer->rfb && viewer_wire_holds(&viewer->wire);

	if (poll(poll_fds, 2, holds ? 0 : -1) < 0)
		return errno == EINTR;
	if (poll_fds[0].revents && !hear_daemon(viewer))
		return false;
	if (!viewer->rfb)
		return poll_fds[1].revents == 0;
	if ((holds || (poll_fds[1].revents & ~POLLOUT)) && !hear_client(viewer))
		return false;
	return send_pictures(viewer) && ask_for_damage(viewer);
}

/* What fails makes the process no worse. */
static void prepare(int peer)
{
	const struct rlimit data = { .rlim_cur = DATA_MAX_BYTES, .rlim_max = DATA_MAX_BYTES };
	int yes = 1;

	/* A sanitizer reserves more. */
	if (!SANITIZED)
		setrlimit(RLIMIT_DATA, &data);
	setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

void viewer_serve(int peer, int inner)
{
	static struct viewer viewer;

	viewer = (struct viewer){ .inner = inner, .wire.fd = peer, .input.inner = inner };
	prepare(peer);
	if (!viewer_outbox_init(&viewer.outbox) && tell_ready(&viewer)) {
		while (wait_and_serve(&viewer))
			;
		viewer_input_release(&viewer.input);
	}
	viewer_cut_finish(&viewer.cut);
	viewer_rfb_destroy(viewer.rfb);
	viewer_outbox_finish(&viewer.outbox);
	viewer_tls_destroy(viewer.tls);
	close(inner);
	close(peer);
}
