/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VXLAN NIC and the kernel's own VXLAN device, in two network namespaces with a cable between. The guest
 * behind the NIC is the kernel of this namespace, through a tap and a switch.
 *
 *   here                                                          there
 *   sockets - tap - port [switch] uplink - NIC - near0 ==== far0 - vx0 - sockets
 *   10.10.0.1                              10.9.0.1     10.9.0.2   10.10.0.2
 */
#include "nic_vxlan_address.h"
#include "nic_vxlan_cable.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include "arbiter/switch/vswitch.h"
#include "core/container.h"
#include "core/loop.h"
#include "host/host_nic.h"

#define MTU	    1400u
#define STREAM	    (2u << 20)
#define SOCKET_PORT 7000u
#define VNI	    0x123456u

/* ---- guest, switch, NIC ---- */

struct world {
	struct loop *loop;
	struct vswitch *vswitch;
	struct host_nic *nic, *tap;
	struct host_nic_channel *channel; /* of the tap */
	struct port *uplink, *port;
	struct port_source *source;
	struct port_sink *sink;
	struct host_nic_receiver from_tap;
	struct port_receiver to_tap;
	unsigned segments_left; /* frames to the guest that are to be cut */
};

static void input(struct host_nic_receiver *receiver, const struct frame *frames, unsigned count)
{
	struct world *world = container_of(receiver, struct world, from_tap);

	for (unsigned i = 0; i < count; i++)
		port_send(world->source, &frames[i], 1);
}

static void writable(struct host_nic_receiver *receiver)
{
	port_sink_resume(container_of(receiver, struct world, from_tap)->sink);
}

static void link_changed(struct host_nic_receiver *receiver)
{
}

static unsigned deliver(struct port_receiver *receiver, const struct frame *frames, unsigned count)
{
	struct world *world = container_of(receiver, struct world, to_tap);

	for (unsigned i = 0; i < count; i++)
		world->segments_left += frames[i].offload.gso_type != FRAME_GSO_NONE;
	return world->tap->ops->send(world->channel, frames, count);
}

static void guest_make(struct world *world)
{
	const struct nic_tap_options options = { .name = "tap0", .fd = -1, .offload = true };
	const struct port_settings settings = { .link = true };

	assert_int_equal(nic_tap_open(&options, &world->tap), 0);
	command("ip link set tap0 mtu %u", MTU);
	allow_ipv6("tap0");
	command("ip addr add 10.10.0.1/24 dev tap0 && ip addr add fd00:10::1/64 dev tap0 nodad");
	world->from_tap = (struct host_nic_receiver){ input, writable, link_changed };
	world->to_tap.deliver = deliver;
	assert_int_equal(
		port_create(world->vswitch, "guest", world->tap->address, MTU, &settings, &world->port), 0);
	assert_int_equal(port_source_open(world->port, world->loop, NULL, &world->source), 0);
	assert_int_equal(
		world->tap->ops->channel_open(world->tap, world->loop, &world->from_tap, &world->channel), 0);
	assert_int_equal(
		port_sink_open(world->port, world->loop, &world->to_tap, &world->tap->sends, &world->sink),
		0);
}

static void need_devices(void)
{
	need_namespace();
	if (access("/dev/net/tun", R_OK | W_OK) < 0) {
		print_message("skipped: /dev/net/tun: %s\n", strerror(errno));
		skip();
	}
	/* NOLINTNEXTLINE(cert-env33-c): as in network_namespace.h */
	if (system("ip link add vx0 type vxlan id 1 dstport 4789 && ip link del vx0") != 0) {
		print_message("skipped: the kernel has no VXLAN devices\n");
		skip();
	}
}

/* The first peer does not exist. */
static void start_world(struct world *world, bool ipv6)
{
	const union nic_vxlan_address list[2] = { address_of(ipv6 ? "fd00:9::77" : "10.9.0.77"),
						  address_of(ipv6 ? "fd00:9::2" : "10.9.0.2") };
	const struct nic_vxlan_options options = { .vni = VNI,
						   .local = address_of(ipv6 ? "fd00:9::1" : "10.9.0.1"),
						   .peers = list,
						   .peer_count = 2,
						   .mtu = MTU,
						   .fd = -1 };
	const struct port_settings settings = { .link = true };
	const struct loop_options loop_options = { .name = "test" };

	/* The program's group may ping. */
	assert_int_equal(write_text("/proc/sys/net/ipv4/ping_group_range", "0 0"), 0);
	cable_make();
	command_there("ip link add vx0 mtu %u type vxlan id %u remote %s dstport 4789 dev far0", MTU, VNI,
		      ipv6 ? "fd00:9::1" : "10.9.0.1");
	go(there);
	allow_ipv6("vx0");
	go(here);
	command_there("ip addr add 10.10.0.2/24 dev vx0 && ip addr add fd00:10::2/64 dev vx0 nodad");
	command_there("ip link set vx0 up");
	*world = (struct world){ 0 };
	assert_int_equal(loop_create(&loop_options, &world->loop), 0);
	assert_int_equal(nic_vxlan_open(&options, &world->nic), 0);
	assert_int_equal(vswitch_create(0, &world->vswitch), 0);
	assert_int_equal(
		vswitch_uplink_create(world->vswitch, world->nic, &settings, NULL, NULL, &world->uplink), 0);
	assert_int_equal(vswitch_uplink_start(world->uplink, world->loop), 0);
	guest_make(world);
}

static void finish_world(struct world *world)
{
	struct port_totals totals;

	port_totals(world->uplink, &totals);
	assert_int_equal(totals.dropped[PORT_DROP_MALFORMED] + totals.dropped[PORT_DROP_TOO_LARGE], 0);
	assert_int_equal(counter_read(&world->nic->counters.malformed), 0);
	port_sink_close(world->sink);
	world->tap->ops->channel_close(world->channel);
	port_source_close(world->source);
	vswitch_uplink_stop(world->uplink);
	assert_int_equal(loop_turn(world->loop, 0), 0);
	port_destroy(world->port);
	port_destroy(world->uplink);
	vswitch_destroy(world->vswitch);
	world->nic->ops->close(world->nic);
	world->tap->ops->close(world->tap);
	loop_destroy(world->loop);
	command_there("ip link del vx0");
	cable_remove();
}

/* ---- sockets ---- */

static union nic_vxlan_address end_of(bool ipv6, unsigned end)
{
	char text[32];
	union nic_vxlan_address address;

	snprintf(text, sizeof(text), ipv6 ? "fd00:10::%u" : "10.10.0.%u", end);
	address = address_of(text);
	/* Both families have the port at the same place. */
	address.ipv4.sin_port = htons(SOCKET_PORT);
	return address;
}

static int socket_at(int namespace, bool ipv6, int type, unsigned end)
{
	union nic_vxlan_address address = end_of(ipv6, end);
	int fd, one = 1;

	go(namespace);
	fd = socket(address.any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	go(here);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, &address.any, address_bytes(&address)), 0);
	return fd;
}

static void turn(struct world *world)
{
	assert_int_equal(loop_turn(world->loop, NS_PER_MS), 0);
}

static uint8_t stream_byte(unsigned position)
{
	return (uint8_t)(position * 31 + position / 251);
}

static void stream_fill(uint8_t *bytes, size_t count, unsigned position)
{
	for (size_t i = 0; i < count; i++)
		bytes[i] = stream_byte(position + (unsigned)i);
}

static void datagram_passes(struct world *world, int from, int to, const union nic_vxlan_address *address,
			    size_t bytes)
{
	static uint8_t sent[2048], seen[2048];
	ssize_t got;

	stream_fill(sent, bytes, (unsigned)bytes);
	assert_int_equal(sendto(from, sent, bytes, 0, &address->any, address_bytes(address)), bytes);
	AWAIT((got = recv(to, seen, sizeof(seen), 0)) >= 0 || errno != EAGAIN, turn(world));
	assert_int_equal(got, bytes);
	assert_memory_equal(seen, sent, bytes);
}

static void datagrams_pass(struct world *world, bool ipv6)
{
	const size_t largest = MTU - (ipv6 ? 40 : 20) - 8;
	const size_t sizes[] = { 1, 2, 99, 1000, largest };
	const union nic_vxlan_address near = end_of(ipv6, 1), far = end_of(ipv6, 2);
	int near_fd = socket_at(here, ipv6, SOCK_DGRAM, 1), far_fd = socket_at(there, ipv6, SOCK_DGRAM, 2);

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		datagram_passes(world, near_fd, far_fd, &far, sizes[i]);
		datagram_passes(world, far_fd, near_fd, &near, sizes[i]);
	}
	close(near_fd);
	close(far_fd);
}

/* ---- a stream ---- */

static void stream_write(int fd, unsigned *done)
{
	uint8_t bytes[65536];
	unsigned count = STREAM - *done < sizeof(bytes) ? STREAM - *done : sizeof(bytes);
	ssize_t sent;

	stream_fill(bytes, count, *done);
	sent = count > 0 ? send(fd, bytes, count, MSG_NOSIGNAL) : 0;
	assert_true(sent >= 0 || errno == EAGAIN);
	*done += sent > 0 ? (unsigned)sent : 0;
}

static void stream_read(int fd, unsigned *done)
{
	uint8_t bytes[65536];
	ssize_t got = recv(fd, bytes, sizeof(bytes), 0);

	assert_true(got > 0 || errno == EAGAIN);
	for (ssize_t i = 0; i < got; i++)
		assert_int_equal(bytes[i], stream_byte((*done)++));
}

static void stream_passes(struct world *world, int from, int to)
{
	unsigned written = 0, seen = 0;

	while (seen < STREAM) {
		stream_write(from, &written);
		assert_int_equal(loop_turn(world->loop, written == STREAM ? NS_PER_MS : 0), 0);
		stream_read(to, &seen);
	}
	assert_int_equal(written, STREAM);
}

static void streams_pass(struct world *world, bool ipv6)
{
	const union nic_vxlan_address far = end_of(ipv6, 2);
	int listener = socket_at(there, ipv6, SOCK_STREAM, 2), near_fd, far_fd;

	assert_int_equal(listen(listener, 1), 0);
	/* The kernel chooses the port. */
	near_fd = socket(far.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(near_fd >= 0);
	assert_true(connect(near_fd, &far.any, address_bytes(&far)) == 0 || errno == EINPROGRESS);
	AWAIT((far_fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0, turn(world));
	stream_passes(world, near_fd, far_fd);
	assert_int_equal(world->segments_left, 0);
	/* The kernel leaves it to its card to cut segments, and there is none. */
	stream_passes(world, far_fd, near_fd);
	assert_true(world->segments_left > 0);
	world->segments_left = 0;
	close(near_fd);
	close(far_fd);
	close(listener);
}

/* ---- a ping ---- */

/* As large as the network allows. The kernel fills in checksum and identifier. */
static void ping_passes(struct world *world, bool ipv6)
{
	const uint8_t answer = ipv6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY;
	const size_t bytes = MTU - (ipv6 ? 40 : 20);
	union nic_vxlan_address far = end_of(ipv6, 2);
	uint8_t request[MTU] = { ipv6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO }, seen[MTU];
	int fd = socket(far.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	ssize_t got;

	assert_true(fd >= 0);
	stream_fill(request + 8, bytes - 8, 5);
	assert_int_equal(sendto(fd, request, bytes, 0, &far.any, address_bytes(&far)), bytes);
	AWAIT((got = recv(fd, seen, sizeof(seen), 0)) >= 0 || errno != EAGAIN, turn(world));
	assert_int_equal(got, bytes);
	assert_int_equal(seen[0], answer);
	assert_memory_equal(seen + 8, request + 8, bytes - 8);
	close(fd);
}

static void test_kernel_device(void **state)
{
	need_devices();
	for (unsigned outer = 0; outer < 2; outer++) {
		struct world world;

		start_world(&world, outer);
		for (unsigned inner = 0; inner < 2; inner++) {
			ping_passes(&world, inner);
			datagrams_pass(&world, inner);
			streams_pass(&world, inner);
		}
		finish_world(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernel_device),
	};

	return cmocka_run_group_tests(tests, two_namespaces_setup, NULL);
}
