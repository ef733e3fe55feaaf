/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost-user back end: one endpoint is one socket that serves one virtio device to a VMM.
 *
 * Runs on the control thread; never touches a ring. It builds complete virtqueue_setups from checked
 * messages and sends them to workers. Several front ends may be connected to an endpoint (the target of a
 * live migration waits beside its source); the rings of only one run at a time.
 */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/log.h"
#include "core/stats.h"
#include "interfaces/virtio/virtqueue.h"

struct handover;
struct loop_guest;
struct vhost_user_endpoint;

enum vhost_user_socket {
	VHOST_USER_LISTEN,	/* make a socket at `path` and listen */
	/* `fd` is a listening socket (service manager, test harness); we own it from now on */
	VHOST_USER_LISTEN_FD,
	VHOST_USER_CONNECTED_FD,/* `fd` is one connected front end; the endpoint ends with it */
	VHOST_USER_CONNECT,	/* client mode: connect to `path`, again and again (0.1 s doubling to 10 s) */
};

struct vhost_user_options {
	const char *name;		/* "alice/disk-root": copied */
	struct loop *control;
	enum vhost_user_socket socket;
	const char *path;		/* copied */
	int fd;
	uid_t owner;			/* of the socket file; (uid_t)-1: leave */
	gid_t group;			/* (gid_t)-1: leave */
	mode_t mode;			/* 0: 0600 */

	const struct virtio_model_ops *model;
	void *device;
	unsigned queue_size_max;	/* 0: 1024 */
	/* Ring features not to offer (a bit mask), e.g. 1 << VIRTIO_F_RING_PACKED */
	uint64_t features_off;
	/* Whose time on the workers it is; NULL: a guest of its own. A reference is taken */
	struct loop_guest *guest;
	/* The worker for a queue. Control thread. */
	struct loop *(*worker)(void *context, unsigned queue_index);
	void *worker_context;
};

/*
 * Returns 0 or -errno; on failure the fd stays the caller's. A stale socket file (nobody listens) is
 * replaced; one that somebody listens on gives -EADDRINUSE. `device` outlives the endpoint.
 */
int vhost_user_create(const struct vhost_user_options *options, struct vhost_user_endpoint **ret_endpoint);

/*
 * Disconnects everybody, stops all rings (draining), removes the socket file, frees; then calls gone(),
 * possibly before it returns (NULL is allowed). After vhost_user_save() the connections and the socket file
 * are the successor's and stay untouched. The control loop and the workers must go on turning until then.
 */
void vhost_user_destroy(struct vhost_user_endpoint *endpoint, void (*gone)(void *context), void *context);

/* The device's configuration space changed: tells the running front end (BACKEND_CONFIG_CHANGE_MSG). */
void vhost_user_config_changed(struct vhost_user_endpoint *endpoint);

struct vhost_user_status {
	unsigned connections;		/* front ends connected */
	unsigned queues_running;
	uint64_t features;		/* acknowledged by the running front end */
	bool broken;			/* stopped by a violation, waits for a reset */
	uint64_t connects;		/* since the endpoint exists */
	uint64_t refused_connects;
	uint64_t violations[VIOLATIONS];/* of rings */
	uint64_t protocol_errors;	/* messages refused */
	uint64_t kicks, chains, calls, calls_suppressed;
	/* Time of workers, since the endpoint exists; a guest's is its endpoints' sum */
	uint64_t cpu_ns;
};
/* Control thread. */
void vhost_user_status(const struct vhost_user_endpoint *endpoint, struct vhost_user_status *ret_status);

/*
 * Takeover. suspend: stops reading sockets, drains and stops all rings, then calls suspended(). save: appends
 * everything a successor needs (connections, memory, fds, positions) to the handover. resume: goes on in
 * this process after all (the successor failed). suspended() may be called before vhost_user_suspend()
 * returns.
 */
void vhost_user_suspend(struct vhost_user_endpoint *endpoint, void (*suspended)(void *context),
			void *context);
void vhost_user_save(struct vhost_user_endpoint *endpoint, struct handover *handover);
void vhost_user_resume(struct vhost_user_endpoint *endpoint);
/*
 * In the successor: builds the endpoint from a handover instead of options->socket; rings start at once.
 * Returns 0, -EBADMSG (a foreign or damaged stream, or one that this device cannot take over) or -ENOMEM;
 * the predecessor can go on with the same sockets then.
 */
int vhost_user_restore(const struct vhost_user_options *options, struct handover *handover,
		       struct vhost_user_endpoint **ret_endpoint);

#endif
