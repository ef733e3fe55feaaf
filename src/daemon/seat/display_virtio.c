/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/display_virtio.h"

#include <assert.h>
#include <errno.h>
#include <linux/input-event-codes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arbiter/seat/seat.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/loop_account.h"
#include "core/reaper.h"
#include "daemon/seat/display_news.h"
#include "devices/display/virtio_gpu.h"
#include "devices/input/virtio_input.h"
#include "interfaces/vhost_user_gpu/gpu_socket.h"

static_assert(VIRTIO_GPU_SIDE_MAX <= SEAT_SIDE_MAX, "a window can have any picture of a scanout's");

/* A size that the user would like, on its way to the control thread. */
struct wish {
	struct loop_message message;
	struct display_virtio *display; /* the control thread's; NULL: it has gone */
	unsigned width, height;
};

struct display_virtio {
	struct loop *seat, *control;
	struct loop_account *account;
	struct seat_window *window;
	struct virtio_gpu *model;
	struct display_virtio_counters counters;
	struct display_virtio_saved saved; /* file and unsent are ours */
	void (*resized)(void *context);
	void *context;

	struct display_news news;
	struct loop_message told;
	pthread_mutex_t lock;
	struct wish *wish; /* under the lock: the last that is on its way; NULL: none */

	/* the seats' thread's */
	struct loop_task draw;
	bool owes;		    /* what was drawn is not shown yet */
	struct loop_account *payer; /* before the window was painted */
	struct virtio_input *keyboard, *tablet;
	unsigned buttons;
	bool dark;
	struct gpu_socket front_end;
};

/* ---- into the window: on the seats' thread ---- */

static void draw_rect(struct display_virtio *display, const struct virtio_gpu_picture *picture,
		      const struct virtio_gpu_rect *rect)
{
	const struct seat_rect to = { (int)rect->x, (int)rect->y, rect->width, rect->height };
	const uint8_t *from =
		(const uint8_t *)picture->pixels + rect->y * picture->stride_bytes + (size_t)rect->x * 4;

	if (seat_window_draw(display->window, &to, from, picture->stride_bytes))
		return;
	display->owes = true;
	counter_add(&display->counters.damaged_pixels, (uint64_t)rect->width * rect->height);
	gpu_socket_damage(&display->front_end, &to);
}

/* For the front end. */
static struct seat_pixels shown_pixels(void *context)
{
	const struct display_virtio *display = context;

	return display->dark ? (struct seat_pixels){ .width = 0 } : seat_window_pixels(display->window);
}

static void set_dark(struct display_virtio *display, bool dark)
{
	if (dark != display->dark)
		gpu_socket_picture(&display->front_end);
	display->dark = dark;
}

/* A window whose guest has gone dark stays, as a screen does; it is black. */
static void darken(struct display_virtio *display)
{
	static const struct seat_rect nothing;
	struct seat_pixels picture = seat_window_pixels(display->window);

	/* Drawing nothing has us told when it is shown. */
	display->owes = seat_window_resize(display->window, picture.width, picture.height) == 0 &&
			seat_window_draw(display->window, &nothing, NULL, 0) == 0;
	set_dark(display, true);
}

static void show_picture(struct display_virtio *display, const struct virtio_gpu_picture *picture)
{
	const struct virtio_gpu_rect all = { 0, 0, picture->width, picture->height };
	struct seat_pixels before = seat_window_pixels(display->window);

	/* Most drivers show two pictures of one size in turn: the window stays as it is. */
	if (before.width != picture->width || before.height != picture->height ||
	    seat_window_is_hidden(display->window)) {
		if (seat_window_resize(display->window, picture->width, picture->height))
			return;
		gpu_socket_picture(&display->front_end);
	}
	set_dark(display, false);
	draw_rect(display, picture, &all);
	seat_window_set_hidden(display->window, false);
}

/* A coordinate of a guest's may be any number; the window keeps what is near. */
static int hot_spot(int32_t corner, uint32_t hot)
{
	int64_t at = (int64_t)corner + hot;

	return at > INT32_MAX ? INT32_MAX : (int)at;
}

static void show_cursor(struct display_virtio *display, const struct display_change *change)
{
	const struct seat_cursor cursor = { change->cursor_pixels, VIRTIO_GPU_CURSOR_SIDE,
					    VIRTIO_GPU_CURSOR_SIDE, change->cursor_hot_x,
					    change->cursor_hot_y };

	/* Without memory for it, it looks as before. */
	if (change->cursor_looks)
		seat_window_set_cursor(display->window, &cursor);
	seat_window_move_cursor(display->window, hot_spot(change->cursor_x, change->cursor_hot_x),
				hot_spot(change->cursor_y, change->cursor_hot_y), change->cursor_visible);
	display->owes = true;
}

static void draw_news(struct display_virtio *display)
{
	struct display_change change;

	/* What is drawn more often than it is shown is not seen. */
	if (display->owes || !display_news_take(&display->news, &change))
		return;
	if (change.front_end >= 0)
		gpu_socket_start(&display->front_end, change.front_end, NULL, 0);
	if (change.absent) {
		seat_window_set_hidden(display->window, true);
		set_dark(display, true);
	} else if (change.is_another && change.picture) {
		show_picture(display, change.picture);
	} else if (change.is_another) {
		darken(display);
	} else if (change.damage.width > 0) {
		draw_rect(display, change.picture, &change.damage);
	}
	if (change.cursor_changed)
		show_cursor(display, &change);
	virtio_gpu_picture_put(change.picture);
	/* Else it goes on when the window was shown. */
	if (!display->owes)
		loop_defer_for(display->seat, &display->draw, display->account);
}

static void on_draw(struct loop_task *task)
{
	draw_news(container_of(task, struct display_virtio, draw));
}

static void on_told(struct loop_message *message)
{
	struct display_virtio *display = container_of(message, struct display_virtio, told);

	loop_defer_for(display->seat, &display->draw, display->account);
}

static void on_shown(void *context)
{
	struct display_virtio *display = context;

	if (!display->owes)
		return;
	display->owes = false;
	loop_defer_for(display->seat, &display->draw, display->account);
}

/* ---- keys and the pointer ---- */

static void on_key(void *context, unsigned code, bool down)
{
	struct display_virtio *display = context;

	counter_add(display->keyboard ? &display->counters.keys : &display->counters.lost, 1);
	if (display->keyboard)
		virtio_input_key(display->keyboard, code, down);
}

/* From the first pixel to the last. */
static unsigned on_axis(unsigned at, unsigned side)
{
	return side > 1 ? (unsigned)((uint64_t)at * VIRTIO_INPUT_AXIS_MAX / (side - 1)) : 0;
}

static void tell_buttons(struct display_virtio *display, unsigned buttons)
{
	static const unsigned codes[] = { BTN_LEFT, BTN_MIDDLE, BTN_RIGHT };

	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if ((buttons ^ display->buttons) >> i & 1)
			virtio_input_key(display->tablet, codes[i], buttons >> i & 1);
	}
	display->buttons = buttons;
}

static void on_pointer(void *context, unsigned x, unsigned y, unsigned buttons, int wheel)
{
	struct display_virtio *display = context;
	struct seat_pixels picture = seat_window_pixels(display->window);

	counter_add(display->tablet ? &display->counters.pointer_events : &display->counters.lost, 1);
	if (!display->tablet)
		return;
	virtio_input_move(display->tablet, on_axis(x, picture.width), on_axis(y, picture.height));
	tell_buttons(display, buttons);
	virtio_input_turn_wheel(display->tablet, wheel);
}

/* ---- the size ---- */

/* On the control thread. */
static void on_wish(struct loop_message *message)
{
	struct wish *wish = container_of(message, struct wish, message);
	struct display_virtio *display = wish->display;

	if (display) {
		/* From now on the numbers are ours. */
		pthread_mutex_lock(&display->lock);
		display->wish = NULL;
		pthread_mutex_unlock(&display->lock);
		if (virtio_gpu_set_size(display->model, 0, wish->width, wish->height, true) == 0)
			display->resized(display->context);
	}
	free(wish);
}

/* One is on its way at a time, with what the user wants last. */
static void on_resize(void *context, unsigned width, unsigned height)
{
	struct display_virtio *display = context;
	struct wish *wish = NULL;

	pthread_mutex_lock(&display->lock);
	if (display->wish) {
		display->wish->width = width;
		display->wish->height = height;
	} else {
		wish = malloc(sizeof(*wish));
	}
	if (wish) {
		*wish = (struct wish){ { .run = on_wish }, display, width, height };
		display->wish = wish;
		loop_post(display->control, &wish->message);
	}
	pthread_mutex_unlock(&display->lock);
}

/* ---- who pays ---- */

/* What is painted for this guest's sake, its guest pays for. */
static void on_painting(void *context, bool begins)
{
	struct display_virtio *display = context;

	if (begins)
		display->payer = loop_payer(display->seat);
	loop_pay(display->seat, begins ? display->account : display->payer);
}

static const struct seat_window_ops window_ops = {
	.key = on_key,
	.pointer = on_pointer,
	.shown = on_shown,
	.resize = on_resize,
	.painting = on_painting,
};

void display_virtio_set_keyboard(struct display_virtio *display, struct virtio_input *keyboard)
{
	display->keyboard = keyboard;
}

void display_virtio_set_tablet(struct display_virtio *display, struct virtio_input *tablet)
{
	display->tablet = tablet;
	display->buttons = 0;
}

/* ---- life ---- */

void display_virtio_start(struct display_virtio *display)
{
	seat_window_listen(display->window, &window_ops, display);
	draw_news(display);
}

/* What was posted to this thread has arrived, as no queue runs any more. */
void display_virtio_stop(struct display_virtio *display)
{
	display_news_mute(&display->news);
	loop_defer_cancel(display->seat, &display->draw);
	gpu_socket_stop(&display->front_end);
	seat_window_listen(display->window, NULL, NULL);
	seat_window_set_hidden(display->window, true);
}

static void forget_saved(struct display_virtio *display)
{
	fd_close(&display->saved.file);
	fd_close(&display->saved.unsent);
	display->saved = (struct display_virtio_saved){ -1, -1, -1 };
}

/* What the front end is owed of a message that has begun. Half of one would be taken for a whole one. */
static void save_unsent(struct display_virtio *display)
{
	size_t bytes;
	const void *unsent = gpu_socket_unsent(&display->front_end, &bytes);
	int file = unsent ? fd_memfd("viaduct-unsent", bytes) : -1;

	if (file >= 0 && pwrite(file, unsent, bytes, 0) != (ssize_t)bytes)
		fd_close(&file);
	display->saved.unsent = file < 0 ? -1 : file;
	display->saved.front_end = unsent && file < 0 ? -1 : display->front_end.fd;
}

struct display_virtio_saved display_virtio_save(struct display_virtio *display)
{
	int begun = display_news_front_end(&display->news);

	forget_saved(display);
	display->saved.file = virtio_gpu_save(display->model);
	/* One that has just come takes the place of the other. */
	if (begun >= 0)
		display->saved.front_end = begun;
	else
		save_unsent(display);
	return display->saved;
}

void display_virtio_stand_still(struct display_virtio *display, bool still)
{
	if (still) {
		gpu_socket_suspend(&display->front_end);
	} else {
		gpu_socket_resume(&display->front_end);
		forget_saved(display);
	}
}

void display_virtio_take_front_end(struct display_virtio *display, int front_end, int unsent)
{
	uint8_t *bytes = malloc(GPU_SOCKET_MESSAGE_MAX);
	ssize_t count = unsent < 0 ? 0 : -1;

	if (bytes && unsent >= 0)
		count = pread(unsent, bytes, GPU_SOCKET_MESSAGE_MAX, 0);
	if (front_end >= 0 && bytes && count >= 0)
		gpu_socket_start(&display->front_end, fd_take(&front_end), bytes, (size_t)count);
	reaper_close(&front_end);
	fd_close(&unsent);
	free(bytes);
}

struct virtio_gpu *display_virtio_model(const struct display_virtio *display)
{
	return display->model;
}

uint64_t display_virtio_pictures(const struct display_virtio *display)
{
	return counter_read(&display->news.pictures);
}

uint64_t display_virtio_flushes(const struct display_virtio *display)
{
	return counter_read(&display->news.damages);
}

const struct display_virtio_counters *display_virtio_counters(const struct display_virtio *display)
{
	return &display->counters;
}

uint64_t display_virtio_cpu_ns(const struct display_virtio *display)
{
	return counter_read(&display->account->used_ns);
}

int display_virtio_create(const struct display_virtio_options *options, struct display_virtio **ret_display)
{
	struct display_virtio *display = calloc(1, sizeof(*display));
	struct virtio_gpu_options model = {
		.scanouts = 1,
		.serial = options->name,
		.output = &display_news_output,
		.context = &display->news,
	};
	int code = display ? 0 : -ENOMEM;

	if (code)
		return code;
	pthread_mutex_init(&display->lock, NULL);
	display->saved = (struct display_virtio_saved){ -1, -1, -1 };
	display->dark = true;
	display->seat = options->seat;
	display->control = options->control;
	display->resized = options->resized;
	display->context = options->context;
	display->window = options->window;
	display->told.run = on_told;
	display_news_init(&display->news, options->seat, &display->told);
	display->draw.run = on_draw;
	display->account = loop_account_create(options->guest, options->seat);
	code = display->account ? virtio_gpu_create(&model, &display->model) : -ENOMEM;
	display->front_end = (struct gpu_socket){
		.loop = options->seat, .account = display->account, .pixels = shown_pixels, .context = display
	};
	gpu_socket_init(&display->front_end);
	if (!code)
		code = virtio_gpu_set_size(display->model, 0, options->width, options->height, true);
	if (code) {
		display_virtio_destroy(display);
		return code;
	}
	*ret_display = display;
	return 0;
}

void display_virtio_destroy(struct display_virtio *display)
{
	if (!display)
		return;
	if (display->wish)
		display->wish->display = NULL;
	virtio_gpu_destroy(display->model);
	display_news_finish(&display->news);
	forget_saved(display);
	loop_account_close(display->account);
	pthread_mutex_destroy(&display->lock);
	free(display);
}
