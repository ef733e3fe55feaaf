/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/seat_viewer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/seat/seat_keymap.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/reaper.h"
#include "daemon/seat/seat_guard.h"
#include "daemon/seat/seat_screen.h"
#include "host/web/web_request.h"

/* A viewer that asks for another size is answered after this, if the guest has not followed by then. */
#define SIZE_PATIENCE_NS 1000000000u
/* Messages taken before others have their turn. */
#define MESSAGES_A_TURN 16u

/* For the control thread. */
static void set(struct seat_viewer *viewer, bool *flag)
{
	__atomic_store_n(flag, true, __ATOMIC_RELEASE);
	viewer->changed(viewer);
}

static void end(struct seat_viewer *viewer, const char *why)
{
	if (viewer->dead)
		return;
	viewer->why = why;
	loop_watch_stop(viewer->screen->loop, &viewer->watch);
	loop_defer_cancel(viewer->screen->loop, &viewer->more);
	set(viewer, &viewer->dead);
}

/* ---- what it sees ---- */

static void tell(struct seat_viewer *viewer, const struct viewer_message *message, int file)
{
	ssize_t sent = fd_send_now(viewer->socket, message, sizeof(*message), &file, file >= 0);

	/* When it has gone, reading tells so. */
	if (sent == -EAGAIN)
		end(viewer, "its process does not take what it asked for");
}

static void tell_screen(struct seat_viewer *viewer)
{
	const struct seat_screen *screen = viewer->screen;
	struct viewer_message message = {
		.kind = VIEWER_SCREEN,
		.width = screen->width,
		.height = screen->height,
		.stride_bytes = (uint32_t)screen->stride_bytes,
	};

	snprintf(message.name, sizeof(message.name), "%s", screen->name);
	viewer->has_screen = true;
	viewer->ready = false;
	pixman_region32_clear(&viewer->unseen);
	loop_timer_stop(screen->loop, &viewer->patience);
	tell(viewer, &message, screen->file);
}

void seat_viewer_change_screen(struct seat_viewer *viewer, int error)
{
	viewer->has_screen = false;
	if (error)
		end(viewer, "there is no memory for what it looks at");
}

static void put_boxes(struct viewer_message *message, const pixman_box32_t *boxes, unsigned count)
{
	message->number = count;
	for (unsigned i = 0; i < count; i++)
		message->rects[i] = (struct viewer_rect){
			(uint32_t)boxes[i].x1,
			(uint32_t)boxes[i].y1,
			(uint32_t)(boxes[i].x2 - boxes[i].x1),
			(uint32_t)(boxes[i].y2 - boxes[i].y1),
		};
}

static void tell_damage(struct seat_viewer *viewer)
{
	struct viewer_message message = { .kind = VIEWER_DAMAGE };
	int count;
	const pixman_box32_t *boxes = pixman_region32_rectangles(&viewer->unseen, &count);

	if (count == 0)
		return;
	if (count > (int)VIEWER_RECTS_MAX)
		put_boxes(&message, pixman_region32_extents(&viewer->unseen), 1);
	else
		put_boxes(&message, boxes, (unsigned)count);
	pixman_region32_clear(&viewer->unseen);
	viewer->ready = false;
	tell(viewer, &message, -1);
}

void seat_viewer_damage(struct seat_viewer *viewer, const struct seat_rect *rect)
{
	if (viewer->has_screen)
		pixman_region32_union_rect(&viewer->unseen, &viewer->unseen, rect->x, rect->y, rect->width,
					   rect->height);
}

/* A bare screen has no memory at first. */
void seat_viewer_flush(struct seat_viewer *viewer)
{
	if (!viewer->ready || viewer->dead || viewer->screen->file < 0)
		return;
	if (!viewer->has_screen)
		tell_screen(viewer);
	else
		tell_damage(viewer);
}

static void on_process_ready(struct seat_viewer *viewer)
{
	viewer->ready = true;
	if (!viewer->looks)
		set(viewer, &viewer->looks);
	seat_viewer_flush(viewer);
}

/* ---- what it does ---- */

/* The viewer presses modifiers by itself. */
static void press_keysym(struct seat_viewer *viewer, uint32_t keysym, bool down)
{
	struct seat_stroke stroke;

	if (seat_keymap_find(viewer->screen->keymap, keysym, &stroke))
		seat_hand_key(&viewer->hand, stroke.code, down);
}

/* ---- a browser's ---- */

/* The time that it takes tells nothing of where they differ. */
static bool same_token(const char *one, const char *other)
{
	uint8_t difference = 0;

	for (size_t i = 0; i < WEB_TOKEN_SIZE; i++)
		difference |= (uint8_t)(one[i] ^ other[i]);
	return difference == 0;
}

static bool is_full(const struct seat_screen *screen)
{
	unsigned count = 0;

	for (const struct seat_viewer *viewer = screen->viewers; viewer; viewer = viewer->next)
		count += viewer->looks;
	return count >= SEAT_VIEWERS_MAX;
}

/* One that has proven itself looks at one guest alone from now on, whose time it takes. */
static enum viewer_verdict look_at_guest(struct seat_viewer *viewer)
{
	struct seat_screen *bare = seat_screen_find_bare(viewer->screen, viewer->guest);

	if (!bare)
		return VIEWER_ABSENT;
	if (is_full(bare))
		return VIEWER_FULL;
	seat_screen_remove_viewer(viewer->screen, viewer);
	__atomic_store_n(&viewer->screen, bare, __ATOMIC_RELAXED);
	viewer->hand.screen = bare;
	loop_watch_stop(bare->loop, &viewer->watch);
	viewer->watch.account = bare->account;
	if (loop_watch_start(bare->loop, &viewer->watch, viewer->socket, POLLIN))
		end(viewer, "there is no memory for what it looks at");
	seat_screen_add_viewer(bare, viewer);
	return VIEWER_RIGHT;
}

static enum viewer_verdict admit(struct seat_viewer *viewer)
{
	if (viewer->guest[0])
		return look_at_guest(viewer);
	return is_full(viewer->screen) ? VIEWER_FULL : VIEWER_RIGHT;
}

/* What comes before it is a viewer. Returns as obey(). */
static const char *judge(struct seat_viewer *viewer, const struct viewer_message *message)
{
	struct viewer_message verdict = { .kind = VIEWER_JUDGED, .number = VIEWER_RIGHT };

	if (message->kind == VIEWER_GUEST) {
		memcpy(viewer->guest, message->name, sizeof(viewer->guest) - 1);
		return NULL;
	}
	if (message->kind != VIEWER_TOKEN && message->kind != VIEWER_STATE)
		return "its process has not proven that it may look";
	if (!same_token(message->name, viewer->token)) {
		verdict.number = VIEWER_WRONG;
	} else if (message->kind == VIEWER_STATE) {
		set(viewer, &viewer->asks_state);
		return NULL;
	} else {
		verdict.number = admit(viewer);
		viewer->proven = verdict.number == VIEWER_RIGHT;
	}
	tell(viewer, &verdict, -1);
	return NULL;
}

/* ---- one from another machine ---- */

static void tell_terms(struct seat_viewer *viewer)
{
	struct viewer_message terms;
	int file;

	seat_guard_terms(viewer->guard, &terms, &file);
	tell(viewer, &terms, file);
}

/* One is enough for a handshake: a process that is not what it was gets no more of them either. */
static const char *sign(struct seat_viewer *viewer, const struct viewer_message *message)
{
	struct {
		struct viewer_message message;
		uint8_t signature[VIEWER_SIGNATURE_MAX];
	} answer = { .message = { .kind = VIEWER_SIGNED } };
	size_t count;

	if (viewer->has_signature)
		return "its process wants a second signature";
	viewer->has_signature = true;
	count = seat_guard_sign(viewer->guard, message, answer.signature, sizeof(answer.signature));
	answer.message.number = (uint32_t)count;
	if (fd_send_now(viewer->socket, &answer, sizeof(answer.message) + count, NULL, 0) == -EAGAIN)
		return "its process does not take what it asked for";
	return NULL;
}

static const char *judge_password(struct seat_viewer *viewer, const struct viewer_message *message)
{
	struct viewer_message verdict = { .kind = VIEWER_JUDGED, .number = VIEWER_RIGHT };

	if (viewer->has_verdict)
		return "its process tries a second password";
	viewer->has_verdict = true;
	viewer->wrong = !seat_guard_judge(viewer->guard, message);
	viewer->proven = !viewer->wrong && !is_full(viewer->screen);
	if (!viewer->proven)
		verdict.number = viewer->wrong ? VIEWER_WRONG : VIEWER_FULL;
	tell(viewer, &verdict, -1);
	return NULL;
}

/* What comes before it has proven that it may look. Returns as obey(). */
static const char *let_in(struct seat_viewer *viewer, const struct viewer_message *message)
{
	switch (message->kind) {
	case VIEWER_READY:
		tell_terms(viewer);
		return NULL;
	case VIEWER_SIGN:
		return sign(viewer, message);
	case VIEWER_PASSWORD:
		return judge_password(viewer, message);
	default:
		return "its process has not proven that it may look";
	}
}

/* ---- wishes ---- */

/* A second wish is not heard before the first is fulfilled. One guest's viewer chooses among no others. */
static void wish_focus(struct seat_viewer *viewer, const struct viewer_message *message)
{
	if (viewer->screen->whole || __atomic_load_n(&viewer->asks_focus, __ATOMIC_ACQUIRE) ||
	    !memchr(message->name, '\0', sizeof(message->name)) || !seat_hand_may_steer(&viewer->hand, true))
		return;
	memcpy(viewer->focus, message->name, sizeof(viewer->focus));
	set(viewer, &viewer->asks_focus);
}

static bool is_size(const struct viewer_message *message)
{
	return message->width >= SEAT_SIDE_MIN && message->width <= SEAT_SIDE_MAX &&
	       message->height >= SEAT_SIDE_MIN && message->height <= SEAT_SIDE_MAX;
}

/*
 * Of one guest alone: the guest is asked, and the screen that it makes is the answer. A seat's size is the
 * configuration's. Who has not got what was asked for is told the screen again.
 */
static void wish_size(struct seat_viewer *viewer, const struct viewer_message *message)
{
	struct seat_screen *screen = viewer->screen;

	if (screen->whole && is_size(message) && seat_hand_may_steer(&viewer->hand, true) &&
	    seat_screen_ask_size(screen, message->width, message->height) == 0)
		loop_timer_start(screen->loop, &viewer->patience, clock_now_ns() + SIZE_PATIENCE_NS);
	else if (screen->file >= 0)
		tell_screen(viewer);
}

static void on_patience(struct loop_timer *timer)
{
	struct seat_viewer *viewer = container_of(timer, struct seat_viewer, patience);

	if (!viewer->dead && viewer->screen->file >= 0)
		tell_screen(viewer);
}

/* ---- messages ---- */

/* A message, and the text behind that of a VIEWER_CUT. */
struct packet {
	struct viewer_message message;
	char text[VIEWER_CUT_MAX];
};

static bool is_whole(const struct packet *packet, ssize_t received)
{
	ssize_t behind = received - (ssize_t)sizeof(packet->message);

	return behind >= 0 && behind == (packet->message.kind == VIEWER_CUT ? packet->message.number : 0);
}

/* Returns NULL, or why it is not listened to any more. */
static const char *obey(struct seat_viewer *viewer, const struct packet *packet)
{
	const struct viewer_message *message = &packet->message;

	if (viewer->token && !viewer->proven)
		return judge(viewer, message);
	if (viewer->guard && !viewer->proven)
		return let_in(viewer, message);
	switch (message->kind) {
	case VIEWER_READY:
		on_process_ready(viewer);
		return NULL;
	case VIEWER_KEY:
		seat_hand_key(&viewer->hand, message->number, message->down);
		return NULL;
	case VIEWER_POINTER:
		seat_hand_point(&viewer->hand, message->x, message->y, message->number, message->wheel);
		return NULL;
	case VIEWER_SIZE:
		wish_size(viewer, message);
		return NULL;
	case VIEWER_CUT:
		seat_clipboard_put(&viewer->screen->clipboard, packet->text, message->number);
		return NULL;
	case VIEWER_FOCUS:
		wish_focus(viewer, message);
		return NULL;
	case VIEWER_KEYSYM:
		press_keysym(viewer, message->number, message->down);
		return NULL;
	default:
		return "its process sends a message that there is not";
	}
}

/* Returns false when there is nothing more to read now. */
static bool read_one(struct seat_viewer *viewer)
{
	struct packet packet;
	int file = -1;
	size_t files = 0;
	const char *wrong = "its process sends a message of another size";
	ssize_t received = fd_receive(viewer->socket, &packet, sizeof(packet), &file, 1, &files);

	if (received == -EAGAIN)
		return false;
	if (files > 0)
		reaper_close(&file);
	else if (is_whole(&packet, received))
		wrong = obey(viewer, &packet);
	if (received == 0 || received == -ECONNRESET)
		wrong = NULL;
	if (received <= 0 || wrong)
		end(viewer, wrong);
	return !viewer->dead;
}

static void read_some(struct seat_viewer *viewer)
{
	for (unsigned i = 0; i < MESSAGES_A_TURN; i++) {
		if (!read_one(viewer))
			return;
	}
	loop_defer(viewer->screen->loop, &viewer->more);
}

static void on_ready(struct loop_watch *watch, unsigned events)
{
	read_some(container_of(watch, struct seat_viewer, watch));
}

static void on_more(struct loop_task *task)
{
	read_some(container_of(task, struct seat_viewer, more));
}

/* ---- life ---- */

int seat_viewer_start(struct seat_viewer *viewer, bool again)
{
	struct seat_screen *screen = viewer->screen;
	int error;

	viewer->watch = (struct loop_watch){ .ready = on_ready, .account = screen->account };
	viewer->more = (struct loop_task){ .run = on_more };
	viewer->patience = (struct loop_timer){ .expired = on_patience };
	viewer->has_screen = false;
	/* One that looked is told the screen as soon as it is drawn. */
	viewer->ready = again && viewer->looks;
	viewer->hand.screen = screen;
	error = loop_watch_start(screen->loop, &viewer->watch, viewer->socket, POLLIN);
	if (error)
		return error;
	pixman_region32_init(&viewer->unseen);
	viewer->running = true;
	seat_screen_add_viewer(screen, viewer);
	seat_viewer_flush(viewer);
	loop_defer_for(screen->loop, &viewer->more, screen->account);
	return 0;
}

void seat_viewer_stop(struct seat_viewer *viewer)
{
	struct seat_screen *screen = viewer->screen;

	if (!viewer->running)
		return;
	seat_hand_leave(&viewer->hand);
	viewer->running = false;
	loop_watch_stop(screen->loop, &viewer->watch);
	loop_defer_cancel(screen->loop, &viewer->more);
	loop_timer_stop(screen->loop, &viewer->patience);
	seat_screen_remove_viewer(screen, viewer);
	pixman_region32_fini(&viewer->unseen);
}
