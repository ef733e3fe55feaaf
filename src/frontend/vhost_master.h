/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhost-user as its master speaks it: numbers of the protocol, and asking and telling over a connection. */
#ifndef VIADUCT_FRONTEND_VHOST_MASTER_H
#define VIADUCT_FRONTEND_VHOST_MASTER_H

#include "frontend/frontend_private.h"

enum vhost_request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	GET_VRING_BASE = 11,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	GET_QUEUE_NUM = 17,
	SET_VRING_ENABLE = 18,
	SET_BACKEND_REQ_FD = 21,
	GET_CONFIG = 24,
	SET_CONFIG = 25,
	GET_INFLIGHT_FD = 31,
	SET_INFLIGHT_FD = 32,
	ADD_MEM_REG = 37,
};

#define BACKEND_CONFIG_CHANGE 2u

#define F_PROTOCOL_FEATURES (1ull << 30)
#define P_MQ		    (1ull << 0)
#define P_REPLY_ACK	    (1ull << 3)
#define P_BACKEND_REQ	    (1ull << 5)
#define P_CONFIG	    (1ull << 9)
#define P_INFLIGHT_SHMFD    (1ull << 12)
#define P_MEM_SLOTS	    (1ull << 15)
#define P_WANTED	    (P_MQ | P_REPLY_ACK | P_BACKEND_REQ | P_CONFIG | P_INFLIGHT_SHMFD | P_MEM_SLOTS)

/* A back end may drain its requests before it answers GET_VRING_BASE. */
#define REPLY_TIMEOUT_MS 10000
#define CLOSE_TIMEOUT_MS 1000

#define CONFIG_BYTES_MAX 256u

struct vring_state {
	uint32_t index, number;
};

/* Records the text for the caller and returns `error`. */
int vhost_fail(struct frontend *frontend, int error, const char *text);
/*
 * Sends a message that has no answer of its own, with `fd` (lent) unless it is -1; with REPLY_ACK, waits
 * until the back end confirms it. Returns 0 or -errno and frontend->error, as do all below.
 */
int vhost_tell(struct frontend *frontend, uint32_t request, const void *payload, size_t bytes, int fd);
int vhost_tell_u64(struct frontend *frontend, uint32_t request, uint64_t value, int fd);
/*
 * Sends a question and receives its answer, of at least `answer_min` bytes, into the same message, which
 * then owns the descriptors that came.
 */
int vhost_ask(struct frontend *frontend, struct vhost_message *message, size_t answer_min, int timeout_ms);
int vhost_ask_u64(struct frontend *frontend, uint32_t request, uint64_t *ret_value);

#endif
