/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the events of an input device mean: keys, and what its pointer does, once for each report of the
 * device. Pure: events in, calls out. Whatever the device says, each key that went down comes up.
 */
#ifndef VIADUCT_HOST_INPUT_INPUT_READER_H
#define VIADUCT_HOST_INPUT_INPUT_READER_H

#include <linux/input.h>
#include <stdbool.h>
#include <stdint.h>

/* A place on an absolute device: 0 is its left or upper edge, INPUT_PLACE_MAX the other one. */
#define INPUT_PLACE_MAX 65535u
/* The finger moves the pointer by so many pixels on its way over the whole width of a touchpad. */
#define INPUT_PAD_PIXELS 1000
/* By so much does a pointer move in one report: no hand is faster. */
#define INPUT_MOVE_MAX 4096

/* Of an axis, and where the device is on it; there is none when max is not above min. */
struct input_axis {
	int min, max, value;
};

struct input_traits {
	bool has_keys;	 /* of a keyboard */
	bool is_pointer; /* mouse, tablet, touchpad, touchscreen */
	bool is_pad;	 /* its places move the pointer, and are none of the screen */
	bool has_fine_wheel;
	struct input_axis x, y; /* absolute ones */
};

struct input_motion {
	int by_x, by_y;		   /* pixels */
	bool is_placed;		   /* then at this place, and by_x and by_y are 0 */
	unsigned place_x, place_y; /* to INPUT_PLACE_MAX */
	unsigned buttons;	   /* as seat_pointer()'s */
	int wheel;		   /* notches, away from the user if positive */
};

struct input_reader_ops {
	void (*key)(void *context, unsigned code, bool down);
	void (*pointer)(void *context, const struct input_motion *motion);
};

struct input_reader {
	struct input_traits traits;
	const struct input_reader_ops *ops;
	void *context;

	/* private */
	bool held[KEY_CNT];
	unsigned buttons;
	struct input_motion motion; /* of the report that has not ended */
	bool moved;
	bool touched;	       /* a finger is on the pad */
	bool known_x, known_y; /* `last` is where it was */
	int last_x, last_y;
	int64_t rest_x, rest_y; /* of a pixel, in INPUT_PAD_PIXELS parts of the pad's units */
	int fine_wheel;		/* of a notch */
};

void input_reader_init(struct input_reader *reader, const struct input_traits *traits,
		       const struct input_reader_ops *ops, void *context);
/* One event of the device. */
void input_reader_take(struct input_reader *reader, const struct input_event *event);
/* All keys and buttons come up: the device is gone, or not heard any more. */
void input_reader_let_up(struct input_reader *reader);

#endif
