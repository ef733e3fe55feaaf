/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A scanout's window: what the guest shows is drawn into it; what the user does there goes to the guest. */
#include <assert.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>

#include "core/container.h"
#include "core/loop_account.h"
#include "daemon/seat/display_served_private.h"
#include "devices/input/input_model.h"

/* That wait for the driver before text that is typed has to: eight keys. */
#define EVENTS_AHEAD_MAX 16u

static_assert(VIRTIO_GPU_SIDE_MAX <= SEAT_SIDE_MAX, "a window can have any picture of a scanout's");

/* ---- into the window: on the seats' thread ---- */

static void draw_rect(struct display_scanout *scanout, const struct virtio_gpu_picture *picture,
		      const struct virtio_gpu_rect *rect)
{
	const struct seat_rect to = { (int)rect->x, (int)rect->y, rect->width, rect->height };
	const uint8_t *from =
		(const uint8_t *)picture->pixels + rect->y * picture->stride_bytes + (size_t)rect->x * 4;

	if (seat_window_draw(scanout->window, &to, from, picture->stride_bytes))
		return;
	scanout->owes = true;
	counter_add(&scanout->display->counters.damaged_pixels, (uint64_t)rect->width * rect->height);
	gpu_socket_damage(&scanout->display->front_end, scanout->number, &to);
}

struct seat_pixels display_scanout_pixels(const struct display_scanout *scanout)
{
	return scanout->dark ? (struct seat_pixels){ .width = 0 } : seat_window_pixels(scanout->window);
}

static void set_dark(struct display_scanout *scanout, bool dark)
{
	if (dark != scanout->dark)
		gpu_socket_picture(&scanout->display->front_end, scanout->number);
	scanout->dark = dark;
}

/* A window whose guest has gone dark stays, as a screen does; it is black. */
static void darken(struct display_scanout *scanout)
{
	static const struct seat_rect nothing;
	struct seat_pixels picture = seat_window_pixels(scanout->window);

	/* Drawing nothing has us told when it is shown. */
	scanout->owes = seat_window_resize(scanout->window, picture.width, picture.height) == 0 &&
			seat_window_draw(scanout->window, &nothing, NULL, 0) == 0;
	set_dark(scanout, true);
}

static void show_picture(struct display_scanout *scanout, const struct virtio_gpu_picture *picture)
{
	const struct virtio_gpu_rect all = { 0, 0, picture->width, picture->height };
	struct seat_pixels before = seat_window_pixels(scanout->window);

	/* Most drivers show two pictures of one size in turn: the window stays as it is. */
	if (before.width != picture->width || before.height != picture->height ||
	    seat_window_is_hidden(scanout->window)) {
		if (seat_window_resize(scanout->window, picture->width, picture->height))
			return;
		gpu_socket_picture(&scanout->display->front_end, scanout->number);
	}
	set_dark(scanout, false);
	draw_rect(scanout, picture, &all);
	seat_window_set_hidden(scanout->window, false);
}

/* A coordinate of a guest's may be any number; the window keeps what is near. */
static int hot_spot(int32_t corner, uint32_t hot)
{
	int64_t at = (int64_t)corner + hot;

	return at > INT32_MAX ? INT32_MAX : (int)at;
}

static void show_cursor(struct display_scanout *scanout, const struct display_change *change)
{
	const struct seat_cursor cursor = { change->cursor_pixels, VIRTIO_GPU_CURSOR_SIDE,
					    VIRTIO_GPU_CURSOR_SIDE, change->cursor_hot_x,
					    change->cursor_hot_y };

	/* Without memory for it, it looks as before. */
	if (change->cursor_looks)
		seat_window_set_cursor(scanout->window, &cursor);
	seat_window_move_cursor(scanout->window, hot_spot(change->cursor_x, change->cursor_hot_x),
				hot_spot(change->cursor_y, change->cursor_hot_y), change->cursor_visible);
	scanout->owes = true;
}

static void draw_news(struct display_scanout *scanout)
{
	struct display_change change;

	/* What is drawn more often than it is shown is not seen. */
	if (scanout->display->still || scanout->owes || !display_news_take(&scanout->news, &change))
		return;
	if (change.front_end >= 0)
		gpu_socket_start(&scanout->display->front_end, change.front_end, NULL, 0);
	if (change.absent) {
		seat_window_set_hidden(scanout->window, true);
		set_dark(scanout, true);
	} else if (change.is_another && change.picture) {
		show_picture(scanout, change.picture);
	} else if (change.is_another) {
		darken(scanout);
	} else if (change.damage.width > 0) {
		draw_rect(scanout, change.picture, &change.damage);
	}
	if (change.cursor_changed)
		show_cursor(scanout, &change);
	virtio_gpu_picture_put(change.picture);
	/* Else it goes on when the window was shown. */
	if (!scanout->owes)
		loop_defer_for(scanout->display->seat, &scanout->draw, scanout->display->account);
}

static void on_draw(struct loop_task *task)
{
	draw_news(container_of(task, struct display_scanout, draw));
}

static void on_told(struct loop_message *message)
{
	struct display_scanout *scanout = container_of(message, struct display_scanout, told);

	loop_defer_for(scanout->display->seat, &scanout->draw, scanout->display->account);
}

static void on_shown(void *context)
{
	struct display_scanout *scanout = context;

	if (!scanout->owes)
		return;
	scanout->owes = false;
	loop_defer_for(scanout->display->seat, &scanout->draw, scanout->display->account);
}

/* ---- keys and the pointer ---- */

static void on_key(void *context, unsigned code, bool down)
{
	struct display_served *display = ((struct display_scanout *)context)->display;

	counter_add(display->keyboard ? &display->counters.keys : &display->counters.lost, 1);
	if (display->keyboard)
		display->keyboard->ops->key(display->keyboard->device, code, down);
}

static enum seat_pace on_pace(void *context)
{
	const struct input_model *keyboard = ((struct display_scanout *)context)->display->keyboard;

	if (!keyboard)
		return SEAT_PACE_UNKNOWN;
	return keyboard->ops->waiting(keyboard->device) > EVENTS_AHEAD_MAX ? SEAT_PACE_WAIT : SEAT_PACE_GO;
}

/* From the first pixel to the last. */
static unsigned on_axis(unsigned at, unsigned side)
{
	return side > 1 ? (unsigned)((uint64_t)at * INPUT_AXIS_MAX / (side - 1)) : 0;
}

static void tell_buttons(struct display_served *display, unsigned buttons)
{
	static const unsigned codes[] = { BTN_LEFT, BTN_MIDDLE, BTN_RIGHT };
	const struct input_model *tablet = display->tablet;

	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if ((buttons ^ display->buttons) >> i & 1)
			tablet->ops->key(tablet->device, codes[i], buttons >> i & 1);
	}
	display->buttons = buttons;
}

/*
 * The tablet's axes span all pictures that are shown, side by side in the order of their numbers: so are they
 * in the display information, and so do drivers arrange them unless a user does otherwise.
 */
static void move_tablet(const struct display_scanout *at, unsigned x, unsigned y)
{
	struct display_served *display = at->display;
	const struct input_model *tablet = display->tablet;
	unsigned left = 0, width = 0, height = 0;

	for (unsigned i = 0; i < display->scanout_count; i++) {
		const struct display_scanout *scanout = &display->scanouts[i];
		struct seat_pixels picture = seat_window_pixels(scanout->window);

		if (scanout->dark && scanout != at)
			continue;
		if (scanout->number < at->number)
			left += picture.width;
		width += picture.width;
		height = picture.height > height ? picture.height : height;
	}
	tablet->ops->move(tablet->device, on_axis(left + x, width), on_axis(y, height));
}

static void on_pointer(void *context, unsigned x, unsigned y, unsigned buttons, int wheel)
{
	struct display_scanout *scanout = context;
	struct display_served *display = scanout->display;

	counter_add(display->tablet ? &display->counters.pointer_events : &display->counters.lost, 1);
	if (!display->tablet)
		return;
	move_tablet(scanout, x, y);
	tell_buttons(display, buttons);
	display->tablet->ops->turn_wheel(display->tablet->device, wheel);
}

/* ---- the size ---- */

/* On the control thread. */
static void on_wish(struct loop_message *message)
{
	struct display_wish *wish = container_of(message, struct display_wish, message);
	struct display_scanout *scanout = wish->scanout;

	if (scanout) {
		struct display_served *display = scanout->display;

		/* From now on the numbers are ours. */
		pthread_mutex_lock(&display->lock);
		scanout->wish = NULL;
		pthread_mutex_unlock(&display->lock);
		if (display_served_set_size(display, scanout->number, wish->width, wish->height) == 0)
			display->resized(display->context);
	}
	free(wish);
}

/* One is on its way at a time, with what the user wants last. */
static void on_resize(void *context, unsigned width, unsigned height)
{
	struct display_scanout *scanout = context;
	struct display_served *display = scanout->display;
	struct display_wish *wish = NULL;

	pthread_mutex_lock(&display->lock);
	if (scanout->wish) {
		scanout->wish->width = width;
		scanout->wish->height = height;
	} else {
		wish = malloc(sizeof(*wish));
	}
	if (wish) {
		*wish = (struct display_wish){ { .run = on_wish }, scanout, width, height };
		scanout->wish = wish;
		loop_post(display->control, &wish->message);
	}
	pthread_mutex_unlock(&display->lock);
}

/* ---- who pays ---- */

/* What is painted for this guest's sake, its guest pays for. */
static void on_painting(void *context, bool begins)
{
	struct display_scanout *scanout = context;

	if (begins)
		scanout->payer = loop_payer(scanout->display->seat);
	loop_pay(scanout->display->seat, begins ? scanout->display->account : scanout->payer);
}

static const struct seat_window_ops window_ops = {
	.key = on_key,
	.pace = on_pace,
	.pointer = on_pointer,
	.shown = on_shown,
	.resize = on_resize,
	.painting = on_painting,
};

/* ---- life ---- */

void display_scanout_start(struct display_scanout *scanout)
{
	seat_window_listen(scanout->window, &window_ops, scanout);
	draw_news(scanout);
}

void display_scanout_draw(struct display_scanout *scanout)
{
	draw_news(scanout);
}

void display_scanout_go_on(struct display_scanout *scanout)
{
	loop_defer_for(scanout->display->seat, &scanout->draw, scanout->display->account);
}

/* What was posted to this thread has arrived, as no queue runs any more. */
void display_scanout_stop(struct display_scanout *scanout)
{
	display_news_mute(&scanout->news);
	loop_defer_cancel(scanout->display->seat, &scanout->draw);
	seat_window_listen(scanout->window, NULL, NULL);
	seat_window_set_hidden(scanout->window, true);
}

void display_scanout_init(struct display_scanout *scanout, struct display_served *display, unsigned number,
			  struct seat_window *window)
{
	*scanout = (struct display_scanout){ .display = display, .number = number, .window = window };
	scanout->dark = true;
	scanout->told.run = on_told;
	scanout->draw.run = on_draw;
	display_news_init(&scanout->news, display->seat, &scanout->told);
}

void display_scanout_finish(struct display_scanout *scanout)
{
	if (scanout->wish)
		scanout->wish->scanout = NULL;
	display_news_finish(&scanout->news);
}
