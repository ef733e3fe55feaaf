/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nic_tap.c is the data path, nic_tap_open.c how a descriptor becomes a queue of a tap, and becomes one
 * again. */
#ifndef VIADUCT_HOST_NIC_TAP_PRIVATE_H
#define VIADUCT_HOST_NIC_TAP_PRIVATE_H

#include "core/container.h"
#include "host/nic_interface.h"

struct nic_tap {
	struct nic_interface interface;
	short flags; /* of TUNSETIFF */
	bool ours;   /* not persistent: it lives by our descriptors, and nobody else would make it again */
	bool opened; /* address and MTU are known */
	unsigned offload; /* TUN_F_… */
};

static inline struct nic_tap *nic_tap(struct nic_interface *interface)
{
	return container_of(interface, struct nic_tap, interface);
}

/* nic_tap.c */
extern const struct host_nic_ops nic_tap_ops;
extern const struct nic_interface_kind nic_tap_kind;

/* nic_tap_open.c, as nic_interface_kind has them */
int nic_tap_attach(struct nic_interface *interface, struct nic_slot *slot);
void nic_tap_detach(struct nic_interface *interface, struct nic_slot *slot);
void nic_tap_close(struct host_nic *nic);

#endif
