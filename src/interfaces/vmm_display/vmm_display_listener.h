/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The object that QEMU calls to draw: org.qemu.Display1.Listener, and its Unix.Map for newer QEMUs. */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_LISTENER_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_LISTENER_H

#include "interfaces/vmm_display/vmm_display_bus.h"
#include "interfaces/vmm_display/vmm_display_cursor.h"
#include "interfaces/vmm_display/vmm_display_surface.h"

/* What the guest shows. */
struct vmm_display_guest {
	struct vmm_display_surface surface;
	struct vmm_display_cursor cursor;
};

/*
 * What is called on `bus` changes `guest`, which stays the caller's and outlives the connection. A call
 * whose arguments do not fit gets an error as its answer and changes nothing. Returns 0 or -errno.
 */
int vmm_display_listener_attach(const struct vmm_display_bus *bus, struct vmm_display_guest *guest);

#endif
