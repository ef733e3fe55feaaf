/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errands of a function into memory that its VMM keeps to itself (register_model.h): reads and writes that we
 * ask the VMM for (VFIO_USER_DMA_READ, _WRITE), and its answers.
 *
 * QEMU answers on its main loop, which may be waiting for an answer of ours. So nothing that a VMM asks for
 * waits for an answer of the VMM's: what it waits for longer than a moment, a reset, gives up all errands
 * instead. Messages go out at the end of a turn, behind the answers that the turn gave.
 *
 * Few messages are under way at a time: as many as leave room in the socket for our answers. The slots of
 * those that were given up stay taken until they are answered, so that no later message is taken for one of
 * them. A VMM that answers what it was not asked, or answers wrongly, or nothing for a while, is let go.
 */
#ifndef VIADUCT_INTERFACES_VFIO_USER_VFIO_USER_ERRANDS_H
#define VIADUCT_INTERFACES_VFIO_USER_VFIO_USER_ERRANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"
#include "devices/register_model.h"
#include "interfaces/vfio_user/vfio_user_messages.h"

struct handover;
struct vfio_user_connection;

/* Each of at most VFIO_USER_DMA_BYTES_MAX bytes: together a third of what a socket holds by default. */
#define VFIO_USER_FLIGHTS_MAX 16u

/* A message that has not been answered. */
struct vfio_user_flight {
	bool is_used;
	uint16_t id, command;
	struct register_errand *errand; /* NULL: given up */
	struct vfio_user_dma_access access;
	uint8_t *host; /* where a read goes */
};

struct vfio_user_errands {
	/* Those of which something is to be sent, in the order in which they were begun. */
	struct register_errand *first, **last;
	struct vfio_user_flight flight[VFIO_USER_FLIGHTS_MAX];
	unsigned flying;
	uint16_t next_id;
	uint32_t bytes_max; /* of one message: what both sides take */
	struct loop_task task;
	struct loop_timer timer; /* until the next answer */
};

void vfio_user_errands_init(struct vfio_user_connection *connection);
/* What the VMM says in VERSION that it takes in one message; 0: it said nothing. */
void vfio_user_errands_agree(struct vfio_user_connection *connection, uint64_t bytes_max);

/* As register_bus_ops has them. */
void vfio_user_errands_fetch(struct vfio_user_connection *connection, struct register_errand *errand);
void vfio_user_errands_push(struct vfio_user_connection *connection, struct register_errand *errand);

/* Handles the answer at in_at. */
void vfio_user_errands_answer(struct vfio_user_connection *connection);
/* The function waits for an answer of the VMM's, or will. */
bool vfio_user_errands_under_way(const struct vfio_user_connection *connection);
/*
 * The connection is about to come to rest. What is under way ends soon: at once, where it is to be given up,
 * and else by the VMM's answers, for which there is less time from now on.
 */
void vfio_user_errands_hurry(struct vfio_user_connection *connection);
/* The worker keeps away from now on, or is back. No errand is under way. stop: idempotent. */
void vfio_user_errands_stop(struct vfio_user_connection *connection);
void vfio_user_errands_start(struct vfio_user_connection *connection);

/* Messages that were given up and not answered. */
void vfio_user_errands_save(const struct vfio_user_connection *connection, struct handover *handover);
void vfio_user_errands_restore(struct vfio_user_connection *connection, struct handover *handover);

#endif
