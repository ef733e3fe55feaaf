/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nic_packet.c is the data path, nic_packet_open.c how a socket gets the frames of an interface. */
#ifndef VIADUCT_HOST_NIC_PACKET_PRIVATE_H
#define VIADUCT_HOST_NIC_PACKET_PRIVATE_H

#include "core/container.h"
#include "host/nic_interface.h"

struct nic_packet {
	struct nic_interface interface;
	/* Of the group that the sockets of several channels form. Under the interface's lock */
	uint16_t group_id;
	bool segments_udp; /* the kernel knows FRAME_GSO_UDP */
};

static inline struct nic_packet *nic_packet(struct nic_interface *interface)
{
	return container_of(interface, struct nic_packet, interface);
}

/* nic_packet.c */
extern const struct host_nic_ops nic_packet_ops;
extern const struct nic_interface_kind nic_packet_kind;

/* nic_packet_open.c, as nic_interface_kind has them */
int nic_packet_attach(struct nic_interface *interface, struct nic_slot *slot);
void nic_packet_detach(struct nic_interface *interface, struct nic_slot *slot);
void nic_packet_close(struct host_nic *nic);

#endif
