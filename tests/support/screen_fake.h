/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A card and a monitor without either. It keeps what a driver keeps that copies pixels to the card when a
 * buffer is flipped to, and only those it is told of: what is seen is that copy.
 */
#ifndef VIADUCT_TESTS_SCREEN_FAKE_H
#define VIADUCT_TESTS_SCREEN_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host/screen/screen_device.h"

#define FAKE_WIDTH  320u
#define FAKE_HEIGHT 200u
#define FAKE_PIXELS (FAKE_WIDTH * FAKE_HEIGHT)
#define FAKE_STRIDE (FAKE_WIDTH + 16) /* pixels */

struct fake_card {
	struct screen_device base;
	/* ---- how it behaves ---- */
	struct screen_output monitor; /* without modes: none is connected */
	int flip_error, mode_error, take_error;
	/* ---- what was done ---- */
	unsigned width, height; /* of the mode; 0: none was set */
	uint32_t *buffers[SCREEN_BUFFERS];
	uint32_t *uploaded[SCREEN_BUFFERS],
		*before; /* before: of the buffer that is shown, when it was flipped to */
	unsigned shown;
	bool pending;
	unsigned flips, modes_set, asked, rects, closed;
	uint64_t uploaded_pixels;
};

static inline struct fake_card *fake_of(struct screen_device *device)
{
	return (struct fake_card *)device;
}

static inline int fake_look(struct screen_device *device, bool ask, struct screen_output *ret_output)
{
	struct fake_card *card = fake_of(device);

	*ret_output = card->monitor;
	card->asked += ask;
	if (!ask)
		ret_output->mode_count = 0;
	return card->monitor.mode_count ? 0 : -ENOTCONN;
}

static inline void fake_keep(struct fake_card *card)
{
	memcpy(card->before, card->buffers[card->shown], sizeof(uint32_t) * FAKE_STRIDE * FAKE_HEIGHT);
}

/* What the monitor shows must not be drawn into. */
static inline void fake_expect_kept(const struct fake_card *card)
{
	assert_memory_equal(card->before, card->buffers[card->shown],
			    sizeof(uint32_t) * FAKE_STRIDE * FAKE_HEIGHT);
}

static inline int fake_make_buffers(struct screen_device *device, const struct screen_output *output,
				    unsigned mode, struct screen_buffer ret_buffers[SCREEN_BUFFERS])
{
	struct fake_card *card = fake_of(device);

	if (card->mode_error)
		return card->mode_error;
	assert_true(mode < output->mode_count);
	card->width = output->modes[mode].width;
	card->height = output->modes[mode].height;
	assert_true(card->width <= FAKE_WIDTH && card->height <= FAKE_HEIGHT);
	for (unsigned i = 0; i < SCREEN_BUFFERS; i++) {
		memset(card->buffers[i], 0, sizeof(uint32_t) * FAKE_STRIDE * FAKE_HEIGHT);
		ret_buffers[i] = (struct screen_buffer){ card->buffers[i], FAKE_STRIDE * 4 };
	}
	return 0;
}

static inline int fake_set_mode(struct screen_device *device)
{
	struct fake_card *card = fake_of(device);

	for (unsigned i = 0; i < SCREEN_BUFFERS; i++)
		memset(card->uploaded[i], 0, sizeof(uint32_t) * FAKE_STRIDE * FAKE_HEIGHT);
	memcpy(card->uploaded[0], card->buffers[0], sizeof(uint32_t) * FAKE_STRIDE * FAKE_HEIGHT);
	card->shown = 0;
	card->pending = false;
	card->modes_set++;
	fake_keep(card);
	return 0;
}

static inline int fake_flip(struct screen_device *device, unsigned buffer, const struct screen_rect *rects,
			    unsigned rect_count)
{
	struct fake_card *card = fake_of(device);

	if (card->flip_error)
		return card->flip_error;
	assert_false(card->pending);
	assert_int_equal(buffer, 1 - card->shown);
	fake_expect_kept(card);
	for (unsigned i = 0; i < rect_count; i++) {
		assert_true(rects[i].x >= 0 && (unsigned)rects[i].x + rects[i].width <= card->width);
		assert_true(rects[i].y >= 0 && (unsigned)rects[i].y + rects[i].height <= card->height);
		for (unsigned y = 0; y < rects[i].height; y++) {
			size_t at = ((size_t)rects[i].y + y) * FAKE_STRIDE + (size_t)rects[i].x;

			memcpy(&card->uploaded[buffer][at], &card->buffers[buffer][at], rects[i].width * 4);
		}
		card->uploaded_pixels += (uint64_t)rects[i].width * rects[i].height;
	}
	card->rects = rect_count;
	card->shown = buffer;
	card->pending = true;
	card->flips++;
	fake_keep(card);
	return 0;
}

static inline bool fake_is_shown(struct screen_device *device)
{
	eventfd_t count;

	return eventfd_read(device->fd, &count) == 0;
}

static inline int fake_take_back(struct screen_device *device)
{
	return fake_of(device)->take_error;
}

static inline void fake_close(struct screen_device *device, bool handed_over)
{
	fake_of(device)->closed++;
}

static const struct screen_device_ops fake_card_ops = {
	.look = fake_look,
	.make_buffers = fake_make_buffers,
	.set_mode = fake_set_mode,
	.flip = fake_flip,
	.is_shown = fake_is_shown,
	.take_back = fake_take_back,
	.close = fake_close,
};

static inline void fake_add_mode(struct fake_card *card, unsigned width, unsigned height, bool is_preferred)
{
	card->monitor.modes[card->monitor.mode_count++] =
		(struct screen_mode){ width, height, 60, is_preferred, false };
}

static inline void fake_create(struct fake_card *card)
{
	size_t bytes = sizeof(uint32_t) * FAKE_STRIDE * FAKE_HEIGHT;

	*card = (struct fake_card){ .base = { &fake_card_ops, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) } };
	assert_true(card->base.fd >= 0);
	snprintf(card->monitor.connector, sizeof(card->monitor.connector), "Virtual-1");
	for (unsigned i = 0; i < SCREEN_BUFFERS; i++) {
		card->buffers[i] = calloc(1, bytes);
		card->uploaded[i] = calloc(1, bytes);
	}
	card->before = calloc(1, bytes);
	assert_non_null(card->before);
}

static inline void fake_destroy(struct fake_card *card)
{
	for (unsigned i = 0; i < SCREEN_BUFFERS; i++) {
		free(card->buffers[i]);
		free(card->uploaded[i]);
	}
	free(card->before);
	close(card->base.fd);
}

/* The monitor has shown what was flipped to. */
static inline void fake_finish_flip(struct fake_card *card)
{
	assert_true(card->pending);
	fake_expect_kept(card);
	card->pending = false;
	assert_int_equal(eventfd_write(card->base.fd, 1), 0);
}

static inline uint32_t fake_seen(const struct fake_card *card, unsigned x, unsigned y)
{
	return card->uploaded[card->shown][(size_t)y * FAKE_STRIDE + x];
}

#endif
