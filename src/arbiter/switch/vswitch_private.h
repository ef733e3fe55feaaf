/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the switch share; no other file includes this header.
 *
 *   vswitch.c    switches and ports as objects; control thread
 *   source.c     where frames come from; on the source's worker
 *   source_share.c  what a source may send when
 *   forward.c    the way of a frame from its source to those it is for
 *   announce.c   tells the network where a guest is
 *   guard.c      may a port send from this IP address?
 *   sink.c       receivers, and the memory in which frames wait for them
 *   mirror.c     copies of a port's frames for those who look on
 *   uplink.c     the port whose source and sink are a physical card
 *   uplink_meter.c  what frames cost of its time
 *   backlog.c, mac_table.c, packet.c, packet_cut.c    know no port
 */
#ifndef VIADUCT_ARBITER_SWITCH_VSWITCH_PRIVATE_H
#define VIADUCT_ARBITER_SWITCH_VSWITCH_PRIVATE_H

#include <pthread.h>

#include "arbiter/share/scheduler_bucket.h"
#include "arbiter/switch/backlog.h"
#include "arbiter/switch/mac_table.h"
#include "arbiter/switch/mirror.h"
#include "arbiter/switch/packet.h"
#include "arbiter/switch/source_share.h"
#include "arbiter/switch/vswitch.h"
#include "core/clock.h"
#include "core/loop.h"
#include "host/host_nic.h"

/* Memory in which frames wait for one sink. */
#define BACKLOG_BYTES  (1u << 20)
#define PORT_SINKS_MAX 64u

struct vswitch {
	uint64_t ageing_ns;
	/* Shared while frames are forwarded; alone for what changes below, and in ports but for their
	 * counters. */
	pthread_rwlock_t lock;
	struct port *ports;
	struct port *uplink; /* one of them, or NULL */
	struct mac_table table;
	unsigned promiscuous; /* ports that get every frame */
	bool still;	      /* cards with shares send nothing */
	struct uplink_meter *meter;
};

struct port {
	struct port *next; /* in vswitch->ports */
	struct vswitch *vswitch;
	char *name;
	uint8_t address[FRAME_ADDRESS_BYTES];
	unsigned mtu;
	struct port_settings settings;
	bool link;	  /* atomic: of the settings */
	unsigned learned; /* its entries in the table */

	struct port_source *sources;
	struct port_sink *sinks[PORT_SINKS_MAX];
	unsigned sink_count;
	struct port_mirror *mirrors; /* atomic: a drain looks at it without the lock */

	pthread_mutex_t flood_lock; /* its sources share the limit */
	struct scheduler_bucket flood;

	struct port_totals closed;	  /* of sources and sinks that are closed */
	uint64_t no_sink;		  /* atomic: frames to it while it had none */
	struct uplink *card;		  /* the uplink's, else NULL */
	struct gate_node *share;	  /* NULL: it has none; constant while sources are open */
	struct gate_counters closed_time; /* of sources that are closed */
};

/* What is found out about a frame before anything is done with it. */
struct passage {
	const struct frame *frame;
	struct packet *packet;
	unsigned vlan;
	bool admitted;	     /* the port may send it; its packet is fine */
	enum port_drop drop; /* PORT_DROPS: not dropped so far */
	struct port *to;     /* the receiver; NULL: there is none, or there are many */
};

/* Frames for one sink, delivered together. */
struct forward_run {
	struct port_sink *sink;
	unsigned count, iov_used;
	struct frame frames[PORT_BATCH];
	struct iovec iov[PORT_BATCH * 4];
};

/*
 * A frame that is cut into many pieces: they are sent a part at a time, from a copy, because others of the
 * worker would wait for all of them. The source sends nothing else meanwhile.
 */
struct late_frame {
	uint8_t *bytes; /* FRAME_BYTES_MAX; NULL: the source cannot make its sender wait */
	struct iovec iov;
	struct frame frame;
	bool wanted;   /* by the frame in hand */
	bool on;       /* pieces are left */
	unsigned sent; /* pieces, of all receivers */
	/* In this part: pieces sent in earlier ones, those that may be sent, and whether others are left */
	unsigned skip, left;
	bool more;
};

struct port_source {
	struct port_source *next; /* in port->sources */
	struct port *port;
	struct loop *loop; /* NULL: an announcement of the control thread's */
	struct counter sent_frames, sent_bytes;
	struct counter dropped[PORT_DROPS];
	/* An address to learn after this batch; 0: none */
	mac_key learn;
	struct forward_run run;
	struct packet_cut cut;
	struct late_frame late;
	struct source_share share;
	struct passage passages[PORT_BATCH];
	struct packet packets[PORT_BATCH];
};

static inline uint64_t source_now_ns(const struct port_source *source)
{
	return source->loop ? loop_now_ns(source->loop) : clock_now_ns();
}

static inline void source_count_drop(struct port_source *source, enum port_drop drop)
{
	counter_add(&source->dropped[drop], 1);
}

/* ---- forward.c: with the switch's lock held ---- */

/* A frame that is cut into more pieces than this is sent late (struct late_frame). */
#define LATE_PIECES 64u

/* Reads a frame (passage->frame, into `packet`) and fills in the rest of the passage. */
void forward_judge(struct port_source *source, struct passage *passage, struct packet *packet);
/* Gives the frame to its receivers, perhaps only at the next flush; passage->drop tells what became of it. */
void forward_pass(struct port_source *source, struct passage *passage);
void forward_flush(struct port_source *source);

struct port_sink {
	struct port *port;
	struct loop *loop;
	struct port_receiver *receiver;
	struct frame_abilities abilities;
	struct counter received_frames, received_bytes, too_large;
	struct backlog backlog;
	bool blocked;		     /* the receiver has no buffers; the sink's worker */
	struct loop_message message; /* something waits */
	bool posted;		     /* atomic: is on its way */
	bool closing;		     /* freed when the message has come */
};

/* ---- sink.c: with the switch's lock held ---- */

/* Delivers to a sink, from whatever worker. `loop`: of the calling worker. */
void sink_deliver(struct port_sink *sink, struct loop *loop, const struct frame *frames, unsigned count);

/* ---- guard.c ---- */

/* Does the packet say that it is from an IP address that the port does not have? */
bool guard_refuses(const struct port_settings *settings, const struct packet *packet);

/* ---- uplink.c ---- */

/* Frames wait for the card; some of those that waited do not any more. Any thread, and the card's worker. */
void uplink_waits(struct port *uplink);
void uplink_moved(struct port *uplink);

bool uplink_link(const struct port *uplink);
void uplink_free(struct port *uplink);

/* ---- vswitch.c ---- */

int port_create_uplink(struct vswitch *vswitch, struct uplink *card, unsigned mtu,
		       const struct port_settings *settings, struct port **ret_port);

static inline bool port_carries(const struct port *port, unsigned vlan)
{
	if (port->card || vlan == port->settings.vlan)
		return true;
	return port->settings.trunk && port->settings.trunk_vlans[vlan / 64] >> vlan % 64 & 1;
}

#endif
