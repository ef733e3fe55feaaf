/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A keyboard, mouse, tablet or touchpad of the host, by libevdev. It is grabbed as soon as it is open:
 * nothing else on the host hears it any more, above all not the console with its login. Opened on any thread,
 * before start(); all else on the loop's.
 */
#ifndef VIADUCT_HOST_INPUT_EVDEV_DEVICE_H
#define VIADUCT_HOST_INPUT_EVDEV_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/loop.h"
#include "core/stats.h"
#include "host/input/input_reader.h"

struct libevdev;

#define INPUT_NAME_SIZE 64
#define INPUT_PATH_SIZE 108

struct evdev_device {
	struct evdev_device *next; /* its owner's, like all up to gone() but what the device is */
	char path[INPUT_PATH_SIZE];
	char name[INPUT_NAME_SIZE]; /* as the device says */
	dev_t number;		    /* the same device has the same one, under whatever name */
	struct counter *events;
	struct counter *dropped; /* so often the kernel lost some, because they were not read in time */
	void *owner;
	void (*gone)(struct evdev_device *device); /* it was unplugged, and is stopped; may destroy it */

	int fd; /* to be handed over */

	/* private */
	struct libevdev *evdev;
	struct input_reader reader;
	struct loop *loop; /* NULL: not started */
	struct loop_watch watch;
	struct loop_task more;
};

/*
 * Opens and grabs the device, or takes over `fd` (-1: none), which is its own from now on, and closed on
 * failure. any: it may be whatever has keys or moves; else it must be a keyboard or a pointer of a desk: the
 * host keeps its power button. Returns 0, -ENODEV (it is no such device), -EBUSY (another program has grabbed
 * it), or another -errno.
 */
int evdev_device_open(const char *path, int fd, bool any, struct evdev_device **ret_device);
/* Not started. NULL is allowed. */
void evdev_device_destroy(struct evdev_device *device);

/* From now on its events are told. Returns 0 or -ENOMEM. */
int evdev_device_start(struct evdev_device *device, struct loop *loop, const struct input_reader_ops *ops,
		       void *context);
/*
 * Lights of a keyboard go on and all others off: a bit each, in the order of LED_… of
 * linux/input-event-codes.h, up to LED_SCROLLL. Nothing happens where there are none, or the device could be
 * opened for reading only.
 */
void evdev_device_light(const struct evdev_device *device, unsigned lights);
/* What it holds comes up, and its lights go out. It stays grabbed. Idempotent. */
void evdev_device_stop(struct evdev_device *device);

/* "keyboard", "mouse", "tablet", "touchpad", or both of "keyboard and mouse". */
const char *evdev_device_kind(const struct evdev_device *device);

/* What libevdev tells of a device, as the reader needs it. */
struct input_traits evdev_device_traits(const struct libevdev *evdev);
/* Has it been made for a desk? */
bool input_is_of_desk(const struct libevdev *evdev);

#endif
