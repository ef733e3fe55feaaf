/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The porter: a small process that the daemon forks before it has threads, disks or guests. It makes a
 * process for each peer, one of the porter's service (a doorman, say: doorman.h), and holds on to the sockets
 * on which peers arrive: what waits in them unread may be as slow to close as anything else that a peer made.
 *
 * It dies with the daemon. A process of its lives as long as the daemon's end of its connection, also when
 * that end is handed to a successor. Control thread only.
 */
#ifndef VIADUCT_INTERFACES_DOOR_PORTER_H
#define VIADUCT_INTERFACES_DOOR_PORTER_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct porter;

/*
 * Processes of one place, and of all: one whose peer makes it wait counts until it has come back. With more
 * than these a place takes no new peers.
 */
#define PORTER_PLACE_MAX   16u
#define PORTER_DOORMEN_MAX 4096u

/* How a process of its own serves a peer (doorman.h). */
enum porter_manner {
	PORTER_RELAYS_MESSAGES,	/* carries the messages of the porter's service */
	PORTER_RELAYS_BYTES,	/* carries a plain stream */
	PORTER_FETCHES,		/* the daemon has the peer's socket, too */
};

/* A new process: all descriptors are its own, and it may have so many of them. */
struct porter_peer {
	int socket;	/* the peer's */
	int inner;	/* to the daemon; not blocking, like the peer's */
	int blank;	/* /dev/null */
	int blank_file;	/* /dev/zero */
	unsigned fds_max;
	enum porter_manner manner; /* its place's */
};

/* What all processes of a porter do. */
struct porter_service {
	const char *name;	/* of the processes: at most 15 bytes */
	int socket_type;	/* of `inner`: SOCK_STREAM or SOCK_SEQPACKET */
	/* Until the daemon closes its end; the process ends after it. */
	void (*serve)(const struct porter_peer *peer);
};

struct porter_setup {
	const char *name;	/* of the porter itself: at most 15 bytes */
	const struct porter_service *service;
	/* In the new process: gives up what it needs not. Returns 0 or -errno. NULL: nothing. */
	int (*confine)(void *context);
	void *context;
};

/*
 * Forks the porter. Returns a socket for porter_open(), or -errno (confine()'s, too). The calling process has
 * no other threads. Signals that are blocked stay so in it; it ends by itself.
 */
int porter_fork(const struct porter_setup *setup);

/* Takes the socket, of a porter of this service. Returns 0 or -ENOMEM (the socket stays the caller's). */
int porter_open(int socket, const struct porter_service *service, struct loop *control,
		struct porter **ret_porter);
/* Places that are still open have no porter then. NULL is allowed. */
void porter_close(struct porter *porter);

/* Where peers of one endpoint arrive; embedded there. */
struct porter_place {
	struct porter *porter;		/* NULL: peers are served without a process of their own */
	struct porter_place *next, **link;
	uint32_t number;
	unsigned doormen;
	/* Set by the owner behind porter_place_open(), if it is another than the first */
	enum porter_manner manner;
};

void porter_place_open(struct porter_place *place, struct porter *porter);
void porter_place_close(struct porter_place *place);

/* The porter holds the listening socket, too, until the place is closed. */
void porter_keep(struct porter_place *place, int listen_fd);

/* May a peer be let in? Asked before it is accepted: what is accepted must go to a process of its own. */
bool porter_has_room(const struct porter_place *place);

/*
 * Hands a connected socket over to a process of its own. Takes the socket in any case. Returns the daemon's
 * end (non-blocking), or -errno. Without a porter it is the socket itself.
 */
int porter_admit(struct porter_place *place, int peer);

/*
 * The same in a place whose processes fetch: the socket stays the caller's, too. Returns 0 and the daemon's
 * end of the connection to the process (-1 without a porter), or -errno.
 */
int porter_share(struct porter_place *place, int peer, int *ret_door);

#endif
