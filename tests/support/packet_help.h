/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames of tests, parsed. */
#ifndef VIADUCT_TESTS_SUPPORT_PACKET_HELP_H
#define VIADUCT_TESTS_SUPPORT_PACKET_HELP_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/packet.h"
#include "frame_recipe.h"

static inline enum packet_fault parse_with(const uint8_t *bytes, uint32_t count,
					   const struct frame_offload *offload, struct packet *ret_packet)
{
	/* In memory of its own size, so that a sanitizer sees a look beyond the end. */
	uint8_t *copy = malloc(count ? count : 1);
	struct iovec iov = { copy, count };
	struct frame frame = { .iov = &iov, .iov_count = 1, .bytes = count };
	enum packet_fault fault;

	assert(copy);
	if (count > 0)
		memcpy(copy, bytes, count);
	if (offload)
		frame.offload = *offload;
	memset(ret_packet, 0xaa, sizeof(*ret_packet));
	fault = packet_parse(&frame, ret_packet);
	free(copy);
	return fault;
}

static inline enum packet_fault parse_recipe(const struct frame_recipe *recipe,
					     const struct frame_offload *offload, struct packet *ret_packet)
{
	static uint8_t bytes[RECIPE_BYTES_MAX];

	return parse_with(bytes, frame_recipe_write(recipe, bytes), offload, ret_packet);
}

#endif
