/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vhost-user wire format, and the one table that says what each message must look like before its
 * handler sees it (QEMU, docs/interop/vhost-user.rst). Numbers are in host byte order.
 */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_MESSAGES_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_MESSAGES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/virtio_model.h"

struct vhost_user_connection;

#define VHOST_USER_VERSION	    0x1u
#define VHOST_USER_VERSION_MASK	    0x3u
#define VHOST_USER_FLAG_REPLY	    0x4u
#define VHOST_USER_FLAG_NEED_REPLY  0x8u
#define VHOST_USER_FLAGS_KNOWN	    0xfu

/* Feature bits beside the virtio ones. */
#define VHOST_F_LOG_ALL		    26
#define VHOST_USER_F_PROTOCOL_FEATURES 30

#define VHOST_USER_PROTOCOL_F_MQ		   0
#define VHOST_USER_PROTOCOL_F_LOG_SHMFD		   1
#define VHOST_USER_PROTOCOL_F_RARP		   2
#define VHOST_USER_PROTOCOL_F_REPLY_ACK		   3
#define VHOST_USER_PROTOCOL_F_NET_MTU		   4
#define VHOST_USER_PROTOCOL_F_BACKEND_REQ	   5
#define VHOST_USER_PROTOCOL_F_CONFIG		   9
#define VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD	   12
#define VHOST_USER_PROTOCOL_F_RESET_DEVICE	   13
#define VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS  15
#define VHOST_USER_PROTOCOL_F_STATUS		   16
#define VHOST_USER_PROTOCOL_F_DEVICE_STATE	   19
#define VHOST_USER_PROTOCOL_BIT(name) (1ull << VHOST_USER_PROTOCOL_F_##name)
/* Of every device; those of its model come on top. */
#define VHOST_USER_PROTOCOL_FEATURES                                                                         \
	(VHOST_USER_PROTOCOL_BIT(MQ) | VHOST_USER_PROTOCOL_BIT(LOG_SHMFD) |                                  \
	 VHOST_USER_PROTOCOL_BIT(REPLY_ACK) | VHOST_USER_PROTOCOL_BIT(BACKEND_REQ) |                         \
	 VHOST_USER_PROTOCOL_BIT(CONFIG) | VHOST_USER_PROTOCOL_BIT(INFLIGHT_SHMFD) |                         \
	 VHOST_USER_PROTOCOL_BIT(RESET_DEVICE) | VHOST_USER_PROTOCOL_BIT(CONFIGURE_MEM_SLOTS) |              \
	 VHOST_USER_PROTOCOL_BIT(STATUS))
#define VHOST_USER_PROTOCOL_FEATURES_OF_MODELS                                                               \
	(VHOST_USER_PROTOCOL_BIT(RARP) | VHOST_USER_PROTOCOL_BIT(NET_MTU))

enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SEND_RARP = 19,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_IOTLB_MSG = 22,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_CREATE_CRYPTO_SESSION = 26,
	VHOST_USER_POSTCOPY_ADVISE = 28,
	VHOST_USER_POSTCOPY_LISTEN = 29,
	VHOST_USER_POSTCOPY_END = 30,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_GPU_SET_SOCKET = 33,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
	VHOST_USER_GET_SHARED_OBJECT = 41,
	VHOST_USER_SET_DEVICE_STATE_FD = 42,
	VHOST_USER_CHECK_DEVICE_STATE = 43,
	VHOST_USER_GET_SHMEM_CONFIG = 44,
	VHOST_USER_REQUESTS
};

/* Requests of ours on the back-end channel. */
enum vhost_user_backend_request {
	VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
	VHOST_USER_BACKEND_REQUESTS
};

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;		/* payload bytes */
};
static_assert(sizeof(struct vhost_user_header) == 12, "vhost-user header");

/* On the back-end channel: a header and a number, 0 for success. */
#define VHOST_USER_ANSWER_BYTES (sizeof(struct vhost_user_header) + sizeof(uint64_t))

struct vhost_user_vring_state {
	uint32_t index;
	uint32_t number;
};
static_assert(sizeof(struct vhost_user_vring_state) == 8, "vring state");

struct vhost_user_vring_address {
	uint32_t index;
	uint32_t flags;
	uint64_t descriptor;
	uint64_t used;
	uint64_t available;
	uint64_t log;
};
static_assert(sizeof(struct vhost_user_vring_address) == 40, "vring address");
#define VHOST_USER_VRING_F_LOG 0x1u

/*
 * SET_VRING_KICK, _CALL, _ERR: a u64 of the ring's index and a flag that says "no descriptor comes with it".
 */
#define VHOST_USER_VRING_INDEX_MASK 0xffull
#define VHOST_USER_VRING_NOFD	    0x100ull

struct vhost_user_memory_region {
	uint64_t guest_address;
	uint64_t size;
	uint64_t user_address;
	uint64_t file_offset;
};
static_assert(sizeof(struct vhost_user_memory_region) == 32, "memory region");

#define VHOST_USER_MEMORY_REGIONS_MAX 8u
struct vhost_user_memory_table {
	uint32_t count;
	uint32_t padding;
	struct vhost_user_memory_region region[VHOST_USER_MEMORY_REGIONS_MAX];
};
static_assert(sizeof(struct vhost_user_memory_table) == 8 + 8 * 32, "memory table");

struct vhost_user_single_region {
	uint64_t padding;
	struct vhost_user_memory_region region;
};
static_assert(sizeof(struct vhost_user_single_region) == 40, "single memory region");

struct vhost_user_log {
	uint64_t bytes;
	uint64_t offset;
};
static_assert(sizeof(struct vhost_user_log) == 16, "log description");

struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;		/* VHOST_USER_CONFIG_… */
	uint8_t bytes[VIRTIO_CONFIG_BYTES_MAX];
};
static_assert(offsetof(struct vhost_user_config, bytes) == 12, "configuration access");
#define VHOST_USER_CONFIG_HEADER    ((unsigned)offsetof(struct vhost_user_config, bytes))
#define VHOST_USER_CONFIG_WRITABLE  0u
#define VHOST_USER_CONFIG_MIGRATION 1u

/* SET_DEVICE_STATE_FD; answered with a number, and maybe a descriptor to use instead of the one that came. */
struct vhost_user_transfer {
	uint32_t direction;	/* VHOST_USER_TRANSFER_… */
	uint32_t phase;
};
static_assert(sizeof(struct vhost_user_transfer) == 8, "device state transfer");
#define VHOST_USER_TRANSFER_SAVE    0u
#define VHOST_USER_TRANSFER_LOAD    1u
#define VHOST_USER_TRANSFER_STOPPED 0u		/* the only phase */
#define VHOST_USER_TRANSFER_FAILED  0x1ull	/* in the answer, bits 0 to 7 */
#define VHOST_USER_TRANSFER_NOFD    0x100ull	/* … no descriptor comes with it */

/* 20 bytes; front ends that do not pack the structure (QEMU on 64-bit hosts) send and expect 24. */
struct vhost_user_inflight_description {
	uint64_t bytes;
	uint64_t offset;
	uint16_t queues;
	uint16_t queue_size;
	uint8_t tail[4];
};
static_assert(sizeof(struct vhost_user_inflight_description) == 24, "inflight description");
#define VHOST_USER_INFLIGHT_PACKED 20u

/* Room for a GET_CONFIG that asks for more than it may: that one is answered, a longer message is a lie. */
#define VHOST_USER_PAYLOAD_MAX 512u
#define VHOST_USER_FDS_MAX     VHOST_USER_MEMORY_REGIONS_MAX

union vhost_user_payload {
	uint64_t u64;
	struct vhost_user_vring_state state;
	struct vhost_user_vring_address address;
	struct vhost_user_memory_table memory;
	struct vhost_user_single_region region;
	struct vhost_user_log log;
	struct vhost_user_config config;
	struct vhost_user_inflight_description inflight;
	struct vhost_user_transfer transfer;
	uint8_t bytes[VHOST_USER_PAYLOAD_MAX];
};

/* A message as it came in. The handler takes the descriptors it keeps (fd_take); the rest are closed. */
struct vhost_user_message {
	struct vhost_user_header header;
	union vhost_user_payload payload;
	int fds[VHOST_USER_FDS_MAX];
	unsigned fd_count;
};

/* What became of a message. */
enum vhost_user_outcome {
	VHOST_USER_DONE,	/* acknowledged, or answered with the reply that the handler made */
	VHOST_USER_REFUSED,	/* nothing changed; the acknowledgement says so */
	VHOST_USER_LATER,	/* workers are at it; the connection goes on when they have answered */
	VHOST_USER_VIOLATION,	/* the message contradicts itself: the connection closes */
};

/* Rings of this connection, as the table's preconditions see them. */
#define VHOST_USER_WHEN_STOPPED 0x1u
#define VHOST_USER_WHEN_RUNNING 0x2u
#define VHOST_USER_ANY_TIME	(VHOST_USER_WHEN_STOPPED | VHOST_USER_WHEN_RUNNING)

struct vhost_user_rule {
	const char *name;
	uint16_t size_min, size_max;	/* payload bytes */
	uint8_t fds_min, fds_max;
	uint8_t states;			/* VHOST_USER_WHEN_… */
	/* Answered with a payload of its own, never with a bare acknowledgement */
	bool own_reply;
	/*
	 * What the front end would go on to do wrong if it did not learn of the refusal: without REPLY_ACK
	 * the connection closes instead.
	 */
	bool must_know;
	uint64_t protocol_features;	/* negotiated ones that it needs */
	/*
	 * Bits 1 << VIRTIO_MODEL_…: to a device whose model does not take them the request is unknown. 0:
	 * every device takes it.
	 */
	uint32_t model_messages;
	/* NULL: known, but not offered here. Control thread. */
	enum vhost_user_outcome (*handle)(struct vhost_user_connection *connection,
					  struct vhost_user_message *message);
};

/* How a connection stands, as far as the table's preconditions ask. */
struct vhost_user_standing {
	uint64_t protocol_features;	/* negotiated */
	uint32_t model_messages;	/* that the device's model takes */
	bool running;			/* rings of this connection run */
};

/* The rule of a request, or NULL for one that is unknown to such a model's device. */
const struct vhost_user_rule *vhost_user_rule_find(uint32_t request, uint32_t model_messages);

/* Protocol features that the messages of a model need, and that are offered when it takes them. */
uint64_t vhost_user_model_features(uint32_t model_messages);

/* "SET_MEM_TABLE", or "unknown". */
const char *vhost_user_request_name(uint32_t request);

/*
 * Is this a header that a front end may send? Returns NULL, or what is wrong with it: then the stream
 * cannot be followed any further.
 */
const char *vhost_user_header_check(const struct vhost_user_header *header);

/*
 * Is this the header of the answer to `request`, a request of ours on the back-end channel? Returns NULL, or
 * what is wrong with it: then the channel cannot be followed any further.
 */
const char *vhost_user_answer_check(const struct vhost_user_header *header, uint32_t request);

/*
 * The preconditions of the table. DONE: the handler may see it. REFUSED: not offered, not negotiated or not
 * now. VIOLATION: size or number of descriptors is wrong. *ret_reason says why in both cases.
 * `fd_count` and sizes of requests without a rule are not judged: they are REFUSED.
 */
enum vhost_user_outcome vhost_user_message_check(const struct vhost_user_header *header, unsigned fd_count,
						 const struct vhost_user_standing *standing,
						 const char **ret_reason);

#endif
