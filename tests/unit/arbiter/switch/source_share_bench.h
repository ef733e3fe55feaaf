/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests that share an uplink in time, by a clock that stands still until the test moves it. */
#ifndef VIADUCT_TESTS_UNIT_ARBITER_SWITCH_SOURCE_SHARE_BENCH_H
#define VIADUCT_TESTS_UNIT_ARBITER_SWITCH_SOURCE_SHARE_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>

#include "arbiter/share/gate_private.h"
#include "arbiter/switch/uplink_meter.h"
#include "core/clock.h"
#include "host/host_nic.h"
#include "stopped_clock.h"
#include "switch_bench.h"

#define GUESTS 24
#define MS     NS_PER_MS

static const uint8_t world[6] = { 2, 0, 0, 0, 1, 0 };

static struct loop *loop;
static struct vswitch *vswitch;
static struct host_nic *nic;
static struct port *uplink;

/* A guest that always has `wanted` more frames in its ring. */
static struct guest {
	struct card *card;
	struct gate_node *node;
	struct port_sender sender;
	const uint8_t *to;
	uint32_t bytes;
	struct frame_offload offload;
	unsigned wanted, resumed;
	uint64_t sent;
	bool held;
} guests[GUESTS];

static inline void resume(struct port_sender *sender)
{
	struct guest *guest = container_of(sender, struct guest, sender);

	guest->held = false;
	guest->resumed++;
}

static inline void open_source(struct guest *guest)
{
	assert_int_equal(port_source_open(guest->card->port, loop, &guest->sender, &guest->card->source), 0);
}

static inline void join(struct guest *guest, unsigned number, const struct share_settings *settings)
{
	static const struct share_settings usual = SHARE_SETTINGS_DEFAULT;
	const struct port_settings port = settings_of_card();

	*guest = (struct guest){ .card = card_new(vswitch, loop, number, &port),
				 .sender.resume = resume,
				 .to = world,
				 .bytes = 1000 };
	assert_int_equal(gate_node_create(uplink_meter_gate(vswitch_meter(vswitch)), NULL,
					  settings ? settings : &usual, &guest->node, NULL),
			 0);
	port_source_close(guest->card->source);
	port_set_share(guest->card->port, guest->node);
	open_source(guest);
}

static inline void begin_with(const struct nic_memory_options *options)
{
	struct loop_options loop_options = { .name = "test", .clocks = &stopped_clocks };
	const struct port_settings up = { .link = true };

	assert_int_equal(loop_create(&loop_options, &loop), 0);
	assert_int_equal(nic_memory_open(options, &nic), 0);
	assert_int_equal(vswitch_create(0, &vswitch), 0);
	uplink_meter_gate(vswitch_meter(vswitch))->clock_ns = stopped_clock_now;
	assert_int_equal(vswitch_uplink_create(vswitch, nic, &up, NULL, NULL, &uplink), 0);
	assert_int_equal(vswitch_uplink_start(uplink, loop), 0);
}

/* `room`: frames that the card takes at once; 0: any number. */
static inline void begin(unsigned room)
{
	begin_with(&(struct nic_memory_options){ .room = room });
}

static inline void end(void)
{
	for (unsigned i = 0; i < GUESTS; i++) {
		if (!guests[i].card)
			continue;
		card_free(guests[i].card);
		gate_node_destroy(guests[i].node);
		guests[i].card = NULL;
	}
	vswitch_uplink_stop(uplink);
	port_destroy(uplink);
	vswitch_destroy(vswitch);
	nic->ops->close(nic);
	loop_turn(loop, 0);
	loop_destroy(loop);
}

/* Sends what the guest wants to, up to `most` frames in one batch. Returns how many were taken. */
static inline unsigned send_some(struct guest *guest, unsigned most)
{
	static uint8_t bytes[FRAME_BYTES_MAX];
	struct iovec iov[PORT_BATCH];
	struct frame frames[PORT_BATCH];
	unsigned count = guest->wanted < most ? guest->wanted : most, taken;

	frame_bytes(bytes, guest->bytes, guest->to, port_address(guest->card->port), 1);
	if (guest->offload.gso_type != FRAME_GSO_NONE) {
		bytes[12] = 0x08;
		bytes[13] = 0x00;
	}
	for (unsigned i = 0; i < count; i++) {
		iov[i] = (struct iovec){ bytes, guest->bytes };
		frames[i] = (struct frame){
			.iov = &iov[i], .iov_count = 1, .bytes = guest->bytes, .offload = guest->offload
		};
	}
	taken = port_send(guest->card->source, frames, count);
	guest->held = taken < count;
	guest->wanted -= taken;
	guest->sent += taken;
	if (guest->wanted == 0)
		port_source_rest(guest->card->source);
	return taken;
}

static inline void drain_nic(void)
{
	static uint8_t buffer[FRAME_BYTES_MAX];

	while (nic_memory_take(nic, buffer, sizeof(buffer), NULL) > 0)
		;
}

/* All guests ask whenever they may, for so long. */
static inline void run(uint64_t ns)
{
	for (uint64_t until_ns = stopped_clock_ns + ns; stopped_clock_ns < until_ns;) {
		for (unsigned i = 0; i < GUESTS; i++)
			while (guests[i].card && guests[i].wanted > 0 && !guests[i].held)
				send_some(&guests[i], PORT_BATCH);
		drain_nic();
		assert_int_equal(loop_turn(loop, 0), 0);
		stopped_clock_ns += 50 * NS_PER_US;
	}
}

static inline void assert_part(double part, double expected)
{
	if (part < expected * 0.97 || part > expected * 1.03)
		fail_msg("%.4f is not %.4f", part, expected);
}

#endif
