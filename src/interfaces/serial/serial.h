/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A serial port as VMMs have it: a UNIX stream socket, on which the guest's output comes and its input goes,
 * byte for byte and with nothing around them. Any VMM can do that, and what firmware and boot loaders say
 * comes the same way.
 *
 * All of it is the control thread's, so what a guest may cost there is bounded: SERIAL_WINDOW_BYTES in each
 * SERIAL_WINDOW_NS, which is several times what emulated ports carry; the VMM of one that floods waits. Input
 * that the VMM does not read waits in a buffer of SERIAL_INPUT_MAX. Descriptors that a peer sends stay with
 * its doorman; without one, the kernel closes them.
 */
#ifndef VIADUCT_INTERFACES_SERIAL_SERIAL_H
#define VIADUCT_INTERFACES_SERIAL_SERIAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "interfaces/endpoint.h"

struct handover;

#define SERIAL_INPUT_MAX    16384u
#define SERIAL_WINDOW_BYTES ((size_t)16 * 1024)
#define SERIAL_WINDOW_NS    10000000u

struct serial_options {
	struct endpoint_options endpoint;
	/* What the guest said. Control thread; does nothing to the endpoint. */
	void (*output)(void *context, const uint8_t *bytes, size_t count);
	void *context;
};

/*
 * Returns 0 or -errno, as endpoint_socket_open() does; on failure the options' descriptor stays the caller's.
 */
int serial_create(const struct serial_options *options, struct endpoint **ret_endpoint);

/*
 * In the successor: builds the endpoint from a handover instead of what the options say of the socket, and
 * goes on. Returns 0, -EBADMSG (a foreign or damaged stream) or -ENOMEM: the predecessor can go on then.
 */
int serial_restore(const struct serial_options *options, struct handover *handover,
		   struct endpoint **ret_endpoint);

/*
 * Input for the guest: of two VMMs, as during a live migration, the one gets it whose guest spoke last. A
 * third one takes the place of the other. Returns how many bytes there was room for, or -ENOTCONN: there is
 * no VMM.
 */
ssize_t serial_send(struct endpoint *endpoint, const uint8_t *bytes, size_t count);

#endif
