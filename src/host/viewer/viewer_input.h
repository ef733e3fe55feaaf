/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys and the pointer of one client, as the daemon hears of them: keys as codes of
 * linux/input-event-codes.h where the client tells scancodes, else as keysyms. What the client holds down is
 * known here, so that it comes up when the client goes.
 */
#ifndef VIADUCT_HOST_VIEWER_VIEWER_INPUT_H
#define VIADUCT_HOST_VIEWER_VIEWER_INPUT_H

#include <linux/input-event-codes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Keys without a code that are down: a person has ten fingers. One more that goes down is not told. */
#define VIEWER_KEYSYMS_MAX 16u

struct viewer_input {
	int inner; /* where the daemon is told; not ours */
	bool down[KEY_CNT];
	uint32_t keysyms[VIEWER_KEYSYMS_MAX]; /* that are down */
	unsigned keysym_count;
	uint32_t x, y, mask; /* of the pointer; the mask is as in the protocol */
};

/*
 * A zeroed struct with `inner` set is a client that holds nothing down. Each function returns false when the
 * daemon has gone, and waits while the daemon's socket is full.
 */

/* scancode: of set 1, extended ones with 0x80; 0 or one without a key: the keysym is told. */
bool viewer_input_key(struct viewer_input *input, uint32_t keysym, uint32_t scancode, bool down);
/* Outside of the screen, which has these sides: at its edge. mask: the protocol's buttons. */
bool viewer_input_pointer(struct viewer_input *input, uint32_t x, uint32_t y, uint32_t mask, uint32_t width,
			  uint32_t height);
/* The client has gone: its keys and buttons come up. */
bool viewer_input_release(struct viewer_input *input);

struct viewer_message;

/* Tells the daemon, which reads as long as it lives. Returns false when it has gone. */
bool viewer_tell(int inner, const struct viewer_message *message);
/* The same with so many bytes that stand behind the message. */
bool viewer_tell_text(int inner, const struct viewer_message *message, size_t text_bytes);

#endif
