/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of messages, without any socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "interfaces/vhost_user/vhost_user_messages.h"

/* What the device's model takes. */
static uint32_t model_messages;

static enum vhost_user_outcome check(uint32_t request, uint32_t size, unsigned fds, uint64_t protocol,
				     bool running)
{
	const struct vhost_user_standing standing = { protocol, model_messages, running };
	struct vhost_user_header header = { request, VHOST_USER_VERSION, size };
	const char *reason = NULL;
	enum vhost_user_outcome outcome = vhost_user_message_check(&header, fds, &standing, &reason);

	assert_int_equal(outcome == VHOST_USER_DONE, reason == NULL);
	return outcome;
}

static void headers(void **state)
{
	struct vhost_user_header header = { 1, VHOST_USER_VERSION, 0 };

	assert_null(vhost_user_header_check(&header));
	header.flags = VHOST_USER_VERSION | VHOST_USER_FLAG_NEED_REPLY;
	assert_null(vhost_user_header_check(&header));
	header.size = VHOST_USER_PAYLOAD_MAX;
	assert_null(vhost_user_header_check(&header));
	header.size++;
	assert_non_null(vhost_user_header_check(&header));
	header.size = 0;
	for (unsigned bit = 4; bit < 32; bit++) {
		header.flags = VHOST_USER_VERSION | 1u << bit;
		assert_non_null(vhost_user_header_check(&header));
	}
	header.flags = VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY;
	assert_non_null(vhost_user_header_check(&header));
	for (uint32_t version = 0; version < 4; version++) {
		header.flags = version;
		assert_int_equal(vhost_user_header_check(&header) == NULL, version == 1);
	}
}

static void answers(void **state)
{
	const struct vhost_user_header good = { 2, VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY, 8 };
	struct vhost_user_header header = good;

	assert_null(vhost_user_answer_check(&header, 2));
	assert_non_null(vhost_user_answer_check(&header, 3));
	for (unsigned bit = 0; bit < 32; bit++) {
		header.flags = good.flags ^ 1u << bit;
		assert_non_null(vhost_user_answer_check(&header, 2));
	}
	header.flags = good.flags;
	for (uint32_t size = 0; size < 64; size++) {
		header.size = size;
		assert_int_equal(vhost_user_answer_check(&header, 2) == NULL, size == 8);
	}
}

/* Properties that every row must have, so that a new one cannot be half filled in. */
static void every_row(void **state)
{
	const uint64_t of_devices = VHOST_USER_PROTOCOL_FEATURES | VHOST_USER_PROTOCOL_BIT(DEVICE_STATE);
	unsigned handled = 0;

	for (uint32_t request = 0; request < VHOST_USER_REQUESTS; request++) {
		const struct vhost_user_rule *rule = vhost_user_rule_find(request, ~0u);

		if (!rule)
			continue;
		assert_string_equal(vhost_user_request_name(request), rule->name);
		assert_true(rule->size_min <= rule->size_max && rule->size_max <= VHOST_USER_PAYLOAD_MAX);
		assert_true(rule->fds_min <= rule->fds_max && rule->fds_max <= VHOST_USER_FDS_MAX);
		assert_int_equal(rule->protocol_features &
					 ~(rule->model_messages ? VHOST_USER_PROTOCOL_FEATURES_OF_MODELS :
								  of_devices),
				 0);
		assert_false(rule->own_reply && rule->must_know);
		assert_int_equal(rule->handle != NULL, rule->states != 0);
		if (rule->handle)
			handled++;
		if (strncmp(rule->name, "GET_", 4) == 0)
			assert_true(rule->own_reply);
	}
	assert_int_equal(handled, 34);
	assert_null(vhost_user_rule_find(0, ~0u));
	assert_null(vhost_user_rule_find(VHOST_USER_REQUESTS, ~0u));
	assert_null(vhost_user_rule_find(UINT32_MAX, ~0u));
	assert_string_equal(vhost_user_request_name(UINT32_MAX), "unknown");
}

/* One too few and one too many, for each row, of bytes and of descriptors. */
static void bounds_of_every_row(void **state)
{
	model_messages = ~0u;
	for (uint32_t request = 0; request < VHOST_USER_REQUESTS; request++) {
		const struct vhost_user_rule *rule = vhost_user_rule_find(request, ~0u);

		if (!rule || !rule->handle)
			continue;
		assert_int_equal(check(request, rule->size_min, rule->fds_min, ~0ull, false),
				 VHOST_USER_DONE);
		assert_int_equal(check(request, rule->size_max, rule->fds_max, ~0ull, false),
				 VHOST_USER_DONE);
		assert_int_equal(check(request, rule->size_max + 1u, rule->fds_min, ~0ull, false),
				 VHOST_USER_VIOLATION);
		assert_int_equal(check(request, rule->size_min, rule->fds_max + 1u, ~0ull, false),
				 VHOST_USER_VIOLATION);
		if (rule->size_min > 0)
			assert_int_equal(check(request, rule->size_min - 1u, rule->fds_min, ~0ull, false),
					 VHOST_USER_VIOLATION);
		if (rule->fds_min > 0)
			assert_int_equal(check(request, rule->size_min, rule->fds_min - 1u, ~0ull, false),
					 VHOST_USER_VIOLATION);
		if (rule->protocol_features)
			assert_int_equal(check(request, rule->size_min, rule->fds_min, 0, false),
					 VHOST_USER_REFUSED);
	}
}

static void states(void **state)
{
	const uint64_t all = VHOST_USER_PROTOCOL_FEATURES;

	assert_int_equal(check(VHOST_USER_SET_INFLIGHT_FD, 24, 1, all, false), VHOST_USER_DONE);
	assert_int_equal(check(VHOST_USER_SET_INFLIGHT_FD, 20, 1, all, true), VHOST_USER_REFUSED);
	assert_int_equal(check(VHOST_USER_SET_PROTOCOL_FEATURES, 8, 0, all, true), VHOST_USER_REFUSED);
	assert_int_equal(check(VHOST_USER_SET_FEATURES, 8, 0, 0, true), VHOST_USER_DONE);
	assert_int_equal(check(VHOST_USER_ADD_MEM_REG, 40, 1, all, true), VHOST_USER_DONE);
}

/* To a device whose model does not take it, such a message is like one that does not exist. */
static void messages_of_models(void **state)
{
	static const struct {
		uint32_t request, size;
		unsigned fds;
		enum virtio_model_message message;
		uint64_t protocol;
	} rows[] = {
		{ VHOST_USER_SEND_RARP, 8, 0, VIRTIO_MODEL_ANNOUNCE, VHOST_USER_PROTOCOL_BIT(RARP) },
		{ VHOST_USER_NET_SET_MTU, 8, 0, VIRTIO_MODEL_MTU, VHOST_USER_PROTOCOL_BIT(NET_MTU) },
		{ VHOST_USER_GPU_SET_SOCKET, 0, 1, VIRTIO_MODEL_DISPLAY_SOCKET, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		model_messages = ~(1u << rows[i].message);
		assert_null(vhost_user_rule_find(rows[i].request, model_messages));
		assert_int_equal(check(rows[i].request, rows[i].size, rows[i].fds, ~0ull, false),
				 VHOST_USER_REFUSED);
		/* Nor is its size judged. */
		assert_int_equal(check(rows[i].request, 3, 7, ~0ull, false), VHOST_USER_REFUSED);
		assert_string_not_equal(vhost_user_request_name(rows[i].request), "unknown");
		model_messages = 1u << rows[i].message;
		assert_true(vhost_user_model_features(model_messages) == rows[i].protocol);
		assert_int_equal(check(rows[i].request, rows[i].size, rows[i].fds, rows[i].protocol, true),
				 VHOST_USER_DONE);
		assert_int_equal(check(rows[i].request, rows[i].size, rows[i].fds, 0, true),
				 rows[i].protocol ? VHOST_USER_REFUSED : VHOST_USER_DONE);
		assert_int_equal(check(rows[i].request, 3, rows[i].fds, ~0ull, false), VHOST_USER_VIOLATION);
	}
	assert_true(vhost_user_model_features(0) == 0);
}

static void not_offered(void **state)
{
	static const uint32_t requests[] = {
		0,	   VHOST_USER_SEND_RARP,       VHOST_USER_NET_SET_MTU,	VHOST_USER_IOTLB_MSG,
		23,	   VHOST_USER_POSTCOPY_ADVISE, VHOST_USER_POSTCOPY_END, 45,
		UINT32_MAX
	};

	model_messages = 0;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		assert_int_equal(check(requests[i], 8, 0, ~0ull, false), VHOST_USER_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),		cmocka_unit_test(answers),
		cmocka_unit_test(every_row),
		cmocka_unit_test(bounds_of_every_row),	cmocka_unit_test(states),
		cmocka_unit_test(messages_of_models),	cmocka_unit_test(not_offered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
