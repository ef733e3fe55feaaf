/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon and the process that speaks with one VMM's display say to each other: one struct
 * vmm_display_message a packet, over a SOCK_SEQPACKET socket. The daemon believes nothing in it: what is out
 * of range, and a packet of another size, ends the process.
 *
 *     daemon                              process of the VMM's display
 *       | <---- VMM_DISPLAY_SURFACE + file --  |   the guest's picture is there, of this size
 *       | <---- VMM_DISPLAY_DAMAGE ----------  |   this part of it has other pixels now
 *       | ----- VMM_DISPLAY_TAKEN ---------->  |   the next may come
 *       | <---- VMM_DISPLAY_CURSOR (+ file) -  |   the guest's cursor is there, and perhaps looks like this
 *       | ----- VMM_DISPLAY_CURSOR_TAKEN --->  |   the next may come
 *       | ----- VMM_DISPLAY_KEY, … --------->  |
 *       | <---- VMM_DISPLAY_KEYS ------------  |   so many were read, and wait
 *
 * The file is a memory file of the process's, sealed against shrinking, which the daemon maps to read. Pixels
 * are 32 bits, 0xRRGGBB and a byte that means nothing, lines `stride_bytes` apart. The process writes into it
 * while the daemon reads: what is torn is damaged anew. Between a surface or a damage and TAKEN the process
 * sends neither: it keeps the rectangle around all that changed. So a guest that draws without end costs the
 * daemon what one costs that draws as often as the screen is refreshed. The cursor is on its own in that: it
 * need not wait for a picture, nor a picture for it. The file with what it looks like is only read, at once.
 */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_MESSAGE_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_MESSAGE_H

#include <assert.h>
#include <stdint.h>

#define VMM_DISPLAY_SIDE_MAX   8192u /* pixels */
#define VMM_DISPLAY_CURSOR_MAX 256u  /* pixels of a side */
#define VMM_DISPLAY_TEXT_BYTES 96u
/* Presses and releases that wait for the guest: as many as a user types in a minute. */
#define VMM_DISPLAY_KEYS_MAX 1024u

enum vmm_display_message_kind {
	/* ---- to the process ---- */
	VMM_DISPLAY_TAKEN = 1, /* the surface or the damage before */
	/*
	 * The daemon is another, which shows the window: the surface, or that it is dark, is to be sent again
	 * as if TAKEN had come, and all keys come up. What the process sends carries the number of the last
	 * of these that it has read, and 0 before.
	 */
	VMM_DISPLAY_AGAIN,
	VMM_DISPLAY_KEY,	  /* number: a key of linux/input-event-codes.h; down */
	VMM_DISPLAY_POINTER,	  /* x, y in pixels; number: buttons, bit 0 left, 1 middle, 2 right; wheel */
	VMM_DISPLAY_SIZE,	  /* the window would like a picture of width, height */
	VMM_DISPLAY_CURSOR_TAKEN, /* the cursor before */

	/* ---- from the process ---- */
	/* down, of both: the pixels were read from a file of the VMM's, and not sent by it. */
	VMM_DISPLAY_SURFACE = 0x101, /* with the file: width, height, stride_bytes. All of it is damaged */
	VMM_DISPLAY_DAMAGE,	     /* x, y, width, height: inside the surface, not empty */
	VMM_DISPLAY_DARK,	     /* there is no picture, until the next surface */
	VMM_DISPLAY_REFUSED,	     /* text: why the VMM's display cannot be used. The process ends */
	/*
	 * x, y: the hot spot in the picture, or outside of it, as int32_t; down: it can be seen. With the
	 * file, it looks different: width, height and hot_x, hot_y of what is at the file's beginning, lines
	 * of 0xAARRGGBB, multiplied by alpha.
	 */
	VMM_DISPLAY_CURSOR,
	/*
	 * Of the keys that were sent since VMM_DISPLAY_AGAIN, modulo 2^32: x were read, y of them wait for
	 * the guest, and width are presses that were lost. down: the guest was seen to read its keyboard.
	 * height: the lights that the guest has on, a bit each in the order of linux/input-event-codes.h.
	 */
	VMM_DISPLAY_KEYS,
};

struct vmm_display_message {
	uint32_t kind, number;
	uint32_t x, y, width, height, stride_bytes;
	uint32_t down; /* 1: went down, 0: came up */
	int32_t wheel; /* notches; away from the user is positive */
	union {
		char text[VMM_DISPLAY_TEXT_BYTES]; /* ended by NUL */
		struct {
			uint32_t hot_x, hot_y;
		} cursor;
	};
};

static_assert(sizeof(struct vmm_display_message) == 9 * 4 + VMM_DISPLAY_TEXT_BYTES, "no holes");

#endif
