/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A network card on a real ring: what it does with a ring that has nothing more, or much at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "arbiter/share/gate.h"
#include "arbiter/switch/uplink_meter.h"
#include "arbiter/switch/vswitch.h"
#include "core/big_endian.h"
#include "core/clock.h"
#include "core/loop_account.h"
#include "core/memory_guard.h"
#include "devices/nic/virtio_net.h"
#include "devices/nic/virtio_net_format.h"
#include "patience.h"
#include "ring_driver.h"

#define MTU	     1500
#define HEAD_BYTES   54u
#define HEADER_BYTES ((uint32_t)sizeof(struct virtio_net_header))
#define DATA	     (DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET)
#define SPIN_NS	     (32 * NS_PER_US)

static const uint8_t alice[6] = { 2, 0, 0, 0, 0, 1 }, bob[6] = { 2, 0, 0, 0, 0, 2 };

/* Alice's card, and a port of Bob's. */
static struct bench {
	struct loop *loop;
	struct vswitch *vswitch;
	struct port *card, *other;
	struct gate_node *share;
	struct virtio_net *device;
	struct ring_driver driver;
	struct virtqueue *queue;
	struct loop_guest *guest;
	struct loop_account *account;
	unsigned got; /* frames that Bob has */
} bench;

static unsigned count_frames(struct port_receiver *receiver, const struct frame *frames, unsigned count)
{
	bench.got += count;
	return count;
}

static void never_broken(void *context, enum virtqueue_violation violation, uint64_t value)
{
	fail_msg("%s", virtqueue_violation_text(violation));
}

static void begin(unsigned index, bool packed, uint64_t spin_ns, uint64_t features)
{
	static const struct share_settings share = SHARE_SETTINGS_DEFAULT;
	const struct port_settings port = { .link = true };
	struct loop_options loop = { .name = "test", .spin_max_ns = spin_ns };
	struct virtio_net_options options = { .pairs = 1 };
	struct virtqueue_setup setup;

	memset(&bench, 0, sizeof(bench));
	assert_int_equal(memory_guard_install(), 0);
	assert_int_equal(loop_create(&loop, &bench.loop), 0);
	assert_int_equal(vswitch_create(0, &bench.vswitch), 0);
	assert_int_equal(port_create(bench.vswitch, "alice/eth0", alice, MTU, &port, &bench.card), 0);
	assert_int_equal(port_create(bench.vswitch, "bob/eth0", bob, MTU, &port, &bench.other), 0);
	assert_int_equal(gate_node_create(uplink_meter_gate(vswitch_meter(bench.vswitch)), NULL, &share,
					  &bench.share, NULL),
			 0);
	port_set_share(bench.card, bench.share);
	options.port = bench.card;
	assert_int_equal(virtio_net_create(&options, &bench.device), 0);
	if (packed)
		features |= 1ull << VIRTIO_F_RING_PACKED;
	ring_driver_init(&bench.driver, packed, 128, features | 1ull << VIRTIO_F_VERSION_1);
	bench.guest = loop_guest_create();
	bench.account = loop_account_create(bench.guest, bench.loop);
	setup = ring_driver_setup(&bench.driver);
	setup.index = index;
	setup.loop = bench.loop;
	setup.account = bench.account;
	setup.model = &virtio_net_model;
	setup.device = bench.device;
	setup.broken = never_broken;
	assert_int_equal(virtqueue_start(&setup, &bench.queue), 0);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(loop_turn(bench.loop, NS_PER_MS / 2), 0);
}

static void on_stopped(void *context, const struct virtqueue_position *position)
{
	*(bool *)context = true;
}

static void end(void)
{
	bool stopped = false;

	virtqueue_stop(bench.queue, on_stopped, &stopped);
	AWAIT(stopped, assert_int_equal(loop_turn(bench.loop, NS_PER_MS), 0));
	virtqueue_destroy(bench.queue);
	ring_driver_finish(&bench.driver);
	virtio_net_destroy(bench.device);
	port_destroy(bench.card);
	port_destroy(bench.other);
	gate_node_destroy(bench.share);
	vswitch_destroy(bench.vswitch);
	loop_account_close(bench.account);
	loop_guest_put(bench.guest);
	loop_turn(bench.loop, 0);
	loop_destroy(bench.loop);
}

/* TCP over IPv4. Returns its length. */
static uint32_t write_frame(uint8_t *bytes, const uint8_t to[6], const uint8_t from[6],
			    uint32_t payload_bytes)
{
	memset(bytes, 0, HEAD_BYTES);
	memcpy(bytes, to, 6);
	memcpy(bytes + 6, from, 6);
	bytes[12] = 8;
	bytes[14] = 0x45;
	big16_put(bytes + 16, (uint16_t)(HEAD_BYTES - 14 + payload_bytes));
	bytes[23] = 6;
	bytes[14 + 20 + 12] = 0x50;
	memset(bytes + HEAD_BYTES, 0x11, payload_bytes);
	return HEAD_BYTES + payload_bytes;
}

static struct frame_offload offload(uint16_t gso_bytes)
{
	return (struct frame_offload){ .flags = FRAME_CSUM_NEEDED,
				       .gso_type = FRAME_GSO_TCP4,
				       .gso_bytes = gso_bytes,
				       .csum_start = 34,
				       .csum_offset = 16 };
}

/* A frame that is sent in parts is sent to its end although the driver has nothing more for the card. */
static void test_late_frame_behind_which_is_nothing(void **state)
{
	struct frame_abilities plain = { .csum = 1 };
	struct port_receiver receiver = { .deliver = count_frames };

	for (unsigned way = 0; way < 4; way++) {
		struct virtio_net_header header = { .offload = offload(8) };
		struct driver_element element = { DATA, 0, false };
		struct port_sink *sink;
		uint8_t *bytes;

		begin(1, way & 1, way & 2 ? SPIN_NS : 0,
		      1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4);
		assert_int_equal(port_sink_open(bench.other, bench.loop, &receiver, &plain, &sink), 0);
		bytes = ring_driver_at(&bench.driver, DATA);
		memcpy(bytes, &header, sizeof(header));
		element.length = HEADER_BYTES + write_frame(bytes + HEADER_BYTES, bob, alice, 8000);
		assert_true(ring_driver_add(&bench.driver, &element, 1, false) >= 0);
		ring_driver_kick(&bench.driver);
		AWAIT(bench.got >= 1000, assert_int_equal(loop_turn(bench.loop, NS_PER_MS), 0));
		assert_int_equal(bench.got, 1000);
		port_sink_close(sink);
		end();
	}
}

/* A frame that waited for buffers gets as many as it needs, more than a queue takes in a turn. */
static void test_many_buffers_at_once(void **state)
{
	static uint8_t bytes[64000];

	for (unsigned packed = 0; packed < 2; packed++) {
		struct iovec iov = { bytes, 0 };
		struct frame frame = { .iov = &iov, .iov_count = 1, .offload = offload(1400) };
		struct port_source *source;
		unsigned used = 0;
		uint32_t length;

		begin(0, packed, 0,
		      1ull << VIRTIO_NET_F_MRG_RXBUF | 1ull << VIRTIO_NET_F_GUEST_CSUM |
			      1ull << VIRTIO_NET_F_GUEST_TSO4);
		assert_int_equal(port_source_open(bench.other, bench.loop, NULL, &source), 0);
		frame.bytes = write_frame(bytes, alice, bob, sizeof(bytes) - HEAD_BYTES);
		iov.iov_len = frame.bytes;
		assert_int_equal(port_send(source, &frame, 1), 1);
		for (unsigned i = 0; i < 100; i++) {
			struct driver_element buffer = { DATA + i * 1536ull, 1536, true };

			assert_true(ring_driver_add(&bench.driver, &buffer, 1, false) >= 0);
		}
		ring_driver_kick(&bench.driver);
		AWAIT(ring_driver_take(&bench.driver, &length) >= 0 && ++used == 42,
		      assert_int_equal(loop_turn(bench.loop, NS_PER_MS), 0));
		assert_true(ring_driver_take(&bench.driver, &length) < 0);
		port_source_close(source);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late_frame_behind_which_is_nothing),
		cmocka_unit_test(test_many_buffers_at_once),
	};

	return cmocka_run_group_tests_name("virtio_net", tests, NULL, NULL);
}
