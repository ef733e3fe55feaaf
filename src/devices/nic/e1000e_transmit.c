/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transmit descriptors to frames (7.2, 7.3). A frame is taken from the ring when its last descriptor is
 * there, and the ring's head moves on when the switch has taken the frame: one that has to wait for its turn
 * is read again. The steps of a batch are taken from the ring, sent together, and their descriptors written
 * back.
 */
#include <errno.h>
#include <string.h>

#include "core/container.h"
#include "core/loop_blame.h"
#include "devices/nic/e1000e_private.h"

/* Of one frame, with those of no length: twice what it has room for. */
#define FRAME_DESCRIPTORS 128u
/* One is kept for a head of its own. */
#define FRAME_PIECES (FRAME_IOV_MAX - 1)
#define TURN_BATCHES 2u

static uint32_t queue_at(unsigned index)
{
	return E1000E_TX_QUEUE + index * E1000E_QUEUE_STRIDE;
}

/* ---- one step ---- */

enum gathered { GATHERED_MORE, GATHERED_FRAME, GATHERED_MALFORMED, GATHERED_LATER };

static bool is_context(const struct e1000e_tx_descriptor *descriptor)
{
	return descriptor->command & E1000E_TX_DEXT &&
	       E1000E_TX_TYPE(descriptor->command) == E1000E_TX_CONTEXT;
}

static uint32_t length_of(const struct e1000e_tx_descriptor *descriptor)
{
	return descriptor->command & E1000E_TX_DEXT ? E1000E_TX_LENGTH(descriptor->command)
						    : E1000E_TX_LEGACY_LENGTH(descriptor->command);
}

static enum gathered refuse(struct e1000e_function *function, enum e1000e_violation kind, uint64_t value)
{
	e1000e_violate(function, kind, value);
	return GATHERED_MALFORMED;
}

/* Adds a descriptor's bytes to the frame. */
static enum gathered add(struct e1000e_function *function, struct e1000e_step *step,
			 const struct e1000e_tx_descriptor *descriptor)
{
	struct frame *frame = &step->frame;
	uint32_t bytes = length_of(descriptor);
	int count;

	if (bytes > FRAME_BYTES_MAX - frame->bytes)
		return refuse(function, E1000E_VIOLATION_DESCRIPTOR, bytes);
	count = guest_memory_iov(function->bus->memory, descriptor->address, bytes,
				 step->iov + frame->iov_count, FRAME_PIECES - frame->iov_count);
	/* The VMM is moving the memory, and the next range may have it: all of the frame waits. */
	if (count == -EFAULT && function->bus->memory_moves)
		return GATHERED_LATER;
	if (count < 0)
		return refuse(function,
			      count == -EFAULT ? E1000E_VIOLATION_TRANSMIT_BUFFER
					       : E1000E_VIOLATION_DESCRIPTOR,
			      descriptor->address);
	frame->iov_count += (unsigned)count;
	frame->bytes += bytes;
	return descriptor->command & E1000E_TX_EOP ? GATHERED_FRAME : GATHERED_MORE;
}

/* The frame whose first descriptor is at the step's head; steps over what it reads. */
static enum gathered gather(struct e1000e_function *function, const struct e1000e_ring *ring,
			    struct e1000e_step *step)
{
	enum gathered gathered = GATHERED_MORE;
	struct e1000e_tx_descriptor descriptor;

	for (unsigned i = 0; gathered == GATHERED_MORE && step->head != ring->tail; i++) {
		if (i == FRAME_DESCRIPTORS)
			return refuse(function, E1000E_VIOLATION_DESCRIPTOR, i);
		e1000e_ring_read(ring, step->head, &descriptor, sizeof(descriptor));
		step->head = e1000e_ring_next(ring, step->head);
		step->behind.skipping = !(descriptor.command & E1000E_TX_EOP);
		if (is_context(&descriptor))
			return refuse(function, E1000E_VIOLATION_DESCRIPTOR, descriptor.command);
		if (i == 0) {
			step->wish.first_command = descriptor.command;
			step->wish.first_status = descriptor.status;
		}
		step->wish.last_command = descriptor.command;
		step->wish.last_status = descriptor.status;
		gathered = add(function, step, &descriptor);
	}
	return gathered;
}

/* Up to the last descriptor of a frame that was given up. */
static void skip(const struct e1000e_ring *ring, struct e1000e_step *step)
{
	struct e1000e_tx_descriptor descriptor;

	for (unsigned i = 0; i < FRAME_DESCRIPTORS && step->head != ring->tail && step->behind.skipping;
	     i++) {
		e1000e_ring_read(ring, step->head, &descriptor, sizeof(descriptor));
		step->head = e1000e_ring_next(ring, step->head);
		step->behind.skipping = is_context(&descriptor) || !(descriptor.command & E1000E_TX_EOP);
	}
}

static bool take_context(const struct e1000e_ring *ring, struct e1000e_step *step)
{
	struct e1000e_tx_descriptor descriptor;

	e1000e_ring_read(ring, step->head, &descriptor, sizeof(descriptor));
	if (!is_context(&descriptor))
		return false;
	memcpy(&step->behind.context, &descriptor, sizeof(descriptor));
	step->head = e1000e_ring_next(ring, step->head);
	return true;
}

static void judge(struct e1000e_function *function, struct e1000e_step *step, enum gathered gathered)
{
	step->malformed = true;
	if (gathered == GATHERED_MALFORMED)
		return;
	if (step->frame.bytes < FRAME_HEADER_BYTES)
		e1000e_violate(function, E1000E_VIOLATION_DESCRIPTOR, step->frame.bytes);
	else if (!e1000e_offload(function, step))
		e1000e_violate(function, E1000E_VIOLATION_OFFLOAD, step->frame.bytes);
	else
		step->malformed = false;
	step->sends = !step->malformed;
}

/* False: the ring holds no more, or only the beginning of a frame, or one whose memory is being moved. */
static bool take_step(struct e1000e_function *function, const struct e1000e_ring *ring, uint32_t head,
		      const struct e1000e_tx_state *state, struct e1000e_step *step)
{
	enum gathered gathered;

	step->behind = *state;
	step->head = head;
	step->sends = step->malformed = false;
	if (head == ring->tail)
		return false;
	if (step->behind.skipping) {
		skip(ring, step);
		return true;
	}
	if (take_context(ring, step))
		return true;
	step->frame = (struct frame){ .iov = step->iov };
	gathered = gather(function, ring, step);
	if (gathered == GATHERED_MORE || gathered == GATHERED_LATER)
		return false;
	judge(function, step, gathered);
	return true;
}

/* ---- a batch ---- */

/* Writes the descriptors of a step back, and counts it. Returns whether one asked for an interrupt. */
static bool finish(struct e1000e_function *function, struct e1000e_ring *ring, const struct e1000e_step *step)
{
	bool reported = false;

	for (; ring->head != step->head; ring->head = e1000e_ring_next(ring, ring->head))
		reported |= e1000e_ring_sent(ring, ring->head);
	if (step->sends)
		e1000e_count_sent(function, step->frame.bytes);
	return reported;
}

/* Steps are done with: the head moves on, and the driver hears of it. */
static void commit(struct e1000e_function *function, unsigned index, struct e1000e_ring *ring, unsigned done)
{
	uint32_t causes = 0;
	bool reported = e1000e_value(function, E1000E_IVAR) & E1000E_IVAR_EVERY_TX;

	if (done == 0)
		return;
	for (unsigned i = 0; i < done; i++)
		reported |= finish(function, ring, &function->steps[i]);
	function->tx[index] = function->steps[done - 1].behind;
	*e1000e_register(function, queue_at(index) + E1000E_QUEUE_HEAD) = ring->head;
	if (reported)
		causes |= E1000E_CAUSE_TXDW | E1000E_CAUSE_TXQ(index);
	if (ring->head == ring->tail)
		causes |= E1000E_CAUSE_TXQE;
	e1000e_cause(function, causes);
}

/* Returns how many steps are done with: fewer when a frame has to wait for its turn. */
static unsigned send_steps(struct e1000e_function *function, unsigned count)
{
	unsigned holder[PORT_BATCH + 1], good = 0, malformed = 0, sent, done;
	struct frame frames[PORT_BATCH];

	for (unsigned i = 0; i < count; i++) {
		if (!function->steps[i].sends)
			continue;
		holder[good] = i;
		frames[good++] = function->steps[i].frame;
	}
	sent = good > 0 ? port_send(function->source, frames, good) : 0;
	done = sent < good ? holder[sent] : count;
	for (unsigned i = 0; i < done; i++)
		malformed += function->steps[i].malformed;
	if (malformed > 0)
		port_send_malformed(function->source, malformed);
	return done;
}

/* Returns whether the queue has sent something and may go on. */
static bool send_batch(struct e1000e_function *function, unsigned index)
{
	struct e1000e_tx_state *state = &function->tx[index];
	struct e1000e_ring ring;
	unsigned count = 0, done;
	uint32_t head;

	if (!e1000e_ring_find(function, queue_at(index), sizeof(struct e1000e_tx_descriptor), &ring))
		return false;
	head = ring.head;
	while (count < PORT_BATCH && take_step(function, &ring, head, state, &function->steps[count])) {
		head = function->steps[count].head;
		state = &function->steps[count].behind;
		count++;
	}
	function->waits_tail[index] = count < PORT_BATCH;
	done = send_steps(function, count);
	commit(function, index, &ring, done);
	if (done == count)
		return count > 0;
	function->waits_tail[index] = false;
	function->waits_turn = true;
	return false;
}

/* ---- turns ---- */

static bool has_frames(const struct e1000e_function *function, unsigned index)
{
	struct e1000e_ring ring;

	return !function->waits_tail[index] &&
	       e1000e_ring_find(function, queue_at(index), sizeof(struct e1000e_tx_descriptor), &ring) &&
	       ring.head != ring.tail;
}

/* The queue whose turn it is, of those that have something; E1000E_TX_QUEUES: none has. */
static unsigned next_queue(const struct e1000e_function *function)
{
	if (!(e1000e_value(function, E1000E_TCTL) & E1000E_TCTL_ENABLE))
		return E1000E_TX_QUEUES;
	for (unsigned i = 0; i < E1000E_TX_QUEUES; i++) {
		unsigned index = (function->next_tx + i) % E1000E_TX_QUEUES;

		if (has_frames(function, index))
			return index;
	}
	return E1000E_TX_QUEUES;
}

bool e1000e_can_transmit(const struct e1000e_function *function)
{
	return !e1000e_is_still(function) && !function->waits_turn &&
	       (function->asks || next_queue(function) < E1000E_TX_QUEUES);
}

bool e1000e_transmit(struct e1000e_function *function)
{
	struct loop *loop = function->bus->loop;
	unsigned index = 0, batches = 0;

	if (!e1000e_can_transmit(function))
		return false;
	/* The worker has stood still: who is to blame comes first. */
	while (!function->waits_turn && !__atomic_load_n(function->held, __ATOMIC_RELAXED)) {
		function->asks = false;
		/* There may be no frame behind it, and it goes on all the same. */
		if (!port_source_continue(function->source)) {
			function->waits_turn = true;
			break;
		}
		index = next_queue(function);
		if (index == E1000E_TX_QUEUES || batches == TURN_BATCHES ||
		    (batches > 0 && loop_slice_over(loop)))
			break;
		function->next_tx = index + 1;
		send_batch(function, index);
		batches++;
	}
	if (index == E1000E_TX_QUEUES)
		port_source_rest(function->source);
	loop_worked(loop, batches <= 1);
	return batches > 0;
}

/* It is the card's turn, or may be. */
void e1000e_sender_resume(struct port_sender *sender)
{
	struct e1000e_function *function = container_of(sender, struct e1000e_function, sender);

	function->waits_turn = false;
	function->asks = true;
	e1000e_wake(function);
}
