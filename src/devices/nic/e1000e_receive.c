/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames to receive descriptors (7.1). Frames for which the driver has posted no buffers wait with the switch
 * until it does. A frame takes as many descriptors as it needs; with packet split (7.1.5), which drivers use
 * for large frames, a descriptor has four buffers, and they are filled one after the other: no header is
 * split off.
 *
 * What arrives never was on a wire: the four bytes of its FCS, if the driver wants them, are 0.
 */
#include <assert.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/container.h"
#include "core/internet_sum.h"
#include "core/iov.h"
#include "core/loop_blame.h"
#include "devices/nic/e1000e_private.h"

#define HEAD_BYTES	    64u
#define TYPE_AT		    12u
#define FRAME_BYTES_MIN	    60u
#define IPV4		    0x0800u
#define IPV6		    0x86ddu
#define IPV4_FRAGMENT	    0x3fffu
#define TCP		    6u
#define UDP		    17u
#define UDP_CHECKSUM_OFFSET 6u

/* The buffers of one descriptor, as registers say. */
struct buffers {
	unsigned count;
	uint32_t bytes[E1000E_RX_BUFFERS], sum;
	uint32_t descriptor_bytes;
	bool split, extended;
};

/* A frame on its way. */
struct arrival {
	const struct frame *frame;
	uint8_t head[HEAD_BYTES];
	uint32_t head_bytes;
	int tag;
	bool strips;	/* the tag */
	uint32_t bytes; /* as the driver gets them */
	unsigned piece_count, descriptor_count;
};

/* ---- what the driver has set up ---- */

static uint32_t plain_bytes(uint32_t rctl)
{
	if (E1000E_RCTL_FLEXIBLE(rctl))
		return E1000E_RCTL_FLEXIBLE(rctl) << 10;
	return (rctl & E1000E_RCTL_SIZE_EXTENDED ? 0x8000u : 0x800u) >> E1000E_RCTL_SIZE(rctl);
}

static struct buffers buffers_of(const struct e1000e_function *function)
{
	uint32_t rctl = e1000e_value(function, E1000E_RCTL);
	uint32_t psrctl = e1000e_value(function, E1000E_PSRCTL);
	struct buffers buffers = {
		.count = 1,
		.bytes = { plain_bytes(rctl) },
		.descriptor_bytes = E1000E_RX_BYTES,
		.extended = e1000e_value(function, E1000E_RFCTL) & E1000E_RFCTL_EXTENDED,
	};

	if (E1000E_RCTL_SPLIT(rctl)) {
		buffers.split = true;
		buffers.count = E1000E_RX_BUFFERS;
		buffers.descriptor_bytes = E1000E_RX_SPLIT_BYTES;
		buffers.bytes[0] = (psrctl & 0x7f) << 7;
		for (unsigned i = 1; i < E1000E_RX_BUFFERS; i++)
			buffers.bytes[i] = (psrctl >> 8 * i & 0x3f) << 10;
	}
	for (unsigned i = 0; i < buffers.count; i++)
		buffers.sum += buffers.bytes[i];
	return buffers;
}

/* ---- what arrives ---- */

static void look(const struct e1000e_function *function, const struct frame *frame, struct arrival *arrival)
{
	uint32_t rctl = e1000e_value(function, E1000E_RCTL), bytes = frame->bytes;

	*arrival = (struct arrival){ .frame = frame, .tag = E1000E_NO_TAG };
	arrival->head_bytes =
		(uint32_t)iov_copy_out(frame->iov, frame->iov_count, 0, arrival->head, sizeof(arrival->head));
	if (arrival->head_bytes >= FRAME_HEADER_BYTES + E1000E_TAG_BYTES &&
	    big16_get(arrival->head + TYPE_AT) == (e1000e_value(function, E1000E_VET) & 0xffff)) {
		arrival->tag = big16_get(arrival->head + TYPE_AT + 2);
		arrival->strips = e1000e_value(function, E1000E_CTRL) & E1000E_CTRL_VLAN_MODE;
	}
	if (arrival->strips)
		bytes -= E1000E_TAG_BYTES;
	if (bytes < FRAME_BYTES_MIN)
		bytes = FRAME_BYTES_MIN;
	arrival->bytes = bytes + (rctl & E1000E_RCTL_STRIP_CRC ? 0 : E1000E_CRC_BYTES);
}

static bool is_too_long(const struct e1000e_function *function, const struct frame *frame)
{
	uint32_t most = e1000e_value(function, E1000E_RCTL) & E1000E_RCTL_LONG ? E1000E_LONG_FRAME_BYTES
									       : E1000E_FRAME_BYTES;

	return frame->bytes > most - E1000E_CRC_BYTES;
}

/* TCP or UDP in a packet that is whole, or 0. */
static uint8_t protocol_of(const struct arrival *arrival)
{
	const uint8_t *head = arrival->head + (arrival->tag == E1000E_NO_TAG ? 0 : E1000E_TAG_BYTES);
	uint16_t type = big16_get(head + TYPE_AT);
	const uint8_t *ip = head + FRAME_HEADER_BYTES;

	if (type == IPV4)
		return big16_get(ip + 6) & IPV4_FRAGMENT ? 0 : ip[9];
	return type == IPV6 ? ip[6] : 0;
}

static uint32_t checksum_status(const struct e1000e_function *function, const struct arrival *arrival)
{
	bool good = arrival->frame->offload.flags & (FRAME_CSUM_NEEDED | FRAME_CSUM_VALID);

	if (!good || !(e1000e_value(function, E1000E_RXCSUM) & E1000E_RXCSUM_TRANSPORT))
		return E1000E_RX_NO_SUM;
	switch (protocol_of(arrival)) {
	case TCP:
		return E1000E_RX_TCP_SUM;
	case UDP:
		return E1000E_RX_TCP_SUM | E1000E_RX_UDP_SUM;
	default:
		return E1000E_RX_NO_SUM;
	}
}

/* ---- finding buffers ---- */

enum fit { FIT_FINE, FIT_NO_BUFFERS, FIT_TOO_LARGE, FIT_OUTSIDE, FIT_LATER };

/* Adds a descriptor's buffers. They fit, or lie outside of the guest's memory, or of what is moved by the
 * VMM. */
static enum fit add_buffers(struct e1000e_function *function, const struct buffers *buffers,
			    const uint64_t *addresses, uint32_t left, struct arrival *arrival)
{
	for (unsigned i = 0; i < buffers->count && left > 0; i++) {
		uint32_t bytes = buffers->bytes[i] < left ? buffers->bytes[i] : left;
		int count = guest_memory_iov(function->bus->memory, addresses[i], bytes,
					     function->pieces + arrival->piece_count,
					     E1000E_RX_PIECES - arrival->piece_count);

		if (count == -EFAULT && function->bus->memory_moves)
			return FIT_LATER;
		if (count < 0) {
			e1000e_violate(function, E1000E_VIOLATION_RECEIVE_BUFFER, addresses[i]);
			return FIT_OUTSIDE;
		}
		arrival->piece_count += (unsigned)count;
		left -= bytes;
	}
	return FIT_FINE;
}

static enum fit find_buffers(struct e1000e_function *function, const struct e1000e_ring *ring,
			     const struct buffers *buffers, struct arrival *arrival)
{
	uint32_t wanted = (arrival->bytes + buffers->sum - 1) / buffers->sum, index = ring->head;
	enum fit fit = FIT_FINE;

	if (wanted >= ring->entries || wanted > E1000E_RX_FRAME_DESCRIPTORS + 1)
		return FIT_TOO_LARGE;
	if (wanted > e1000e_ring_filled(ring))
		return FIT_NO_BUFFERS;
	for (uint32_t left = arrival->bytes; fit == FIT_FINE && arrival->descriptor_count < wanted;
	     index = e1000e_ring_next(ring, index)) {
		uint64_t addresses[E1000E_RX_BUFFERS];

		e1000e_ring_read(ring, index, addresses,
				 buffers->split ? sizeof(addresses) : sizeof(*addresses));
		arrival->descriptor_count++;
		fit = add_buffers(function, buffers, addresses, left, arrival);
		left -= left < buffers->sum ? left : buffers->sum;
	}
	return fit;
}

/* ---- filling them ---- */

/* Copies to the pieces, from `at` on; returns where it ends. */
struct cursor {
	const struct iovec *piece;
	size_t offset; /* in the piece */
};

static void put(struct cursor *cursor, const uint8_t *bytes, size_t count)
{
	while (count > 0) {
		size_t room = cursor->piece->iov_len - cursor->offset;
		size_t part = room < count ? room : count;

		memcpy((uint8_t *)cursor->piece->iov_base + cursor->offset, bytes, part);
		bytes += part;
		count -= part;
		cursor->offset += part;
		if (cursor->offset == cursor->piece->iov_len) {
			cursor->piece++;
			cursor->offset = 0;
		}
	}
}

/* The head as it was looked at, without the tag; the rest from the frame, with zeroes behind it. */
static void put_frame(const struct e1000e_function *function, const struct arrival *arrival)
{
	static const uint8_t zeroes[FRAME_BYTES_MIN + E1000E_CRC_BYTES];
	const struct frame *frame = arrival->frame;
	struct cursor cursor = { .piece = function->pieces };
	uint32_t skip = arrival->head_bytes, stripped = arrival->strips ? E1000E_TAG_BYTES : 0;

	put(&cursor, arrival->head, TYPE_AT);
	put(&cursor, arrival->head + TYPE_AT + stripped, arrival->head_bytes - TYPE_AT - stripped);
	for (unsigned i = 0; i < frame->iov_count; i++) {
		size_t bytes = frame->iov[i].iov_len, over = skip < bytes ? skip : bytes;

		put(&cursor, (const uint8_t *)frame->iov[i].iov_base + over, bytes - over);
		skip -= (uint32_t)over;
	}
	put(&cursor, zeroes, arrival->bytes - (frame->bytes - stripped));
}

/* What the sender has left to be done. The place lies in the frame, as the switch has seen. */
static void fill_checksum(const struct e1000e_function *function, const struct arrival *arrival)
{
	const struct frame_offload *offload = &arrival->frame->offload;
	uint32_t shift = arrival->strips ? E1000E_TAG_BYTES : 0, start = offload->csum_start - shift;
	size_t skip = start, left = arrival->frame->bytes - shift;
	struct internet_sum sum = { 0 };
	uint16_t word;

	if (!(offload->flags & FRAME_CSUM_NEEDED))
		return;
	for (unsigned i = 0; i < arrival->piece_count && left > 0; i++) {
		const struct iovec *piece = &function->pieces[i];
		size_t bytes = piece->iov_len < left ? piece->iov_len : left,
		       over = skip < bytes ? skip : bytes;

		internet_sum_add(&sum, (const uint8_t *)piece->iov_base + over, bytes - over);
		skip -= over;
		left -= bytes;
	}
	word = (uint16_t)~internet_sum_fold(&sum);
	if (word == 0 && offload->csum_offset == UDP_CHECKSUM_OFFSET)
		word = 0xffff;
	iov_copy_in(function->pieces, arrival->piece_count, start + offload->csum_offset, &word,
		    sizeof(word));
}

/* ---- telling the driver ---- */

/* One descriptor, which holds `bytes` of the frame. */
static void write_back(const struct e1000e_ring *ring, uint32_t index, const struct buffers *buffers,
		       const struct arrival *arrival, uint32_t status, uint32_t bytes)
{
	uint16_t tag = arrival->strips ? (uint16_t)arrival->tag : 0, lengths[E1000E_RX_BUFFERS];
	bool failed = status & E1000E_RX_ERROR_EXTENDED;
	uint64_t address;

	for (unsigned i = 0; i < E1000E_RX_BUFFERS; i++) {
		lengths[i] = (uint16_t)(bytes < buffers->bytes[i] ? bytes : buffers->bytes[i]);
		bytes -= lengths[i];
	}
	if (buffers->split || buffers->extended) {
		const struct e1000e_rx_extended descriptor = {
			.status = status,
			.length = lengths[0],
			.tag = tag,
		};

		e1000e_ring_received_extended(ring, index, &descriptor, buffers->split ? lengths + 1 : NULL);
		return;
	}
	e1000e_ring_read(ring, index, &address, sizeof(address));
	e1000e_ring_received(ring, index,
			     &(const struct e1000e_rx_legacy){
				     .address = address,
				     .length = lengths[0],
				     .status = (uint8_t)status,
				     .errors = failed ? E1000E_RX_ERROR : 0,
				     .tag = tag,
			     });
}

/* All descriptors of a frame, of which `bytes` are there. */
static void hand_over(struct e1000e_function *function, struct e1000e_ring *ring,
		      const struct buffers *buffers, const struct arrival *arrival, uint32_t status,
		      uint32_t bytes)
{
	for (unsigned i = arrival->descriptor_count; i > 0; i--) {
		uint32_t now = bytes < buffers->sum ? bytes : buffers->sum;

		write_back(ring, ring->head, buffers, arrival, i == 1 ? status | E1000E_RX_EOP : status, now);
		bytes -= now;
		ring->head = e1000e_ring_next(ring, ring->head);
	}
	*e1000e_register(function, E1000E_RX_QUEUE + E1000E_QUEUE_HEAD) = e1000e_ring_head(ring);
}

static void give(struct e1000e_function *function, struct e1000e_ring *ring, const struct buffers *buffers,
		 const struct arrival *arrival)
{
	uint32_t status = E1000E_RX_DONE | checksum_status(function, arrival);

	if (arrival->strips)
		status |= E1000E_RX_VLAN;
	put_frame(function, arrival);
	fill_checksum(function, arrival);
	hand_over(function, ring, buffers, arrival, status, arrival->bytes);
	e1000e_count_received(function, arrival->head, arrival->bytes);
}

static void interrupt(struct e1000e_function *function, const struct e1000e_ring *ring)
{
	uint32_t threshold =
		ring->entries >> (1 + E1000E_RCTL_THRESHOLD(e1000e_value(function, E1000E_RCTL)));
	uint32_t causes = E1000E_CAUSE_RXT0 | E1000E_CAUSE_RXQ0;

	if (e1000e_ring_filled(ring) <= threshold)
		causes |= E1000E_CAUSE_RXDMT0;
	e1000e_cause(function, causes);
}

/* ---- one frame ---- */

static void too_large(struct e1000e_function *function)
{
	e1000e_count(function, E1000E_ROC);
	port_sink_too_large(function->sink, 1);
}

/* False: there are no buffers for it, or not yet. */
static bool place(struct e1000e_function *function, struct arrival *arrival)
{
	struct buffers buffers = buffers_of(function);
	struct e1000e_ring ring;

	if (buffers.sum == 0 || !e1000e_ring_find(function, E1000E_RX_QUEUE, buffers.descriptor_bytes, &ring))
		return false;
	switch (find_buffers(function, &ring, &buffers, arrival)) {
	case FIT_FINE:
		give(function, &ring, &buffers, arrival);
		break;
	case FIT_OUTSIDE:
		hand_over(function, &ring, &buffers, arrival, E1000E_RX_DONE | E1000E_RX_ERROR_EXTENDED, 0);
		break;
	case FIT_TOO_LARGE:
		too_large(function);
		return true;
	case FIT_LATER:
		return false;
	default:
		e1000e_count(function, E1000E_RNBC);
		return false;
	}
	interrupt(function, &ring);
	return true;
}

/* Returns whether the frame is done with: the driver has it, or does not want it. */
static bool take(struct e1000e_function *function, const struct frame *frame)
{
	struct arrival arrival;

	if (!(e1000e_value(function, E1000E_RCTL) & E1000E_RCTL_ENABLE))
		return true;
	look(function, frame, &arrival);
	if (!e1000e_wants(function, arrival.head, arrival.tag))
		return true;
	if (is_too_long(function, frame)) {
		too_large(function);
		return true;
	}
	return place(function, &arrival);
}

unsigned e1000e_deliver(struct port_receiver *receiver, const struct frame *frames, unsigned count)
{
	struct e1000e_function *function = container_of(receiver, struct e1000e_function, receiver);
	unsigned done = 0;

	if (__atomic_load_n(function->held, __ATOMIC_RELAXED))
		loop_blame_payer(function->bus->loop);
	while (done < count && !e1000e_is_still(function) && take(function, &frames[done]))
		done++;
	/* The sender pays, and the pages were of either. */
	if (__atomic_load_n(function->held, __ATOMIC_RELAXED))
		loop_blame_nobody(function->bus->loop);
	if (done < count)
		function->waits_buffer = true;
	return done;
}
