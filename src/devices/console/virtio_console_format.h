/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lies in the configuration space of a virtio console (virtio 1.2, 5.3). */
#ifndef VIADUCT_DEVICES_CONSOLE_VIRTIO_CONSOLE_FORMAT_H
#define VIADUCT_DEVICES_CONSOLE_VIRTIO_CONSOLE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

/* 5.3.2; with one port there are these two. */
enum virtio_console_queue { VIRTIO_CONSOLE_RECEIVE, VIRTIO_CONSOLE_TRANSMIT, VIRTIO_CONSOLE_QUEUES };

/* 5.3.3; the bit of several ports is never offered. */
#define VIRTIO_CONSOLE_F_SIZE	     0
#define VIRTIO_CONSOLE_F_MULTIPORT   1
#define VIRTIO_CONSOLE_F_EMERG_WRITE 2

/* 5.3.4; little-endian. */
struct virtio_console_config {
	uint16_t cols, rows;
	uint32_t max_nr_ports;
	uint32_t emerg_wr; /* the driver's: a character that it can say without queues */
};

_Static_assert(sizeof(struct virtio_console_config) == 12, "5.3.4");
_Static_assert(offsetof(struct virtio_console_config, emerg_wr) == 8, "5.3.4");

#endif
