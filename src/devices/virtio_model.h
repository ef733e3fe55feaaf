/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Border between a virtio transport (interfaces/virtio) and a virtio device model (devices/…): for
 * implementers of models.
 *
 * A model pulls. The transport calls model->ready() when there may be descriptor chains; the model takes as
 * many as it can use, and completes each of them later or at once. What it does not take stays in the ring
 * and costs nothing: stopping the queue, a change of memory and a takeover wait only for chains that the
 * model holds. So a model takes a buffer of the driver's when it has something to put into it, and not
 * before.
 *
 * Everything here but the functions that say "control thread" runs on the queue's worker. A transport whose
 * configuration space is registers (interfaces/virtio_pci) calls these, too, on the worker: what they share
 * with a model's other callers on the control thread is atomic, or has a lock.
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

/*
 * One descriptor chain: private copies of its addresses. Owned by the transport; lent to the model from
 * take() until the model completes it, rejects it or gives it back. The bytes behind the iovecs are still the
 * guest's: read them once.
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
	/* Set by the model: so many of the writable bytes were written (virtio 1.2, 2.7.8) */
	uint32_t written_bytes;
	uint16_t slot;			/* < queue size; no two chains in flight share one */
	bool busy;			/* transport's: taken, and the answer is not yet published */
	/*
	 * Some elements lie outside guest memory: their iov_base is NULL (their length is what the guest
	 * said). The model refuses the request, or rejects the chain when it cannot even answer.
	 */
	bool unmapped;
	/* model's private area of ops->request_bytes, zeroed at queue start */
	void *request;
};

struct virtio_queue_ops;

/* A queue as the transport offers it to its model, from queue_start() to queue_stop(). */
struct virtio_queue {
	const struct virtio_queue_ops *ops;
	/*
	 * Set by the model when its queue starts: it bounds by itself what it takes inside ready(), because
	 * it may need many chains for one thing.
	 */
	bool own_bounds;
};

/* Filled in by the transport, called by the model. Nothing here blocks or fails. */
struct virtio_queue_ops {
	/*
	 * Takes up to `count` chains, the oldest first, and returns how many. Each is read from the ring and
	 * checked now, whether or not it was taken before. Fewer than `count` come when the ring holds fewer,
	 * and inside ready() when the queue's turn is over: the model starts what it got and asks again until
	 * it gets none. None come while the queue is disabled, stops or is broken; a queue that stops still
	 * offers what a predecessor had in flight, which ready() then has to take.
	 *
	 * A model may take at any time, for instance when a frame arrives. It then bounds its work itself.
	 */
	unsigned (*take)(struct virtio_queue *queue, struct virtio_chain **ret_chains, unsigned count);
	/*
	 * Puts chains back into the ring as if they had never been taken, chains[count - 1] first. Always the
	 * one that was taken last of all: a chain cannot go back before those taken after it, and not at all
	 * when one of those was completed. (Asserted.)
	 */
	void (*give_back)(struct virtio_queue *queue, struct virtio_chain *const *chains, unsigned count);
	/*
	 * Answers chains, whose written_bytes the model has set, in any order. The driver sees all answers of
	 * one turn of the worker at once, and so those of one call.
	 */
	void (*complete)(struct virtio_queue *queue, struct virtio_chain *const *chains, unsigned count);
	/*
	 * The chain is not a request of this device at all (no room for a header or a status): the ring
	 * stops, and the chain is gone.
	 */
	void (*reject)(struct virtio_queue *queue, struct virtio_chain *chain);
	/*
	 * Inside ready(): the model has done work although it took no chain, and wants to be asked again soon
	 * even if there is none.
	 */
	void (*busy)(struct virtio_queue *queue);
	/* Would take() find a chain, its turn aside? */
	bool (*pending)(struct virtio_queue *queue);
	/*
	 * true, as at the start: ready() is called soon, and again after the driver posts chains. false:
	 * ready() is not called any more and the driver is asked for no kicks.
	 */
	void (*listen)(struct virtio_queue *queue, bool listen);
	/*
	 * Guest memory that a request names by guest physical addresses in its own bytes: finds `bytes` (> 0)
	 * of it from `gpa` on. Returns how many of them, from the first one on, lie in one piece at
	 * *ret_host; 0: the first one lies outside guest memory, or the queue is broken. The guest may change
	 * them meanwhile, and the model only reads: a migration does not hear of what is written there.
	 * Inside ready() only, and the pointer is not kept: the memory may be another one afterwards.
	 */
	size_t (*reach)(struct virtio_queue *queue, uint64_t gpa, size_t bytes, const void **ret_host);
};

/* What the model needs to know when a queue starts. */
struct virtio_queue_setup {
	struct loop *loop;		/* the worker that serves the queue */
	struct virtio_queue *queue;	/* to take from; until queue_stop() */
	unsigned index;
	uint64_t features;		/* acknowledged by the driver */
	unsigned size;			/* descriptors; slots are below it */
	/*
	 * It does not go on where it, or a predecessor, stopped: a driver has set it up. What the driver
	 * before configured is gone, if the model has not forgotten it yet (outlives_status). A ring that is
	 * set up just where the one before stopped is known by its memory, which is zero (virtqueue.c).
	 */
	bool anew;
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
	/*
	 * Of what its driver did, rings and configuration space say all: a guest that moves takes no more
	 * along.
	 */
	bool stateless;
	/*
	 * Front ends say status 0 when they pause the device, too, and the driver goes on later with what it
	 * had configured. True: reset() is not called for that; the model forgets when a queue begins anew.
	 */
	bool outlives_status;
	/*
	 * Chains of one queue that are offered at once, and in one turn of its worker. 0: what suits a disk,
	 * 8 and 16. More for a model that is soon done with a chain and gains from many at once; it has an
	 * eighth of that in a turn while a guest that wants little comes and goes, and would wait for the
	 * rest.
	 */
	unsigned turn_chains;
	/*
	 * Descriptors in one chain, 1026 at most; a longer one breaks the ring. 0: 258. Each descriptor of
	 * each chain has 16 bytes set aside, which are used when a chain has been so long.
	 */
	unsigned chain_descriptors;

	/* Device features offered, without ring and transport bits. Control thread; must not block. */
	uint64_t (*features)(void *device);
	/*
	 * Device features that front ends add by themselves, because they do what those stand for: may be
	 * acknowledged although they were not offered.
	 */
	uint64_t front_end_features;
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
	 * Ends with queue_stop(), called when the model holds no chain.
	 */
	int (*queue_start)(void *device, const struct virtio_queue_setup *setup, void **ret_queue);
	void (*queue_stop)(void *queue);
	/*
	 * true: the chains that the model holds are waited for, to stop the queue or to let go of memory: the
	 * model hurries what it can, or gives back. false: no longer; there is none before queue_stop().
	 * Completes chains before it returns, maybe. NULL: nothing can be hurried. Worker.
	 */
	void (*queue_drain)(void *queue, bool drain);

	/*
	 * The guest's memory must not be touched any more, because that makes the worker wait. The chains
	 * that the model holds are completed, or given back, without it; what they asked for is not done, or
	 * done again: queue_stop() follows, and the queue begins anew on another worker. NULL: the model
	 * holds no chains when ready() has returned. Worker.
	 */
	void (*queue_abandon)(void *queue);

	/*
	 * There may be chains: takes what the model can use. Chains may be completed before the return or
	 * later. A model that leaves chains in the ring, or gives them back, is asked a last time when the
	 * driver's kicks are on again, and then after the next kick or listen(). Worker; must not block.
	 */
	void (*ready)(void *queue);

	/*
	 * A migration logs what is written: where did the model write before it completed the chain? In the
	 * first *ret_first of the writable bytes, and in the last *ret_last. NULL: in the first
	 * written_bytes. Not asked when those are 0. Worker, inside complete().
	 */
	void (*written)(const struct virtio_chain *chain, uint32_t *ret_first, uint32_t *ret_last);

	/* Messages that the device takes, bits 1 << VIRTIO_MODEL_…; 0: none, and message() may be NULL. */
	uint32_t messages;
	/*
	 * One of them. Returns 0, or -errno: refused. *fd (-1: the message has none) is the model's once the
	 * model has set it to -1. Control thread; must not block.
	 */
	int (*message)(void *device, enum virtio_model_message message, uint64_t number, int *fd);
};

#endif
