/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/display_news.h"

#include <stddef.h>
#include <string.h>

#include "core/reaper.h"

/* ---- on the display's worker ---- */

/* Under the lock. */
static void tell(struct display_news *news)
{
	if (!news->listening)
		return;
	news->listening = false;
	loop_post(news->taker, news->told);
}

static struct display_news *news_of(void *context, unsigned scanout)
{
	return ((struct display_news_set *)context)->scanouts[scanout];
}

static void on_show(void *context, unsigned scanout, struct virtio_gpu_picture *picture)
{
	struct display_news *news = news_of(context, scanout);
	struct display_change *change = &news->change;
	struct virtio_gpu_picture *before;

	pthread_mutex_lock(&news->lock);
	before = change->picture;
	change->picture = picture ? virtio_gpu_picture_get(picture) : NULL;
	change->is_another = true;
	change->absent = change->absent && !picture;
	change->damage = (struct virtio_gpu_rect){ 0 };
	tell(news);
	pthread_mutex_unlock(&news->lock);
	virtio_gpu_picture_put(before);
	counter_add(&news->pictures, 1);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Around both; all of it lies inside a picture, so that no sum overflows. */
static struct virtio_gpu_rect around(const struct virtio_gpu_rect *a, const struct virtio_gpu_rect *b)
{
	uint32_t x = smaller(a->x, b->x), y = smaller(a->y, b->y);

	if (a->width == 0)
		return *b;
	return (struct virtio_gpu_rect){ x, y, larger(a->x + a->width, b->x + b->width) - x,
					 larger(a->y + a->height, b->y + b->height) - y };
}

static void on_damage(void *context, unsigned scanout, const struct virtio_gpu_rect *rect)
{
	struct display_news *news = news_of(context, scanout);

	pthread_mutex_lock(&news->lock);
	news->change.damage = around(&news->change.damage, rect);
	tell(news);
	pthread_mutex_unlock(&news->lock);
	counter_add(&news->damages, 1);
}

static void on_cursor(void *context, unsigned scanout, const struct virtio_gpu_cursor *cursor)
{
	struct display_news *news = news_of(context, scanout);
	struct display_change *change = &news->change;

	pthread_mutex_lock(&news->lock);
	change->cursor_changed = true;
	change->cursor_visible = cursor->pixels;
	change->cursor_x = cursor->x;
	change->cursor_y = cursor->y;
	if (cursor->pixels && !cursor->moved_only) {
		change->cursor_looks = true;
		change->cursor_hot_x = cursor->hot_x;
		change->cursor_hot_y = cursor->hot_y;
		memcpy(change->cursor_pixels, cursor->pixels, sizeof(change->cursor_pixels));
	}
	tell(news);
	pthread_mutex_unlock(&news->lock);
}

static void on_absent(void *context)
{
	const struct display_news_set *set = context;

	for (unsigned i = 0; i < set->count; i++) {
		struct display_news *news = set->scanouts[i];

		pthread_mutex_lock(&news->lock);
		news->change.absent = true;
		tell(news);
		pthread_mutex_unlock(&news->lock);
	}
}

/* There is one for all scanouts: the first tells of it. */
static void on_front_end_socket(void *context, int fd)
{
	struct display_news *news = news_of(context, 0);
	int before;

	pthread_mutex_lock(&news->lock);
	before = news->change.front_end;
	news->change.front_end = fd;
	tell(news);
	pthread_mutex_unlock(&news->lock);
	reaper_close(&before);
}

const struct virtio_gpu_output_ops display_news_output = { on_show, on_damage, on_cursor, on_absent,
							   on_front_end_socket };

bool display_news_are_taken(void *set)
{
	struct display_news *news = news_of(set, 0);
	bool taken;

	pthread_mutex_lock(&news->lock);
	taken = news->listening;
	pthread_mutex_unlock(&news->lock);
	return taken;
}

/* ---- the taker ---- */

static bool is_any(const struct display_change *change)
{
	return change->is_another || change->absent || change->damage.width > 0 || change->front_end >= 0 ||
	       change->cursor_changed;
}

bool display_news_take(struct display_news *news, struct display_change *ret_change)
{
	struct display_change *change = &news->change;
	bool any;

	pthread_mutex_lock(&news->lock);
	any = is_any(change);
	if (any) {
		memcpy(ret_change, change,
		       change->cursor_looks ? sizeof(*change)
					    : offsetof(struct display_change, cursor_pixels));
		if (change->picture)
			virtio_gpu_picture_get(change->picture);
	}
	change->is_another = change->absent = change->cursor_changed = change->cursor_looks = false;
	change->front_end = -1;
	change->damage = (struct virtio_gpu_rect){ 0 };
	news->listening = !any;
	pthread_mutex_unlock(&news->lock);
	return any;
}

int display_news_front_end(struct display_news *news)
{
	int fd;

	pthread_mutex_lock(&news->lock);
	fd = news->change.front_end;
	pthread_mutex_unlock(&news->lock);
	return fd;
}

void display_news_mute(struct display_news *news)
{
	pthread_mutex_lock(&news->lock);
	news->listening = false;
	pthread_mutex_unlock(&news->lock);
}

/* ---- life ---- */

void display_news_init(struct display_news *news, struct loop *taker, struct loop_message *told)
{
	*news = (struct display_news){ .taker = taker, .told = told, .change.front_end = -1 };
	pthread_mutex_init(&news->lock, NULL);
}

void display_news_finish(struct display_news *news)
{
	virtio_gpu_picture_put(news->change.picture);
	reaper_close(&news->change.front_end);
	pthread_mutex_destroy(&news->lock);
}
