/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Windows that a display of ours draws into, one for each scanout, and whose keys go to the guest's
 * keyboard and tablet. It is a virtio display, or bochs-display, which is made of registers and has one
 * scanout. Its model runs on a worker, the windows are the seats' thread's. Between the two stands what has
 * changed since the window took it last, however often the guest draws:
 *
 *     worker: the guest's command ──▶ what has changed ──▶ seats' thread: window
 *                                          ▲                    │
 *                                          └── when it is shown ┘
 */
#ifndef VIADUCT_DAEMON_SEAT_DISPLAY_SERVED_H
#define VIADUCT_DAEMON_SEAT_DISPLAY_SERVED_H

#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"
#include "core/stats.h"

struct bochs_display;
struct display_served;
struct input_model;
struct loop_guest;
struct seat_window;
struct virtio_gpu;

#define DISPLAY_SCANOUTS_MAX 16u

struct display_served_options {
	struct loop *seat;	    /* the seats' thread */
	struct loop *control;	    /* the control thread's */
	struct loop_guest *guest;   /* pays for what is drawn */
	struct seat_window *const *windows; /* one for each scanout; they outlive it */
	unsigned scanouts;	    /* 1 to DISPLAY_SCANOUTS_MAX; of registers: 1 */
	bool of_registers;	    /* bochs-display, not virtio */
	const char *name;	    /* of the monitors that the guest sees; copied */
	unsigned width, height;	    /* pixels that each monitor says it has */
	/* It says another number from now on: the guest is to be told. Control thread. */
	void (*resized)(void *context);
	void *context;
};

/* Any thread may read them. */
struct display_served_counters {
	struct counter damaged_pixels, keys, pointer_events;
	struct counter lost; /* keys and pointer events for which there was no device */
};

/* Control thread. Returns 0, -EINVAL (a size or a number of scanouts that there is not) or -ENOMEM. */
int display_served_create(const struct display_served_options *options, struct display_served **ret_display);
/* No queue runs, and no window listens to it any more. NULL is allowed. */
void display_served_destroy(struct display_served *display);

/* What the display's queues, or registers, are served by; NULL: it is the other one. */
struct virtio_gpu *display_served_model(const struct display_served *display);
struct bochs_display *display_served_bochs(const struct display_served *display);
/* How many pictures the guest has shown, and how often it has drawn. Any thread. */
uint64_t display_served_pictures(const struct display_served *display);
uint64_t display_served_flushes(const struct display_served *display);
const struct display_served_counters *display_served_counters(const struct display_served *display);
/* Of the seats' thread, for what it shows. Any thread. */
uint64_t display_served_cpu_ns(const struct display_served *display);

/*
 * Takeover: what virtio_gpu_save() gives, and what its front end is owed, of a display that stands still and
 * is not made of registers: the VMM's connection takes those along.
 * Both stay the display's until it goes on, is saved again or destroyed. Control thread.
 */
struct display_served_saved {
	int file;      /* -errno: it cannot be saved */
	int front_end; /* the socket at which the front end sees the picture; -1: none */
	int unsent;    /* a memory file of what is to be sent there before all else; -1: nothing */
};
struct display_served_saved display_served_save(struct display_served *display);

/* ---- on the seats' thread ---- */

/* The windows listen to it, and show what the display shows, at once. */
void display_served_start(struct display_served *display);
/* They show at once what the display has come to show since. */
void display_served_draw(struct display_served *display);
/* No queue runs. */
void display_served_stop(struct display_served *display);
/* Takeover: its front end is told nothing more, or is again. */
void display_served_stand_still(struct display_served *display, bool still);
/* What a predecessor saved of it; both are the display's from now on. */
void display_served_take_front_end(struct display_served *display, int front_end, int unsent);
/* Where keys go, and what the pointer does; each stays the caller's. NULL: nowhere. */
void display_served_set_keyboard(struct display_served *display, const struct input_model *keyboard);
void display_served_set_tablet(struct display_served *display, const struct input_model *tablet);

#endif
