/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/screen/screen.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "core/container.h"
#include "host/screen/screen_pointer.h"

/* The card is told of so many rectangles, or of one around all. */
#define RECTS_MAX 32

/* ---- modes ---- */

static bool can_be_used(const struct screen_mode *mode)
{
	return mode->width > 0 && mode->height > 0 && mode->width <= SCREEN_SIDE_MAX &&
	       mode->height <= SCREEN_SIDE_MAX && !mode->is_interlaced;
}

/* The higher the better. Of equal ones the first counts: monitors tell of their best modes first. */
static int worth(const struct screen_mode *mode, unsigned width, unsigned height)
{
	if (!can_be_used(mode))
		return 0;
	return 1 + (mode->is_preferred ? 1 : 0) + (mode->width == width && mode->height == height ? 2 : 0);
}

int screen_choose_mode(const struct screen_output *output, unsigned width, unsigned height)
{
	int best = -1, best_worth = 0;

	for (unsigned i = 0; i < output->mode_count; i++) {
		int own = worth(&output->modes[i], width, height);

		if (own <= best_worth)
			continue;
		best = (int)i;
		best_worth = own;
	}
	return best;
}

/* ---- drawing ---- */

static void spoil(struct screen *screen, int x, int y, unsigned width, unsigned height)
{
	pixman_region32_t rect;

	pixman_region32_init_rect(&rect, x, y, width, height);
	pixman_region32_intersect_rect(&rect, &rect, 0, 0, screen->mode.width, screen->mode.height);
	for (unsigned i = 0; i < SCREEN_BUFFERS; i++)
		pixman_region32_union(&screen->stale[i], &screen->stale[i], &rect);
	screen->changed |= pixman_region32_not_empty(&rect);
	pixman_region32_fini(&rect);
}

void screen_damage(struct screen *screen, const struct screen_rect *rect)
{
	if (screen->state == SCREEN_ON)
		spoil(screen, rect->x + screen->left, rect->y + screen->top, rect->width, rect->height);
}

static void spoil_pointer(struct screen *screen)
{
	if (screen->state == SCREEN_ON && screen->has_pointer)
		spoil(screen, screen->pointer_x + screen->left, screen->pointer_y + screen->top,
		      SCREEN_POINTER_WIDTH, SCREEN_POINTER_HEIGHT);
}

void screen_hide_pointer(struct screen *screen)
{
	spoil_pointer(screen);
	screen->has_pointer = false;
}

void screen_point(struct screen *screen, int x, int y)
{
	if (screen->has_pointer && screen->pointer_x == x && screen->pointer_y == y)
		return;
	screen_hide_pointer(screen);
	screen->has_pointer = true;
	screen->pointer_x = x;
	screen->pointer_y = y;
	spoil_pointer(screen);
}

/* A rectangle of the buffer's that is inside the picture. */
static void copy_box(struct screen *screen, const struct screen_buffer *to, const pixman_box32_t *box)
{
	size_t bytes = (size_t)(box->x2 - box->x1) * 4;

	for (int y = box->y1; y < box->y2; y++) {
		const uint8_t *from = (const uint8_t *)screen->picture +
				      (size_t)(y - screen->top) * screen->stride_bytes +
				      (size_t)(box->x1 - screen->left) * 4;

		memcpy((uint8_t *)to->pixels + (size_t)y * to->stride_bytes + (size_t)box->x1 * 4, from,
		       bytes);
	}
	counter_add(&screen->copied_pixels, bytes / 4 * (size_t)(box->y2 - box->y1));
}

/* One that is outside. */
static void clear_box(struct screen *screen, const struct screen_buffer *to, const pixman_box32_t *box)
{
	for (int y = box->y1; y < box->y2; y++)
		memset((uint8_t *)to->pixels + (size_t)y * to->stride_bytes + (size_t)box->x1 * 4, 0,
		       (size_t)(box->x2 - box->x1) * 4);
}

static void draw_boxes(struct screen *screen, unsigned buffer, pixman_region32_t *region,
		       void (*draw)(struct screen *screen, const struct screen_buffer *to,
				    const pixman_box32_t *box))
{
	int count;
	const pixman_box32_t *boxes = pixman_region32_rectangles(region, &count);

	for (int i = 0; i < count; i++)
		draw(screen, &screen->buffers[buffer], &boxes[i]);
}

static void draw_pointer(struct screen *screen, const struct screen_buffer *to, pixman_region32_t *drawn)
{
	pixman_box32_t place = { .x1 = screen->pointer_x + screen->left,
				 .y1 = screen->pointer_y + screen->top };

	place.x2 = place.x1 + (int)SCREEN_POINTER_WIDTH;
	place.y2 = place.y1 + (int)SCREEN_POINTER_HEIGHT;
	if (screen->has_pointer && pixman_region32_contains_rectangle(drawn, &place) != PIXMAN_REGION_OUT)
		screen_pointer_draw(to->pixels, to->stride_bytes, screen->mode.width, screen->mode.height,
				    place.x1, place.y1);
}

/* Makes the buffer what is to be seen. */
static void draw(struct screen *screen, unsigned buffer)
{
	pixman_region32_t inside, outside;

	pixman_region32_init(&inside);
	pixman_region32_init(&outside);
	pixman_region32_intersect_rect(&inside, &screen->stale[buffer], screen->left, screen->top,
				       screen->width, screen->height);
	pixman_region32_subtract(&outside, &screen->stale[buffer], &inside);
	draw_boxes(screen, buffer, &inside, copy_box);
	draw_boxes(screen, buffer, &outside, clear_box);
	pixman_region32_fini(&outside);
	pixman_region32_fini(&inside);
	draw_pointer(screen, &screen->buffers[buffer], &screen->stale[buffer]);
}

static struct screen_rect rect_of(const pixman_box32_t *box)
{
	return (struct screen_rect){ box->x1, box->y1, (unsigned)(box->x2 - box->x1),
				     (unsigned)(box->y2 - box->y1) };
}

static unsigned rects_of(pixman_region32_t *region, struct screen_rect rects[RECTS_MAX])
{
	int count;
	const pixman_box32_t *boxes = pixman_region32_rectangles(region, &count);

	if (count > RECTS_MAX) {
		rects[0] = rect_of(pixman_region32_extents(region));
		return 1;
	}
	for (int i = 0; i < count; i++)
		rects[i] = rect_of(&boxes[i]);
	return (unsigned)count;
}

/* ---- the card ---- */

static void lose(struct screen *screen, int error)
{
	screen->state = SCREEN_LOST;
	screen->waits = false;
	if (screen->error == error)
		return;
	screen->error = error;
	if (error == -EACCES)
		log_warning(screen->subject, "another program, such as a desktop, has the screen; it is "
					     "shown when that one ends");
	else
		log_warning(screen->subject, "the screen cannot be shown: %s", strerror(-error));
}

static void flip(struct screen *screen)
{
	unsigned next = 1 - screen->shown;
	struct screen_rect rects[RECTS_MAX];
	unsigned count;
	int error;

	draw(screen, next);
	count = rects_of(&screen->stale[next], rects);
	error = screen->device->ops->flip(screen->device, next, rects, count);
	/* What was drawn is drawn again the next time. */
	if (error == -EBUSY)
		return;
	if (error) {
		lose(screen, error);
		return;
	}
	pixman_region32_clear(&screen->stale[next]);
	screen->shown = next;
	screen->changed = false;
	screen->waits = true;
	screen->flipped_ns = loop_now_ns(screen->loop);
	counter_add(&screen->frames, 1);
}

void screen_flush(struct screen *screen)
{
	if (screen->loop && screen->state == SCREEN_ON && screen->changed && !screen->waits)
		flip(screen);
}

static void on_ready(struct loop_watch *watch, unsigned events)
{
	struct screen *screen = container_of(watch, struct screen, watch);

	if (!screen->device->ops->is_shown(screen->device))
		return;
	screen->waits = false;
	screen_flush(screen);
}

/* ---- the monitor ---- */

/* In the middle; of a picture that is too large the right and the lower edge are cut off, not the bar. */
static int margin(unsigned room, unsigned size)
{
	return room > size ? (int)((room - size) / 2) : 0;
}

/* The first picture that is seen is the whole one, also after a predecessor's. */
static void fill_first(struct screen *screen, const struct screen_mode *mode)
{
	screen->mode = *mode;
	screen->left = margin(mode->width, screen->width);
	screen->top = margin(mode->height, screen->height);
	for (unsigned i = 0; i < SCREEN_BUFFERS; i++)
		pixman_region32_clear(&screen->stale[i]);
	spoil(screen, 0, 0, mode->width, mode->height);
	draw(screen, 0);
	pixman_region32_clear(&screen->stale[0]);
	screen->shown = 0;
	screen->changed = screen->waits = false;
}

static void light(struct screen *screen)
{
	const struct screen_device_ops *ops = screen->device->ops;
	int mode = screen_choose_mode(&screen->output, screen->width, screen->height), error = -ENOTSUP;

	if (mode >= 0)
		error = ops->make_buffers(screen->device, &screen->output, (unsigned)mode, screen->buffers);
	if (!error) {
		fill_first(screen, &screen->output.modes[mode]);
		error = ops->set_mode(screen->device);
	}
	if (error) {
		lose(screen, error);
		return;
	}
	screen->state = SCREEN_ON;
	screen->error = 0;
	log_info(screen->subject, "is on the screen %s, %ux%u", screen->output.connector, screen->mode.width,
		 screen->mode.height);
}

static void go_dark(struct screen *screen)
{
	if (screen->state == SCREEN_ON)
		log_info(screen->subject, "the screen %s has no monitor any more", screen->output.connector);
	screen->state = SCREEN_OFF;
	screen->waits = false;
	screen->output.mode_count = 0;
}

/* A monitor that is there now, or another one, is asked for its modes. */
static void find_monitor(struct screen *screen)
{
	if (screen->device->ops->look(screen->device, true, &screen->output) == 0)
		light(screen);
	else
		go_dark(screen);
	if (screen->state == SCREEN_ON)
		screen->fruitless_asks = 0;
	else if (screen->fruitless_asks < SCREEN_ASKS_MAX)
		screen->fruitless_asks++;
}

static void check_monitor(struct screen *screen)
{
	struct screen_output now;
	bool is_there = screen->device->ops->look(screen->device, false, &now) == 0;

	if (!is_there) {
		screen->fruitless_asks = 0;
		go_dark(screen);
	} else if (screen->state == SCREEN_OFF || strcmp(now.connector, screen->output.connector) != 0) {
		find_monitor(screen);
	}
}

/* The card may have to be opened again: then it has another descriptor. */
static void take_back(struct screen *screen)
{
	int error;

	loop_watch_stop(screen->loop, &screen->watch);
	error = screen->device->ops->take_back(screen->device);
	if (loop_watch_start(screen->loop, &screen->watch, screen->device->fd, POLLIN))
		error = -ENOMEM;
	if (!error)
		find_monitor(screen);
	else if (error == -EACCES || screen->error != -EACCES)
		lose(screen, error);
}

static void look_later(struct screen *screen)
{
	uint64_t after_ns = (uint64_t)SCREEN_LOOK_NS << screen->fruitless_asks;

	loop_timer_start(screen->loop, &screen->look, loop_now_ns(screen->loop) + after_ns);
}

static void on_look(struct loop_timer *timer)
{
	struct screen *screen = container_of(timer, struct screen, look);

	if (screen->state == SCREEN_LOST)
		take_back(screen);
	else
		check_monitor(screen);
	/* A driver that has forgotten to tell. */
	if (screen->waits && loop_now_ns(screen->loop) - screen->flipped_ns >= SCREEN_LOOK_NS)
		screen->waits = false;
	screen_flush(screen);
	look_later(screen);
}

/* ---- life ---- */

int screen_start(struct screen *screen, struct loop *loop)
{
	int error;

	assert(!screen->loop);
	screen->watch = (struct loop_watch){ .ready = on_ready };
	screen->look = (struct loop_timer){ .expired = on_look };
	error = loop_watch_start(loop, &screen->watch, screen->device->fd, POLLIN);
	if (error)
		return error;
	screen->loop = loop;
	for (unsigned i = 0; i < SCREEN_BUFFERS; i++)
		pixman_region32_init(&screen->stale[i]);
	/* It has been looked for already, so that the picture has its size. */
	if (screen->output.mode_count > 0)
		light(screen);
	else
		find_monitor(screen);
	look_later(screen);
	return 0;
}

void screen_stop(struct screen *screen)
{
	if (!screen->loop)
		return;
	loop_watch_stop(screen->loop, &screen->watch);
	loop_timer_stop(screen->loop, &screen->look);
	for (unsigned i = 0; i < SCREEN_BUFFERS; i++)
		pixman_region32_fini(&screen->stale[i]);
	screen->loop = NULL;
	screen->state = SCREEN_OFF;
	screen->changed = screen->waits = false;
}
