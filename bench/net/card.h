/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network card as a guest's driver has it: the connection is the front end's (src/frontend), the rings are
 * driven here. Both are split rings that the driver polls. Slot N of a ring is descriptor N and a buffer that
 * stays with it, so that a flood sends a whole ring again by one store, which takes next to nothing of the
 * core that the measured guests run on as well. This needs a device that answers in the order of the ring, as
 * ours does; a device that does not ends the program.
 */
#ifndef VIADUCT_BENCH_NET_CARD_H
#define VIADUCT_BENCH_NET_CARD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/frame.h"
#include "frontend/frontend.h"

/* Of each ring: some milliseconds of frames, in which the client may have to do without its core. */
#define CARD_SLOTS	  1024u
#define CARD_HEADER_BYTES 12u /* in front of each frame (virtio 1.2, 5.1.6) */
#define CARD_SLOT_BYTES	  2048u

/* Feature bits (virtio 1.2, 5.1.3) */
#define CARD_F_CSUM	 (1ull << 0)
#define CARD_F_HOST_TSO4 (1ull << 11)

struct card_ring {
	struct frontend_queue *queue;
	uint8_t *slots;
	uint32_t slot_bytes;
	uint16_t next; /* slot to offer, modulo 2^16 */
	uint16_t done; /* slot to come back */
};

struct card {
	struct frontend *frontend;
	struct card_ring receive, transmit;
};

/* Ends the program with a sentence about `error` when it is not 0. */
void card_check(int error, const char *what);

/*
 * Connects to the card at `path`, with buffers of CARD_SLOT_BYTES for reception, all of them offered, and of
 * `slot_bytes` for transmission. `features` are wanted besides VERSION_1; the program ends when one is
 * missing.
 */
void card_connect(struct card *card, const char *path, uint64_t features, uint32_t slot_bytes);
void card_close(struct card *card);

/* ---- transmission ---- */

/* Buffer of a transmit slot: CARD_HEADER_BYTES, then the frame. */
uint8_t *card_slot(const struct card *card, unsigned slot);
/* How long the frame in a transmit slot is. */
void card_slot_set(struct card *card, unsigned slot, uint32_t frame_bytes);
/* The slot to fill next, or -1: the device has all of them. */
int card_slot_free(struct card *card);
/* Offers the slot of card_slot_free(); the device hears of it at card_publish(). */
void card_send(struct card *card, uint32_t frame_bytes);
/* Offers every slot that the device is done with, with what it holds. */
void card_send_again(struct card *card);
/* Tells the device of what was offered, and kicks when it wants that. */
void card_publish(struct card *card);
void card_kick(struct card *card);

/* ---- reception ---- */

/* A received frame, which is lent until card_give_back(). False: none. */
bool card_take(struct card *card, const uint8_t **ret_frame, uint32_t *ret_bytes);
/* Offers the buffers of all frames taken. */
void card_give_back(struct card *card);
/* Offers all buffers with what was received, unseen. */
void card_discard(struct card *card);

#endif
