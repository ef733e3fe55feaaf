/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pointer and the wanted size, as calls of QEMU's console. No call waits for the answer to the one
 * before, but when too many are unanswered, no more buttons go down: a press that is dropped is dropped with
 * its release. What went down always comes up. Of positions and sizes the last one counts. Keys are
 * vmm_display_keyboard.h's.
 */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_INPUT_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "interfaces/vmm_display/vmm_display_bus.h"
#include "interfaces/vmm_display/vmm_display_message.h"

/* More than a user does while QEMU stands still for some seconds. */
#define VMM_DISPLAY_UNANSWERED_MAX 256u

struct vmm_display_point {
	uint32_t x, y;
};

struct vmm_display_size {
	uint32_t width, height; /* 0: not known */
};

struct vmm_display_input {
	const struct vmm_display_bus *bus;
	const char *console; /* its path; NULL: there is none yet, and nothing is sent */
	bool is_absolute;    /* the guest's pointer is told where it is, not how far it went */
	unsigned unanswered;
	uint32_t buttons;	/* that are down at the guest */
	bool is_placed;		/* the pointer has a position at the guest: `told` */
	bool is_behind;		/* it is to be where `wanted` is */
	struct vmm_display_point told, wanted;
	struct vmm_display_size size_told, size_wanted;
	bool is_sizing; /* a size is unanswered */
};

/* `bus` stays the caller's, and outlives it. */
void vmm_display_input_init(struct vmm_display_input *input, const struct vmm_display_bus *bus);
/* The console's path, which stays the caller's. */
void vmm_display_input_open(struct vmm_display_input *input, const char *console);

/* Messages of these kinds. `picture` is the size in which positions are. */
void vmm_display_input_pointer(struct vmm_display_input *input, const struct vmm_display_message *message,
			       struct vmm_display_size picture);
void vmm_display_input_size(struct vmm_display_input *input, const struct vmm_display_message *message);

void vmm_display_input_set_absolute(struct vmm_display_input *input, bool is_absolute);
/* All buttons come up. */
void vmm_display_input_release(struct vmm_display_input *input);

#endif
