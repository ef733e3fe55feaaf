/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the driver leaves to the card (7.2.6, 7.3): checksums, segmentation, a VLAN tag. The switch knows one
 * checksum to be filled in and frames to be cut (struct frame_offload); the rest is done here, in a private
 * copy of the frame's beginning.
 *
 * A driver hands a frame to be cut without its length: IP's total length is 0, and TCP's sum of the pseudo
 * header has no length in it. The switch's frames are whole packets, as the kernel's are.
 */
#include <endian.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/internet_sum.h"
#include "core/iov.h"
#include "devices/nic/e1000e_private.h"

#define ADDRESSES_BYTES 12u
#define TCP_BYTES	20u
#define TCP_SUM_OFFSET	16u
#define IPV4_BYTES	20u
#define IPV6_BYTES	40u
/* HDRLEN of 255 is more than any driver's: as many bytes as have room for a tag before them. */
#define HEAD_BYTES (E1000E_HEAD_BYTES - E1000E_TAG_BYTES)

/* Replaces the first bytes of the frame by a copy. Returns how many. */
static uint32_t copy_head(struct e1000e_step *step)
{
	struct frame *frame = &step->frame;
	uint32_t bytes = frame->bytes < HEAD_BYTES ? frame->bytes : HEAD_BYTES;
	unsigned from = 0;
	size_t left = bytes;

	iov_copy_out(step->iov, frame->iov_count, 0, step->bytes, bytes);
	while (from < frame->iov_count && left >= step->iov[from].iov_len)
		left -= step->iov[from++].iov_len;
	if (from < frame->iov_count) {
		step->iov[from].iov_base = (uint8_t *)step->iov[from].iov_base + left;
		step->iov[from].iov_len -= left;
	}
	frame->iov_count -= from;
	memmove(step->iov + 1, step->iov + from, frame->iov_count * sizeof(*step->iov));
	step->iov[0] = (struct iovec){ step->bytes, bytes };
	frame->iov_count++;
	return bytes;
}

/* ---- checksums ---- */

static bool ask_for_sum(struct frame *frame, uint32_t start, uint32_t at, uint32_t end)
{
	/* The end is the frame's: nobody has a use for another. */
	if (at < start || at + 2 > frame->bytes || (end != 0 && end + 1 != frame->bytes))
		return false;
	frame->offload.flags = FRAME_CSUM_NEEDED;
	frame->offload.csum_start = (uint16_t)start;
	frame->offload.csum_offset = (uint16_t)(at - start);
	return true;
}

/* IP's own, with what is in its place. */
static bool fill_ip_sum(uint8_t *head, uint32_t head_bytes, const struct e1000e_context *context)
{
	struct internet_sum sum = { 0 };
	uint16_t word;

	if (context->ip_end >= head_bytes || context->ip_end < context->ip_start ||
	    context->ip_at + sizeof(word) > head_bytes)
		return false;
	internet_sum_add(&sum, head + context->ip_start, context->ip_end + 1u - context->ip_start);
	word = (uint16_t)~internet_sum_fold(&sum);
	memcpy(head + context->ip_at, &word, sizeof(word));
	return true;
}

/* ---- segmentation ---- */

static bool fits(const struct e1000e_step *step, const struct e1000e_context *context, uint32_t head_bytes)
{
	uint32_t ip_bytes = context->command & E1000E_CONTEXT_IPV4 ? IPV4_BYTES : IPV6_BYTES;

	return context->command & E1000E_CONTEXT_TCP && context->segment_bytes > 0 &&
	       context->ip_start >= FRAME_HEADER_BYTES && context->ip_start + ip_bytes <= context->start &&
	       context->start + TCP_BYTES <= context->header_bytes &&
	       context->at == context->start + TCP_SUM_OFFSET && context->header_bytes <= head_bytes &&
	       context->header_bytes < step->frame.bytes &&
	       step->frame.bytes - context->ip_start - (ip_bytes == IPV6_BYTES ? IPV6_BYTES : 0) <=
		       UINT16_MAX;
}

static void write_lengths(uint8_t *head, const struct e1000e_context *context, uint32_t bytes)
{
	struct internet_sum sum = { 0 };
	uint32_t ip_bytes = bytes - context->ip_start;
	uint16_t word;

	if (context->command & E1000E_CONTEXT_IPV4)
		big16_put(head + context->ip_start + 2, (uint16_t)ip_bytes);
	else
		big16_put(head + context->ip_start + 4, (uint16_t)(ip_bytes - IPV6_BYTES));
	internet_sum_add(&sum, head + context->at, sizeof(word));
	internet_sum_add_word(&sum, htobe16((uint16_t)(bytes - context->start)));
	word = internet_sum_fold(&sum);
	memcpy(head + context->at, &word, sizeof(word));
}

static bool ask_for_cut(struct e1000e_step *step, const struct e1000e_context *context, uint32_t head_bytes)
{
	struct frame *frame = &step->frame;

	if (!fits(step, context, head_bytes))
		return false;
	write_lengths(step->bytes, context, frame->bytes);
	frame->offload.gso_type = context->command & E1000E_CONTEXT_IPV4 ? FRAME_GSO_TCP4 : FRAME_GSO_TCP6;
	frame->offload.gso_bytes = context->segment_bytes;
	frame->offload.header_bytes = context->header_bytes;
	return ask_for_sum(frame, context->start, context->at, 0);
}

/* ---- the tag (7.5.2) ---- */

static void put_tag(const struct e1000e_function *function, struct e1000e_step *step)
{
	struct frame *frame = &step->frame;
	uint8_t *at = step->bytes + ADDRESSES_BYTES;

	memmove(at + E1000E_TAG_BYTES, at, step->iov[0].iov_len - ADDRESSES_BYTES);
	big16_put(at, (uint16_t)e1000e_value(function, E1000E_VET));
	big16_put(at + 2, (uint16_t)E1000E_TX_TAG(step->wish.last_status));
	step->iov[0].iov_len += E1000E_TAG_BYTES;
	frame->bytes += E1000E_TAG_BYTES;
	if (frame->offload.flags & FRAME_CSUM_NEEDED)
		frame->offload.csum_start = (uint16_t)(frame->offload.csum_start + E1000E_TAG_BYTES);
	if (frame->offload.gso_type != FRAME_GSO_NONE)
		frame->offload.header_bytes = (uint16_t)(frame->offload.header_bytes + E1000E_TAG_BYTES);
}

/* ---- all of it ---- */

static bool offload_extended(struct e1000e_step *step, uint32_t head_bytes)
{
	const struct e1000e_context *context = &step->behind.context;
	uint32_t status = step->wish.first_status;
	bool fine = true;

	if (step->wish.first_command & E1000E_TX_TSE)
		fine = ask_for_cut(step, context, head_bytes);
	else if (status & E1000E_TX_TXSM)
		fine = ask_for_sum(&step->frame, context->start, context->at, context->end);
	if (fine && status & E1000E_TX_IXSM)
		fine = fill_ip_sum(step->bytes, head_bytes, context);
	return fine;
}

bool e1000e_offload(const struct e1000e_function *function, struct e1000e_step *step)
{
	const struct e1000e_wish *wish = &step->wish;
	bool extended = wish->first_command & E1000E_TX_DEXT;
	bool tag = wish->last_command & E1000E_TX_VLE &&
		   e1000e_value(function, E1000E_CTRL) & E1000E_CTRL_VLAN_MODE;
	bool changes =
		extended && (wish->first_command & E1000E_TX_TSE || wish->first_status & E1000E_TX_IXSM);
	uint32_t head_bytes = 0;
	bool fine = true;

	if (tag && step->frame.bytes > FRAME_BYTES_MAX - E1000E_TAG_BYTES)
		return false;
	if (changes || tag)
		head_bytes = copy_head(step);
	if (extended)
		fine = offload_extended(step, head_bytes);
	else if (wish->last_command & E1000E_TX_IC)
		fine = ask_for_sum(&step->frame, E1000E_TX_CSS(wish->last_status),
				   E1000E_TX_CSO(wish->last_command), 0);
	if (fine && tag)
		put_tag(function, step);
	return fine;
}
