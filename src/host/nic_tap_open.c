/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a descriptor of /dev/net/tun becomes a queue of a tap.
 *
 * Theory of operation. When an interface is deleted, its descriptors stay, tied to none, and can be tied to
 * another: so the same descriptors last, and /dev/net/tun is hardly ever opened but with the NIC. An
 * interface that is not persistent is made again, with the address and MTU that it had; one that the host's
 * administrator made is waited for. An interface that was renamed keeps its descriptors.
 *
 * With several channels, the kernel spreads frames over all queues that are attached: those of channels that
 * are not open are detached.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/fd.h"
#include "host/nic_tap_private.h"

/* Linux 6.2; newer than the headers we build with. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20u
#define TUN_F_USO6 0x40u
#endif

#define TAP_OFFLOAD	(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define TAP_OFFLOAD_USO (TUN_F_USO4 | TUN_F_USO6)
/* Of an interface that went to another network namespace before its MTU was asked for. */
#define TAP_MTU_UNKNOWN 1500

/* ---- tying a descriptor to an interface ---- */

/* The interface that the descriptor is tied to; -EBADFD: none. */
static int tap_ask(int fd, struct ifreq *ret_ifreq)
{
	struct ifreq ifreq = { 0 };

	if (ioctl(fd, TUNGETIFF, &ifreq) < 0)
		return -errno;
	ifreq.ifr_name[IFNAMSIZ - 1] = '\0';
	*ret_ifreq = ifreq;
	return 0;
}

/* As the frames are to look. */
static int tap_configure(struct nic_tap *tap, int fd)
{
	int header_bytes = FRAME_OFFLOAD_WIRE_BYTES;

	if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) < 0)
		return -errno;
	/* An older kernel takes no UDP segments, in either direction. */
	if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)tap->offload) < 0) {
		tap->offload &= ~TAP_OFFLOAD_USO;
		if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)tap->offload) < 0)
			return -errno;
	}
	return 0;
}

/* An interface that has just been made. What fails here shows in the link. */
static void tap_equip(const struct nic_tap *tap)
{
	const struct nic_interface *interface = &tap->interface;

	if (tap->opened) {
		nic_interface_set_address(interface, interface->base.address);
		nic_interface_set_mtu(interface, interface->base.sends.mtu);
	}
	nic_interface_set_up(interface);
}

/*
 * What was another queue than the first of an interface remembers that, and the kernel does not let it be the
 * first one of a new interface: a new descriptor can.
 */
static int tap_tie_another(struct nic_slot *slot, struct ifreq *ifreq)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), error;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, TUNSETIFF, ifreq) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	fd_close(&slot->fd);
	slot->fd = fd;
	return 0;
}

/* Ties a descriptor to the interface of our name; makes that when it is ours to make. */
static int tap_tie(struct nic_tap *tap, struct nic_slot *slot)
{
	struct nic_interface *interface = &tap->interface;
	struct ifreq ifreq = { .ifr_flags = tap->flags };
	bool exists = nic_interface_index(interface) >= 0;
	int error;

	if (!exists && !tap->ours)
		return -ENODEV;
	memcpy(ifreq.ifr_name, interface->name, sizeof(ifreq.ifr_name));
	error = ioctl(slot->fd, TUNSETIFF, &ifreq) < 0 ? -errno : 0;
	if (error == -EBUSY && slot->attached > 0)
		error = tap_tie_another(slot, &ifreq);
	if (error)
		return error;
	slot->attached++;
	nic_interface_set_name(interface, ifreq.ifr_name);
	error = tap_configure(tap, slot->fd);
	if (!error && !exists)
		tap_equip(tap);
	return error;
}

static bool tap_has_queues(const struct nic_tap *tap)
{
	return tap->interface.base.channels > 1;
}

static int tap_set_queue(int fd, short flag)
{
	struct ifreq ifreq = { .ifr_flags = flag };

	return ioctl(fd, TUNSETQUEUE, &ifreq) < 0 ? -errno : 0;
}

/* A descriptor that is tied, to the interface that `ifreq` tells of: the queue may be detached. */
static int tap_attach_queue(struct nic_interface *interface, struct nic_slot *slot, const struct ifreq *ifreq)
{
	int error;

	nic_interface_set_name(interface, ifreq->ifr_name);
	if (!(ifreq->ifr_flags & IFF_DETACH_QUEUE))
		return 0;
	error = tap_set_queue(slot->fd, IFF_ATTACH_QUEUE);
	if (!error)
		slot->attached++;
	return error;
}

int nic_tap_attach(struct nic_interface *interface, struct nic_slot *slot)
{
	struct ifreq ifreq = { 0 };
	int error = tap_ask(slot->fd, &ifreq);
	int link;

	if (!error)
		error = tap_attach_queue(interface, slot, &ifreq);
	else
		error = tap_tie(nic_tap(interface), slot);
	if (error)
		return error;
	link = nic_interface_link(interface);
	/* In another network namespace. */
	return link == -ENODEV ? 1 : link;
}

void nic_tap_detach(struct nic_interface *interface, struct nic_slot *slot)
{
	/* Fails when there is no interface. */
	if (tap_has_queues(nic_tap(interface)))
		tap_set_queue(slot->fd, IFF_DETACH_QUEUE);
}

/* ---- opening ---- */

static int tap_open_queue(struct nic_tap *tap, struct nic_slot *slot)
{
	slot->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	return slot->fd < 0 ? -errno : tap_tie(tap, slot);
}

/* Takes over a descriptor that is tied already. */
static int tap_adopt(struct nic_tap *tap, int fd)
{
	const short needed = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct ifreq ifreq = { 0 };
	int error = tap_ask(fd, &ifreq);

	if (error)
		return error == -EBADFD ? -ENODEV : error;
	if ((ifreq.ifr_flags & needed) != needed ||
	    (tap_has_queues(tap) && !(ifreq.ifr_flags & IFF_MULTI_QUEUE)))
		return -EINVAL;
	tap->flags = (short)(needed | (ifreq.ifr_flags & IFF_MULTI_QUEUE));
	nic_interface_set_name(&tap->interface, ifreq.ifr_name);
	error = fd_set_nonblocking(fd, true);
	if (!error)
		error = tap_configure(tap, fd);
	if (!error)
		tap->interface.slots[0].fd = fd;
	return error;
}

/* What the NIC says of itself. The first descriptor is tied. */
static int tap_describe(struct nic_tap *tap)
{
	struct nic_interface *interface = &tap->interface;
	struct host_nic *nic = &interface->base;
	int fd = interface->slots[0].fd;
	int mtu = nic_interface_mtu(interface), error;
	struct ifreq ifreq = { 0 };

	error = tap_ask(fd, &ifreq);
	if (error)
		return error;
	tap->ours = !(ifreq.ifr_flags & IFF_PERSIST);
	/* Of the descriptor itself, wherever the interface is. */
	if (ioctl(fd, SIOCGIFHWADDR, &ifreq) < 0)
		return -errno;
	memcpy(nic->address, ifreq.ifr_hwaddr.sa_data, sizeof(nic->address));
	nic->sends = (struct frame_abilities){
		.csum = !!(tap->offload & TUN_F_CSUM),
		.tso4 = !!(tap->offload & TUN_F_TSO4),
		.tso6 = !!(tap->offload & TUN_F_TSO6),
		.ecn = !!(tap->offload & TUN_F_TSO_ECN),
		.uso = !!(tap->offload & TUN_F_USO4),
		.mtu = (uint16_t)(mtu > 0 ? mtu : TAP_MTU_UNKNOWN),
	};
	nic->up = nic_interface_link(interface) != 0;
	tap->opened = true;
	log_subject_name(&interface->subject, "tap %s", interface->name);
	return 0;
}

static int tap_open_queues(struct nic_tap *tap, int fd)
{
	struct nic_slot *slots = tap->interface.slots;
	unsigned channels = tap->interface.base.channels;
	int error = fd >= 0 ? tap_adopt(tap, fd) : tap_open_queue(tap, &slots[0]);

	/* The others find the interface that the first one has. */
	tap->ours = false;
	for (unsigned i = 1; i < channels && !error; i++)
		error = tap_open_queue(tap, &slots[i]);
	if (!error)
		error = tap_describe(tap);
	for (unsigned i = 0; i < channels && !error; i++)
		nic_tap_detach(&tap->interface, &slots[i]);
	return error;
}

void nic_tap_close(struct host_nic *nic)
{
	struct nic_tap *tap = container_of(nic, struct nic_tap, interface.base);

	nic_interface_finish(&tap->interface);
	free(tap);
}

void nic_tap_name(struct host_nic *nic, char name[NIC_NAME_BYTES])
{
	struct nic_interface *interface = container_of(nic, struct nic_interface, base);

	assert(nic->ops == &nic_tap_ops);
	static_assert(sizeof(interface->name) == NIC_NAME_BYTES, "as the kernel has it");
	pthread_mutex_lock(&interface->lock);
	memcpy(name, interface->name, NIC_NAME_BYTES);
	pthread_mutex_unlock(&interface->lock);
}

int nic_tap_open(const struct nic_tap_options *options, struct host_nic **ret_nic)
{
	struct nic_tap *tap = calloc(1, sizeof(*tap));
	struct nic_interface *interface;
	int error;

	if (!tap)
		return -ENOMEM;
	interface = &tap->interface;
	tap->flags =
		(short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (options->channels > 1 ? IFF_MULTI_QUEUE : 0));
	tap->offload = options->offload ? TAP_OFFLOAD | TAP_OFFLOAD_USO : 0;
	/* For now: to make it when it is missing. */
	tap->ours = true;
	error = nic_interface_init(interface, &nic_tap_ops, &nic_tap_kind, options->channels);
	if (!error && options->name)
		error = nic_interface_set_name(interface, options->name);
	if (!error)
		error = tap_open_queues(tap, options->fd);
	if (error) {
		if (options->fd >= 0)
			interface->slots[0].fd = -1;
		nic_tap_close(&interface->base);
		return error;
	}
	*ret_nic = &interface->base;
	return 0;
}
