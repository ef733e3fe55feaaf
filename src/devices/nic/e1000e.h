/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel's 82574L (the drivers' "e1000e"): a port of a switch as a network card made of registers. Guests and
 * firmware have its driver in their box.
 */
#ifndef VIADUCT_DEVICES_NIC_E1000E_H
#define VIADUCT_DEVICES_NIC_E1000E_H

#include "devices/register_model.h"

struct e1000e_device;
struct port;

struct e1000e_options {
	struct port *port; /* outlives the device */
};

/* Returns 0 and *ret_device (for register_model_ops' `device`), or -ENOMEM. Control thread. */
int e1000e_create(const struct e1000e_options *options, struct e1000e_device **ret_device);
/* No function is powered on. NULL is allowed. */
void e1000e_destroy(struct e1000e_device *device);

extern const struct register_model_ops e1000e_model;

#endif
