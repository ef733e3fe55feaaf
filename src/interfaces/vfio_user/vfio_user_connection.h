/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the vfio-user server; no other folder includes this.
 *
 *   vfio_user.c             the endpoint, on the control thread: lets VMMs in, one at a time
 *   vfio_user_connection.c  a VMM's connection, on its worker: what is next, and what is wanted of it
 *   vfio_user_lanes.c       other workers that serve queues of its function
 *   vfio_user_reader.c      its turns: messages are read and handled
 *   vfio_user_socket.c      its socket: bytes and descriptors in, answers out
 *   vfio_user_commands.c    what a message asks for
 *   vfio_user_regions.c     of these, loads and stores
 *   vfio_user_errands.c     messages of ours, by which memory is reached that a VMM keeps to itself
 *   vfio_user_handover.c    takeover
 *   vfio_user_messages.c    formats and rules
 *   vfio_user_dma.c, vfio_user_interrupts.c, pci_config.c: memory, interrupts, configuration space
 *
 * A connection lives on one worker: socket, registers, and what of the function is at home. The control
 * thread makes it and frees it, and in between it only sends wishes, which the worker answers with news.
 * While the connection is suspended, the worker keeps away from it.
 */
#ifndef VIADUCT_INTERFACES_VFIO_USER_VFIO_USER_CONNECTION_H
#define VIADUCT_INTERFACES_VFIO_USER_VFIO_USER_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/loop_blame.h"
#include "core/reaper.h"
#include "core/stats.h"
#include "interfaces/endpoint.h"
#include "interfaces/endpoint_accounts.h"
#include "interfaces/endpoint_socket.h"
#include "interfaces/vfio_user/pci_config.h"
#include "interfaces/vfio_user/vfio_user.h"
#include "interfaces/vfio_user/vfio_user_dma.h"
#include "interfaces/vfio_user/vfio_user_errands.h"
#include "interfaces/vfio_user/vfio_user_interrupts.h"
#include "interfaces/vfio_user/vfio_user_messages.h"

/* Read at once: many posted writes, or one message of the largest size and more. */
#define VFIO_USER_IN_BYTES 8192u

/* The longest answer to what has to be settled first: memory, interrupts, stores. */
#define VFIO_USER_ANSWER_BYTES 64u

/* What the control thread wants of a connection, and what the worker tells it; bits. */
enum vfio_user_wish {
	VFIO_USER_WISH_BEGIN = 1u << 0,	  /* the first of all */
	VFIO_USER_WISH_CLOSE = 1u << 1,
	VFIO_USER_WISH_SUSPEND = 1u << 2,
	VFIO_USER_WISH_LEAVE = 1u << 3,	  /* and so that it can go on on another worker */
	VFIO_USER_WISH_RESUME = 1u << 4,
	VFIO_USER_WISH_CONFIG = 1u << 5,  /* the device's configuration has changed */
};
enum vfio_user_news {
	VFIO_USER_NEWS_SUSPENDED = 1u << 1,
	VFIO_USER_NEWS_VIOLATED = 1u << 2,  /* the VMM broke the protocol */
	VFIO_USER_NEWS_HELD_US = 1u << 3,   /* it did what it may not do again at once */
	VFIO_USER_NEWS_WAITED = 1u << 4,    /* the guest's memory made the worker wait */
	VFIO_USER_NEWS_LEAVING = 1u << 5,   /* it ends, as soon as what is in flight has */
};

/* Bits for the other thread. */
struct vfio_user_mail {
	struct loop_message message;
	uint32_t bits;	/* atomic */
	bool posted;	/* atomic */
};

struct vfio_user_endpoint;
struct vfio_user_connection;

/* What the connection wants of a lane, on its worker; the lane then answers. */
enum vfio_user_visit {
	VFIO_USER_VISIT_BORROW, /* eventfds are others now */
	VFIO_USER_VISIT_END,	 /* the function is quiet: no write is under way */
};

/* What a lane tells the connection; bits. */
enum vfio_user_lane_news { VFIO_USER_LANE_WAITED = 1u << 0, VFIO_USER_LANE_HELD = 1u << 1 };

/* A worker, other than the connection's own, that may serve queues of its function. */
struct vfio_user_lane {
	struct vfio_user_connection *connection;
	unsigned index;			/* from 1 on, as in the bus */
	struct loop *loop;
	struct loop_message begin, visit, back, news;
	enum vfio_user_visit purpose;	/* of the visit under way */
	/* the worker's, from `begin` to the end */
	struct loop_blame blame;
	struct vfio_user_interrupts interrupts;
	bool ending, frozen;
	/* atomic, but for the time, which goes with the news */
	uint32_t news_bits;
	bool news_posted;
	uint64_t waited_ns;
};

struct vfio_user_connection {
	struct vfio_user_endpoint *endpoint;
	struct loop *loop;		/* its worker */
	struct log_subject *subject;	/* the worker's, of the endpoint */
	struct vfio_user_mail wishes, news;
	struct loop_message farewell;	/* the last mail */
	struct reaper_job end;

	/* ---- the socket ---- */
	int socket, door;		/* door: to the doorman; -1: there is none */
	struct loop_watch watch, door_watch;
	struct loop_poller poller;
	struct loop_timer timer;	/* of the handshake, or of a message that comes in pieces */
	struct loop_task task;		/* what waits for quiet goes on */
	uint8_t in[VFIO_USER_IN_BYTES];
	size_t in_at, in_bytes;		/* the next message begins at in_at; bytes behind it that are here */
	size_t fetching;		/* bytes that are on their way with descriptors */
	int fds[VFIO_USER_FDS_MAX];	/* of the message at in_at */
	unsigned fd_count;
	bool dry;			/* nothing more is to be read until a watch tells */
	bool hung_up;			/* behind what can be read is the end */
	unsigned work;			/* messages and accesses since the time was asked */

	/* ---- where it stands ---- */
	bool versioned;
	unsigned fds_given;		/* of BARs' memory */
	bool waiting;			/* a message's answer waits until the function is quiet */
	unsigned unsettled;		/* so much has to be done before the message at in_at is answered */
	bool settling;			/* it waits for that */
	struct {
		bool is_due;
		int error;
		size_t bytes;
		uint8_t payload[VFIO_USER_ANSWER_BYTES];
	} answer;			/* that it will get */
	bool closing, suspending, suspended, leaving, gone;
	bool left;			/* the function belongs to no worker */
	bool alone;			/* made to wait, the worker harms nobody else */
	bool frozen;			/* it has waited: nothing goes on before it is elsewhere */
	unsigned faults_seen;		/* memory_guard_faults() when memory was last found whole */
	uint64_t waited_ns;		/* for VFIO_USER_NEWS_WAITED */

	/* ---- the function ---- */
	struct register_bus bus;
	void *function;			/* NULL: not powered on */
	bool quiescing, quiet;
	struct pci_config config;
	struct vfio_user_dma dma;
	struct vfio_user_interrupts interrupts;
	struct vfio_user_errands errands;
	struct vfio_user_lane *lanes;	/* lane i of the bus is lanes[i - 1] */
	unsigned lanes_max;		/* so many there can be */
	bool lanes_begun;
	unsigned visits;		/* of lanes, that are not over */
	bool is_master;
	bool told_of_memory;		/* a line of the log says that the VMM keeps it to itself */
	struct loop_blame blame;
};

struct vfio_user_endpoint {
	struct endpoint base;
	struct vfio_user_options options;	/* name, path and guest (never NULL) are ours */
	/* The last one's lines do not keep others from being written. */
	struct log_subject subject, worker_subject, memory_subject;
	struct endpoint_accounts accounts;
	struct endpoint_socket socket;

	struct vfio_user_connection *connection;	/* NULL: no VMM is connected */
	/* A VMM that has come while the one before was still leaving. */
	int next_peer, next_door;			/* -1: none */
	struct loop_timer next_timer;

	bool suspending, handed_over, destroying;
	bool moves;				/* the connection is on its way to another worker */
	bool leaving;				/* the connection ends */
	bool ended;				/* the worker has let go of it: it has no more wishes */
	bool move_missed;			/* a move was asked for while it stood still */
	bool config_missed;			/* the device's configuration changed meanwhile */
	void (*suspended)(void *context);
	void *suspended_context;
	void (*gone)(void *context);
	void *gone_context;

	/* Written by the worker. */
	struct counter protocol_errors, accesses;
	struct counter violations[ENDPOINT_VIOLATIONS_MAX];
	uint64_t sent_before;			/* interrupts of connections that have ended */
};

static inline struct vfio_user_endpoint *vfio_user_endpoint_of(const struct endpoint *endpoint)
{
	return container_of((struct endpoint *)endpoint, struct vfio_user_endpoint, base);
}

static inline const struct register_model_ops *
vfio_user_model(const struct vfio_user_connection *connection)
{
	return connection->endpoint->options.model;
}

/* ---- vfio_user.c ---- */

/* An endpoint without sockets; NULL when out of memory. */
struct vfio_user_endpoint *vfio_user_endpoint_alloc(const struct vfio_user_options *options);
void vfio_user_endpoint_free(struct vfio_user_endpoint *endpoint);
/* The VMM that waits for the one before is let go. */
void vfio_user_endpoint_forget_next(struct vfio_user_endpoint *endpoint);
/* A connection that has a worker: its mail may be posted. */
void vfio_user_endpoint_adopt(struct vfio_user_endpoint *endpoint, struct vfio_user_connection *connection);
/* The worker has let go of the connection: it is freed when all mail has arrived. On the worker. */
void vfio_user_endpoint_farewell(struct vfio_user_connection *connection);
/* Is its guest served where a wait harms nobody else? */
bool vfio_user_endpoint_is_alone(const struct vfio_user_endpoint *endpoint);
/* The connection goes on, on its worker. */
void vfio_user_endpoint_go_on(struct vfio_user_endpoint *endpoint);
/* Bits for the other thread. */
void vfio_user_wish(struct vfio_user_connection *connection, uint32_t bits);
void vfio_user_tell(struct vfio_user_connection *connection, uint32_t bits);

/* ---- vfio_user_connection.c ---- */

/*
 * Takes both descriptors (door: -1 for none). Begins with VFIO_USER_WISH_BEGIN. NULL: out of memory, and
 * they stay the caller's. Control thread.
 */
struct vfio_user_connection *vfio_user_connection_create(struct vfio_user_endpoint *endpoint, int socket,
							 int door);
/* The worker has let go of it. Control thread. */
void vfio_user_connection_free(struct vfio_user_connection *connection);
/* On its worker: does what bits of vfio_user_wish say. */
void vfio_user_connection_obey(struct vfio_user_connection *connection, uint32_t wishes);

/* The worker, as all below. The VMM broke the protocol: one rate-limited line, and a count. */
void vfio_user_complain(struct vfio_user_connection *connection, const char *about, const char *reason,
			uint64_t value);
/* The same, and the connection ends. */
void vfio_user_violate(struct vfio_user_connection *connection, const char *about, const char *reason,
		       uint64_t value);
void vfio_user_connection_close(struct vfio_user_connection *connection);
/* The guest's memory made one of its workers wait. */
void vfio_user_connection_waited(struct vfio_user_connection *connection, uint64_t waited_ns);
/* A descriptor of the VMM's did. */
void vfio_user_connection_held(struct vfio_user_connection *connection);
/* What the VMM asked for is answered after as many calls of the second one as there were of the first. */
void vfio_user_connection_unsettle(struct vfio_user_connection *connection);
void vfio_user_connection_settled(struct vfio_user_connection *connection);
/* Brings the function to rest; then goes on with what waits for that. */
void vfio_user_connection_quiesce(struct vfio_user_connection *connection);
/* The function reaches the memory that it may reach now; more may follow. */
void vfio_user_connection_refresh_memory(struct vfio_user_connection *connection);
/*
 * The VMM has gone on to something else: its memory is as it is to be. QEMU unmaps all that changes before it
 * maps anything, and so has no memory for a moment when firmware puts its ROM's shadow there.
 */
void vfio_user_connection_settle_memory(struct vfio_user_connection *connection);

/* ---- vfio_user_lanes.c ---- */

/* Room for the lanes of such a model. Returns 0 or -ENOMEM. Control thread, like the next two. */
int vfio_user_lanes_create(struct vfio_user_connection *connection);
void vfio_user_lanes_free(struct vfio_user_connection *connection);
/* Which lanes there are, as the daemon spreads queues now; none is at work. Home is known. */
void vfio_user_lanes_choose(struct vfio_user_connection *connection);
/* Messages that lanes have sent. Any thread. */
uint64_t vfio_user_lanes_sent(const struct vfio_user_connection *connection);
/*
 * On its worker, as all below. The function goes on, or has come to rest; true: no lane is at work any more.
 */
void vfio_user_lanes_begin(struct vfio_user_connection *connection);
bool vfio_user_lanes_end(struct vfio_user_connection *connection);
/* The VMM has given or taken eventfds. Its answer waits until the lanes know. */
void vfio_user_lanes_lend(struct vfio_user_connection *connection);
uint64_t vfio_user_lanes_pending(const struct vfio_user_connection *connection);
/* On the lane's worker. */
void vfio_user_lane_raise(struct register_bus *bus, unsigned lane, unsigned vector);

/* ---- vfio_user_reader.c ---- */

/* For the worker that the bus names; it does not read. */
void vfio_user_reader_init(struct vfio_user_connection *connection);
/* Reads from now on, or reads no more. Returns 0 or -ENOMEM. stop: idempotent. */
int vfio_user_reader_start(struct vfio_user_connection *connection);
void vfio_user_reader_stop(struct vfio_user_connection *connection);
/* There may be messages. */
void vfio_user_reader_wake(struct vfio_user_connection *connection);

/* ---- vfio_user_socket.c ---- */

enum vfio_user_receipt { VFIO_USER_SOME, VFIO_USER_DRY, VFIO_USER_ENDED };

/* Reads more of the message at in_at, and of those behind it. */
enum vfio_user_receipt vfio_user_receive(struct vfio_user_connection *connection);
/* A whole message is there; false: not yet, or what is there ends the connection. */
bool vfio_user_has_message(struct vfio_user_connection *connection);
void vfio_user_drop_message(struct vfio_user_connection *connection);
void vfio_user_drop_fds(struct vfio_user_connection *connection);
/*
 * Answers the message at in_at, when all is settled that it asked for. error: 0 or negative errno, in whose
 * case there is no payload.
 */
void vfio_user_reply(struct vfio_user_connection *connection, int error, const void *payload, size_t bytes);
/* The same without an error, and with a descriptor, which stays the caller's; -1: none. */
void vfio_user_reply_with(struct vfio_user_connection *connection, const void *payload, size_t bytes, int fd);

/* All is settled, and the message at in_at had to wait for that. */
void vfio_user_reply_at_last(struct vfio_user_connection *connection);

/* ---- vfio_user_commands.c, vfio_user_regions.c ---- */

/* Handles the message at in_at. It is answered, or connection->waiting is set. */
void vfio_user_handle(struct vfio_user_connection *connection);
/* The function is quiet, and the answer to the message at in_at waited for that. */
void vfio_user_handle_quiet(struct vfio_user_connection *connection);

void vfio_user_region_read(struct vfio_user_connection *connection, const uint8_t *payload);
void vfio_user_region_write(struct vfio_user_connection *connection, const uint8_t *payload, size_t bytes);
void vfio_user_region_write_multi(struct vfio_user_connection *connection, const uint8_t *payload,
				  size_t bytes);
/* 0: there is no such region. */
uint64_t vfio_user_region_bytes(const struct register_model_ops *model, uint32_t region);

/* ---- vfio_user_handover.c: of the endpoint's ops ---- */

void vfio_user_suspend(struct endpoint *base, void (*suspended)(void *context), void *context);
void vfio_user_save(struct endpoint *base, struct handover *handover);
void vfio_user_resume(struct endpoint *base);
/* The connection stands still, or has gone: does the endpoint stand still now? */
void vfio_user_check_suspended(struct vfio_user_endpoint *endpoint);

#endif
