/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Border between a virtio transport (interfaces/virtio) and a virtio device model (devices/…): for
 * implementers of models. The transport takes descriptor chains off rings and hands them over as
 * struct virtio_chain; the model answers each exactly once with virtio_chain_complete().
 */
#ifndef VIADUCT_DEVICES_VIRTIO_MODEL_H
#define VIADUCT_DEVICES_VIRTIO_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct loop;
struct log_subject;

/* virtio-blk's configuration is 96 bytes, virtio-net's and -gpu's are smaller; vhost-user allows 256. */
#define VIRTIO_CONFIG_BYTES_MAX 256

struct virtio_chain;

/* What the transport does for a chain; each chain sees exactly one of the two calls, once. */
struct virtio_chain_ops {
	void (*complete)(struct virtio_chain *chain, uint32_t written_bytes);
	void (*reject)(struct virtio_chain *chain);
};

/*
 * One descriptor chain: private copies of its addresses. Owned by the transport; lent to the model until it
 * completes the chain. The bytes behind the iovecs are still the guest's: read them once.
 */
struct virtio_chain {
	/*
	 * Device-readable elements first, then device-writable ones. The model and the drivers below it may
	 * cut them; when the chain is completed the writable ones are as they were: a migration reads there
	 * which pages were written.
	 */
	struct iovec *iov;
	uint16_t readable_count;	/* elements */
	uint16_t writable_count;
	/* That are not empty; one across two regions of memory has two elements */
	uint16_t descriptors;
	uint32_t readable_bytes;
	uint32_t writable_bytes;
	uint16_t slot;			/* < queue size; no two chains in flight share one */
	bool busy;			/* transport's: taken and not yet completed */
	/*
	 * Some elements lie outside guest memory: their iov_base is NULL (their length is what the guest
	 * said). The model refuses the request, or rejects the chain when it cannot even answer.
	 */
	bool unmapped;
	/* model's private area of ops->request_bytes, zeroed at queue start */
	void *request;
	const struct virtio_chain_ops *ops;
};

/* Gives the chain back: `written_bytes` of its writable elements were written (virtio 1.2, 2.7.8). */
static inline void virtio_chain_complete(struct virtio_chain *chain, uint32_t written_bytes)
{
	chain->ops->complete(chain, written_bytes);
}

/* The chain is not a request of this device at all (no room for a header or a status): the ring stops. */
static inline void virtio_chain_reject(struct virtio_chain *chain)
{
	chain->ops->reject(chain);
}

/* What the model needs to know when a queue starts. */
struct virtio_queue_setup {
	struct loop *loop;		/* the worker that serves the queue */
	unsigned index;
	uint64_t features;		/* acknowledged by the driver */
	unsigned size;			/* descriptors; slots are below it */
};

/* What a front end may say to some kinds of devices only, beside rings and configuration. */
enum virtio_model_message {
	VIRTIO_MODEL_MTU,		/* number: bytes of the largest packet, 68 to 65535 */
	VIRTIO_MODEL_ANNOUNCE,		/* number: the MAC address (first byte lowest) that moved here */
	VIRTIO_MODEL_DISPLAY_SOCKET,	/* fd: a stream socket to the front end's display */
};

/* Filled in statically by each model. `device` is what the model's own create function returned. */
struct virtio_model_ops {
	const char *name;		/* "virtio-blk" */
	uint32_t virtio_id;		/* virtio 1.2, 5 */
	size_t request_bytes;		/* private bytes for each chain */
	/*
	 * A request may be carried out twice: when this process is killed, its successor takes every chain
	 * again that was in flight. False: what was in flight is lost, as when a cable is cut.
	 */
	bool repeatable;

	/* Device features offered, without ring and transport bits. Control thread; must not block. */
	uint64_t (*features)(void *device);
	/* Queues the device has at most. Control thread. */
	unsigned (*queue_count)(void *device);
	/*
	 * Size of the configuration space (0: there is none); config_read is never asked beyond it. Control
	 * thread.
	 */
	size_t (*config_size)(void *device);
	void (*config_read)(void *device, size_t offset, void *buffer, size_t bytes);
	/* Returns 0, or -EINVAL when a field is read-only. NULL: nothing is writable. Control thread. */
	int (*config_write)(void *device, uint64_t features, size_t offset, const void *buffer, size_t bytes);
	/* The driver reset the device or went away: forget what it configured. NULL: nothing to forget. */
	void (*reset)(void *device);

	/*
	 * A queue begins; returns 0 and the model's queue, or -errno. Worker thread, may allocate.
	 * Ends with queue_stop(), called when no chain is in flight.
	 */
	int (*queue_start)(void *device, const struct virtio_queue_setup *setup, void **ret_queue);
	void (*queue_stop)(void *queue);
	/*
	 * true: the queue's chains in flight are waited for, to stop it or to let go of memory: what can be
	 * hurried is. false: no longer; there is none before queue_stop(). Completes chains before it
	 * returns, maybe. NULL: nothing can. Worker.
	 */
	void (*queue_drain)(void *queue, bool drain);

	/* Takes one chain; it may be answered before the return or later. Worker; must not block. */
	void (*handle)(void *queue, struct virtio_chain *chain);

	/* Messages that the device takes, bits 1 << VIRTIO_MODEL_…; 0: none, and message() may be NULL. */
	uint32_t messages;
	/*
	 * One of them. Returns 0, or -errno: refused. *fd (-1: the message has none) is the model's once the
	 * model has set it to -1. Control thread; must not block.
	 */
	int (*message)(void *device, enum virtio_model_message message, uint64_t number, int *fd);
};

#endif
