/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A card of the kernel's (DRM, with kernel mode setting), drawn into by the processor ("dumb buffers").
 *
 * Modes are set by the call that every driver has. Pictures are flipped by atomic commits where the driver
 * has them, which tell it what has changed, and else by page flips, which do not. Neither waits.
 *
 * A program that opens a card which none has becomes its master. The master stays with the open file, also
 * when a successor has it: so a takeover shows no other picture in between. A buffer's memory belongs to its
 * framebuffer and its mapping; the predecessor's framebuffers are found in the file and removed.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xf86drm.h>

#include "core/fd.h"
#include "host/screen/screen_drm_private.h"

/* What the kernel tells of a flip; several fit. */
#define EVENTS_BYTES 1024

static struct drm_screen *of(struct screen_device *device)
{
	return (struct drm_screen *)device;
}

/* ---- which monitor ---- */

static void name_connector(const drmModeConnector *connector, char name[SCREEN_NAME_SIZE])
{
	const char *type = drmModeGetConnectorTypeName(connector->connector_type);

	snprintf(name, SCREEN_NAME_SIZE, "%s-%u", type ? type : "Unknown", connector->connector_type_id);
}

static struct screen_mode mode_of(const drmModeModeInfo *mode)
{
	return (struct screen_mode){
		.width = mode->hdisplay,
		.height = mode->vdisplay,
		.refresh_hz = mode->vrefresh,
		.is_preferred = mode->type & DRM_MODE_TYPE_PREFERRED,
		.is_interlaced = mode->flags & DRM_MODE_FLAG_INTERLACE,
	};
}

static void keep_modes(struct drm_screen *drm, const drmModeConnector *connector,
		       struct screen_output *ret_output)
{
	for (int i = 0; i < connector->count_modes && ret_output->mode_count < SCREEN_MODES_MAX; i++) {
		drm->modes[ret_output->mode_count] = connector->modes[i];
		ret_output->modes[ret_output->mode_count++] = mode_of(&connector->modes[i]);
	}
	drm->connector = connector->connector_id;
}

static bool is_the_one(const struct drm_screen *drm, const drmModeConnector *connector, bool ask,
		       struct screen_output *ret_output)
{
	name_connector(connector, ret_output->connector);
	return connector->connection == DRM_MODE_CONNECTED && (!ask || connector->count_modes > 0) &&
	       (!drm->wanted[0] || strcmp(drm->wanted, ret_output->connector) == 0);
}

static int look(struct screen_device *device, bool ask, struct screen_output *ret_output)
{
	struct drm_screen *drm = of(device);
	drmModeResPtr resources = drmModeGetResources(device->fd);
	int result = -ENOTCONN;

	ret_output->mode_count = 0;
	for (int i = 0; resources && i < resources->count_connectors && result; i++) {
		uint32_t id = resources->connectors[i];
		drmModeConnectorPtr connector = ask ? drmModeGetConnector(device->fd, id)
						    : drmModeGetConnectorCurrent(device->fd, id);

		if (connector && is_the_one(drm, connector, ask, ret_output)) {
			if (ask)
				keep_modes(drm, connector, ret_output);
			result = 0;
		}
		drmModeFreeConnector(connector);
	}
	drmModeFreeResources(resources);
	return result;
}

/* ---- buffers ---- */

static void free_buffer(int fd, struct drm_buffer *buffer)
{
	if (buffer->pixels)
		munmap(buffer->pixels, buffer->bytes);
	if (buffer->framebuffer)
		drmModeRmFB(fd, buffer->framebuffer);
	*buffer = (struct drm_buffer){ .framebuffer = 0 };
}

static void free_buffers(int fd, struct drm_buffer *buffers)
{
	for (unsigned i = 0; i < SCREEN_BUFFERS; i++)
		free_buffer(fd, &buffers[i]);
}

static int fill_buffer(int fd, const struct drm_mode_create_dumb *dumb, struct drm_buffer *buffer)
{
	struct drm_mode_map_dumb map = { .handle = dumb->handle };
	void *pixels;

	if (drmModeAddFB(fd, dumb->width, dumb->height, 24, 32, dumb->pitch, dumb->handle,
			 &buffer->framebuffer))
		return -errno;
	if (drmIoctl(fd, DRM_IOCTL_MODE_MAP_DUMB, &map))
		return -errno;
	pixels = mmap(NULL, dumb->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)map.offset);
	if (pixels == MAP_FAILED)
		return -errno;
	buffer->pixels = pixels;
	buffer->bytes = dumb->size;
	buffer->stride_bytes = dumb->pitch;
	return 0;
}

static int make_buffer(int fd, const drmModeModeInfo *mode, struct drm_buffer *buffer)
{
	struct drm_mode_create_dumb dumb = { .width = mode->hdisplay, .height = mode->vdisplay, .bpp = 32 };
	struct drm_mode_destroy_dumb handle;
	int error;

	if (drmIoctl(fd, DRM_IOCTL_MODE_CREATE_DUMB, &dumb))
		return -errno;
	error = fill_buffer(fd, &dumb, buffer);
	/* The framebuffer and the mapping keep the memory. */
	handle.handle = dumb.handle;
	drmIoctl(fd, DRM_IOCTL_MODE_DESTROY_DUMB, &handle);
	if (error)
		free_buffer(fd, buffer);
	return error;
}

/* Those of a predecessor, which are not shown any more. */
static void remove_others(const struct drm_screen *drm, const drmModeRes *resources)
{
	for (int i = 0; i < resources->count_fbs; i++) {
		bool own = false;

		for (unsigned k = 0; k < SCREEN_BUFFERS; k++)
			own |= drm->buffers[k].framebuffer == resources->fbs[i];
		if (!own)
			drmModeRmFB(drm->base.fd, resources->fbs[i]);
	}
}

/* ---- showing ---- */

static int make_buffers(struct screen_device *device, const struct screen_output *output, unsigned mode,
			struct screen_buffer ret_buffers[SCREEN_BUFFERS])
{
	struct drm_screen *drm = of(device);
	int error = drmIsMaster(device->fd) ? 0 : -EACCES;

	assert(mode < output->mode_count);
	drm->mode = drm->modes[mode];
	for (unsigned i = 0; i < SCREEN_BUFFERS && !error; i++)
		error = make_buffer(device->fd, &drm->mode, &drm->next[i]);
	if (error) {
		free_buffers(device->fd, drm->next);
		return error;
	}
	for (unsigned i = 0; i < SCREEN_BUFFERS; i++)
		ret_buffers[i] = (struct screen_buffer){ drm->next[i].pixels, drm->next[i].stride_bytes };
	return 0;
}

/* The console's, before it is first taken away. */
static void remember_found(struct drm_screen *drm)
{
	if (drm->found)
		return;
	drm->found = drmModeGetCrtc(drm->base.fd, drm->crtc);
	drm->found_connector = drm->connector;
}

static int set_mode(struct screen_device *device)
{
	struct drm_screen *drm = of(device);
	drmModeResPtr resources = drmModeGetResources(device->fd);
	int error = resources ? drm_find_path(drm, resources) : -errno;

	if (!error)
		remember_found(drm);
	if (!error && drmModeSetCrtc(device->fd, drm->crtc, drm->next[0].framebuffer, 0, 0, &drm->connector,
				     1, &drm->mode))
		error = -errno;
	if (error)
		free_buffers(device->fd, drm->next);
	free_buffers(device->fd, drm->buffers);
	memcpy(drm->buffers, drm->next, sizeof(drm->next));
	memset(drm->next, 0, sizeof(drm->next));
	if (!error && resources)
		remove_others(drm, resources);
	drmModeFreeResources(resources);
	return error;
}

/* Returns 0 (no blob: all may be another) or the blob's id. */
static uint32_t make_damage(const struct drm_screen *drm, const struct screen_rect *rects, unsigned count)
{
	struct drm_mode_rect clips[64];
	uint32_t blob = 0;

	if (!drm->plane_damage || count > sizeof(clips) / sizeof(clips[0]))
		return 0;
	for (unsigned i = 0; i < count; i++)
		clips[i] = (struct drm_mode_rect){ rects[i].x, rects[i].y, rects[i].x + (int)rects[i].width,
						   rects[i].y + (int)rects[i].height };
	if (drmModeCreatePropertyBlob(drm->base.fd, clips, count * sizeof(clips[0]), &blob))
		return 0;
	return blob;
}

static int commit(const struct drm_screen *drm, uint32_t framebuffer, uint32_t damage)
{
	drmModeAtomicReqPtr request = drmModeAtomicAlloc();
	int result =
		request ? drmModeAtomicAddProperty(request, drm->plane, drm->plane_framebuffer, framebuffer)
			: -ENOMEM;

	if (result >= 0 && drm->plane_damage)
		result = drmModeAtomicAddProperty(request, drm->plane, drm->plane_damage, damage);
	if (result >= 0)
		result = drmModeAtomicCommit(drm->base.fd, request,
					     DRM_MODE_PAGE_FLIP_EVENT | DRM_MODE_ATOMIC_NONBLOCK, NULL);
	drmModeAtomicFree(request);
	return result;
}

static int flip_atomically(const struct drm_screen *drm, uint32_t framebuffer,
			   const struct screen_rect *rects, unsigned count)
{
	uint32_t damage = make_damage(drm, rects, count);
	int result = commit(drm, framebuffer, damage);

	if (damage)
		drmModeDestroyPropertyBlob(drm->base.fd, damage);
	return result;
}

static int flip(struct screen_device *device, unsigned buffer, const struct screen_rect *rects,
		unsigned count)
{
	struct drm_screen *drm = of(device);
	uint32_t framebuffer = drm->buffers[buffer].framebuffer;

	if (drm->plane) {
		int result = flip_atomically(drm, framebuffer, rects, count);

		if (result != -EINVAL)
			return result < 0 ? result : 0;
		/* The driver cannot do this way what it can the other way. */
		drm->plane = 0;
	}
	return drmModePageFlip(device->fd, drm->crtc, framebuffer, DRM_MODE_PAGE_FLIP_EVENT, NULL) ? -errno
												   : 0;
}

/* Each event is the end of a flip: nothing else is asked for. */
static bool is_shown(struct screen_device *device)
{
	_Alignas(struct drm_event) char events[EVENTS_BYTES];
	bool shown = false;

	while (read(device->fd, events, sizeof(events)) > 0)
		shown = true;
	return shown;
}

/* ---- open, close ---- */

static int prepare(struct drm_screen *drm)
{
	uint64_t dumb = 0;

	if (drmGetCap(drm->base.fd, DRM_CAP_DUMB_BUFFER, &dumb) || !dumb)
		return -EOPNOTSUPP;
	drm->is_atomic = drmSetClientCap(drm->base.fd, DRM_CLIENT_CAP_ATOMIC, 1) == 0;
	return 0;
}

/* A card that none has any more becomes the next one's who opens it, or who had it before. */
static int take_back(struct screen_device *device)
{
	struct drm_screen *drm = of(device);
	int fd, old;

	if (drmIsMaster(device->fd) || drmSetMaster(device->fd) == 0)
		return 0;
	fd = open(drm->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!drmIsMaster(fd)) {
		fd_close(&fd);
		return -EACCES;
	}
	free_buffers(device->fd, drm->buffers);
	old = device->fd;
	device->fd = fd;
	fd_close(&old);
	drmModeFreeCrtc(drm->found);
	drm->found = NULL;
	return prepare(drm);
}

static void give_back(struct drm_screen *drm)
{
	const drmModeCrtc *found = drm->found;

	/* The console's own picture; the kernel brings it back by itself where this fails. */
	if (found && found->mode_valid && found->buffer_id)
		drmModeSetCrtc(drm->base.fd, found->crtc_id, found->buffer_id, found->x, found->y,
			       &drm->found_connector, 1, &drm->found->mode);
	drmDropMaster(drm->base.fd);
}

static void unmap(struct drm_screen *drm)
{
	for (unsigned i = 0; i < SCREEN_BUFFERS; i++) {
		if (drm->buffers[i].pixels)
			munmap(drm->buffers[i].pixels, drm->buffers[i].bytes);
	}
}

static void close_card(struct screen_device *device, bool handed_over)
{
	struct drm_screen *drm = of(device);

	if (handed_over) {
		unmap(drm);
	} else if (device->fd >= 0) {
		give_back(drm);
		free_buffers(device->fd, drm->buffers);
	}
	drmModeFreeCrtc(drm->found);
	fd_close(&device->fd);
	free(drm);
}

static const struct screen_device_ops drm_ops = {
	.look = look,
	.make_buffers = make_buffers,
	.set_mode = set_mode,
	.flip = flip,
	.is_shown = is_shown,
	.take_back = take_back,
	.close = close_card,
};

static int open_card(struct drm_screen *drm, bool handed, struct error *error)
{
	drmModeResPtr resources;
	int code;

	if (drm->base.fd < 0)
		drm->base.fd = open(drm->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (drm->base.fd < 0) {
		code = -errno;
		return error_set(error, code, "%s: %s%s", drm->path, strerror(-code),
				 code == -EACCES ? "; the daemon's user must be in the group video" : "");
	}
	resources = drmModeGetResources(drm->base.fd);
	if (!resources)
		return error_set(error, -ENODEV, "%s has no monitors; use a card such as /dev/dri/card0",
				 drm->path);
	drmModeFreeResources(resources);
	code = prepare(drm);
	if (code)
		return error_set(error, code,
				 "%s: its driver lets no program draw by itself (no dumb buffers)",
				 drm->path);
	/* What a predecessor has found is not known any more. */
	if (handed)
		drm->found = calloc(1, sizeof(*drm->found));
	return 0;
}

int screen_drm_open(const char *path, const char *connector, int fd, struct screen_device **ret_device,
		    struct error *error)
{
	struct drm_screen *drm = calloc(1, sizeof(*drm));
	int code;

	if (!drm) {
		fd_close(&fd);
		return error_set(error, -ENOMEM, "out of memory");
	}
	drm->base = (struct screen_device){ .ops = &drm_ops, .fd = fd };
	snprintf(drm->path, sizeof(drm->path), "%s", path);
	snprintf(drm->wanted, sizeof(drm->wanted), "%s", connector ? connector : "");
	code = open_card(drm, fd >= 0, error);
	if (code) {
		fd_close(&drm->base.fd);
		free(drm);
		return code;
	}
	*ret_device = &drm->base;
	return 0;
}
