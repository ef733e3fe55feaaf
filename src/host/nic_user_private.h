/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the user-mode NIC share. No other file includes this; the contract is nic_user.h.
 *
 *   nic_user.c          opening, the worker's side
 *   nic_user_thread.c   the thread that runs libslirp
 *   nic_user_slirp.c    what libslirp is told, and what it calls
 *   nic_user_forward.c  forwards
 *   nic_user_lease.c    addresses that DHCP gives
 *   nic_user_filter.c   which frames libslirp gets to see
 *   nic_user_join.c     joins segments that it sends
 *   frame_ring.c        the way between the two threads
 */
#ifndef VIADUCT_HOST_NIC_USER_PRIVATE_H
#define VIADUCT_HOST_NIC_USER_PRIVATE_H

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <slirp/libslirp.h>

#include "core/container.h"
#include "core/frame.h"
#include "core/log.h"
#include "core/loop.h"
#include "host/frame_ring.h"
#include "host/host_nic.h"
#include "host/nic_user.h"
#include "host/nic_user_join.h"

#define USER_TIMERS_MAX 4
/* Descriptors beyond are not counted; it is the kernel's default for fs.nr_open. */
#define USER_DESCRIPTORS_MAX (1u << 20)

/*
 * How one thread wakes another. That which is about to wait arms the bell, then looks once more for what it
 * waits for. The other makes its change, then rings. Both steps on `armed` are read-modify-writes, so one
 * of the two sees what the other did.
 */
struct user_bell {
	bool armed; /* atomic */
	int fd;	    /* an eventfd; not this struct's own */
};

void user_bell_arm(struct user_bell *bell);
/* Costs a system call only when the bell is armed. */
void user_bell_ring(struct user_bell *bell);
/* Without a look at `armed`. */
void user_wake(int fd);

struct nic_user;

struct user_timer {
	bool used;
	SlirpTimerId id;
	void *opaque;
	int64_t deadline_ms; /* INT64_MAX: not running */
};

/* What another thread wants the NIC's thread to do. */
struct user_command {
	int (*run)(struct nic_user *nic, const void *argument);
	const void *argument;
	int result;
	bool done;
};

struct user_channel {
	struct host_nic_channel base;
	struct loop *loop; /* NULL: not open */
	struct host_nic_receiver *receiver;
	struct loop_watch watch;
	struct loop_task task;
	bool owes_writable;
};

struct nic_user {
	struct host_nic base;
	struct log_subject subject; /* the thread's, once it runs */
	uint32_t frame_bytes_max;
	unsigned sockets_max;
	struct in_addr network, netmask;
	struct in6_addr network6;
	bool ipv6;

	struct frame_ring to_slirp, to_guests;
	int thread_fd, worker_fd;     /* eventfds that wake them */
	struct user_bell thread_bell; /* the thread has no frames */
	struct user_bell drain_bell;  /* the thread waits until the worker has taken frames */
	struct user_bell worker_bell; /* the worker has no frames */
	struct user_bell room_bell;   /* the worker waits until the thread has taken frames */

	struct user_channel channel; /* the worker's */
	struct user_join join;	     /* the worker's */

	/* The thread's */
	pthread_t thread;
	Slirp *slirp;
	struct user_timer timers[USER_TIMERS_MAX];
	struct pollfd *polls; /* [0]: thread_fd */
	unsigned poll_count, polls_max;
	uint64_t *descriptors; /* a bit for each that belongs to a guest's connection */
	unsigned sockets;      /* such bits */
	unsigned fragments_left;
	uint64_t fragments_until_ns;
	uint64_t error_logged_ns;
	struct in_addr
		*offer; /* not NULL: what is sent now goes no farther; an offer's address is put here */
	struct nic_user_counters counters;

	/* Between the control thread and this one */
	bool stop; /* atomic */
	pthread_mutex_t lock;
	pthread_cond_t command_done;
	struct user_command *command; /* under the lock */

	/* The control thread's */
	struct nic_user_forward forwards[NIC_USER_FORWARDS_MAX];
	unsigned forward_count;
};

static inline struct nic_user *nic_user_of(const struct host_nic *nic)
{
	return container_of((struct host_nic *)nic, struct nic_user, base);
}

/* ---- nic_user_thread.c ---- */

/* Returns 0 or -errno. */
int user_thread_start(struct nic_user *nic);
void user_thread_stop(struct nic_user *nic);
/* Control thread: runs it on the NIC's thread and returns what it returned. */
int user_thread_call(struct nic_user *nic, int (*run)(struct nic_user *nic, const void *argument),
		     const void *argument);

/* ---- nic_user_lease.c ---- */

/* While libslirp is asked for an address (nic->offer is set): is this the answer? Then it is for no guest. */
bool user_lease_is_offer(struct nic_user *nic, const uint8_t *frame, size_t bytes);

/* ---- nic_user_slirp.c ---- */

/* `options` are checked and complete. Returns 0 or -ENOMEM. */
int user_slirp_create(struct nic_user *nic, const struct nic_user_options *options);
void user_slirp_destroy(struct nic_user *nic);
/* These: between user_slirp_lock() and user_slirp_unlock(), on the NIC's thread. */
void user_slirp_lock(void);
void user_slirp_unlock(void);
void user_slirp_input(struct nic_user *nic, const uint8_t *frame, uint32_t bytes, unsigned verdict);
/* Fills nic->polls; returns in how many ms at the latest the call below is due. */
uint32_t user_slirp_prepare(struct nic_user *nic);
/* After the wait; `sockets`: nic->polls say what is ready. */
void user_slirp_poll(struct nic_user *nic, bool sockets);
/* 0 or -errno */
int user_slirp_forward_add(struct nic_user *nic, const void *forward);
int user_slirp_forward_remove(struct nic_user *nic, const void *forward);

#endif
