/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of a virtio display in the daemon share.
 *
 *   display_served.c   the display: life, takeover, what its model tells
 *   display_scanout.c  one scanout's window: pictures, cursor, keys, sizes
 *   display_news.c     what has changed between the two threads
 */
#ifndef VIADUCT_DAEMON_SEAT_DISPLAY_SERVED_PRIVATE_H
#define VIADUCT_DAEMON_SEAT_DISPLAY_SERVED_PRIVATE_H

#include <pthread.h>

#include "arbiter/seat/seat.h"
#include "daemon/seat/display_news.h"
#include "daemon/seat/display_served.h"
#include "devices/display/virtio_gpu.h"
#include "interfaces/vhost_user_gpu/gpu_socket.h"

/* A size that the user would like, on its way to the control thread. */
struct display_wish {
	struct loop_message message;
	struct display_scanout *scanout; /* the control thread's; NULL: it has gone */
	unsigned width, height;
};

struct display_scanout {
	struct display_served *display;
	unsigned number;
	struct seat_window *window;
	struct display_news news;
	struct loop_message told;
	struct display_wish *wish; /* under the display's lock: the last that is on its way; NULL: none */

	/* the seats' thread's */
	struct loop_task draw;
	bool owes;		    /* what was drawn is not shown yet */
	struct loop_account *payer; /* before the window was painted */
	bool dark;
};

struct display_served {
	struct loop *seat, *control;
	struct loop_account *account;
	struct virtio_gpu *model;	/* one of the two */
	struct bochs_display *bochs;
	struct display_news_set news; /* of the scanouts, for the model */
	struct display_served_counters counters;
	struct display_served_saved saved; /* file and unsent are ours */
	void (*resized)(void *context);
	void *context;
	pthread_mutex_t lock;

	/* the seats' thread's */
	const struct input_model *keyboard, *tablet;
	unsigned buttons;
	bool still; /* a successor draws, and gives the front end what is in the news */
	struct gpu_socket front_end;

	unsigned scanout_count;
	struct display_scanout scanouts[];
};

/* ---- display_served.c ---- */

/* The guest is to see another size when it asks. Control thread. Returns 0 or -EINVAL. */
int display_served_set_size(struct display_served *display, unsigned scanout, unsigned width,
			    unsigned height);

/* ---- display_scanout.c ---- */

void display_scanout_init(struct display_scanout *scanout, struct display_served *display, unsigned number,
			  struct seat_window *window);
/* No queue runs, and its window does not listen to it any more. Control thread. */
void display_scanout_finish(struct display_scanout *scanout);

/* On the seats' thread: the window listens to it and shows it; or does no more (no queue runs). */
void display_scanout_start(struct display_scanout *scanout);
void display_scanout_stop(struct display_scanout *scanout);
/* Draws what its model has told by now. */
void display_scanout_draw(struct display_scanout *scanout);
/* It stood still and does no more: it draws what came meanwhile. */
void display_scanout_go_on(struct display_scanout *scanout);
/* What it shows; a width of 0: it is dark. */
struct seat_pixels display_scanout_pixels(const struct display_scanout *scanout);

#endif
