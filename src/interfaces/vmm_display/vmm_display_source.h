/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seat's side of one connected VMM: its picture goes into the window, and the window's keys to it. On
 * the seat's thread.
 */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_SOURCE_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/loop.h"
#include "core/stats.h"
#include "interfaces/vmm_display/vmm_display_message.h"

struct seat_window;

/* The guest's picture, as its process shares it. */
struct vmm_display_picture {
	uint8_t *pixels; /* NULL: there is none */
	size_t bytes;
	unsigned width, height;
	size_t stride_bytes;
	bool lost; /* atomic: its file was cut short */
};

/* Any thread may read them. */
struct vmm_display_counters {
	struct counter surfaces, damages, damaged_pixels, keys, pointer_events;
	struct counter read_pixels; /* of the damaged: not sent, but read from a file of the VMM's */
	struct counter lost_keys;   /* presses that the guest did not take */
};

struct vmm_display_source {
	struct loop *loop;
	struct loop_account *account; /* pays, also for painting the window */
	struct seat_window *window;
	struct vmm_display_counters *counters;
	/*
	 * It is of no use any more, and does nothing until it is stopped. `why`: what the VMM or its process
	 * did; NULL: it is gone.
	 */
	void (*ended)(struct vmm_display_source *source, const char *why);

	/* private */
	int socket; /* -1: it does not run */
	struct loop_watch watch;
	struct loop_task more;
	struct vmm_display_picture picture;
	uint32_t number;	    /* of what is not left from before */
	bool owes;		    /* VMM_DISPLAY_TAKEN, when the window was shown */
	bool owes_cursor;	    /* VMM_DISPLAY_CURSOR_TAKEN likewise */
	struct loop_account *payer; /* before the seat did something for the guest's sake */
	/* Keys since it was started, as the process counts them. */
	uint32_t keys_told, keys_read, keys_waiting, keys_lost;
	bool tells_keys, guest_reads; /* it does count; the guest was seen to read them */
	bool dead;
	char text[VMM_DISPLAY_TEXT_BYTES];
};

/*
 * Begins to listen to the process on `socket`, which stays the caller's. again: 0, or, when it was listened
 * to before, a number that this was not done with. Returns 0 or -ENOMEM.
 */
int vmm_display_source_start(struct vmm_display_source *source, int socket, uint32_t again);
/*
 * Nothing is called any more, and the guest's keys are up. hide: its window is not seen any more; else it
 * goes on soon. Idempotent.
 */
void vmm_display_source_stop(struct vmm_display_source *source, bool hide);

#endif
