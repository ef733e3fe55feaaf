/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the vhost-user server offers follows from what its model says of itself. */
#include "vhost_user_bench.h"

static size_t no_configuration(void *device)
{
	return 0;
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

	endpoint_destroy(bench->endpoint, on_gone, bench);
	TURN_UNTIL(bench, bench->gone);
	bench->gone = false;
	model = device_model;
	model.repeatable = false;
	model.config_size = no_configuration;
	bench->options.model = &model;
	assert_int_equal(vhost_user_create(&bench->options, &bench->endpoint), 0);

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(what_the_model_lacks_is_not_offered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
