/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual switch: ports of guests, and at most one uplink. It trusts no guest: a frame's source address is
 * checked before all else, an unknown destination is looked for on the uplink only, nothing is learned from a
 * guest unless its port says so, and what one guest sends to all others is limited. ("switch" is a keyword in
 * C.)
 *
 * Control thread, but for what port.h says. Workers hold the switch's lock shared while they forward a batch
 * of frames; what changes ports holds it alone, for microseconds.
 */
#ifndef VIADUCT_ARBITER_SWITCH_VSWITCH_H
#define VIADUCT_ARBITER_SWITCH_VSWITCH_H

#include <stdbool.h>
#include <stdint.h>

#include "arbiter/switch/port.h"
#include "core/stats.h"

struct gate_counters;
struct gate_node;
struct host_nic;
struct uplink_meter;
struct vswitch;

/* Learned addresses of one port at most. */
#define PORT_LEARNED_MAX 64u
#define PORT_ALLOWED_MAX 16u

/* An IPv4 or IPv6 network. IPv4 is ::ffff:a.b.c.d with a prefix of 96 bits more. */
struct ip_prefix {
	uint8_t address[16];
	uint8_t bits;
};

/* Set by configuration, changed while frames pass. */
struct port_settings {
	uint16_t vlan;			 /* access: the VLAN of its untagged frames, 1 to 4094; 0: no VLAN */
	bool trunk;			 /* sends and gets tagged frames: of these VLANs */
	uint64_t trunk_vlans[4096 / 64]; /* a bit each; 0 and 4095 are no VLANs */
	bool isolated;	  /* exchanges frames with the uplink only, not with other isolated ports */
	bool learn;	  /* may send from other addresses than its own, and they are learned */
	bool promiscuous; /* gets every frame of its VLANs */
	bool link;
	/* Frames to more than one receiver that it may send a second (broadcast, multicast); 0: no limit */
	uint32_t flood_limit;
	/* IP addresses that it may send from, in IP, ARP and neighbour discovery; none: any */
	unsigned allowed_count;
	struct ip_prefix allowed[PORT_ALLOWED_MAX];
};

#define PORT_FLOOD_LIMIT_DEFAULT 1000u

/* Why a frame was lost. The first ones are counted where it came from, the last where it was to go to. */
enum port_drop {
	PORT_DROP_MALFORMED, /* no Ethernet frame, or an offload header that does not fit it */
	PORT_DROP_LINK,	     /* the port's link is down */
	PORT_DROP_SOURCE,    /* from another's Ethernet address, or from none */
	PORT_DROP_VLAN,	     /* a tag that the port may not use, or none where there has to be one */
	PORT_DROP_GUARD,     /* from an IP address that is not the port's */
	PORT_DROP_FLOOD,     /* beyond the limit of broadcasts and multicasts */
	PORT_DROP_UNKNOWN,   /* nobody has the destination's address, and there is no uplink */
	PORT_DROP_ISOLATED,  /* between isolated ports */
	PORT_DROP_FULL,	     /* the receiver takes no frames, and its memory for them is full */
	PORT_DROP_TOO_LARGE, /* larger than the receiver's MTU or buffers */
	PORT_DROPS
};

/* "malformed", … for JSON keys and metric labels. */
const char *port_drop_text(enum port_drop drop);

struct port_totals {
	uint64_t sent_frames, sent_bytes; /* by the guest, and forwarded */
	uint64_t received_frames, received_bytes;
	uint64_t dropped[PORT_DROPS];
	unsigned learned;
};

/* Ageing of learned addresses that are silent, in seconds. */
#define VSWITCH_AGEING_S_DEFAULT 300u

/* Returns 0 or -ENOMEM. `ageing_s` 0: the default. */
int vswitch_create(unsigned ageing_s, struct vswitch **ret_vswitch);
/* It has no ports, no shares and no uplink any more. NULL is allowed. */
void vswitch_destroy(struct vswitch *vswitch);
/* What the uplink's time is shared out by; belongs to the switch, which has it also without an uplink. */
struct uplink_meter *vswitch_meter(const struct vswitch *vswitch);

/*
 * A port for a guest's card. `name` ("alice/eth0") is copied. Returns 0, -EEXIST (the address is another
 * port's of this switch), -EINVAL (no unicast address; an MTU below 68), -ENOSPC or -ENOMEM.
 */
int port_create(struct vswitch *vswitch, const char *name, const uint8_t address[FRAME_ADDRESS_BYTES],
		unsigned mtu, const struct port_settings *settings, struct port **ret_port);
/* No source and no sink is open. NULL is allowed. */
void port_destroy(struct port *port);
void port_set(struct port *port, const struct port_settings *settings);
void port_totals(const struct port *port, struct port_totals *ret_totals);

/*
 * The port's share of the uplink: a node of the gate of vswitch_meter(), which outlives the port. While no
 * source is open.
 */
void port_set_share(struct port *port, struct gate_node *share);
/* What became of it, joined over the port's sources. */
void port_time(const struct port *port, struct gate_counters *ret_time);

/*
 * The uplink: frames to the world go to `nic`, and come from it, on one worker; `nic` outlives it. Returns 0,
 * -EBUSY (there is one already) or -ENOMEM. `link_changed` (may be NULL) is called on that worker.
 */
int vswitch_uplink_create(struct vswitch *vswitch, struct host_nic *nic, const struct port_settings *settings,
			  void (*link_changed)(void *context), void *context, struct port **ret_port);
/* On that worker: opens and closes the NIC's channel. -errno of its driver, or -ENOMEM. */
int vswitch_uplink_start(struct port *uplink, struct loop *loop);
void vswitch_uplink_stop(struct port *uplink);
/* NULL: there is none. */
struct port *vswitch_uplink(const struct vswitch *vswitch);

/* An address that the switch knows. */
struct vswitch_address {
	uint8_t address[FRAME_ADDRESS_BYTES];
	uint16_t vlan; /* of a learned one: 0: no VLAN */
	bool learned;  /* else a card's own, in every VLAN */
	const struct port *port;
	uint64_t seen_ns; /* learned: when a frame came from there last */
};
/* Tells of all, in no order. each() takes no lock of the switch, as its functions do, and is quick. */
void vswitch_each_address(struct vswitch *vswitch,
			  void (*each)(void *context, const struct vswitch_address *address), void *context);

/*
 * Stands still: from the return on, no card with a share sends anything, and guests' frames stay in their
 * rings until `still` is false.
 */
void vswitch_stand_still(struct vswitch *vswitch, bool still);

/* Forgets what is too old. Called now and then. */
void vswitch_age(struct vswitch *vswitch, uint64_t now_ns);

const char *port_name(const struct port *port);

#endif
