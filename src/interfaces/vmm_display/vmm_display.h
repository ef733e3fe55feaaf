/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VMM's own display on the seat: the VMM connects to the endpoint's socket with its monitor (QMP), and a
 * process that serves only this VMM (vmm_display_serve.h) fetches the guest's picture from there and hands it
 * on in shared memory. Firmware and guests without a driver of ours are seen like this.
 *
 *     VMM  -- QMP, D-Bus -->  process  -- memory, messages -->  seat's thread: vmm_display_source.c
 *                                |                                   |
 *                                +---- the daemon's end, from ------ control thread: vmm_display.c
 *
 * One VMM at a time; the window is hidden while there is none, or no picture. In a takeover the process goes
 * on, and the successor gets the picture from it.
 */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_H

#include "interfaces/endpoint.h"

struct loop;
struct porter_service;
struct seat_window;
struct vmm_display_counters;

struct vmm_display_options {
	struct endpoint_options endpoint; /* porter: of vmm_display_porter_service. worker() is not asked */
	struct loop *seat;		  /* the loop of the thread that owns the window */
	/* Runs run(context) on that thread and waits for its end. */
	void (*call)(void *call_context, void (*run)(void *context), void *context);
	void *call_context;
	struct seat_window *window; /* outlives the endpoint, which alone listens to its keys */
};

/* For a porter that makes such processes. */
extern const struct porter_service vmm_display_porter_service;

/* Of one that vmm_display_create() or _restore() made. */
const struct vmm_display_counters *vmm_display_counters(const struct endpoint *endpoint);

/* Returns 0 or -errno, as vhost_user_create(). */
int vmm_display_create(const struct vmm_display_options *options, struct endpoint **ret_endpoint);
/* In the successor, instead; as vhost_user_restore(). */
int vmm_display_restore(const struct vmm_display_options *options, struct handover *handover,
			struct endpoint **ret_endpoint);

#endif
