/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames between a VXLAN NIC and its peers, which are plain UDP sockets. */
#include "nic_vxlan_fixture.h"

#include "host/nic_vxlan_table.h"
#include "stopped_clock.h"

static void test_frames_go_both_ways(void **state)
{
	static const size_t sizes[] = { 14, 60, 61, 1464, 1468 };
	struct fixture fixture;
	struct host_nic_counters *counters;
	uint8_t frame[1500];
	uint64_t bytes = 0;
	int other_port;

	start_by(&fixture, 1, NULL);
	counters = &fixture.nic->counters;
	assert_string_equal(fixture.nic->ops->name, "vxlan");
	assert_int_equal(fixture.nic->channels, 1);
	assert_int_equal(fixture.nic->sends.mtu, 1450);
	assert_false(fixture.nic->sends.csum || fixture.nic->sends.tso4 || fixture.nic->sends.tso6 ||
		     fixture.nic->sends.ecn || fixture.nic->sends.uso);
	assert_true(nic_is_up(fixture.nic));
	for (unsigned i = 0; i < 5; i++) {
		frame_fill(frame, sizes[i], i);
		peer_to_nic(&fixture, 0, frame, sizes[i]);
		frame_fill(frame, sizes[i], i + 10);
		nic_send(&fixture, frame, sizes[i]);
		peer_expect(&fixture, 0, frame, sizes[i]);
		bytes += sizes[i];
	}
	/* Peers send from any port. */
	other_port = raw_open("127.0.0.2", 0);
	datagram_send(other_port, "127.0.0.1", frame, 60);
	nic_expect(&fixture, frame, 60);
	close(other_port);
	assert_int_equal(counter_read(&counters->sent), 5);
	assert_int_equal(counter_read(&counters->sent_bytes), bytes);
	assert_int_equal(counter_read(&counters->received), 6);
	assert_int_equal(counter_read(&counters->received_bytes), bytes + 60);
	assert_int_equal(counter_read(&counters->malformed) + counter_read(&counters->refused), 0);
	finish(&fixture);
}

/* One that is larger than the peers' interfaces let through, from a peer that has no such limit. */
static void test_large_frames_come(void **state)
{
	static uint8_t frame[65499];
	struct fixture fixture;

	start(&fixture);
	frame_fill(frame, sizeof(frame), 1);
	peer_to_nic(&fixture, 0, frame, sizeof(frame));
	frame_fill(frame, 9000, 2);
	peer_to_nic(&fixture, 1, frame, 9000);
	finish(&fixture);
}

static void test_frames_that_are_too_large(void **state)
{
	uint8_t frame[1469];
	struct fixture fixture;

	start(&fixture);
	frame_fill(frame, sizeof(frame), 1);
	nic_send(&fixture, frame, sizeof(frame));
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 1);
	assert_int_equal(counter_read(&fixture.nic->counters.sent), 0);
	expect_way(&fixture, 0, TO_EACH);
	finish(&fixture);
}

/* ---- many at once ---- */

#define MANY 200u

static uint8_t many[MANY][100];
static struct iovec many_iov[MANY][3];
static struct frame many_list[MANY];

/* In pieces, also such as divide the addresses. */
static void fill_many(unsigned to)
{
	for (unsigned i = 0; i < MANY; i++) {
		frame_between(many[i], sizeof(many[i]), i, to, 1);
		many_iov[i][0] = (struct iovec){ many[i], i % 20 };
		many_iov[i][1] = (struct iovec){ many[i] + i % 20, 7 };
		many_iov[i][2] = (struct iovec){ many[i] + i % 20 + 7, 93 - i % 20 };
		many_list[i] = (struct frame){ .iov = many_iov[i], .iov_count = 3, .bytes = 100 };
	}
}

static unsigned send_many(struct fixture *fixture)
{
	return fixture->nic->ops->send(fixture->port.channel, many_list, MANY);
}

static void test_batches_to_one_peer(void **state)
{
	struct fixture fixture;

	start(&fixture);
	teach(&fixture, 1, 7);
	fill_many(7);
	assert_int_equal(send_many(&fixture), MANY);
	for (unsigned i = 0; i < MANY; i++)
		peer_expect(&fixture, 1, many[i], sizeof(many[i]));
	assert_true(raw_has_none(fixture.peers[0]) && raw_has_none(fixture.peers[2]));
	assert_int_equal(counter_read(&fixture.nic->counters.sent), MANY);
	assert_int_equal(counter_read(&fixture.nic->counters.sent_bytes), 100 * MANY);
	finish(&fixture);
}

/* Neighbouring frames go different ways; each peer gets its own in their order. */
static void test_batches_to_several_peers(void **state)
{
	struct fixture fixture;

	start(&fixture);
	for (unsigned i = 0; i < PEERS; i++)
		teach(&fixture, i, 10 + i);
	fill_many(0);
	for (unsigned i = 0; i < MANY; i++)
		if (i % 7 < 5)
			frame_between(many[i], sizeof(many[i]), i, 10 + i % 7 / 2, 1);
	assert_int_equal(send_many(&fixture), MANY);
	for (unsigned peer = 0; peer < PEERS; peer++) {
		for (unsigned i = 0; i < MANY; i++)
			if (i % 7 >= 5 || i % 7 / 2 == peer)
				peer_expect(&fixture, peer, many[i], sizeof(many[i]));
		assert_true(raw_has_none(fixture.peers[peer]));
	}
	assert_int_equal(counter_read(&fixture.nic->counters.sent), MANY);
	assert_int_equal(counter_read(&fixture.nic->counters.sent_bytes), 100 * MANY);
	finish(&fixture);
}

static void test_batches_that_come(void **state)
{
	struct fixture fixture;

	start(&fixture);
	fill_many(0);
	for (unsigned i = 0; i < MANY; i++)
		datagram_send(fixture.peers[i % PEERS], "127.0.0.1", many[i], sizeof(many[i]));
	for (unsigned i = 0; i < MANY; i++)
		nic_expect(&fixture, many[i], sizeof(many[i]));
	assert_true(fixture.port.inputs >= 4);
	assert_int_equal(fixture.port.most, 64);
	finish(&fixture);
}

/* ---- which peers a frame goes to ---- */

static void test_frames_to_many(void **state)
{
	uint8_t frame[60];
	struct fixture fixture;

	start(&fixture);
	expect_way(&fixture, 0, TO_EACH);
	/* A group. */
	frame_between(frame, sizeof(frame), 1, 7, 1);
	frame[0] = 0x33;
	nic_send(&fixture, frame, sizeof(frame));
	for (unsigned i = 0; i < PEERS; i++)
		peer_expect(&fixture, i, frame, sizeof(frame));
	assert_int_equal(counter_read(&fixture.counters->flooded), 3);
	assert_int_equal(counter_read(&fixture.nic->counters.sent), 3);
	assert_int_equal(counter_read(&fixture.nic->counters.sent_bytes), 180);
	finish(&fixture);
}

static void test_addresses_are_learned(void **state)
{
	struct fixture fixture;

	start(&fixture);
	expect_way(&fixture, 7, TO_EACH);
	teach(&fixture, 1, 7);
	expect_way(&fixture, 7, 1);
	expect_way(&fixture, 8, TO_EACH);
	teach(&fixture, 2, 8);
	expect_way(&fixture, 8, 2);
	/* A guest moves to another host. */
	teach(&fixture, 0, 7);
	expect_way(&fixture, 7, 0);
	/* What came from one peer is sent to none. */
	for (unsigned i = 0; i < PEERS; i++)
		assert_true(raw_has_none(fixture.peers[i]));
	finish(&fixture);
}

static void test_addresses_age(void **state)
{
	struct fixture fixture;

	start_by(&fixture, PEERS, &stopped_clocks);
	teach(&fixture, 1, 7);
	stopped_clock_ns += 300 * NS_PER_S;
	assert_int_equal(loop_turn(fixture.loop, 0), 0);
	expect_way(&fixture, 7, 1);
	stopped_clock_ns += 1;
	assert_int_equal(loop_turn(fixture.loop, 0), 0);
	expect_way(&fixture, 7, TO_EACH);
	finish(&fixture);
}

/* Each frame to an address that no peer has is a datagram to each peer. */
static void test_unknown_addresses_are_limited(void **state)
{
	uint8_t frame[60];
	struct fixture fixture;
	unsigned got = 0;

	start_by(&fixture, PEERS, &stopped_clocks);
	teach(&fixture, 1, 7);
	frame_between(frame, sizeof(frame), 1, 8, 1);
	for (unsigned i = 0; i < NIC_VXLAN_UNKNOWN_PER_S + 50; i++)
		nic_send(&fixture, frame, sizeof(frame));
	assert_int_equal(counter_read(&fixture.counters->held_back), 50);
	assert_int_equal(counter_read(&fixture.nic->counters.refused), 50);
	assert_int_equal(counter_read(&fixture.nic->counters.sent), NIC_VXLAN_UNKNOWN_PER_S);
	for (unsigned i = 0; i < PEERS; i++)
		for (got = 0; got < NIC_VXLAN_UNKNOWN_PER_S; got++)
			peer_expect(&fixture, i, frame, sizeof(frame));
	/* Others are not concerned. */
	expect_way(&fixture, 7, 1);
	/* The next ones, a tenth of a second later. */
	stopped_clock_ns += NS_PER_S / 10;
	assert_int_equal(loop_turn(fixture.loop, 0), 0);
	for (unsigned i = 0; i < NIC_VXLAN_UNKNOWN_PER_S; i++)
		nic_send(&fixture, frame, sizeof(frame));
	assert_int_equal(counter_read(&fixture.counters->held_back), 50 + NIC_VXLAN_UNKNOWN_PER_S * 9 / 10);
	finish(&fixture);
}

/* ---- hostile ---- */

static void send_with_header(struct fixture *fixture, const uint8_t header[HEADER], size_t frame_bytes)
{
	uint8_t datagram[HEADER + 100] = { 0 };

	memcpy(datagram, header, HEADER);
	frame_between(datagram + HEADER, 100, 1, 0, 7);
	raw_send(fixture->peers[0], "127.0.0.1", datagram, HEADER + frame_bytes);
}

static void test_malformed_datagrams(void **state)
{
	static const uint8_t wrong[][HEADER] = {
		{ 0x00, 0, 0, 0, 0x12, 0x34, 0x56, 0 }, /* no VNI */
		{ 0x0c, 0, 0, 0, 0x12, 0x34, 0x56, 0 }, /* GPE: another protocol may follow */
		{ 0x88, 0, 0, 1, 0x12, 0x34, 0x56, 0 }, /* GBP: a group policy */
		{ 0x08, 0, 0, 0, 0x12, 0x34, 0x56, 1 },
		{ 0x08, 0, 0, 0, 0x12, 0x34, 0x57, 0 }, /* another network */
		{ 0x08, 0, 0, 0, 0x56, 0x34, 0x12, 0 },
		{ 0x08, 0, 0, 0, 0, 0, 0, 0 },
	};
	const unsigned count = sizeof(wrong) / sizeof(wrong[0]);
	struct fixture fixture;

	start(&fixture);
	for (unsigned i = 0; i < count; i++)
		send_with_header(&fixture, wrong[i], 60);
	for (size_t bytes = 0; bytes < HEADER + 14; bytes++)
		raw_send(fixture.peers[0], "127.0.0.1", (const uint8_t[22]){ 8, 0, 0, 0, 0x12, 0x34, 0x56 },
			 bytes);
	teach(&fixture, 1, 8);
	assert_int_equal(fixture.port.frames, 1);
	assert_int_equal(counter_read(&fixture.nic->counters.malformed), count + HEADER + 14);
	assert_int_equal(counter_read(&fixture.nic->counters.received), 1);
	assert_int_equal(counter_read(&fixture.counters->other_vni), 3);
	assert_int_equal(counter_read(&fixture.counters->strangers), 0);
	/* They teach nothing. */
	expect_way(&fixture, 7, TO_EACH);
	finish(&fixture);
}

static void test_strangers(void **state)
{
	struct fixture fixture;
	uint8_t frame[60];
	int stranger;

	start(&fixture);
	stranger = raw_open("127.0.0.9", PEER_PORT);
	frame_between(frame, sizeof(frame), 1, 0, 7);
	for (unsigned i = 0; i < 100; i++)
		datagram_send(stranger, "127.0.0.1", frame, sizeof(frame));
	teach(&fixture, 1, 8);
	assert_int_equal(fixture.port.frames, 1);
	assert_int_equal(counter_read(&fixture.counters->strangers), 100);
	assert_int_equal(counter_read(&fixture.nic->counters.malformed), 100);
	expect_way(&fixture, 7, TO_EACH);
	assert_true(raw_has_none(stranger));
	close(stranger);
	finish(&fixture);
}

/* Bytes that wait in the socket which has this port on 127.0.0.1. */
static unsigned long waiting_at(uint16_t port)
{
	FILE *file = fopen("/proc/self/net/udp", "re");
	unsigned long waiting = 0;
	char line[256], name[32];
	unsigned found = 0;

	assert_non_null(file);
	snprintf(name, sizeof(name), " 0100007F:%04X ", port);
	while (fgets(line, sizeof(line), file)) {
		char *at = strstr(line, name);

		if (!at)
			continue;
		/* Behind it: the other address, the state, and what waits to be sent and to be read. */
		at = strchr(at + strlen(name) + 14, ':');
		assert_non_null(at);
		waiting = strtoul(at + 1, NULL, 16);
		found++;
	}
	fclose(file);
	assert_int_equal(found, 1);
	return waiting;
}

/* What is sent to the ports that the NIC sends from takes no memory, and is never read. */
static void test_nothing_comes_to_sending_ports(void **state)
{
	union nic_vxlan_address from = { 0 };
	socklen_t bytes = sizeof(from);
	struct fixture fixture;
	uint8_t frame[60], seen[100];

	start_by(&fixture, 1, NULL);
	frame_between(frame, sizeof(frame), 1, 0, 1);
	nic_send(&fixture, frame, sizeof(frame));
	AWAIT(recvfrom(fixture.peers[0], seen, sizeof(seen), 0, &from.any, &bytes) > 0,
	      loop_turn(fixture.loop, NS_PER_MS));
	assert_int_not_equal(ntohs(from.ipv4.sin_port), PEER_PORT);
	assert_int_equal(sendto(fixture.peers[0], seen, 68, 0, &from.any, bytes), 68);
	assert_int_equal(waiting_at(ntohs(from.ipv4.sin_port)), 0);
	teach(&fixture, 0, 8);
	assert_int_equal(fixture.port.frames, 1);
	assert_int_equal(counter_read(&fixture.nic->counters.malformed), 0);
	finish(&fixture);
}

/* Addresses that none can have, and more than a peer may have. */
static void test_made_up_addresses(void **state)
{
	struct fixture fixture;
	uint8_t frame[60];

	start(&fixture);
	frame_between(frame, sizeof(frame), 1, 0, 7);
	memset(frame + 6, 255, 6);
	peer_to_nic(&fixture, 0, frame, sizeof(frame));
	memset(frame + 6, 0, 6);
	peer_to_nic(&fixture, 0, frame, sizeof(frame));
	assert_int_equal(counter_read(&fixture.counters->unlearned), 0);
	for (unsigned i = 0; i < VXLAN_LEARNED_MAX + 20; i++)
		teach(&fixture, 0, 1000 + i);
	assert_int_equal(counter_read(&fixture.counters->unlearned), 20);
	expect_way(&fixture, 1000, 0);
	expect_way(&fixture, 1000 + VXLAN_LEARNED_MAX, TO_EACH);
	/* The other peers have their room. */
	teach(&fixture, 1, 7);
	expect_way(&fixture, 7, 1);
	finish(&fixture);
}

/* With one peer everything goes there, and nothing needs to be learned. */
static void test_one_peer(void **state)
{
	struct fixture fixture;

	start_by(&fixture, 1, NULL);
	for (unsigned i = 0; i < VXLAN_LEARNED_MAX + 20; i++)
		teach(&fixture, 0, 1000 + i);
	assert_int_equal(counter_read(&fixture.counters->unlearned), 0);
	expect_way(&fixture, 0, 0);
	expect_way(&fixture, 7, 0);
	assert_int_equal(counter_read(&fixture.counters->flooded), 0);
	finish(&fixture);
}

/* ---- IPv6 ---- */

static void test_ipv6(void **state)
{
	const union nic_vxlan_address list[2] = { address_of("fd00:9::2"), address_of("fd00:9::3") };
	const struct nic_vxlan_options options = {
		.vni = VNI, .local = address_of("fd00:9::1"), .peers = list, .peer_count = 2, .fd = -1
	};
	struct fixture fixture = { 0 };
	uint8_t frame[60];
	int stranger;

	need_namespace();
	for (unsigned i = 1; i <= 4; i++)
		command("ip addr add fd00:9::%u/128 dev lo nodad", i);
	fixture.loop = nic_loop();
	assert_int_equal(nic_vxlan_open(&options, &fixture.nic), 0);
	assert_int_equal(fixture.nic->sends.mtu, 1430);
	fixture.counters = nic_vxlan_get_counters(fixture.nic);
	port_open(&fixture.port, fixture.loop, fixture.nic);
	fixture.peers[0] = raw_open("fd00:9::2", PEER_PORT);
	fixture.peers[1] = raw_open("fd00:9::3", PEER_PORT);
	fixture.peer_count = 2;
	stranger = raw_open("fd00:9::4", PEER_PORT);
	frame_between(frame, sizeof(frame), 1, 0, 7);
	datagram_send(stranger, "fd00:9::1", frame, sizeof(frame));
	datagram_send(fixture.peers[1], "fd00:9::1", frame, sizeof(frame));
	nic_expect(&fixture, frame, sizeof(frame));
	assert_int_equal(counter_read(&fixture.counters->strangers), 1);
	frame_between(frame, sizeof(frame), 2, 7, 1);
	nic_send(&fixture, frame, sizeof(frame));
	raw_expect_from(fixture.peers[1], fixture.loop, frame, sizeof(frame), "fd00:9::1");
	frame_between(frame, sizeof(frame), 3, 0, 1);
	nic_send(&fixture, frame, sizeof(frame));
	raw_expect_from(fixture.peers[1], fixture.loop, frame, sizeof(frame), "fd00:9::1");
	raw_expect_from(fixture.peers[0], fixture.loop, frame, sizeof(frame), "fd00:9::1");
	close(stranger);
	finish(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_go_both_ways),
		cmocka_unit_test(test_large_frames_come),
		cmocka_unit_test(test_frames_that_are_too_large),
		cmocka_unit_test(test_batches_to_one_peer),
		cmocka_unit_test(test_batches_to_several_peers),
		cmocka_unit_test(test_batches_that_come),
		cmocka_unit_test(test_frames_to_many),
		cmocka_unit_test(test_addresses_are_learned),
		cmocka_unit_test(test_addresses_age),
		cmocka_unit_test(test_unknown_addresses_are_limited),
		cmocka_unit_test(test_malformed_datagrams),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_nothing_comes_to_sending_ports),
		cmocka_unit_test(test_made_up_addresses),
		cmocka_unit_test(test_one_peer),
		cmocka_unit_test(test_ipv6),
	};

	return cmocka_run_group_tests(tests, namespace_setup, NULL);
}
