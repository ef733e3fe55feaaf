/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vhost_user/vhost_user_messages.h"

#include "interfaces/vhost_user/vhost_user_handlers.h"

#define EXACT(type)	  .size_min = sizeof(type), .size_max = sizeof(type)
#define BETWEEN(min, max) .size_min = (min), .size_max = (max)
#define FDS(min, max)	  .fds_min = (min), .fds_max = (max)
#define NEEDS(name)	  .protocol_features = VHOST_USER_PROTOCOL_BIT(name)
#define TAKES(name)	  .model_messages = 1u << VIRTIO_MODEL_##name
#define ANY		  .states = VHOST_USER_ANY_TIME
#define STOPPED		  .states = VHOST_USER_WHEN_STOPPED

/* A row without a handler is a request whose feature is not offered; the row says if it waits for a reply. */
static const struct vhost_user_rule rules[VHOST_USER_REQUESTS] = {
	[VHOST_USER_GET_FEATURES] = { .name = "GET_FEATURES",
				      ANY,
				      .own_reply = true,
				      .handle = vhost_user_get_features },
	[VHOST_USER_SET_FEATURES] = { .name = "SET_FEATURES",
				      EXACT(uint64_t),
				      ANY,
				      .must_know = true,
				      .handle = vhost_user_set_features },
	[VHOST_USER_SET_OWNER] = { .name = "SET_OWNER", ANY, .handle = vhost_user_set_owner },
	[VHOST_USER_RESET_OWNER] = { .name = "RESET_OWNER", ANY, .handle = vhost_user_reset_owner },
	[VHOST_USER_SET_MEM_TABLE] = { .name = "SET_MEM_TABLE",
				       BETWEEN(8, sizeof(struct vhost_user_memory_table)),
				       FDS(0, VHOST_USER_MEMORY_REGIONS_MAX),
				       ANY,
				       .must_know = true,
				       .handle = vhost_user_set_mem_table },
	[VHOST_USER_SET_LOG_BASE] = { .name = "SET_LOG_BASE",
				      EXACT(struct vhost_user_log),
				      FDS(1, 1),
				      ANY,
				      .own_reply = true,
				      NEEDS(LOG_SHMFD),
				      .handle = vhost_user_set_log_base },
	[VHOST_USER_SET_LOG_FD] = { .name = "SET_LOG_FD",
				    BETWEEN(0, 8),
				    FDS(1, 1),
				    ANY,
				    .handle = vhost_user_set_log_fd },
	[VHOST_USER_SET_VRING_NUM] = { .name = "SET_VRING_NUM",
				       EXACT(struct vhost_user_vring_state),
				       ANY,
				       .handle = vhost_user_set_vring_num },
	[VHOST_USER_SET_VRING_ADDR] = { .name = "SET_VRING_ADDR",
					EXACT(struct vhost_user_vring_address),
					ANY,
					.handle = vhost_user_set_vring_addr },
	[VHOST_USER_SET_VRING_BASE] = { .name = "SET_VRING_BASE",
					EXACT(struct vhost_user_vring_state),
					ANY,
					.handle = vhost_user_set_vring_base },
	[VHOST_USER_GET_VRING_BASE] = { .name = "GET_VRING_BASE",
					EXACT(struct vhost_user_vring_state),
					ANY,
					.own_reply = true,
					.handle = vhost_user_get_vring_base },
	[VHOST_USER_SET_VRING_KICK] = { .name = "SET_VRING_KICK",
					EXACT(uint64_t),
					FDS(0, 1),
					ANY,
					.must_know = true,
					.handle = vhost_user_set_vring_kick },
	[VHOST_USER_SET_VRING_CALL] = { .name = "SET_VRING_CALL",
					EXACT(uint64_t),
					FDS(0, 1),
					ANY,
					.handle = vhost_user_set_vring_call },
	[VHOST_USER_SET_VRING_ERR] = { .name = "SET_VRING_ERR",
				       EXACT(uint64_t),
				       FDS(0, 1),
				       ANY,
				       .handle = vhost_user_set_vring_err },
	[VHOST_USER_GET_PROTOCOL_FEATURES] = { .name = "GET_PROTOCOL_FEATURES",
					       ANY,
					       .own_reply = true,
					       .handle = vhost_user_get_protocol_features },
	[VHOST_USER_SET_PROTOCOL_FEATURES] = { .name = "SET_PROTOCOL_FEATURES",
					       EXACT(uint64_t),
					       STOPPED,
					       .must_know = true,
					       .handle = vhost_user_set_protocol_features },
	/* Allowed as soon as MQ was offered, before it is acknowledged. */
	[VHOST_USER_GET_QUEUE_NUM] = { .name = "GET_QUEUE_NUM",
				       ANY,
				       .own_reply = true,
				       .handle = vhost_user_get_queue_num },
	[VHOST_USER_SET_VRING_ENABLE] = { .name = "SET_VRING_ENABLE",
					  EXACT(struct vhost_user_vring_state),
					  ANY,
					  .handle = vhost_user_set_vring_enable },
	[VHOST_USER_SEND_RARP] = { .name = "SEND_RARP",
				   EXACT(uint64_t),
				   ANY,
				   NEEDS(RARP),
				   TAKES(ANNOUNCE),
				   .handle = vhost_user_send_rarp },
	/* Before SET_FEATURES as a rule: whether the driver wants to know the MTU is not known yet. */
	[VHOST_USER_NET_SET_MTU] = { .name = "NET_SET_MTU",
				     EXACT(uint64_t),
				     ANY,
				     .must_know = true,
				     NEEDS(NET_MTU),
				     TAKES(MTU),
				     .handle = vhost_user_net_set_mtu },
	[VHOST_USER_SET_BACKEND_REQ_FD] = { .name = "SET_BACKEND_REQ_FD",
					    FDS(1, 1),
					    ANY,
					    NEEDS(BACKEND_REQ),
					    .handle = vhost_user_set_backend_req_fd },
	[VHOST_USER_IOTLB_MSG] = { .name = "IOTLB_MSG" },
	[VHOST_USER_GET_CONFIG] = { .name = "GET_CONFIG",
				    BETWEEN(VHOST_USER_CONFIG_HEADER, VHOST_USER_PAYLOAD_MAX),
				    ANY,
				    .own_reply = true,
				    NEEDS(CONFIG),
				    .handle = vhost_user_get_config },
	[VHOST_USER_SET_CONFIG] = { .name = "SET_CONFIG",
				    BETWEEN(VHOST_USER_CONFIG_HEADER, sizeof(struct vhost_user_config)),
				    ANY,
				    NEEDS(CONFIG),
				    .handle = vhost_user_set_config },
	[VHOST_USER_CREATE_CRYPTO_SESSION] = { .name = "CREATE_CRYPTO_SESSION", .own_reply = true },
	[VHOST_USER_POSTCOPY_ADVISE] = { .name = "POSTCOPY_ADVISE", .own_reply = true },
	[VHOST_USER_POSTCOPY_LISTEN] = { .name = "POSTCOPY_LISTEN" },
	[VHOST_USER_POSTCOPY_END] = { .name = "POSTCOPY_END", .own_reply = true },
	[VHOST_USER_GET_INFLIGHT_FD] = { .name = "GET_INFLIGHT_FD",
					 BETWEEN(VHOST_USER_INFLIGHT_PACKED,
						 sizeof(struct vhost_user_inflight_description)),
					 ANY,
					 .own_reply = true,
					 NEEDS(INFLIGHT_SHMFD),
					 .handle = vhost_user_get_inflight_fd },
	[VHOST_USER_SET_INFLIGHT_FD] = { .name = "SET_INFLIGHT_FD",
					 BETWEEN(VHOST_USER_INFLIGHT_PACKED,
						 sizeof(struct vhost_user_inflight_description)),
					 FDS(1, 1),
					 STOPPED,
					 .must_know = true,
					 NEEDS(INFLIGHT_SHMFD),
					 .handle = vhost_user_set_inflight_fd },
	[VHOST_USER_GPU_SET_SOCKET] = { .name = "GPU_SET_SOCKET",
					FDS(1, 1),
					ANY,
					.must_know = true,
					TAKES(DISPLAY_SOCKET),
					.handle = vhost_user_gpu_set_socket },
	[VHOST_USER_RESET_DEVICE] = { .name = "RESET_DEVICE",
				      ANY,
				      NEEDS(RESET_DEVICE),
				      .handle = vhost_user_reset_device },
	[VHOST_USER_GET_MAX_MEM_SLOTS] = { .name = "GET_MAX_MEM_SLOTS",
					   ANY,
					   .own_reply = true,
					   NEEDS(CONFIGURE_MEM_SLOTS),
					   .handle = vhost_user_get_max_mem_slots },
	[VHOST_USER_ADD_MEM_REG] = { .name = "ADD_MEM_REG",
				     EXACT(struct vhost_user_single_region),
				     FDS(1, 1),
				     ANY,
				     .must_know = true,
				     NEEDS(CONFIGURE_MEM_SLOTS),
				     .handle = vhost_user_add_mem_reg },
	/* Some front ends send the region's descriptor along; it is closed unread. */
	[VHOST_USER_REM_MEM_REG] = { .name = "REM_MEM_REG",
				     EXACT(struct vhost_user_single_region),
				     FDS(0, 1),
				     ANY,
				     .must_know = true,
				     NEEDS(CONFIGURE_MEM_SLOTS),
				     .handle = vhost_user_rem_mem_reg },
	[VHOST_USER_SET_STATUS] = { .name = "SET_STATUS",
				    EXACT(uint64_t),
				    ANY,
				    NEEDS(STATUS),
				    .handle = vhost_user_set_status },
	[VHOST_USER_GET_STATUS] = { .name = "GET_STATUS",
				    ANY,
				    .own_reply = true,
				    NEEDS(STATUS),
				    .handle = vhost_user_get_status },
	[VHOST_USER_GET_SHARED_OBJECT] = { .name = "GET_SHARED_OBJECT", .own_reply = true },
	[VHOST_USER_SET_DEVICE_STATE_FD] = { .name = "SET_DEVICE_STATE_FD",
					     EXACT(struct vhost_user_transfer),
					     FDS(1, 1),
					     STOPPED,
					     .own_reply = true,
					     NEEDS(DEVICE_STATE),
					     .handle = vhost_user_set_device_state_fd },
	[VHOST_USER_CHECK_DEVICE_STATE] = { .name = "CHECK_DEVICE_STATE",
					    STOPPED,
					    .own_reply = true,
					    NEEDS(DEVICE_STATE),
					    .handle = vhost_user_check_device_state },
	[VHOST_USER_GET_SHMEM_CONFIG] = { .name = "GET_SHMEM_CONFIG", .own_reply = true },
};

const struct vhost_user_rule *vhost_user_rule_find(uint32_t request, uint32_t model_messages)
{
	const struct vhost_user_rule *rule = &rules[request < VHOST_USER_REQUESTS ? request : 0];

	return rule->name && !(rule->model_messages & ~model_messages) ? rule : NULL;
}

uint64_t vhost_user_model_features(uint32_t model_messages)
{
	uint64_t features = 0;

	for (uint32_t request = 0; request < VHOST_USER_REQUESTS; request++)
		if (rules[request].model_messages & model_messages)
			features |= rules[request].protocol_features;
	return features;
}

const char *vhost_user_request_name(uint32_t request)
{
	const struct vhost_user_rule *rule = vhost_user_rule_find(request, ~0u);

	return rule ? rule->name : "unknown";
}

const char *vhost_user_header_check(const struct vhost_user_header *header)
{
	if ((header->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
		return "version is not 1";
	if (header->flags & ~VHOST_USER_FLAGS_KNOWN)
		return "reserved flags are set";
	if (header->flags & VHOST_USER_FLAG_REPLY)
		return "a reply to nothing";
	if (header->size > VHOST_USER_PAYLOAD_MAX)
		return "payload too long";
	return NULL;
}

const char *vhost_user_answer_check(const struct vhost_user_header *header, uint32_t request)
{
	if ((header->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
		return "version of the answer is not 1";
	if (header->flags != (VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY))
		return "not an answer";
	if (header->request != request)
		return "an answer to another request";
	if (header->size != sizeof(uint64_t))
		return "answer has the wrong size";
	return NULL;
}

enum vhost_user_outcome vhost_user_message_check(const struct vhost_user_header *header, unsigned fd_count,
						 const struct vhost_user_standing *standing,
						 const char **ret_reason)
{
	const struct vhost_user_rule *rule = vhost_user_rule_find(header->request, standing->model_messages);
	unsigned state = standing->running ? VHOST_USER_WHEN_RUNNING : VHOST_USER_WHEN_STOPPED;

	if (!rule || !rule->handle) {
		*ret_reason = "not offered";
		return VHOST_USER_REFUSED;
	}
	if (header->size < rule->size_min || header->size > rule->size_max) {
		*ret_reason = "payload has the wrong size";
		return VHOST_USER_VIOLATION;
	}
	if (fd_count < rule->fds_min || fd_count > rule->fds_max) {
		*ret_reason = "wrong number of descriptors";
		return VHOST_USER_VIOLATION;
	}
	if (rule->protocol_features & ~standing->protocol_features) {
		*ret_reason = "its protocol feature was not negotiated";
		return VHOST_USER_REFUSED;
	}
	if (!(rule->states & state)) {
		*ret_reason = "not while rings run";
		return VHOST_USER_REFUSED;
	}
	return VHOST_USER_DONE;
}
