/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's keyboards and pointers, as one keyboard and one pointer: those that the configuration names, or
 * all there are. Devices come and go: a key that a device held when it went comes up.
 *
 * Made, handed over and freed on the control thread while it is stopped; else it is the loop's.
 */
#ifndef VIADUCT_HOST_INPUT_INPUT_SET_H
#define VIADUCT_HOST_INPUT_INPUT_SET_H

#include <linux/input-event-codes.h>
#include <stddef.h>

#include "core/log.h"
#include "core/loop.h"
#include "host/input/evdev_device.h"

#define INPUT_FOLDER "/dev/input"
/* A desk has a handful. */
#define INPUT_DEVICES_MAX 32u

struct input_set {
	const char *wanted; /* "all", or paths with commas between them; the owner's */
	const char *folder; /* INPUT_FOLDER; another for tests */
	const struct log_subject *subject;
	const struct input_reader_ops *ops;
	void *context; /* of ops */
	struct evdev_device *devices;
	unsigned count;
	struct counter events;	/* also of devices that are gone */
	struct counter dropped; /* so often a device lost some */

	/* private */
	struct loop *loop; /* NULL: stopped */
	int news;	   /* inotify: the folder changes. -1: nothing tells */
	struct loop_watch watch;
	struct loop_timer look;
	unsigned lights;	  /* that are on */
	uint8_t holders[KEY_CNT]; /* so many devices hold the key */
	int handed[INPUT_DEVICES_MAX];
	unsigned handed_count;
};

/*
 * Before it: `wanted`, `folder`, `subject`, `ops` and `context` are set, all else is zero. A predecessor's
 * devices may have been given by input_set_adopt(). Opens what is there; what is not, or cannot be opened, is
 * told in the log.
 */
void input_set_open(struct input_set *set);
/* A descriptor of a predecessor's device; the set owns it. Before input_set_open(). */
void input_set_adopt(struct input_set *set, int fd);
void input_set_close(struct input_set *set);

/* Returns 0 or -ENOMEM. */
int input_set_start(struct input_set *set, struct loop *loop);
/* As evdev_device_light(), of all keyboards, also of those that come later. Started or not. */
void input_set_light(struct input_set *set, unsigned lights);
/* What is held comes up, and lights go out until it is started again. Idempotent. */
void input_set_stop(struct input_set *set);

/* Is every part of the text a path, or is it "all" or "none"? Returns NULL, or what is wrong with it. */
const char *input_check_wanted(const char *text);
/* Copies the next path of the list, and moves on. Returns false at the end. */
bool input_next_path(const char **list, char path[INPUT_PATH_SIZE]);
/* What is to be done about an error, for a message: "", or begins with "; ". */
const char *input_advice(int error);

#endif
