/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys, as calls of QEMU's console, no faster than the guest reads them.
 *
 * QEMU's PS/2 keyboard holds 16 bytes that the guest has not read, and drops without a word what comes when
 * it is full: five strokes, while an emulated processor waits for a busy host. Whether it is empty is in the
 * status of the keyboard's controller (i8042), which QEMU's monitor can read without changing anything. So
 * the bytes of the keys that are sent are counted, and before there are more than QUEUED_BYTES_MAX, it is
 * looked whether the guest has read them. Until then keys wait here.
 *
 *     daemon -- VMM_DISPLAY_KEY --> waiting[] -- Press, Release --> QEMU's queue --> guest
 *                                                  <-- answers --
 *                                                  -- look ---------> empty?
 *
 * A machine without such a controller, or a monitor without the command, is not looked at: then keys wait for
 * QEMU's answers only. A guest that has a USB or virtio keyboard beside the controller seems to read at once;
 * or never, when a byte of before lies there. So a guest that was not seen to read is waited for no longer
 * than VMM_DISPLAY_UNPROVEN_US.
 *
 * What went down always comes up. A press that finds no room is lost with its release, and counted, and so
 * is each that waits when the guest, which was seen to read before, has not for VMM_DISPLAY_UNREAD_MAX_US.
 */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_KEYBOARD_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_KEYBOARD_H

#include <linux/input-event-codes.h>
#include <stdbool.h>
#include <stdint.h>

#include "interfaces/vmm_display/vmm_display_bus.h"
#include "interfaces/vmm_display/vmm_display_message.h"

/* A guest that reads nothing for so long has stopped, and what waits was not meant for what runs next. */
#define VMM_DISPLAY_UNREAD_MAX_US 60000000u
#define VMM_DISPLAY_UNPROVEN_US	  2000000u

struct vmm_display_qmp;

struct vmm_display_keyboard {
	const struct vmm_display_bus *bus;
	struct vmm_display_qmp *qmp;
	const char *console; /* its path; NULL: there is none yet, and nothing is sent */
	bool down[KEY_CNT];  /* as the daemon said */
	bool sent[KEY_CNT];  /* as QEMU was told */
	unsigned down_count;
	struct {
		uint16_t code;
		bool down;
	} waiting[VMM_DISPLAY_KEYS_MAX]; /* a ring */
	unsigned first, count;
	unsigned unanswered;   /* calls */
	unsigned unread_bytes; /* at most so many of them the guest has not read */
	bool is_asked;	       /* QEMU is, whether it has */
	bool is_blind;	       /* it cannot be */
	bool was_unread;       /* its queue was seen with bytes in it, */
	bool is_proven;	       /* and empty after that: it is this keyboard that the guest reads */
	uint64_t look_us;      /* when to look again; 0: at once */
	uint64_t unread_us;    /* since when its queue was not seen empty; 0: it was */

	/* Since the last VMM_DISPLAY_AGAIN, modulo 2^32. */
	uint32_t received, lost;
	uint32_t lights; /* as VMM_DISPLAY_KEYS has them */
	bool has_news;
};

/* Both stay the caller's, and outlive it. */
void vmm_display_keyboard_init(struct vmm_display_keyboard *keyboard, const struct vmm_display_bus *bus,
			       struct vmm_display_qmp *qmp);
/* The console's path, which stays the caller's. */
void vmm_display_keyboard_open(struct vmm_display_keyboard *keyboard, const char *console);

/* A VMM_DISPLAY_KEY. */
void vmm_display_keyboard_key(struct vmm_display_keyboard *keyboard,
			      const struct vmm_display_message *message);
/* A VMM_DISPLAY_AGAIN: all keys come up, behind what waits, and counting begins anew. */
void vmm_display_keyboard_again(struct vmm_display_keyboard *keyboard);
/* The end: nothing waits any more, and what QEMU has down comes up. */
void vmm_display_keyboard_release(struct vmm_display_keyboard *keyboard);

/*
 * Sends what may be sent now. To be called when something has happened, and at the time that it returns
 * (clock_now_ns() / 1000; UINT64_MAX: only then). Returns -EPIPE in *ret_error if QEMU's monitor is gone.
 */
uint64_t vmm_display_keyboard_run(struct vmm_display_keyboard *keyboard, int *ret_error);

/* The guest has these lights on, as QEMU says: scroll, num and caps lock, a bit each. */
void vmm_display_keyboard_set_lights(struct vmm_display_keyboard *keyboard, uint32_t qemu_lights);

/* What the daemon is to be told of the keys that it has sent: false, nothing new. */
bool vmm_display_keyboard_news(const struct vmm_display_keyboard *keyboard,
			       struct vmm_display_message *message);
void vmm_display_keyboard_told(struct vmm_display_keyboard *keyboard);

#endif
