/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/display_served.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/loop_account.h"
#include "core/reaper.h"
#include "daemon/seat/display_served_private.h"
#include "devices/display/bochs_display.h"

static_assert(DISPLAY_SCANOUTS_MAX <= VIRTIO_GPU_SCANOUTS_MAX, "the model has so many");
static_assert(DISPLAY_SCANOUTS_MAX <= GPU_SOCKET_SCANOUTS_MAX, "the front end is told of so many");

/* ---- on the seats' thread ---- */

static struct seat_pixels shown_pixels(void *context, unsigned scanout)
{
	const struct display_served *display = context;

	return display_scanout_pixels(&display->scanouts[scanout]);
}

void display_served_set_keyboard(struct display_served *display, const struct input_model *keyboard)
{
	display->keyboard = keyboard;
}

void display_served_set_tablet(struct display_served *display, const struct input_model *tablet)
{
	display->tablet = tablet;
	display->buttons = 0;
}

void display_served_start(struct display_served *display)
{
	for (unsigned i = 0; i < display->scanout_count; i++)
		display_scanout_start(&display->scanouts[i]);
}

void display_served_draw(struct display_served *display)
{
	for (unsigned i = 0; i < display->scanout_count; i++)
		display_scanout_draw(&display->scanouts[i]);
}

void display_served_stop(struct display_served *display)
{
	gpu_socket_stop(&display->front_end);
	for (unsigned i = 0; i < display->scanout_count; i++)
		display_scanout_stop(&display->scanouts[i]);
}

/* ---- takeover ---- */

static void forget_saved(struct display_served *display)
{
	fd_close(&display->saved.file);
	fd_close(&display->saved.unsent);
	display->saved = (struct display_served_saved){ -1, -1, -1 };
}

/* What the front end is owed of a message that has begun. Half of one would be taken for a whole one. */
static void save_unsent(struct display_served *display)
{
	size_t bytes;
	const void *unsent = gpu_socket_unsent(&display->front_end, &bytes);
	int file = unsent ? fd_memfd("viaduct-unsent", bytes) : -1;

	if (file >= 0 && pwrite(file, unsent, bytes, 0) != (ssize_t)bytes)
		fd_close(&file);
	display->saved.unsent = file < 0 ? -1 : file;
	display->saved.front_end = unsent && file < 0 ? -1 : display->front_end.fd;
}

struct display_served_saved display_served_save(struct display_served *display)
{
	int begun = display_news_front_end(&display->scanouts[0].news);

	forget_saved(display);
	display->saved.file = virtio_gpu_save(display->model);
	/* One that has just come takes the place of the other. */
	if (begun >= 0)
		display->saved.front_end = begun;
	else
		save_unsent(display);
	return display->saved;
}

void display_served_stand_still(struct display_served *display, bool still)
{
	display->still = still;
	if (still) {
		gpu_socket_suspend(&display->front_end);
		return;
	}
	gpu_socket_resume(&display->front_end);
	for (unsigned i = 0; i < display->scanout_count; i++)
		display_scanout_go_on(&display->scanouts[i]);
	forget_saved(display);
}

void display_served_take_front_end(struct display_served *display, int front_end, int unsent)
{
	uint8_t *bytes = malloc(GPU_SOCKET_MESSAGE_MAX);
	ssize_t count = unsent < 0 ? 0 : -1;

	if (bytes && unsent >= 0)
		count = pread(unsent, bytes, GPU_SOCKET_MESSAGE_MAX, 0);
	if (front_end >= 0 && bytes && count >= 0)
		gpu_socket_start(&display->front_end, fd_take(&front_end), bytes, (size_t)count);
	reaper_close(&front_end);
	fd_close(&unsent);
	free(bytes);
}

/* ---- what others ask ---- */

struct virtio_gpu *display_served_model(const struct display_served *display)
{
	return display->model;
}

struct bochs_display *display_served_bochs(const struct display_served *display)
{
	return display->bochs;
}

int display_served_set_size(struct display_served *display, unsigned scanout, unsigned width, unsigned height)
{
	return display->bochs ? bochs_display_set_size(display->bochs, width, height)
			      : virtio_gpu_set_size(display->model, scanout, width, height, true);
}

uint64_t display_served_pictures(const struct display_served *display)
{
	uint64_t pictures = 0;

	for (unsigned i = 0; i < display->scanout_count; i++)
		pictures += counter_read(&display->scanouts[i].news.pictures);
	return pictures;
}

uint64_t display_served_flushes(const struct display_served *display)
{
	uint64_t damages = 0;

	for (unsigned i = 0; i < display->scanout_count; i++)
		damages += counter_read(&display->scanouts[i].news.damages);
	return damages;
}

const struct display_served_counters *display_served_counters(const struct display_served *display)
{
	return &display->counters;
}

uint64_t display_served_cpu_ns(const struct display_served *display)
{
	return counter_read(&display->account->used_ns);
}

/* ---- life ---- */

/* Room for two pictures of the monitor's size: drivers draw into one while the other is shown. */
static uint32_t memory_for(unsigned width, unsigned height)
{
	uint64_t wanted = 2ull * width * height * 4;
	uint32_t bytes = BOCHS_MEMORY_BYTES;

	while (bytes < wanted && bytes < BOCHS_MEMORY_BYTES_MAX)
		bytes *= 2;
	return bytes;
}

static int create_bochs(struct display_served *display, const struct display_served_options *options)
{
	const struct bochs_display_options model = {
		.memory_bytes = memory_for(options->width, options->height),
		.width = options->width,
		.height = options->height,
		.serial = options->name,
		.output = &display_news_output,
		.has_shown = display_news_are_taken,
		.context = &display->news,
	};

	return options->scanouts == 1 ? bochs_display_create(&model, &display->bochs) : -EINVAL;
}

static int create_virtio(struct display_served *display, const struct display_served_options *options)
{
	struct virtio_gpu_options model = {
		.scanouts = options->scanouts,
		.serial = options->name,
		.output = &display_news_output,
		.context = &display->news,
	};
	int code = virtio_gpu_create(&model, &display->model);

	for (unsigned i = 0; i < options->scanouts && !code; i++)
		code = virtio_gpu_set_size(display->model, i, options->width, options->height, true);
	return code;
}

static int create_model(struct display_served *display, const struct display_served_options *options)
{
	return options->of_registers ? create_bochs(display, options) : create_virtio(display, options);
}

int display_served_create(const struct display_served_options *options, struct display_served **ret_display)
{
	struct display_served *display;
	int code;

	if (options->scanouts == 0 || options->scanouts > DISPLAY_SCANOUTS_MAX)
		return -EINVAL;
	display = calloc(1, sizeof(*display) + options->scanouts * sizeof(display->scanouts[0]));
	if (!display)
		return -ENOMEM;
	pthread_mutex_init(&display->lock, NULL);
	display->saved = (struct display_served_saved){ -1, -1, -1 };
	display->seat = options->seat;
	display->control = options->control;
	display->resized = options->resized;
	display->context = options->context;
	display->scanout_count = options->scanouts;
	for (unsigned i = 0; i < options->scanouts; i++) {
		display_scanout_init(&display->scanouts[i], display, i, options->windows[i]);
		display->news.scanouts[display->news.count++] = &display->scanouts[i].news;
	}
	display->account = loop_account_create(options->guest, options->seat);
	display->front_end = (struct gpu_socket){ .loop = options->seat,
						  .account = display->account,
						  .pixels = shown_pixels,
						  .context = display,
						  .scanouts = options->scanouts };
	gpu_socket_init(&display->front_end);
	code = display->account ? create_model(display, options) : -ENOMEM;
	if (code) {
		display_served_destroy(display);
		return code;
	}
	*ret_display = display;
	return 0;
}

void display_served_destroy(struct display_served *display)
{
	if (!display)
		return;
	/* It darkens what it shows: the scanouts hear of that. */
	virtio_gpu_destroy(display->model);
	bochs_display_destroy(display->bochs);
	for (unsigned i = 0; i < display->scanout_count; i++)
		display_scanout_finish(&display->scanouts[i]);
	forget_saved(display);
	loop_account_close(display->account);
	pthread_mutex_destroy(&display->lock);
	free(display);
}
