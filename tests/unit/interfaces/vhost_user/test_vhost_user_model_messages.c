/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages that a model adds: a toy that takes them all beside a disk that knows none. */
#include "vhost_user_bench.h"

/* ---- the toy ---- */

static struct {
	uint64_t mtu, mac;
	int display;		/* owned; -1: none */
	unsigned calls;
	bool refuses;
} toy;

static int toy_message(void *device, enum virtio_model_message message, uint64_t number, int *fd)
{
	toy.calls++;
	if (toy.refuses)
		return -EINVAL;
	if (message == VIRTIO_MODEL_MTU) {
		toy.mtu = number;
	} else if (message == VIRTIO_MODEL_ANNOUNCE) {
		toy.mac = number;
	} else {
		fd_close(&toy.display);
		toy.display = fd_take(fd);
	}
	return 0;
}

static struct virtio_model_ops toy_model;

static int toy_setup(void **state)
{
	struct bench *bench;

	memset(&toy, 0, sizeof(toy));
	toy.display = -1;
	toy_model = device_model;
	toy_model.messages = 1u << VIRTIO_MODEL_MTU | 1u << VIRTIO_MODEL_ANNOUNCE |
			     1u << VIRTIO_MODEL_DISPLAY_SOCKET;
	toy_model.message = toy_message;
	bench_setup(state);
	bench = *state;
	endpoint_destroy(bench->endpoint, on_gone, bench);
	TURN_UNTIL(bench, bench->gone);
	bench->gone = false;
	bench->options.model = &toy_model;
	return vhost_user_create(&bench->options, &bench->endpoint);
}

static int toy_teardown(void **state)
{
	fd_close(&toy.display);
	return bench_teardown(state);
}

#define TOY_PROTOCOL (ALL_PROTOCOL | VHOST_USER_PROTOCOL_FEATURES_OF_MODELS)

static int toy_connect(struct bench *bench)
{
	int socket = frontend_connect(bench);

	handshake(bench, socket, BASIC_FEATURES);
	assert_int_equal(ask_u64(bench, socket, VHOST_USER_GET_PROTOCOL_FEATURES), TOY_PROTOCOL);
	assert_int_equal(tell_u64(bench, socket, VHOST_USER_SET_PROTOCOL_FEATURES, TOY_PROTOCOL), 0);
	return socket;
}

/* ---- tests ---- */

static void model_is_told(void **state)
{
	struct bench *bench = *state;
	int socket = toy_connect(bench), pair[2];

	assert_int_equal(tell_u64(bench, socket, VHOST_USER_NET_SET_MTU, 9000), 0);
	assert_int_equal(toy.mtu, 9000);
	assert_int_equal(tell_u64(bench, socket, VHOST_USER_SEND_RARP, 0xabcd665544332211ull), 0);
	assert_int_equal(toy.mac, 0x665544332211ull);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(
		ask_with(bench, socket, VHOST_USER_GPU_SET_SOCKET, NULL, 0, &pair[1], 1).payload.u64, 0);
	close(pair[1]);
	assert_int_equal(send(toy.display, "x", 1, MSG_NOSIGNAL), 1);
	assert_true(readable(pair[0]));
	/* While rings run, too. */
	assert_int_equal(add_region(bench, socket, 0), 0);
	start_ring(bench, socket, 0, 0);
	assert_int_equal(tell_u64(bench, socket, VHOST_USER_NET_SET_MTU, 68), 0);
	assert_int_equal(tell_u64(bench, socket, VHOST_USER_NET_SET_MTU, 65535), 0);
	assert_int_equal(bench_status(bench).protocol_errors, 0);
	close(pair[0]);
	close(socket);
}

static void numbers_are_checked(void **state)
{
	static const uint64_t mtus[] = { 0, 67, 65536, 1ull << 32 | 1500, UINT64_MAX };
	struct bench *bench = *state;
	int socket = toy_connect(bench);

	for (size_t i = 0; i < sizeof(mtus) / sizeof(mtus[0]); i++)
		assert_int_not_equal(tell_u64(bench, socket, VHOST_USER_NET_SET_MTU, mtus[i]), 0);
	assert_int_equal(toy.calls, 0);
	assert_int_equal(tell_u64(bench, socket, VHOST_USER_NET_SET_MTU, 1500), 0);
	close(socket);
}

static void only_once_negotiated(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_connect(bench);

	handshake(bench, socket, BASIC_FEATURES);
	assert_int_not_equal(tell_u64(bench, socket, VHOST_USER_NET_SET_MTU, 1500), 0);
	assert_int_not_equal(tell_u64(bench, socket, VHOST_USER_SEND_RARP, 1), 0);
	assert_int_equal(toy.calls, 0);
	close(socket);
}

/* What the model does not take is closed, and the front end learns of it. */
static void model_refuses(void **state)
{
	struct bench *bench = *state;
	int socket = toy_connect(bench), pair[2];

	toy.refuses = true;
	assert_int_not_equal(tell_u64(bench, socket, VHOST_USER_NET_SET_MTU, 1500), 0);
	assert_int_not_equal(tell_u64(bench, socket, VHOST_USER_SEND_RARP, 1), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_not_equal(
		ask_with(bench, socket, VHOST_USER_GPU_SET_SOCKET, NULL, 0, &pair[1], 1).payload.u64, 0);
	close(pair[1]);
	assert_int_equal(toy.calls, 3);
	assert_true(closed_by_peer(bench, pair[0]));
	close(pair[0]);
	close(socket);
}

static void wrong_shapes(void **state)
{
	struct bench *bench = *state;
	const int event = eventfd(0, EFD_CLOEXEC), memory = fd_memfd("test", 4096);
	const struct {
		uint32_t request, size;
		int fd;
	} cases[] = {
		{ VHOST_USER_NET_SET_MTU, 4, -1 },
		{ VHOST_USER_NET_SET_MTU, 8, event },
		{ VHOST_USER_SEND_RARP, 6, -1 },
		{ VHOST_USER_GPU_SET_SOCKET, 0, -1 },
		{ VHOST_USER_GPU_SET_SOCKET, 8, event },
		{ VHOST_USER_GPU_SET_SOCKET, 0, event },
		{ VHOST_USER_GPU_SET_SOCKET, 0, memory },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int socket = toy_connect(bench);
		uint64_t payload = 1500;

		send_message(socket, cases[i].request, NEED_REPLY, &payload, cases[i].size, &cases[i].fd,
			     cases[i].fd >= 0);
		assert_true(closed_by_peer(bench, socket));
		close(socket);
	}
	assert_int_equal(toy.calls, 0);
	close(event);
	close(memory);
}

/* The device is the owner's: a front end that waits beside it cannot turn its guest's screen away. */
static void only_the_owner(void **state)
{
	struct bench *bench = *state;
	int owner = toy_connect(bench), other = toy_connect(bench), pair[2];

	assert_int_equal(add_region(bench, owner, 0), 0);
	start_ring(bench, owner, 0, 0);
	assert_int_not_equal(tell_u64(bench, other, VHOST_USER_NET_SET_MTU, 1500), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_not_equal(
		ask_with(bench, other, VHOST_USER_GPU_SET_SOCKET, NULL, 0, &pair[1], 1).payload.u64, 0);
	assert_int_equal(toy.calls, 0);
	assert_int_equal(tell_u64(bench, owner, VHOST_USER_NET_SET_MTU, 1500), 0);
	close(pair[0]);
	close(pair[1]);
	close(owner);
	close(other);
}

/* A model without them: refused like a request that does not exist, and the connection goes on. */
static void disk_knows_none(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_connect(bench), pair[2];

	handshake(bench, socket, BASIC_FEATURES);
	assert_int_equal(ask_u64(bench, socket, VHOST_USER_GET_PROTOCOL_FEATURES), ALL_PROTOCOL);
	assert_int_not_equal(tell_u64(bench, socket, VHOST_USER_SET_PROTOCOL_FEATURES, TOY_PROTOCOL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	send_message(socket, VHOST_USER_GPU_SET_SOCKET, 0, NULL, 0, &pair[1], 1);
	send_message(socket, VHOST_USER_NET_SET_MTU, 0, NULL, 0, NULL, 0);
	assert_int_not_equal(tell_u64(bench, socket, VHOST_USER_SEND_RARP, 1), 0);
	assert_int_equal(bench_status(bench).connections, 1);
	close(pair[1]);
	assert_true(closed_by_peer(bench, pair[0]));
	close(pair[0]);
	close(socket);
}

#define TOY_TEST(name) cmocka_unit_test_setup_teardown(name, toy_setup, toy_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TOY_TEST(model_is_told), TOY_TEST(numbers_are_checked), TOY_TEST(only_once_negotiated),
		TOY_TEST(model_refuses), TOY_TEST(wrong_shapes),	TOY_TEST(only_the_owner),
		BENCH_TEST(disk_knows_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
