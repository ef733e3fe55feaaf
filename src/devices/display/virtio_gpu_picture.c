/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pixels, who refers to them, and how many a device has. Resources and pictures refer to pixels, outputs to
 * pictures; the last one that lets go, on whatever thread, frees.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/container.h"
#include "core/reaper.h"
#include "devices/display/virtio_gpu_picture.h"

/*
 * So large ones are a mapping of their own, which costs nothing until it is drawn into. Mappings are the
 * process's, 65530 by default: of these a device has at most a thousand.
 */
#define MAPPED_BYTES_MIN (256u << 10)

struct gpu_budget {
	unsigned references;
	uint64_t bytes, bytes_max;
};

struct gpu_pixels {
	unsigned references;
	struct gpu_budget *budget;
	size_t bytes;
	uint32_t *pixels;
	struct reaper_job job;
};

/* ---- references ---- */

static void take_reference(unsigned *references)
{
	unsigned before = __atomic_fetch_add(references, 1, __ATOMIC_RELAXED);

	assert(before > 0);
}

/* True: it was the last one. What other threads did before they let go is visible to the one that frees. */
static bool drop_reference(unsigned *references)
{
	unsigned before = __atomic_fetch_sub(references, 1, __ATOMIC_ACQ_REL);

	assert(before > 0);
	return before == 1;
}

/* ---- the budget ---- */

struct gpu_budget *gpu_budget_create(uint64_t bytes_max)
{
	struct gpu_budget *budget = calloc(1, sizeof(*budget));

	if (budget)
		*budget = (struct gpu_budget){ .references = 1, .bytes_max = bytes_max };
	return budget;
}

void gpu_budget_put(struct gpu_budget *budget)
{
	if (budget && drop_reference(&budget->references))
		free(budget);
}

/* Only one thread spends, so that what it finds free stays free. */
static bool spend(struct gpu_budget *budget, size_t bytes)
{
	uint64_t spent = __atomic_load_n(&budget->bytes, __ATOMIC_RELAXED);

	if (bytes > budget->bytes_max || spent > budget->bytes_max - bytes)
		return false;
	__atomic_add_fetch(&budget->bytes, bytes, __ATOMIC_RELAXED);
	take_reference(&budget->references);
	return true;
}

static void give_back(struct gpu_budget *budget, size_t bytes)
{
	__atomic_sub_fetch(&budget->bytes, bytes, __ATOMIC_RELAXED);
	gpu_budget_put(budget);
}

/* ---- pixels ---- */

static bool is_mapped(size_t bytes)
{
	return bytes >= MAPPED_BYTES_MIN;
}

static uint32_t *allocate(size_t bytes)
{
	void *pixels;

	if (!is_mapped(bytes))
		return calloc(1, bytes);
	pixels =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return pixels == MAP_FAILED ? NULL : pixels;
}

struct gpu_pixels *gpu_pixels_create(struct gpu_budget *budget, size_t bytes)
{
	struct gpu_pixels *pixels;

	if (!spend(budget, bytes))
		return NULL;
	pixels = calloc(1, sizeof(*pixels));
	if (pixels)
		pixels->pixels = allocate(bytes);
	if (!pixels || !pixels->pixels) {
		free(pixels);
		give_back(budget, bytes);
		return NULL;
	}
	pixels->references = 1;
	pixels->budget = budget;
	pixels->bytes = bytes;
	return pixels;
}

static void unmap(struct reaper_job *job)
{
	struct gpu_pixels *pixels = container_of(job, struct gpu_pixels, job);

	munmap(pixels->pixels, pixels->bytes);
	free(pixels);
}

/* They may be spent again at once: a driver that frees a screen makes one of another size next. */
void gpu_pixels_put(struct gpu_pixels *pixels)
{
	if (!pixels || !drop_reference(&pixels->references))
		return;
	give_back(pixels->budget, pixels->bytes);
	if (is_mapped(pixels->bytes)) {
		pixels->job.run = unmap;
		reaper_give(&pixels->job);
	} else {
		free(pixels->pixels);
		free(pixels);
	}
}

uint32_t *gpu_pixels_at(const struct gpu_pixels *pixels)
{
	return pixels->pixels;
}

/* ---- what is drawn into ---- */

bool gpu_canvas_create(struct gpu_budget *budget, unsigned width, unsigned height,
		       struct gpu_canvas *ret_canvas)
{
	size_t stride_bytes = (size_t)width * PIXEL_BYTES;
	struct gpu_canvas canvas = { .pixels = gpu_pixels_create(budget, stride_bytes * height) };

	if (!canvas.pixels)
		return false;
	canvas.image = pixman_image_create_bits_no_clear(
		PIXMAN_a8r8g8b8, (int)width, (int)height, canvas.pixels->pixels, (int)stride_bytes);
	if (!canvas.image) {
		gpu_canvas_drop(&canvas);
		return false;
	}
	*ret_canvas = canvas;
	return true;
}

void gpu_canvas_drop(struct gpu_canvas *canvas)
{
	if (canvas->image)
		pixman_image_unref(canvas->image);
	gpu_pixels_put(canvas->pixels);
	*canvas = (struct gpu_canvas){ NULL, NULL };
}

/* ---- pictures ---- */

struct virtio_gpu_picture *gpu_picture_create(struct gpu_pixels *pixels, size_t stride_bytes,
					      const struct virtio_gpu_rect *rect)
{
	struct virtio_gpu_picture *picture = calloc(1, sizeof(*picture));

	if (!picture)
		return NULL;
	take_reference(&pixels->references);
	*picture = (struct virtio_gpu_picture){
		.pixels = pixels->pixels + rect->y * (stride_bytes / PIXEL_BYTES) + rect->x,
		.width = rect->width,
		.height = rect->height,
		.stride_bytes = stride_bytes,
		.references = 1,
		.store = pixels,
	};
	return picture;
}

struct virtio_gpu_picture *virtio_gpu_picture_get(struct virtio_gpu_picture *picture)
{
	take_reference(&picture->references);
	return picture;
}

void virtio_gpu_picture_put(struct virtio_gpu_picture *picture)
{
	if (!picture || !drop_reference(&picture->references))
		return;
	gpu_pixels_put(picture->store);
	free(picture);
}
