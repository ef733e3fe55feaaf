/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lies in the configuration space and in the buffers of a virtio input device (virtio 1.2, 5.8). */
#ifndef VIADUCT_DEVICES_INPUT_VIRTIO_INPUT_FORMAT_H
#define VIADUCT_DEVICES_INPUT_VIRTIO_INPUT_FORMAT_H

#include <stdint.h>

#define VIRTIO_INPUT_BITMAP_BYTES 128u
#define VIRTIO_INPUT_CONFIG_BYTES 136u

/* 5.8.2 */
enum virtio_input_select {
	VIRTIO_INPUT_CFG_UNSET = 0x00,
	VIRTIO_INPUT_CFG_ID_NAME = 0x01,
	VIRTIO_INPUT_CFG_ID_SERIAL = 0x02,
	VIRTIO_INPUT_CFG_ID_DEVIDS = 0x03,
	VIRTIO_INPUT_CFG_PROP_BITS = 0x10,
	VIRTIO_INPUT_CFG_EV_BITS = 0x11,
	VIRTIO_INPUT_CFG_ABS_INFO = 0x12,
};

/* 5.8.4; little-endian, as all fields here. */
struct virtio_input_absinfo {
	uint32_t min, max, fuzz, flat, res;
};

struct virtio_input_devids {
	uint16_t bustype, vendor, product, version;
};

struct virtio_input_config {
	uint8_t select, subsel; /* the driver's; the rest follows from them */
	uint8_t size;		/* bytes of `data`; 0: there is no such thing */
	uint8_t reserved[5];
	union {
		char string[VIRTIO_INPUT_BITMAP_BYTES];
		uint8_t bitmap[VIRTIO_INPUT_BITMAP_BYTES];
		struct virtio_input_absinfo absolute;
		struct virtio_input_devids ids;
	} data;
};

_Static_assert(sizeof(struct virtio_input_config) == VIRTIO_INPUT_CONFIG_BYTES, "5.8.4");

/* 5.8.6 */
struct virtio_input_event {
	uint16_t type, code;
	uint32_t value;
};

#endif
