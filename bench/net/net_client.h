/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guests of a run, in one thread that polls the cards of all: each guest has a card and a role, which is
 * what it does in its turns. Honest guests say who they are and number what they send; what a guest receives
 * is judged (judge.h), unless it only discards.
 */
#ifndef VIADUCT_BENCH_NET_CLIENT_H
#define VIADUCT_BENCH_NET_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "card.h"

#define CLIENT_GUESTS_MAX 8u
/* Frames that a guest takes, or sends, in a turn. */
#define CLIENT_BATCH	 32u
#define CLIENT_NAME_SIZE 32u
/* Of honest guests' frames, and of floods of whole frames. */
#define FRAME_BYTES_LEAST 64u
#define FRAME_BYTES_MOST  1514u

struct client;
struct guest;

struct role {
	const char *name;
	bool hostile; /* its frames may be anything */
	/* Turns of the other guests between two of its own: what a flood costs the client's core is no matter
	 * then */
	unsigned turns_between;
	uint64_t features;
	uint32_t slot_bytes;
	size_t state_bytes;
	/* Once, with all cards connected. May be NULL. */
	void (*begin)(struct guest *guest);
	void (*turn)(struct guest *guest, uint64_t now_ns);
	/* Has it done all that it is to do? NULL: it goes on until the others have, or until time is up. */
	bool (*finished)(struct guest *guest, uint64_t now_ns);
	/* Has it seen enough for its report? The run is prolonged until then. NULL: always. */
	bool (*enough)(const struct guest *guest);
	/* Members of a JSON object, each with a comma behind. May be NULL. */
	void (*report)(const struct guest *guest, FILE *out);
	/* Frees what is in the state. May be NULL. */
	void (*end)(struct guest *guest);
};

struct guest {
	char name[CLIENT_NAME_SIZE], peer_name[CLIENT_NAME_SIZE];
	const char *path;
	uint8_t address[FRAME_ADDRESS_BYTES];
	uint32_t frame_bytes;
	const struct role *role;
	struct client *client;
	/* NULL: its frames go to the world, to an address that no guest has */
	struct guest *peer;
	struct card card;
	void *state;
};

/* What a judge has seen that must not be. */
struct verdict {
	uint64_t judged, leaked, spoofed, duplicated, reordered, damaged;
};

struct client {
	struct guest guest[CLIENT_GUESTS_MAX];
	unsigned guests;
	uint64_t frames; /* of each numbered flow */
	uint64_t secret; /* that hostile guests cannot know */
	uint64_t begin_ns, warm_ns, end_ns;
	uint64_t cpu_ns; /* that it had of its core in the run, in which it never sleeps */
	uint64_t random;
	struct verdict verdict;
};

/* Tables that end with NULL. */
extern const struct role *const client_flood_roles[];
extern const struct role client_ping_role, client_echo_role, client_exchange_role, client_mallory_role,
	client_sink_role;

/* A pseudo-random number, the same ones in each run. */
uint64_t client_random(struct client *client);

#endif
