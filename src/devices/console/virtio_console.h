/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio console with one port (virtio 1.2, 5.3). What the driver says goes to a callback, so much in a
 * turn of its worker; nothing makes the guest wait for those who read it. What is typed waits in the device
 * until the driver has a buffer for it.
 */
#ifndef VIADUCT_DEVICES_CONSOLE_VIRTIO_CONSOLE_H
#define VIADUCT_DEVICES_CONSOLE_VIRTIO_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "devices/virtio_model.h"

/* Of what is typed and the driver has no buffer for. */
#define VIRTIO_CONSOLE_INPUT_MAX 16384u
/* Said in one turn of the worker: about 20 µs of its time. A longer chain is heard over several turns. */
#define VIRTIO_CONSOLE_TURN_BYTES ((size_t)64 * 1024)

struct virtio_console;

struct virtio_console_options {
	/*
	 * What the guest said. On the worker of the transmit queue; a character without queues comes on the
	 * control thread.
	 */
	void (*output)(void *context, const uint8_t *bytes, size_t count);
	void *context;
};

extern const struct virtio_model_ops virtio_console_model;

/* Returns 0 or -ENOMEM. */
int virtio_console_create(const struct virtio_console_options *options, struct virtio_console **ret_device);
/* No queue runs. The workers still turn, or have ended. NULL is allowed. */
void virtio_console_destroy(struct virtio_console *device);

/*
 * Input for the guest. Returns how many bytes there was room for, or -ENOTCONN: no driver listens. Control
 * thread.
 */
ssize_t virtio_console_type(struct virtio_console *device, const uint8_t *bytes, size_t count);

/*
 * The size of the terminal, for drivers that ask. Returns whether it changed: then the configuration did.
 * Control thread.
 */
bool virtio_console_set_size(struct virtio_console *device, uint16_t columns, uint16_t rows);

#endif
