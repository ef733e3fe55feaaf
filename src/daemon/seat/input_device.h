/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests' keyboards and tablets: each follows the window of its guest's display. Control thread. */
#ifndef VIADUCT_DAEMON_SEAT_INPUT_DEVICE_H
#define VIADUCT_DAEMON_SEAT_INPUT_DEVICE_H

#include "core/container.h"
#include "daemon/device/device.h"
#include "daemon/seat/input_lights.h"
#include "daemon/seat/seat_config.h"
#include "devices/input/input_model.h"

struct display_device;
struct virtio_pci;

extern const struct device_kind keyboard_device_kind, tablet_device_kind;

struct input_device {
	struct device base;
	enum config_input_model model_kind;
	unsigned interface;	    /* enum config_interface: of a virtio device */
	struct virtio_pci *pci;	    /* of one by registers */
	struct input_model model;   /* without a device: not served */
	struct input_lights lights; /* of a keyboard */
};

static inline struct input_device *input_device_of(const struct device *device)
{
	return container_of((struct device *)device, struct input_device, base);
}

/* The display's window is there: what its guest has of keyboards and tablets gets its keys. */
void inputs_follow(const struct display_device *display);

#endif
