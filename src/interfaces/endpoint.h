/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every interface gives the daemon: an endpoint serves one virtual device to one guest, over a socket
 * as a rule, and can stand still and be handed over to a successor.
 *
 * An interface has a create function of its own, because what it serves differs (a virtio model, registers,
 * a file); it takes endpoint_options among its own, and returns an endpoint. From then on the daemon needs
 * to know nothing of the protocol. Every function here runs on the control thread.
 */
#ifndef VIADUCT_INTERFACES_ENDPOINT_H
#define VIADUCT_INTERFACES_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct handover;
struct loop;
struct loop_guest;
struct porter;
struct endpoint;

enum endpoint_socket_kind {
	ENDPOINT_LISTEN,	/* make a socket at `path` and listen */
	/* `fd` is a listening socket (service manager, test harness); the endpoint owns it from now on */
	ENDPOINT_LISTEN_FD,
	ENDPOINT_CONNECTED_FD,	/* `fd` is one connected front end; the endpoint ends with it */
	ENDPOINT_CONNECT,	/* client mode: connect to `path`, again and again (0.1 s doubling to 10 s) */
};

/* What an endpoint of any interface is told. */
struct endpoint_options {
	const char *name;		/* "alice/disk-root": copied; for the log */
	struct loop *control;
	enum endpoint_socket_kind socket;
	const char *path;		/* copied */
	int fd;
	uid_t owner;			/* of the socket file; (uid_t)-1: leave */
	gid_t group;			/* (gid_t)-1: leave */
	mode_t mode;			/* 0: 0600 */
	/* Lets peers in, each with a doorman of its own; NULL: peers are believed not to hold us up */
	struct porter *porter;
	/* Pays for the work on the workers; NULL: a guest of its own. A reference is taken. */
	struct loop_guest *guest;
	/* The worker that serves a queue. */
	struct loop *(*worker)(void *context, unsigned queue_index);
	/*
	 * The guest's memory made a worker wait for so long, and others with it (loop_blame.h): from now on,
	 * worker() names one where that harms nobody else, and endpoint_move() follows. NULL: nothing is done
	 * about it.
	 */
	void (*made_wait)(void *context, uint64_t waited_ns);
	/* Is it already served where nobody else is harmed? */
	bool (*waits_alone)(void *context);
	void *worker_context;
};

/* At most so many kinds of violations does an interface tell apart. */
#define ENDPOINT_VIOLATIONS_MAX 16

struct endpoint_status {
	unsigned connections;		/* front ends connected */
	unsigned queues_running;
	unsigned queues_starting;	/* of these: their workers have not come to it yet */
	uint64_t features;		/* acknowledged by the running front end; virtio's bits */
	bool broken;			/* stopped by a violation, waits for a reset */
	uint64_t connects;		/* since the endpoint exists, like all that follows */
	uint64_t refused_connects;
	uint64_t protocol_errors;	/* messages refused */
	/*
	 * Of rings or registers, by kind; ended by one without a text when there are fewer than the maximum.
	 */
	struct endpoint_violations {
		const char *text;	/* "available-index-jump": for logs, JSON keys and labels */
		uint64_t count;
	} violations[ENDPOINT_VIOLATIONS_MAX];
	uint64_t kicks, chains, calls, calls_suppressed;
	uint64_t cpu_ns;		/* time of workers; a guest's is its endpoints' sum */
};

struct endpoint_ops {
	void (*destroy)(struct endpoint *endpoint, void (*gone)(void *context), void *context);
	void (*status)(const struct endpoint *endpoint, struct endpoint_status *ret_status);
	void (*config_changed)(struct endpoint *endpoint);
	void (*set_weight)(struct endpoint *endpoint, uint32_t weight);
	void (*move)(struct endpoint *endpoint);
	void (*suspend)(struct endpoint *endpoint, void (*suspended)(void *context), void *context);
	void (*save)(struct endpoint *endpoint, struct handover *handover);
	void (*resume)(struct endpoint *endpoint);
};

/* First member of every interface's endpoint. */
struct endpoint {
	const struct endpoint_ops *ops;
};

/*
 * Disconnects all front ends, stops all queues (draining), removes the socket file, frees; then calls gone(),
 * possibly before it returns (NULL is allowed). After endpoint_save() the connections and the socket file are
 * the successor's and stay untouched. The control loop and the workers must go on turning until then.
 */
static inline void endpoint_destroy(struct endpoint *endpoint, void (*gone)(void *context), void *context)
{
	endpoint->ops->destroy(endpoint, gone, context);
}

static inline void endpoint_status(const struct endpoint *endpoint, struct endpoint_status *ret_status)
{
	endpoint->ops->status(endpoint, ret_status);
}

/* The device's configuration changed (its size, say): tells the running front end. */
static inline void endpoint_config_changed(struct endpoint *endpoint)
{
	endpoint->ops->config_changed(endpoint);
}

/* What the workers' time for this device counts: see loop_account_set_weight(). */
static inline void endpoint_set_weight(struct endpoint *endpoint, uint32_t weight)
{
	endpoint->ops->set_weight(endpoint, weight);
}

/* Queues that run go on where worker() says. */
static inline void endpoint_move(struct endpoint *endpoint)
{
	endpoint->ops->move(endpoint);
}

/*
 * Takeover. suspend: stops reading sockets, drains and stops all queues, then calls suspended(), possibly
 * before it returns. save: appends everything that a successor needs (connections, memory, fds, positions) to
 * the handover. resume: goes on in this process after all, because the successor failed.
 */
static inline void endpoint_suspend(struct endpoint *endpoint, void (*suspended)(void *context),
				    void *context)
{
	endpoint->ops->suspend(endpoint, suspended, context);
}

static inline void endpoint_save(struct endpoint *endpoint, struct handover *handover)
{
	endpoint->ops->save(endpoint, handover);
}

static inline void endpoint_resume(struct endpoint *endpoint)
{
	endpoint->ops->resume(endpoint);
}

#endif
