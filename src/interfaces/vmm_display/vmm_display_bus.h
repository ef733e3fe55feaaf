/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One of the two D-Bus connections with QEMU, on which no call waits for its answer. sd-bus itself would
 * queue hundreds of thousands of messages for a peer that does not read. Here a connection with something
 * left to be sent is not read from, so that such a peer gets no further answers.
 */
#ifndef VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_BUS_H
#define VIADUCT_INTERFACES_VMM_DISPLAY_VMM_DISPLAY_BUS_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

struct vmm_display_bus {
	sd_bus *bus;  /* NULL: closed */
	bool is_busy; /* more may have been read than was looked at */
};

/*
 * Opens our end and begins the authentication, which QEMU has 90 seconds to finish. *ret_theirs is QEMU's
 * end, which the caller owns. Returns 0 or -errno.
 */
int vmm_display_bus_open(struct vmm_display_bus *bus, int *ret_theirs);
/* What QEMU did not read yet is lost. */
void vmm_display_bus_close(struct vmm_display_bus *bus);

/* What to wait for, and until when: CLOCK_MONOTONIC, microseconds; UINT64_MAX: as long as it takes. */
struct pollfd vmm_display_bus_waits_for(const struct vmm_display_bus *bus, uint64_t *ret_deadline_us);
/*
 * After poll() with these events, or at the deadline: sends, reads and calls the handlers, for a bounded
 * number of messages. Returns 0, or -EPIPE: QEMU has closed the connection, or speaks no D-Bus.
 */
int vmm_display_bus_process(struct vmm_display_bus *bus, short events);

struct vmm_display_call {
	const char *path, *interface, *method;
	sd_bus_message_handler_t answered;
	void *context;
	uint64_t timeout_us;
};

/*
 * Calls a method of QEMU's; `types` and what follows are the arguments as of sd_bus_message_append().
 * answered() gets the answer or the error; it is called once, unless the connection ends before. With
 * timeout_us UINT64_MAX it is waited for without end, with 0 as long as sd-bus likes (25 s). Returns 0 or
 * -errno.
 */
int vmm_display_bus_call(const struct vmm_display_bus *bus, const struct vmm_display_call *call,
			 const char *types, ...);

#endif
