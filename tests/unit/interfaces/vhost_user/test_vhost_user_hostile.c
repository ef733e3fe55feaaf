/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vhost-user server against liars: headers, descriptors, numbers, order. */
#include <sys/epoll.h>

#include "vhost_user_bench.h"

static void lying_headers(void **state)
{
	static const uint32_t headers[][3] = {
		{ VHOST_USER_GET_FEATURES, 0, 0 },			/* version 0 */
		{ VHOST_USER_GET_FEATURES, 2, 0 },			/* version 2 */
		{ VHOST_USER_GET_FEATURES, 0x11, 0 },			/* reserved flag */
		{ VHOST_USER_GET_FEATURES, 0x5, 0 },			/* reply */
		{ VHOST_USER_GET_FEATURES, 1, 8 },			/* payload where none belongs */
		{ VHOST_USER_SET_FEATURES, 1, 4 },			/* too short */
		{ VHOST_USER_SET_FEATURES, 1, 12 },			/* too long */
		{ VHOST_USER_SET_MEM_TABLE, 1, 8 + 9 * 32 },		/* nine regions */
		{ VHOST_USER_SET_CONFIG, 1, 300 },
		{ VHOST_USER_GET_FEATURES, 1, 513 },
		{ VHOST_USER_GET_FEATURES, 1, UINT32_MAX },
	};
	struct bench *bench = *state;
	unsigned before = count_fds();

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		uint8_t bytes[12 + 512] = { 0 };
		int socket = frontend_connect(bench);

		memcpy(bytes, headers[i], sizeof(headers[i]));
		send(socket, bytes, sizeof(bytes), MSG_NOSIGNAL);
		assert_true(closed_by_peer(bench, socket));
		close(socket);
		AWAIT_FDS(bench, before);
	}
	assert_int_equal(bench_status(bench).connections, 0);
	assert_int_equal(bench_status(bench).protocol_errors, sizeof(headers) / sizeof(headers[0]));
}

static void descriptor_counts(void **state)
{
	struct bench *bench = *state;
	unsigned before;
	int fds[9], socket;
	uint8_t payload[512] = { 0 };
	static const struct {
		uint32_t request, size;
		unsigned fds;
	} cases[] = {
		{ VHOST_USER_GET_FEATURES, 0, 1 },
		{ VHOST_USER_SET_FEATURES, 8, 1 },
		{ VHOST_USER_SET_VRING_CALL, 8, 0 },	/* without the flag that says so */
		{ VHOST_USER_SET_VRING_CALL, 8, 2 },
		{ VHOST_USER_SET_MEM_TABLE, 8, 1 },	/* no regions, one descriptor */
		{ VHOST_USER_SET_BACKEND_REQ_FD, 0, 0 },
		{ VHOST_USER_ADD_MEM_REG, 40, 0 },
		{ VHOST_USER_ADD_MEM_REG, 40, 2 },
		{ VHOST_USER_SET_INFLIGHT_FD, 24, 2 },
		{ VHOST_USER_SET_LOG_BASE, 16, 0 },
		{ VHOST_USER_GET_FEATURES, 0, 9 },	/* more than any message has */
	};

	for (unsigned i = 0; i < 9; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	before = count_fds();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		socket = frontend_connect(bench);
		handshake(bench, socket, BASIC_FEATURES);
		send_message(socket, cases[i].request, NEED_REPLY, payload, cases[i].size, fds, cases[i].fds);
		assert_true(closed_by_peer(bench, socket));
		close(socket);
		AWAIT_FDS(bench, before);
	}
	/* A descriptor in the middle of a message. */
	socket = frontend_connect(bench);
	handshake(bench, socket, BASIC_FEATURES);
	assert_int_equal(send(socket, payload, 0, 0), 0);
	payload[0] = VHOST_USER_SET_FEATURES;
	payload[4] = VHOST_USER_VERSION;
	payload[8] = 8;
	assert_int_equal(fd_send(socket, payload, 12, NULL, 0), 12);
	assert_int_equal(fd_send(socket, payload + 12, 8, fds, 1), 8);
	assert_true(closed_by_peer(bench, socket));
	close(socket);
	for (unsigned i = 0; i < 9; i++)
		close(fds[i]);
}

static void wrong_kinds_of_descriptors(void **state)
{
	struct bench *bench = *state;
	struct vhost_user_single_region region = { .region = region_at(0) };
	struct vhost_user_log log = { .bytes = 4096 };
	struct vhost_user_inflight_description inflight = { .bytes = 4096, .queues = 1, .queue_size = 64 };
	uint64_t index = 0;
	const struct {
		uint32_t request, size;
		const void *payload;
		bool socket_fits, event_fits;
	} messages[] = {
		{ VHOST_USER_SET_VRING_KICK, 8, &index, false, true },
		{ VHOST_USER_SET_VRING_CALL, 8, &index, false, true },
		{ VHOST_USER_SET_VRING_ERR, 8, &index, false, true },
		{ VHOST_USER_SET_LOG_FD, 0, NULL, false, true },
		{ VHOST_USER_SET_BACKEND_REQ_FD, 0, NULL, true, false },
		{ VHOST_USER_ADD_MEM_REG, sizeof(region), &region, false, false },
		{ VHOST_USER_SET_LOG_BASE, sizeof(log), &log, false, false },
		{ VHOST_USER_SET_INFLIGHT_FD, sizeof(inflight), &inflight, false, false },
	};
	int pair[2], pipes[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(pipe(pipes), 0);
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		const int fds[] = { pair[0],
				    eventfd(0, EFD_CLOEXEC),
				    pipes[0],
				    pipes[1],
				    epoll_create1(EPOLL_CLOEXEC),
				    open("/tmp", O_RDONLY | O_CLOEXEC),
				    open("/dev/zero", O_RDWR | O_CLOEXEC),
				    open("/", O_PATH | O_CLOEXEC) };

		for (size_t k = 0; k < sizeof(fds) / sizeof(fds[0]); k++) {
			unsigned before = count_fds();
			int socket;

			if ((k == 0 && messages[i].socket_fits) || (k == 1 && messages[i].event_fits))
				continue;
			socket = frontend_connect(bench);
			handshake(bench, socket, BASIC_FEATURES);
			send_message(socket, messages[i].request, NEED_REPLY, messages[i].payload,
				     messages[i].size, &fds[k], 1);
			assert_true(closed_by_peer(bench, socket));
			close(socket);
			AWAIT_FDS(bench, before);
			/* Not so many a second that the socket backs off. */
			bench_pass(bench, 40 * NS_PER_MS);
		}
		for (size_t k = 1; k < sizeof(fds) / sizeof(fds[0]); k++)
			if (k != 2 && k != 3)
				close(fds[k]);
	}
	close(pair[0]);
	close(pair[1]);
	close(pipes[0]);
	close(pipes[1]);
}

static void unknown_requests(void **state)
{
	static const uint32_t refused[] = { VHOST_USER_SEND_RARP,
					    VHOST_USER_NET_SET_MTU,
					    VHOST_USER_IOTLB_MSG,
					    VHOST_USER_POSTCOPY_ADVISE,
					    VHOST_USER_POSTCOPY_LISTEN,
					    VHOST_USER_POSTCOPY_END,
					    0,
					    23,
					    45,
					    1000,
					    UINT32_MAX };
	struct bench *bench = *state;
	int socket = frontend_connect(bench);
	uint8_t payload[32] = { 0 };

	handshake(bench, socket, BASIC_FEATURES);
	for (unsigned i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_int_not_equal(tell(bench, socket, refused[i], payload, i % 3 * 8), 0);
	/* Unasked, nothing is said. */
	send_message(socket, VHOST_USER_SEND_RARP, 0, payload, 8, NULL, 0);
	assert_int_equal(tell(bench, socket, VHOST_USER_RESET_OWNER, NULL, 0), 0);
	assert_int_equal(bench_status(bench).protocol_errors, sizeof(refused) / sizeof(refused[0]) + 1);
	/* The front end would wait for an answer that we cannot give. */
	send_message(socket, VHOST_USER_POSTCOPY_ADVISE, 0, NULL, 0, NULL, 0);
	assert_true(closed_by_peer(bench, socket));
	close(socket);
}

static void numbers_out_of_range(void **state)
{
	struct bench *bench = *state;
	struct vhost_user_vring_address address = ring_address(0);
	struct vhost_user_inflight_description inflight = { .queues = 1, .queue_size = 64 };
	struct vhost_user_vring_state ring = { 0xffff0000u, 0 };
	int socket = frontend_connect(bench), event = eventfd(0, EFD_CLOEXEC);

	handshake(bench, socket, BASIC_FEATURES);
	assert_int_equal(add_region(bench, socket, 0), 0);
	assert_int_not_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_NUM, 0xffff0000u, 64), 0);
	assert_int_not_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_NUM, FAKE_RINGS, 64), 0);
	assert_int_not_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_NUM, 0, 0), 0);
	assert_int_not_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_NUM, 0, 3), 0);
	assert_int_not_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_NUM, 0, 2048), 0);
	assert_int_not_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_NUM, 0, 0x80000000u), 0);
	assert_int_not_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_BASE, 0, 0x10000), 0);
	assert_int_not_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_ENABLE, 0, 2), 0);
	assert_int_not_equal(tell_u64(bench, socket, VHOST_USER_SET_FEATURES, 1ull << 63), 0);
	assert_int_not_equal(tell_u64(bench, socket, VHOST_USER_SET_STATUS, 256), 0);
	assert_int_not_equal(tell_event(bench, socket, VHOST_USER_SET_VRING_KICK, 255, event), 0);
	assert_int_not_equal(tell_event(bench, socket, VHOST_USER_SET_VRING_KICK, 0x200, event), 0);
	assert_int_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_NUM, 0, 64), 0);
	address.used = USER_BASE + MEMORY_BYTES - 64;
	assert_int_not_equal(tell(bench, socket, VHOST_USER_SET_VRING_ADDR, &address, sizeof(address)), 0);
	address.used = ring_address(0).used;
	address.flags = 2;
	assert_int_not_equal(tell(bench, socket, VHOST_USER_SET_VRING_ADDR, &address, sizeof(address)), 0);
	/* Nothing of all this left a mark: the device still works. */
	start_ring(bench, socket, 0, 0);
	inflight.queues = 0;
	send_message(socket, VHOST_USER_GET_INFLIGHT_FD, 0, &inflight, 24, NULL, 0);
	assert_true(closed_by_peer(bench, socket));
	close(socket);
	socket = frontend_connect(bench);
	send_message(socket, VHOST_USER_GET_VRING_BASE, 0, &ring, sizeof(ring), NULL, 0);
	assert_true(closed_by_peer(bench, socket));
	close(event);
	close(socket);
}

/* Without acknowledgements the front end cannot learn that it was refused: better gone than wrong. */
static void refusal_without_acknowledgement(void **state)
{
	struct bench *bench = *state;
	uint64_t features = 1ull << 63;
	int socket = frontend_connect(bench);

	send_message(socket, VHOST_USER_SET_FEATURES, 0, &features, sizeof(features), NULL, 0);
	assert_true(closed_by_peer(bench, socket));
	close(socket);
}

static void byte_by_byte(void **state)
{
	struct bench *bench = *state;
	uint8_t bytes[20] = { VHOST_USER_SET_VRING_CALL, 0, 0, 0, VHOST_USER_VERSION, 0, 0, 0, 8 };
	int socket = frontend_connect(bench), event = eventfd(0, EFD_CLOEXEC);

	handshake(bench, socket, BASIC_FEATURES);
	bytes[4] |= NEED_REPLY;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		assert_int_equal(fd_send(socket, bytes + i, 1, &event, i == 0), 1);
		bench_turn(bench);
	}
	struct reply reply;

	assert_true(receive_reply(bench, socket, &reply));
	assert_int_equal(reply.payload.u64, 0);
	close(event);
	close(socket);
}

static void disconnect_in_a_message(void **state)
{
	struct bench *bench = *state;
	struct vhost_user_header header = { VHOST_USER_ADD_MEM_REG, VHOST_USER_VERSION,
					    sizeof(struct vhost_user_single_region) };
	int fd = fd_memfd("test", MEMORY_BYTES);

	for (size_t length = 1; length <= sizeof(header); length++) {
		int socket = frontend_running(bench, 1);

		assert_int_equal(fd_send(socket, &header, length, &fd, 1), length);
		bench_turn(bench);
		close(socket);
		TURN_UNTIL(bench, bench_status(bench).connections == 0 && !fake_ring[0]);
	}
	close(fd);
}

static void reset_in_a_loop(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_running(bench, 1);
	unsigned before = count_fds();

	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(tell(bench, socket, VHOST_USER_RESET_DEVICE, NULL, 0), 0);
		start_ring(bench, socket, 0, 0);
	}
	AWAIT_FDS(bench, before);
	close(socket);
}

static void inflight_a_thousand_times(void **state)
{
	struct bench *bench = *state;
	struct vhost_user_inflight_description inflight = { .queues = 1, .queue_size = 64 };
	int socket = frontend_connect(bench);
	unsigned before;

	handshake(bench, socket, BASIC_FEATURES);
	before = count_fds();
	for (unsigned i = 0; i < 1000; i++) {
		struct reply reply = ask(bench, socket, VHOST_USER_GET_INFLIGHT_FD, &inflight, 24);

		inflight.bytes = reply.payload.inflight.bytes;
		assert_int_equal(
			ask_with(bench, socket, VHOST_USER_SET_INFLIGHT_FD, &inflight, 24, &reply.fd, 1)
				.payload.u64,
			0);
		close(reply.fd);
	}
	AWAIT_FDS(bench, before + 1);
	close(socket);
}

/* Requests without end, replies never read. */
static void replies_not_read(void **state)
{
	struct bench *bench = *state;
	struct vhost_user_header header = { VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0 };
	int socket = frontend_connect(bench);
	bool gone = false;

	for (unsigned i = 0; i < 100000 && !gone; i++) {
		gone = send(socket, &header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
		       errno == EPIPE;
		if (i % 16 == 0)
			bench_turn(bench);
	}
	assert_true(gone);
	TURN_UNTIL(bench, bench_status(bench).connections == 0);
	close(socket);
}

static void backend_channel_not_read(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_connect(bench), channel[2];
	char fill[4096] = { 0 };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, channel), 0);
	while (send(channel[1], fill, sizeof(fill), MSG_DONTWAIT) > 0)
		;
	handshake(bench, socket, BASIC_FEATURES);
	assert_int_equal(
		ask_with(bench, socket, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &channel[1], 1).payload.u64,
		0);
	for (unsigned i = 0; i < 1000; i++)
		endpoint_config_changed(bench->endpoint);
	/* Room again: one message for all the changes. */
	while (recv(channel[0], fill, sizeof(fill), MSG_DONTWAIT) > 0)
		;
	AWAIT(readable(channel[0]), bench_pass(bench, NS_PER_MS));
	bench_settle(bench);
	assert_int_equal(recv(channel[0], fill, sizeof(fill), MSG_DONTWAIT),
			 sizeof(struct vhost_user_header));
	assert_int_equal(
		ask_with(bench, socket, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &channel[1], 1).payload.u64,
		0);
	close(channel[0]);
	close(channel[1]);
	/* Its other end is gone: that closes the channel, not the connection. */
	endpoint_config_changed(bench->endpoint);
	assert_int_equal(tell(bench, socket, VHOST_USER_SET_OWNER, NULL, 0), 0);
	close(socket);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(lying_headers),
		BENCH_TEST(descriptor_counts),
		BENCH_TEST(wrong_kinds_of_descriptors),
		BENCH_TEST(unknown_requests),
		BENCH_TEST(numbers_out_of_range),
		BENCH_TEST(refusal_without_acknowledgement),
		BENCH_TEST(byte_by_byte),
		BENCH_TEST(disconnect_in_a_message),
		BENCH_TEST(reset_in_a_loop),
		BENCH_TEST(inflight_a_thousand_times),
		BENCH_TEST(replies_not_read),
		BENCH_TEST(backend_channel_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
