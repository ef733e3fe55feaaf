/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the kernel's cards share. */
#ifndef VIADUCT_HOST_SCREEN_SCREEN_DRM_PRIVATE_H
#define VIADUCT_HOST_SCREEN_SCREEN_DRM_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xf86drmMode.h>

#include "host/screen/screen_device.h"

#define PATH_SIZE 128

struct drm_buffer {
	uint32_t framebuffer; /* 0: none */
	void *pixels;	      /* NULL: none */
	size_t bytes, stride_bytes;
};

struct drm_screen {
	struct screen_device base;
	char path[PATH_SIZE];
	char wanted[SCREEN_NAME_SIZE]; /* connector; "": any */
	bool is_atomic;
	drmModeCrtcPtr found;	  /* as it was; NULL: not known */
	uint32_t found_connector; /* which it was of */
	uint32_t connector;	  /* of the last look that asked */
	drmModeModeInfo modes[SCREEN_MODES_MAX];
	uint32_t crtc;
	uint32_t plane, plane_framebuffer, plane_damage; /* with its properties; 0: none */
	drmModeModeInfo mode;
	struct drm_buffer buffers[SCREEN_BUFFERS], next[SCREEN_BUFFERS]; /* next: when the mode is set */
};

/* Finds the CRTC that drives the connector, and its plane. Returns 0 or -ENODEV. */
int drm_find_path(struct drm_screen *drm, const drmModeRes *resources);

#endif
