/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the vhost-user server offers follows from what its model says of itself. */
#include "vhost_user_bench.h"

static size_t no_configuration(void *device)
{
	return 0;
}

/* The endpoint of a device of another model, in the place of the bench's. */
static void serve_model(struct bench *bench, const struct virtio_model_ops *model)
{
	endpoint_destroy(bench->endpoint, on_gone, bench);
	TURN_UNTIL(bench, bench->gone);
	bench->gone = false;
	bench->options.model = model;
	assert_int_equal(vhost_user_create(&bench->options, &bench->endpoint), 0);
}

/* A model without a configuration space, whose requests may not be repeated: neither is offered. */
static void what_the_model_lacks_is_not_offered(void **state)
{
	static struct virtio_model_ops model;
	const uint64_t lacking[] = { VHOST_USER_PROTOCOL_BIT(CONFIG),
				     VHOST_USER_PROTOCOL_BIT(INFLIGHT_SHMFD) };
	const uint64_t offered = ALL_PROTOCOL & ~lacking[0] & ~lacking[1];
	struct bench *bench = *state;
	int socket;

	model = device_model;
	model.repeatable = false;
	model.config_size = no_configuration;
	serve_model(bench, &model);

	socket = frontend_connect(bench);
	assert_int_equal(ask_u64(bench, socket, VHOST_USER_GET_PROTOCOL_FEATURES), offered);
	tell_u64(bench, socket, VHOST_USER_SET_PROTOCOL_FEATURES, VHOST_USER_PROTOCOL_BIT(REPLY_ACK));
	for (unsigned i = 0; i < 2; i++)
		assert_int_not_equal(tell_u64(bench, socket, VHOST_USER_SET_PROTOCOL_FEATURES,
					      offered | lacking[i]),
				     0);
	assert_int_equal(tell_u64(bench, socket, VHOST_USER_SET_PROTOCOL_FEATURES, offered), 0);
	close(socket);
}

/* The answer to SET_DEVICE_STATE_FD with a pipe; *ret_fd: what came with it, or -1. */
static uint64_t transfer(struct bench *bench, int socket, uint32_t direction, uint32_t phase, int *ret_fd)
{
	struct vhost_user_transfer payload = { direction, phase };
	struct reply reply;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	reply = ask_with(bench, socket, VHOST_USER_SET_DEVICE_STATE_FD, &payload, sizeof(payload), &ends[1],
			 1);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(reply.header.size, 8);
	*ret_fd = reply.fd;
	return reply.payload.u64;
}

/* Without it, Cloud Hypervisor forgets where the rings stand. */
static void a_stateless_device_moves_with_nothing(void **state)
{
	const uint64_t protocol = ALL_PROTOCOL | VHOST_USER_PROTOCOL_BIT(DEVICE_STATE);
	static struct virtio_model_ops model;
	struct bench *bench = *state;
	char byte = 1;
	int socket, fd;

	model = device_model;
	model.stateless = true;
	serve_model(bench, &model);
	socket = frontend_running(bench, 0);
	assert_int_equal(ask_u64(bench, socket, VHOST_USER_GET_PROTOCOL_FEATURES), protocol);
	assert_int_equal(tell_u64(bench, socket, VHOST_USER_SET_PROTOCOL_FEATURES, protocol), 0);
	start_ring(bench, socket, 0, 5);
	stop_ring(bench, socket, 0);
	/* To save is to read the end at once; no state that is not empty can be loaded. */
	for (uint32_t direction = 0; direction < 2; direction++) {
		assert_int_equal(transfer(bench, socket, direction, 0, &fd), 0);
		assert_int_equal(read(fd, &byte, 1), 0);
		assert_int_equal(write(fd, &byte, 1), -1);
		close(fd);
		assert_int_equal(ask_u64(bench, socket, VHOST_USER_CHECK_DEVICE_STATE), 0);
	}
	assert_int_equal(transfer(bench, socket, 2, 0, &fd), 0x101);
	assert_int_equal(transfer(bench, socket, 0, 1, &fd), 0x101);
	assert_int_equal(fd, -1);
	start_ring(bench, socket, 0, 5);
	stop_ring(bench, socket, 0);
	close(socket);
}

/* A ring that runs may change what would be saved. */
static void no_state_while_rings_run(void **state)
{
	static const struct vhost_user_transfer save = { 0 };
	static struct virtio_model_ops model;
	struct bench *bench = *state;
	int socket, pair[2];

	model = device_model;
	model.stateless = true;
	serve_model(bench, &model);
	socket = frontend_running(bench, 0);
	assert_int_equal(tell_u64(bench, socket, VHOST_USER_SET_PROTOCOL_FEATURES,
				  ALL_PROTOCOL | VHOST_USER_PROTOCOL_BIT(DEVICE_STATE)), 0);
	start_ring(bench, socket, 0, 0);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	send_message(socket, VHOST_USER_SET_DEVICE_STATE_FD, NEED_REPLY, &save, sizeof(save), pair, 1);
	assert_true(closed_by_peer(bench, socket));
	close(pair[0]);
	close(pair[1]);
	close(socket);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(what_the_model_lacks_is_not_offered),
		BENCH_TEST(a_stateless_device_moves_with_nothing),
		BENCH_TEST(no_state_while_rings_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
