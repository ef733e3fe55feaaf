/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a source may send when. Frames to the uplink take their turn at its gate (uplink_meter.h), and all
 * frames count against the limits of the card, its guest and its group. A source that has to wait holds
 * nothing of its guest's: it takes no frames, and asks to be called when its turn has come. What it asked for
 * is paid then, whatever the guest has put into its place meanwhile: that counts, and the rest pays itself.
 *
 * On the source's worker.
 */
#ifndef VIADUCT_ARBITER_SWITCH_SOURCE_SHARE_H
#define VIADUCT_ARBITER_SWITCH_SOURCE_SHARE_H

#include "arbiter/share/gate.h"
#include "arbiter/switch/uplink_meter.h"
#include "core/loop.h"

struct port_sender;

/* What frames need. */
struct frame_need {
	uint64_t frames, bytes; /* on the wire: segments, and their headers */
	uint64_t uplink_bytes;	/* those of them that go to the uplink */
};

/* What a source waits for before it asks again. */
enum source_wait {
	SOURCE_WAITS_NOT,
	SOURCE_WAITS_GATE,
	SOURCE_WAITS_TURN,  /* of its worker; the task lets it ask again */
	SOURCE_WAITS_PAUSE, /* the switch stands still; the timer lets it ask again */
};

struct source_share {
	struct gate_port *gate; /* NULL: there is no share, and nothing to pay */
	struct loop *loop;
	struct port_sender *sender;
	struct uplink_price price;
	struct gate_counters counters;
	struct gate_pass pass;
	bool inside;	       /* of the gate */
	struct loop_task task; /* the next turn of the worker */
	/* For a pause, or until a place at the gate that is not used is given up */
	struct loop_timer timer;
	struct frame_need paid, asked;
	enum source_wait waits;
	bool asking; /* right now: the sender need not be called */
};

/* `node`: of the uplink's gate. Returns 0 or -ENOMEM. */
int source_share_open(struct source_share *share, struct gate_node *node, struct loop *loop,
		      struct port_sender *sender);
/* A share that is not open is allowed. */
void source_share_close(struct source_share *share);

/*
 * May so much be sent now? True: paid, and source_share_sent() follows. False: nothing may be sent, and the
 * sender is called when it is worth asking again.
 */
bool source_share_pay(struct source_share *share, const struct frame_need *need);
/* Enough for this turn of the worker: the sender is called at its end. */
void source_share_yield(struct source_share *share);
/* Nothing may be sent for the moment. */
void source_share_pause(struct source_share *share);
/* What was paid for is sent, or is not there any more. */
void source_share_sent(struct source_share *share);
/* There is nothing more to send for now. */
void source_share_rest(struct source_share *share);

/* Would one more frame be too much for those that ask together? The first one never is. */
static inline bool source_share_enough(const struct source_share *share, const struct frame_need *so_far,
				       const struct frame_need *more)
{
	if (so_far->frames == 0)
		return false;
	if (share->paid.frames > 0)
		return so_far->frames + more->frames > share->paid.frames ||
		       so_far->bytes + more->bytes > share->paid.bytes ||
		       so_far->uplink_bytes + more->uplink_bytes > share->paid.uplink_bytes;
	return so_far->bytes + more->bytes > share->price.batch_bytes;
}

#endif
