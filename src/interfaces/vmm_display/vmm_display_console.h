/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's graphic console: which one it is, how its pointer works, and that it shall draw for our listener.
 * Each question is asked when the one before is answered.
 *
 * QEMU (7.2 to 10) tells a listener of a picture's new size only when it draws all of it, which it does not
 * when a guest changes from text to text of another size. The console's properties say it, and a listener
 * that is registered anew is sent all. So their change is watched, too.
 */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_CONSOLE_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "interfaces/vmm_display/vmm_display_bus.h"
#include "interfaces/vmm_display/vmm_display_input.h"
#include "interfaces/vmm_display/vmm_display_keyboard.h"
#include "interfaces/vmm_display/vmm_display_message.h"

/* Of which the graphic one is looked for. QEMU has one for each head and each text console. */
#define VMM_DISPLAY_CONSOLES_MAX 16u

enum vmm_display_property {
	VMM_DISPLAY_IS_ABSOLUTE, /* the pointer */
	VMM_DISPLAY_WIDTH,
	VMM_DISPLAY_HEIGHT,
	VMM_DISPLAY_LIGHTS, /* of the guest's keyboard */
	VMM_DISPLAY_PROPERTIES,
};

struct vmm_display_console {
	const struct vmm_display_bus *bus;
	struct vmm_display_input *input;
	struct vmm_display_keyboard *keyboard;
	int listener; /* owned: the end of a socket that QEMU gets; -1 when it has it */
	uint32_t ids[VMM_DISPLAY_CONSOLES_MAX];
	size_t id_count, ids_asked;
	char path[64];
	/* Of each property: a question is on its way; the answer may be old when it comes. */
	bool is_asked[VMM_DISPLAY_PROPERTIES], is_stale[VMM_DISPLAY_PROPERTIES];
	struct vmm_display_size size; /* as QEMU says; 0: it has not said so since the last registration */
	bool is_registered;	      /* QEMU has answered to the last registration */
	const char *refusal;	      /* why the display cannot be used; NULL: it can, as far as is known */
};

/* Takes `listener`; the others stay the caller's, and outlive it. */
void vmm_display_console_init(struct vmm_display_console *console, const struct vmm_display_bus *bus,
			      struct vmm_display_input *input, struct vmm_display_keyboard *keyboard,
			      int listener);
void vmm_display_console_finish(struct vmm_display_console *console);

/* Asks the first question. Returns 0 or -errno. */
int vmm_display_console_begin(struct vmm_display_console *console);

/*
 * QEMU says that the console has another size than the picture that its listener was sent, though nothing
 * from it is unread: the listener is to be registered anew.
 */
bool vmm_display_console_is_resized(const struct vmm_display_console *console,
				    struct vmm_display_size picture);
/* Takes the new `listener`. What fails is a refusal. */
void vmm_display_console_register(struct vmm_display_console *console, int listener);

#endif
