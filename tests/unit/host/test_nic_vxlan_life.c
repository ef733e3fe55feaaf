/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VXLAN NICs that open, close and are handed over, and what the host does to them meanwhile. */
#include "nic_vxlan_fixture.h"

#define FEW 20u

static int try_open(const struct nic_vxlan_options *options)
{
	struct host_nic *nic = NULL;
	int error = nic_vxlan_open(options, &nic);

	assert_true(error == 0 ? nic != NULL : nic == NULL);
	if (nic)
		nic->ops->close(nic);
	return error;
}

static struct nic_vxlan_options options_of(const union nic_vxlan_address *peers, unsigned count)
{
	return (struct nic_vxlan_options){
		.vni = VNI, .local = address_of("127.0.0.1"), .peers = peers, .peer_count = count, .fd = -1
	};
}

static void test_open_refuses_wrong_options(void **state)
{
	static const char *const no_peers[] = { "0.0.0.0",     "0.1.2.3",	  "224.0.0.1",
						"239.255.0.1", "255.255.255.255", "fd00:9::2" };
	static const char *const no_peers6[] = { "::", "ff02::1", "::ffff:10.0.0.1", "fe80::1", "127.0.0.2" };
	union nic_vxlan_address peers[NIC_VXLAN_PEERS_MAX + 1] = { 0 };
	struct nic_vxlan_options options = options_of(peers, 1);

	need_namespace();
	peers[0] = address_of("127.0.0.2");
	assert_int_equal(try_open(&options), 0);
	options.vni = NIC_VXLAN_VNI_MAX + 1;
	assert_int_equal(try_open(&options), -EINVAL);
	options = options_of(peers, 1);
	options.mtu = NIC_VXLAN_MTU_MIN - 1;
	assert_int_equal(try_open(&options), -EINVAL);
	options.mtu = NIC_VXLAN_MTU_MAX + 1;
	assert_int_equal(try_open(&options), -EINVAL);
	options.mtu = NIC_VXLAN_MTU_MAX;
	assert_int_equal(try_open(&options), 0);
	options = options_of(peers, NIC_VXLAN_PEERS_MAX + 1);
	assert_int_equal(try_open(&options), -EINVAL);
	for (unsigned i = 0; i < sizeof(no_peers) / sizeof(no_peers[0]); i++) {
		options = options_of(peers, 1);
		peers[0] = address_of(no_peers[i]);
		assert_int_equal(try_open(&options), -EINVAL);
	}
	for (unsigned i = 0; i < sizeof(no_peers6) / sizeof(no_peers6[0]); i++) {
		options = options_of(peers, 1);
		options.local = address_of("::1");
		peers[0] = address_of(no_peers6[i]);
		assert_int_equal(try_open(&options), -EINVAL);
	}
	/* One peer twice. */
	peers[0] = peers[1] = address_of("127.0.0.2");
	options = options_of(peers, 2);
	assert_int_equal(try_open(&options), -EINVAL);
	options.peer_count = 1;
	options.local = address_of("239.1.1.1");
	assert_int_equal(try_open(&options), -EINVAL);
	options.local = (union nic_vxlan_address){ .any.sa_family = AF_UNIX };
	assert_int_equal(try_open(&options), -EINVAL);
}

static void test_open_says_why_there_is_no_socket(void **state)
{
	const union nic_vxlan_address peer = address_of("127.0.0.2");
	struct nic_vxlan_options options = options_of(&peer, 1);
	int taken;

	need_namespace();
	options.local = address_of("192.0.2.1");
	assert_int_equal(try_open(&options), -EADDRNOTAVAIL);
	options = options_of(&peer, 1);
	taken = raw_open("0.0.0.0", PEER_PORT);
	assert_int_equal(try_open(&options), -EADDRINUSE);
	options.port = PEER_PORT + 1;
	assert_int_equal(try_open(&options), 0);
	close(taken);
	options.port = 0;
	assert_int_equal(try_open(&options), 0);
}

/* Without an address of our own, datagrams to any address of the host are ours, and routes tell the source.
 */
static void test_any_address(void **state)
{
	const union nic_vxlan_address peer = address_of("127.0.0.2");
	struct nic_vxlan_options options = options_of(&peer, 1);
	struct fixture fixture = { .peer_count = 1 };
	uint8_t frame[60];

	need_namespace();
	for (unsigned i = 0; i < 2; i++) {
		options.local = i ? address_of("0.0.0.0") : (union nic_vxlan_address){ 0 };
		fixture.loop = nic_loop();
		assert_int_equal(nic_vxlan_open(&options, &fixture.nic), 0);
		port_open(&fixture.port, fixture.loop, fixture.nic);
		fixture.peers[0] = raw_open("127.0.0.2", 0);
		frame_between(frame, sizeof(frame), i, 0, 7);
		datagram_send(fixture.peers[0], "127.0.0.77", frame, sizeof(frame));
		nic_expect(&fixture, frame, sizeof(frame));
		datagram_send(fixture.peers[0], "127.0.0.1", frame, sizeof(frame));
		nic_expect(&fixture, frame, sizeof(frame));
		finish(&fixture);
	}
}

/* All hosts can have the same list of peers. */
static void test_own_address_among_peers(void **state)
{
	const union nic_vxlan_address list[2] = { address_of("127.0.0.1"), address_of("127.0.0.2") };
	const struct nic_vxlan_options options = options_of(list, 2);
	struct fixture fixture = { .peer_count = 1 };
	uint8_t frame[60];

	need_namespace();
	fixture.loop = nic_loop();
	assert_int_equal(nic_vxlan_open(&options, &fixture.nic), 0);
	port_open(&fixture.port, fixture.loop, fixture.nic);
	fixture.peers[0] = raw_open("127.0.0.2", PEER_PORT);
	expect_way(&fixture, 0, 0);
	frame_between(frame, sizeof(frame), 1, 0, 7);
	peer_to_nic(&fixture, 0, frame, sizeof(frame));
	assert_int_equal(fixture.port.frames, 1);
	assert_int_equal(counter_read(&fixture.nic->counters.malformed), 0);
	finish(&fixture);
}

static void test_no_peers(void **state)
{
	const struct nic_vxlan_options options = options_of(NULL, 0);
	struct fixture fixture = { 0 };
	uint8_t frame[60];
	int stranger;

	need_namespace();
	fixture.loop = nic_loop();
	assert_int_equal(nic_vxlan_open(&options, &fixture.nic), 0);
	assert_false(nic_is_up(fixture.nic));
	port_open(&fixture.port, fixture.loop, fixture.nic);
	frame_between(frame, sizeof(frame), 1, 0, 7);
	nic_send(&fixture, frame, sizeof(frame));
	assert_int_equal(counter_read(&fixture.nic->counters.no_link), 1);
	stranger = raw_open("127.0.0.2", 0);
	datagram_send(stranger, "127.0.0.1", frame, sizeof(frame));
	AWAIT(counter_read(&nic_vxlan_get_counters(fixture.nic)->strangers) == 1,
	      loop_turn(fixture.loop, TURN_NS));
	assert_int_equal(fixture.port.frames, 0);
	close(stranger);
	finish(&fixture);
}

static void test_channel_closes_and_opens(void **state)
{
	struct fixture fixture;
	struct port second;

	start(&fixture);
	teach(&fixture, 1, 7);
	assert_int_equal(port_try_open(&second, fixture.loop, fixture.nic), -EMFILE);
	port_finish(&fixture.port);
	port_open(&fixture.port, fixture.loop, fixture.nic);
	/* What was learned stays. */
	expect_way(&fixture, 7, 1);
	teach(&fixture, 2, 8);
	finish(&fixture);
}

/* ---- another daemon takes over ---- */

static void test_socket_is_handed_over(void **state)
{
	const union nic_vxlan_address peer = address_of("127.0.0.2");
	struct nic_vxlan_options options = options_of(&peer, 1);
	struct fixture fixture;
	struct host_nic *successor = NULL;
	uint8_t frame[60];

	start_by(&fixture, 1, NULL);
	assert_int_equal(fixture.nic->ops->channel_fd(fixture.nic, 1), -1);
	options.fd = dup(fixture.nic->ops->channel_fd(fixture.nic, 0));
	assert_int_equal(nic_vxlan_open(&options, &successor), 0);
	port_finish(&fixture.port);
	/* While neither has a channel. */
	frame_between(frame, sizeof(frame), 1, 0, 7);
	datagram_send(fixture.peers[0], "127.0.0.1", frame, sizeof(frame));
	fixture.nic->ops->close(fixture.nic);
	fixture.nic = successor;
	port_open(&fixture.port, fixture.loop, successor);
	nic_expect(&fixture, frame, sizeof(frame));
	expect_way(&fixture, 0, 0);
	finish(&fixture);
}

/* Another port, address, family or protocol, and what is no socket. */
static void test_descriptors_that_do_not_fit(void **state)
{
	const union nic_vxlan_address peer = address_of("127.0.0.2");
	struct nic_vxlan_options options = options_of(&peer, 1);
	int other[5];

	need_namespace();
	other[0] = raw_open("127.0.0.1", PEER_PORT + 1);
	other[1] = raw_open("127.0.0.2", PEER_PORT);
	other[2] = raw_open("::1", PEER_PORT);
	other[3] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	other[4] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; i < 5; i++) {
		struct host_nic *nic = NULL;

		assert_true(other[i] >= 0);
		options.fd = other[i];
		options.vni = NIC_VXLAN_VNI_MAX + 1;
		assert_int_equal(nic_vxlan_open(&options, &nic), -EINVAL);
		assert_true(fcntl(other[i], F_GETFD) >= 0);
		options.vni = VNI;
		assert_int_equal(nic_vxlan_open(&options, &nic), 0);
		assert_true(fcntl(other[i], F_GETFD) < 0 && errno == EBADF);
		assert_int_not_equal(nic->ops->channel_fd(nic, 0), other[i]);
		nic->ops->close(nic);
	}
}

/* ---- lost and refused ---- */

static void send_small(struct fixture *fixture, unsigned *count)
{
	uint8_t frame[60];

	frame_between(frame, sizeof(frame), ++*count, 0, 7);
	datagram_send(fixture->peers[0], "127.0.0.1", frame, sizeof(frame));
	assert_int_equal(loop_turn(fixture->loop, TURN_NS), 0);
}

/* More than the socket has room for. A successor does not count it again. */
static void test_lost_frames_are_counted(void **state)
{
	enum { FRAMES = 20000 };
	const union nic_vxlan_address peer = address_of("127.0.0.2");
	struct nic_vxlan_options options = options_of(&peer, 1);
	struct host_nic *successor = NULL;
	struct fixture fixture;
	uint8_t frame[1000];
	unsigned small = 0;

	start_by(&fixture, 1, NULL);
	frame_between(frame, sizeof(frame), 1, 0, 7);
	for (unsigned i = 0; i < FRAMES; i++)
		datagram_send(fixture.peers[0], "127.0.0.1", frame, sizeof(frame));
	AWAIT(counter_read(&fixture.nic->counters.overrun) > 0, send_small(&fixture, &small));
	AWAIT(counter_read(&fixture.nic->counters.received) + counter_read(&fixture.nic->counters.overrun) ==
		      FRAMES + small,
	      loop_turn(fixture.loop, TURN_NS));
	options.fd = dup(fixture.nic->ops->channel_fd(fixture.nic, 0));
	assert_int_equal(nic_vxlan_open(&options, &successor), 0);
	port_finish(&fixture.port);
	fixture.nic->ops->close(fixture.nic);
	fixture.nic = successor;
	port_open(&fixture.port, fixture.loop, successor);
	AWAIT(fixture.port.frames > 0, send_small(&fixture, &small));
	assert_int_equal(counter_read(&successor->counters.overrun), 0);
	finish(&fixture);
}

static void test_local_address_goes_and_comes(void **state)
{
	const union nic_vxlan_address peer = address_of("10.9.9.2");
	struct nic_vxlan_options options = options_of(&peer, 1);
	struct fixture fixture = { .peer_count = 1 };
	uint8_t frame[60];

	need_namespace();
	command("ip addr add 10.9.9.1/32 dev lo && ip addr add 10.9.9.2/32 dev lo");
	options.local = address_of("10.9.9.1");
	fixture.loop = nic_loop();
	assert_int_equal(nic_vxlan_open(&options, &fixture.nic), 0);
	port_open(&fixture.port, fixture.loop, fixture.nic);
	fixture.peers[0] = raw_open("10.9.9.2", PEER_PORT);
	for (unsigned i = 1; i <= 3; i++) {
		frame_between(frame, sizeof(frame), i, 0, 7);
		nic_send(&fixture, frame, sizeof(frame));
		raw_expect_from(fixture.peers[0], fixture.loop, frame, sizeof(frame), "10.9.9.1");
		datagram_send(fixture.peers[0], "10.9.9.1", frame, sizeof(frame));
		nic_expect(&fixture, frame, sizeof(frame));
		command("ip addr del 10.9.9.1/32 dev lo");
		nic_send(&fixture, frame, sizeof(frame));
		assert_int_equal(counter_read(&fixture.nic->counters.refused), i);
		assert_true(nic_is_up(fixture.nic));
		command("ip addr add 10.9.9.1/32 dev lo");
	}
	command("ip addr del 10.9.9.1/32 dev lo && ip addr del 10.9.9.2/32 dev lo");
	finish(&fixture);
}

/* ---- what the network says ---- */

static void send_broadcast(struct fixture *fixture, unsigned number)
{
	uint8_t frame[60];

	frame_between(frame, sizeof(frame), number, 0, 1);
	nic_send(fixture, frame, sizeof(frame));
}

static void expect_broadcasts(struct fixture *fixture, unsigned peer, unsigned first, unsigned count)
{
	uint8_t frame[60];

	for (unsigned i = 0; i < count; i++) {
		frame_between(frame, sizeof(frame), first + i, 0, 1);
		peer_expect(fixture, peer, frame, sizeof(frame));
	}
}

/* A host on which nothing listens says so each time. */
static void test_a_peer_that_does_not_listen(void **state)
{
	struct fixture fixture;

	start(&fixture);
	close(fixture.peers[1]);
	for (unsigned i = 0; i < FEW; i++)
		send_broadcast(&fixture, i);
	expect_broadcasts(&fixture, 0, 0, FEW);
	expect_broadcasts(&fixture, 2, 0, FEW);
	assert_int_equal(counter_read(&fixture.counters->unreachable), FEW - 1);
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 0);
	assert_int_equal(counter_read(&fixture.nic->counters.sent), FEW);
	assert_true(nic_is_up(fixture.nic));
	/* It does again: no frame is lost for what was before. */
	fixture.peers[1] = raw_open("127.0.0.3", PEER_PORT);
	for (unsigned i = 0; i < FEW; i++)
		send_broadcast(&fixture, 100 + i);
	expect_broadcasts(&fixture, 1, 100, FEW);
	assert_int_equal(counter_read(&fixture.counters->unreachable), FEW);
	finish(&fixture);
}

/* A batch to a peer that does not listen ends, and the frames behind it go on. */
static void test_a_batch_to_a_peer_that_does_not_listen(void **state)
{
	uint8_t frame[60], marker[60];
	struct iovec iov = { frame, sizeof(frame) }, marker_iov = { marker, sizeof(marker) };
	struct frame list[64];
	struct fixture fixture;

	start(&fixture);
	teach(&fixture, 1, 7);
	close(fixture.peers[1]);
	frame_between(frame, sizeof(frame), 1, 7, 1);
	frame_between(marker, sizeof(marker), 2, 0, 1);
	for (unsigned i = 0; i < 64; i++)
		list[i] = (struct frame){ .iov = i < 63 ? &iov : &marker_iov, .iov_count = 1, .bytes = 60 };
	assert_int_equal(fixture.nic->ops->send(fixture.port.channel, list, 64), 64);
	peer_expect(&fixture, 0, marker, sizeof(marker));
	peer_expect(&fixture, 2, marker, sizeof(marker));
	assert_int_equal(counter_read(&fixture.counters->unreachable), 63);
	assert_int_equal(counter_read(&fixture.nic->counters.sent), 64);
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 0);
	fixture.peers[1] = raw_open("127.0.0.3", PEER_PORT);
	finish(&fixture);
}

/* "Fragmentation needed, the MTU is 600", as any host may claim that knows the ports. */
static void forge_too_large(uint16_t source_port)
{
	uint8_t message[36] = { 3, 4, 0, 0, 0, 0, 600 >> 8, 600 & 255, 0x45, 0, 1, 0, 0, 0, 0, 0, 64, 17 };
	const union nic_vxlan_address from = address_of("127.0.0.2");
	union nic_vxlan_address to = address_of("127.0.0.1");
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	uint16_t sum;

	memcpy(message + 20, (const uint8_t[]){ 127, 0, 0, 1, 127, 0, 0, 2 }, 8);
	message[28] = (uint8_t)(source_port >> 8);
	message[29] = (uint8_t)source_port;
	message[30] = PEER_PORT >> 8;
	message[31] = PEER_PORT & 255;
	sum = (uint16_t)~sum16(message, sizeof(message), 0);
	message[2] = (uint8_t)(sum >> 8);
	message[3] = (uint8_t)sum;
	assert_int_equal(bind(fd, &from.any, sizeof(from.ipv4)), 0);
	assert_int_equal(sendto(fd, message, sizeof(message), 0, &to.any, sizeof(to.ipv4)), sizeof(message));
	close(fd);
}

/* All that passed the interface is whole, and may be cut on its way. Returns how many datagrams those are. */
static unsigned count_whole(int capture)
{
	static uint8_t packet[FRAME_BYTES_MAX];
	unsigned count = 0;
	ssize_t got;

	while ((got = read(capture, packet, sizeof(packet))) > 0) {
		const uint8_t *ip = packet + FRAME_OFFLOAD_WIRE_BYTES + 14;

		if (got < FRAME_OFFLOAD_WIRE_BYTES + 14 + 20 || ip[9] != IPPROTO_UDP)
			continue;
		assert_int_equal(ip[6] | ip[7], 0);
		count++;
	}
	return count;
}

static void test_the_network_does_not_shrink_the_path(void **state)
{
	union nic_vxlan_address from = { 0 };
	socklen_t bytes = sizeof(from);
	struct fixture fixture;
	uint8_t frame[1464];
	int capture;

	start_by(&fixture, 1, NULL);
	send_broadcast(&fixture, 1);
	AWAIT(recvfrom(fixture.peers[0], frame, sizeof(frame), 0, &from.any, &bytes) > 0,
	      loop_turn(fixture.loop, NS_PER_MS));
	command("ip link set lo mtu 1500");
	capture = peer_open("lo");
	forge_too_large(ntohs(from.ipv4.sin_port));
	for (unsigned i = 0; i < 3; i++) {
		frame_between(frame, sizeof(frame), i, 0, 1);
		nic_send(&fixture, frame, sizeof(frame));
		peer_expect(&fixture, 0, frame, sizeof(frame));
	}
	assert_int_equal(count_whole(capture), 3);
	assert_int_equal(counter_read(&fixture.counters->unreachable), 1);
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 0);
	command("ip link set lo mtu 65536");
	close(capture);
	finish(&fixture);
}

/* What does not fit the interface is refused, not fragmented. */
static void test_mtu_of_the_interface(void **state)
{
	struct fixture fixture;
	uint8_t frame[1468];
	int capture;

	start(&fixture);
	capture = peer_open("lo");
	command("ip link set lo mtu 1500");
	frame_between(frame, sizeof(frame), 1, 0, 1);
	nic_send(&fixture, frame, sizeof(frame));
	assert_int_equal(counter_read(&fixture.nic->counters.refused), PEERS);
	assert_int_equal(counter_read(&fixture.nic->counters.sent), 0);
	nic_send(&fixture, frame, 1464);
	for (unsigned i = 0; i < PEERS; i++)
		peer_expect(&fixture, i, frame, 1464);
	command("ip link set lo mtu 1504");
	nic_send(&fixture, frame, sizeof(frame));
	for (unsigned i = 0; i < PEERS; i++)
		peer_expect(&fixture, i, frame, sizeof(frame));
	assert_int_equal(count_whole(capture), 2 * PEERS);
	assert_int_equal(counter_read(&fixture.counters->unreachable), 0);
	command("ip link set lo mtu 65536");
	close(capture);
	finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_refuses_wrong_options),
		cmocka_unit_test(test_open_says_why_there_is_no_socket),
		cmocka_unit_test(test_any_address),
		cmocka_unit_test(test_own_address_among_peers),
		cmocka_unit_test(test_no_peers),
		cmocka_unit_test(test_channel_closes_and_opens),
		cmocka_unit_test(test_socket_is_handed_over),
		cmocka_unit_test(test_descriptors_that_do_not_fit),
		cmocka_unit_test(test_lost_frames_are_counted),
		cmocka_unit_test(test_local_address_goes_and_comes),
		cmocka_unit_test(test_a_peer_that_does_not_listen),
		cmocka_unit_test(test_a_batch_to_a_peer_that_does_not_listen),
		cmocka_unit_test(test_the_network_does_not_shrink_the_path),
		cmocka_unit_test(test_mtu_of_the_interface),
	};

	return cmocka_run_group_tests(tests, namespace_setup, NULL);
}
