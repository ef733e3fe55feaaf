/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A graphics card as the screen drives it, for implementers: screen_drm.c is the kernel's, and tests have a
 * twin without a card. Besides open and close, every function is called on the loop's thread.
 */
#ifndef VIADUCT_HOST_SCREEN_SCREEN_DEVICE_H
#define VIADUCT_HOST_SCREEN_SCREEN_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

#define SCREEN_NAME_SIZE 32u
/* Of a monitor; it may tell of more. */
#define SCREEN_MODES_MAX 128u
#define SCREEN_BUFFERS	 2u
/* Of a mode: pixels. */
#define SCREEN_SIDE_MAX 8192u

struct screen_rect {
	int x, y;
	unsigned width, height;
};

struct screen_mode {
	unsigned width, height, refresh_hz;
	bool is_preferred; /* the monitor prefers it */
	bool is_interlaced;
};

/* A monitor that is connected. */
struct screen_output {
	char connector[SCREEN_NAME_SIZE]; /* "HDMI-A-1" */
	unsigned mode_count;
	struct screen_mode modes[SCREEN_MODES_MAX];
};

/* What is drawn into while it is not shown. */
struct screen_buffer {
	uint32_t *pixels; /* to be written only: reading is slow */
	size_t stride_bytes;
};

struct screen_device {
	const struct screen_device_ops *ops;
	int fd; /* tells when a picture is on the screen */
};

struct screen_device_ops {
	/*
	 * Which monitor is connected? ask: asks the monitor itself, which takes some 100 ms; else what the
	 * kernel knows, and only the connector's name and whether there is one. Returns 0, or -ENOTCONN.
	 */
	int (*look)(struct screen_device *device, bool ask, struct screen_output *ret_output);
	/*
	 * Makes two buffers of the mode's size, which are black; nothing of them is shown yet. The output is
	 * that of the last look() that asked. Returns 0, -EACCES (another program has the card) or another
	 * -errno, and then no buffer is left.
	 */
	int (*make_buffers)(struct screen_device *device, const struct screen_output *output, unsigned mode,
			    struct screen_buffer ret_buffers[SCREEN_BUFFERS]);
	/*
	 * Sets that mode, and shows the first buffer. Waits for the monitor. Returns 0 or -errno, as above,
	 * and then no buffer is left.
	 */
	int (*set_mode)(struct screen_device *device);
	/*
	 * Shows the other buffer with the monitor's next picture, without waiting for it; these rectangles of
	 * it may be others than when it was shown last. Returns 0, -EACCES (as above), or another -errno.
	 */
	int (*flip)(struct screen_device *device, unsigned buffer, const struct screen_rect *rects,
		    unsigned rect_count);
	/* The descriptor is readable. Returns whether what was flipped to is on the screen. */
	bool (*is_shown)(struct screen_device *device);
	/* Another program had the card. Returns 0 when it has gone. */
	int (*take_back)(struct screen_device *device);
	/* Gives the card back as it was found. handed_over: leaves all as it is, a successor has it, too. */
	void (*close)(struct screen_device *device, bool handed_over);
};

/*
 * Opens a card of the kernel's (/dev/dri/card0), for one of its connectors ("HDMI-A-1"), or the first with a
 * monitor (NULL). `fd`: a predecessor's, which is the device's from now on, and closed on failure; -1: none.
 * Returns 0 or -errno with *error. That another program has the card is no failure yet.
 */
int screen_drm_open(const char *path, const char *connector, int fd, struct screen_device **ret_device,
		    struct error *error);

#endif
