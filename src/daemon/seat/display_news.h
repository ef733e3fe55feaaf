/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What has changed of one scanout of a virtio display since it was taken last, however often the guest draws:
 * the display's output on its worker, and one taker on another thread, which is told once that there is
 * something.
 */
#ifndef VIADUCT_DAEMON_SEAT_DISPLAY_NEWS_H
#define VIADUCT_DAEMON_SEAT_DISPLAY_NEWS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"
#include "core/stats.h"
#include "devices/display/virtio_gpu.h"

#define DISPLAY_CURSOR_PIXELS ((size_t)VIRTIO_GPU_CURSOR_SIDE * VIRTIO_GPU_CURSOR_SIDE)

struct display_change {
	struct virtio_gpu_picture *picture; /* that is shown now, NULL: it is dark; the taker puts it */
	bool is_another;		    /* than before: all of it is new */
	bool absent;			    /* no driver is there any more */
	struct virtio_gpu_rect damage;	    /* around all that was drawn; empty: nothing */
	int front_end; /* a socket at which the front end wants to see it, the taker's; -1: none */
	/* The cursor. */
	bool cursor_changed, cursor_looks; /* somehow; it looks otherwise */
	bool cursor_visible;
	int32_t cursor_x, cursor_y; /* its upper left corner */
	uint32_t cursor_hot_x, cursor_hot_y;
	uint32_t
		cursor_pixels[DISPLAY_CURSOR_PIXELS]; /* with cursor_looks; last, as most changes have none */
};

struct display_news {
	struct counter pictures, damages; /* any thread may read them */

	/* private */
	struct loop *taker;
	struct loop_message *told;
	pthread_mutex_t lock;
	struct display_change change;
	bool listening;
};

/* `told` is posted to the taker's loop when there is something, once after each taking of nothing. */
void display_news_init(struct display_news *news, struct loop *taker, struct loop_message *told);
/* No queue runs, and nothing is told any more. */
void display_news_finish(struct display_news *news);

/* Of all scanouts of a display: what it is created with, and its context. */
struct display_news_set {
	unsigned count;
	struct display_news *scanouts[VIRTIO_GPU_SCANOUTS_MAX];
};
extern const struct virtio_gpu_output_ops display_news_output;
/* Of a struct display_news_set: has the taker taken all that scanout 0 told, and shown it? Any thread. */
bool display_news_are_taken(void *set);

/* The taker's thread. False: there is nothing; the next will be told. */
bool display_news_take(struct display_news *news, struct display_change *ret_change);
/* The front end's socket that is not taken yet; it stays the news'. -1: there is none. Any thread. */
int display_news_front_end(struct display_news *news);
/* Nothing is told from now on; what was, has been posted. */
void display_news_mute(struct display_news *news);

#endif
