/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_surface.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pixman.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/fd.h"

#define PIXEL_BYTES 4u

/* ---- the file ---- */

static size_t file_bytes(uint32_t width, uint32_t height)
{
	return (size_t)width * height * PIXEL_BYTES;
}

void vmm_display_surface_init(struct vmm_display_surface *surface)
{
	*surface = (struct vmm_display_surface){ .file = -1 };
	vmm_display_map_init(&surface->map);
}

static void release_file(struct vmm_display_surface *surface)
{
	if (surface->pixels)
		munmap(surface->pixels, file_bytes(surface->width, surface->height));
	surface->pixels = NULL;
	fd_close(&surface->file);
}

void vmm_display_surface_finish(struct vmm_display_surface *surface)
{
	release_file(surface);
	vmm_display_map_finish(&surface->map);
	vmm_display_surface_init(surface);
}

/* Its size is sealed, and so are its seals: the daemon could otherwise forbid us to write. */
static int create_file(size_t bytes)
{
	int file = fd_memfd("viaduct-vmm-display", bytes);

	if (file >= 0 && fcntl(file, F_ADD_SEALS, F_SEAL_SEAL) < 0) {
		int error = -errno;

		close(file);
		return error;
	}
	return file;
}

/* The surface has a file of this size, black, or is as it was. */
static int resize(struct vmm_display_surface *surface, uint32_t width, uint32_t height)
{
	size_t bytes = file_bytes(width, height);
	int file = create_file(bytes);
	void *pixels;

	if (file < 0)
		return file;
	pixels = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (pixels == MAP_FAILED) {
		int error = -errno;

		close(file);
		return error;
	}
	release_file(surface);
	surface->file = file;
	surface->pixels = pixels;
	surface->width = width;
	surface->height = height;
	return 0;
}

/* ---- drawing ---- */

/* pixman asks for memory that it may write to, and only reads a source's. */
static pixman_image_t *source_of(const struct vmm_display_pixels *pixels)
{
	return pixman_image_create_bits_no_clear((pixman_format_code_t)pixels->format, (int)pixels->width,
						 (int)pixels->height, (uint32_t *)(uintptr_t)pixels->bytes,
						 (int)pixels->stride_bytes);
}

static int draw(struct vmm_display_surface *surface, uint32_t x, uint32_t y,
		const struct vmm_display_pixels *pixels)
{
	pixman_image_t *source = source_of(pixels);
	pixman_image_t *target =
		pixman_image_create_bits_no_clear(PIXMAN_x8r8g8b8, (int)surface->width, (int)surface->height,
						  surface->pixels, (int)(surface->width * PIXEL_BYTES));

	assert(x + pixels->width <= surface->width && y + pixels->height <= surface->height);
	if (source && target)
		pixman_image_composite32(PIXMAN_OP_SRC, source, NULL, target, 0, 0, 0, 0, (int)x, (int)y,
					 (int)pixels->width, (int)pixels->height);
	if (source)
		pixman_image_unref(source);
	if (target)
		pixman_image_unref(target);
	return source && target ? 0 : -ENOMEM;
}

static bool is_mapped(const struct vmm_display_surface *surface)
{
	return surface->map.file >= 0;
}

/* All of it is damaged, and drawn by others. Returns 0, or -errno: it is as it was. */
static int renew(struct vmm_display_surface *surface, uint32_t width, uint32_t height)
{
	bool is_same = surface->file >= 0 && surface->width == width && surface->height == height;
	/* QEMU sets the surface anew whenever all of it has changed: the daemon has its file already. */
	bool is_known = is_same && surface->is_lit && !surface->is_new;
	int error = is_same ? 0 : resize(surface, width, height);

	if (error < 0)
		return error;
	vmm_display_map_finish(&surface->map);
	surface->is_unread = false;
	surface->is_lit = true;
	surface->is_new = !is_known;
	surface->is_damaged = is_known;
	surface->damage = (struct vmm_display_rect){ 0, 0, width, height };
	return 0;
}

int vmm_display_surface_set(struct vmm_display_surface *surface, const struct vmm_display_pixels *pixels)
{
	int error = renew(surface, pixels->width, pixels->height);

	return error < 0 ? error : draw(surface, 0, 0, pixels);
}

int vmm_display_surface_set_map(struct vmm_display_surface *surface, const struct vmm_display_map *map)
{
	struct vmm_display_map taken = *map;
	int error = renew(surface, taken.layout.width, taken.layout.height);

	if (error < 0) {
		vmm_display_map_finish(&taken);
		return error;
	}
	surface->map = taken;
	surface->is_unread = true;
	surface->unread = surface->damage;
	return 0;
}

static uint32_t lower(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t higher(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* The smallest rectangle around both. */
static struct vmm_display_rect around(struct vmm_display_rect a, struct vmm_display_rect b)
{
	struct vmm_display_rect rect = { .x = lower(a.x, b.x), .y = lower(a.y, b.y) };

	rect.width = higher(a.x + a.width, b.x + b.width) - rect.x;
	rect.height = higher(a.y + a.height, b.y + b.height) - rect.y;
	return rect;
}

static void damage(struct vmm_display_surface *surface, struct vmm_display_rect rect)
{
	surface->damage = surface->is_damaged ? around(surface->damage, rect) : rect;
	surface->is_damaged = true;
}

int vmm_display_surface_update(struct vmm_display_surface *surface, int32_t x, int32_t y,
			       const struct vmm_display_pixels *pixels)
{
	struct vmm_display_rect rect;
	int error;

	if (!surface->is_lit)
		return -ENOENT;
	error = vmm_display_rect_check(x, y, (int32_t)pixels->width, (int32_t)pixels->height, surface->width,
				       surface->height, &rect);
	if (error < 0)
		return error;
	error = draw(surface, rect.x, rect.y, pixels);
	if (error == 0)
		damage(surface, rect);
	return error;
}

int vmm_display_surface_update_map(struct vmm_display_surface *surface, int32_t x, int32_t y, int32_t width,
				   int32_t height)
{
	struct vmm_display_rect rect;
	int error;

	if (!is_mapped(surface))
		return -ENOENT;
	error = vmm_display_rect_check(x, y, width, height, surface->width, surface->height, &rect);
	if (error < 0)
		return error;
	damage(surface, rect);
	surface->unread = surface->is_unread ? around(surface->unread, rect) : rect;
	surface->is_unread = true;
	return 0;
}

void vmm_display_surface_darken(struct vmm_display_surface *surface)
{
	vmm_display_map_finish(&surface->map);
	surface->is_lit = surface->is_new = surface->is_damaged = surface->is_unread = false;
}

/* ---- what the daemon is told ---- */

void vmm_display_surface_taken(struct vmm_display_surface *surface)
{
	surface->is_untaken = false;
}

void vmm_display_surface_again(struct vmm_display_surface *surface, uint32_t number)
{
	surface->number = number;
	surface->is_untaken = surface->is_damaged = false;
	surface->is_shown = true;
	surface->is_new = surface->is_lit;
}

void vmm_display_surface_read(struct vmm_display_surface *surface)
{
	if (surface->is_untaken || !surface->is_unread)
		return;
	surface->is_unread = false;
	if (vmm_display_map_read(&surface->map, &surface->unread, surface->pixels) < 0)
		vmm_display_surface_darken(surface);
}

bool vmm_display_surface_news(const struct vmm_display_surface *surface,
			      struct vmm_display_message *ret_message, int *ret_file)
{
	const struct vmm_display_rect *damage = &surface->damage;

	if (surface->is_untaken)
		return false;
	*ret_file = -1;
	if (surface->is_new) {
		*ret_message = (struct vmm_display_message){ .kind = VMM_DISPLAY_SURFACE,
							     .number = surface->number,
							     .width = surface->width,
							     .height = surface->height,
							     .stride_bytes = surface->width * PIXEL_BYTES,
							     .down = is_mapped(surface) };
		*ret_file = surface->file;
		return true;
	}
	if (surface->is_damaged) {
		*ret_message = (struct vmm_display_message){ .kind = VMM_DISPLAY_DAMAGE,
							     .number = surface->number,
							     .x = damage->x,
							     .y = damage->y,
							     .width = damage->width,
							     .height = damage->height,
							     .down = is_mapped(surface) };
		return true;
	}
	if (!surface->is_lit && surface->is_shown) {
		*ret_message =
			(struct vmm_display_message){ .kind = VMM_DISPLAY_DARK, .number = surface->number };
		return true;
	}
	return false;
}

void vmm_display_surface_told(struct vmm_display_surface *surface)
{
	surface->is_untaken = surface->is_new || surface->is_damaged;
	surface->is_shown = surface->is_lit;
	surface->is_new = surface->is_damaged = false;
}
