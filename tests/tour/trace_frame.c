/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traces one frame from a guest to another on the same worker, from the kick to the call. */
#include <string.h>

#include "arbiter/share/gate.h"
#include "arbiter/switch/uplink_meter.h"
#include "arbiter/switch/vswitch.h"
#include "core/clock.h"
#include "devices/nic/virtio_net.h"
#include "devices/nic/virtio_net_format.h"
#include "ring_driver.h"
#include "trace.h"

#define MTU	     1500
#define HEADER_BYTES 12u
#define FRAME_BYTES  60u
#define BUFFER_BYTES 1536u
#define ADDRESS	     (DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET)

enum { ALICE, BOB, GUESTS };

/* Until the program ends; here, so that leak detectors find them in use. */
static struct loop *loop;
static struct vswitch *vswitch;
static struct guest {
	uint8_t address[FRAME_ADDRESS_BYTES];
	struct port *port;
	struct gate_node *share;
	struct virtio_net *device;
	struct ring_driver driver;
	struct virtqueue *queue;
} guests[GUESTS] = {
	[ALICE] = { .address = { 0x52, 0x54, 0, 0, 0, 1 } },
	[BOB] = { .address = { 0x52, 0x54, 0, 0, 0, 2 } },
};

/* A card, and one of its queues: 0 receives, 1 transmits. */
static UNTRACED void plug_in(struct guest *guest, unsigned index)
{
	const struct share_settings share = SHARE_SETTINGS_DEFAULT;
	const struct port_settings settings = { .link = true };
	struct virtio_net_options options = { .pairs = 1 };
	struct virtqueue_setup setup;

	trace_check(port_create(vswitch, "guest", guest->address, MTU, &settings, &guest->port) == 0,
		    "no port");
	trace_check(gate_node_create(uplink_meter_gate(vswitch_meter(vswitch)), NULL, &share, &guest->share,
				     NULL) == 0,
		    "no share");
	port_set_share(guest->port, guest->share);
	options.port = guest->port;
	trace_check(virtio_net_create(&options, &guest->device) == 0, "no device");
	ring_driver_init(&guest->driver, false, 16,
			 1ull << VIRTIO_NET_FEATURE_VERSION_1 | 1ull << VIRTIO_NET_F_MRG_RXBUF);
	setup = ring_driver_setup(&guest->driver);
	setup.index = index;
	setup.loop = loop;
	setup.model = &virtio_net_model;
	setup.device = guest->device;
	setup.broken = trace_broken;
	trace_check(virtqueue_start(&setup, &guest->queue) == 0, "no queue");
}

static UNTRACED void post_buffer(struct guest *guest)
{
	const struct driver_element buffer = { ADDRESS, BUFFER_BYTES, true };

	trace_check(ring_driver_add(&guest->driver, &buffer, 1, false) >= 0, "no room in the ring");
}

static UNTRACED void send_frame(struct guest *from, const struct guest *to)
{
	const struct driver_element element = { ADDRESS, HEADER_BYTES + FRAME_BYTES, false };
	uint8_t *frame = ring_driver_at(&from->driver, ADDRESS + HEADER_BYTES);

	memset(ring_driver_at(&from->driver, ADDRESS), 0, HEADER_BYTES);
	memcpy(frame, to->address, FRAME_ADDRESS_BYTES);
	memcpy(frame + FRAME_ADDRESS_BYTES, from->address, FRAME_ADDRESS_BYTES);
	trace_check(ring_driver_add(&from->driver, &element, 1, false) >= 0, "no room in the ring");
	ring_driver_kick(&from->driver);
}

static UNTRACED void one_frame(void)
{
	struct guest *alice = &guests[ALICE], *bob = &guests[BOB];
	uint64_t deadline_ns = clock_now_ns() + 60 * NS_PER_S;
	uint32_t length;

	post_buffer(bob);
	send_frame(alice, bob);
	while (!ring_driver_called(&bob->driver)) {
		trace_check(loop_turn(loop, NS_PER_MS) == 0, "the loop failed");
		trace_check(clock_now_ns() < deadline_ns, "no frame");
	}
	trace_check(ring_driver_take(&bob->driver, &length) >= 0 && length == HEADER_BYTES + FRAME_BYTES,
		    "no frame");
	trace_settle(loop);
	trace_check(ring_driver_take(&alice->driver, &length) >= 0 && length == 0, "the buffer is not back");
	ring_driver_called(&alice->driver);
	ring_driver_called(&bob->driver);
}

int main(void)
{
	struct loop_options options = { .name = "trace" };

	trace_check(loop_create(&options, &loop) == 0, "no loop");
	trace_check(vswitch_create(0, &vswitch) == 0, "no switch");
	plug_in(&guests[ALICE], 1);
	plug_in(&guests[BOB], 0);
	trace_settle(loop);
	/* Each queue calls once when it starts. */
	ring_driver_called(&guests[ALICE].driver);
	ring_driver_called(&guests[BOB].driver);
	one_frame();
	trace_set(true);
	one_frame();
	trace_set(false);
	return 0;
}
