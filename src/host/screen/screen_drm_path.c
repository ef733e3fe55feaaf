/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a card drives a monitor: the CRTC, and the plane that has its whole picture. */
#include <errno.h>
#include <string.h>

#include <xf86drm.h>

#include "host/screen/screen_drm_private.h"

/* One that drives the monitor already, else the first that can. Returns its place in the list, or -ENODEV. */
static int find_crtc(const struct drm_screen *drm, const drmModeRes *resources,
		     const drmModeConnector *connector)
{
	drmModeEncoderPtr encoder = drmModeGetEncoder(drm->base.fd, connector->encoder_id);
	uint32_t driving = encoder ? encoder->crtc_id : 0, possible = 0;

	drmModeFreeEncoder(encoder);
	for (int i = 0; i < connector->count_encoders; i++) {
		encoder = drmModeGetEncoder(drm->base.fd, connector->encoders[i]);
		possible |= encoder ? encoder->possible_crtcs : 0;
		drmModeFreeEncoder(encoder);
	}
	for (int i = 0; i < resources->count_crtcs; i++) {
		if (driving && resources->crtcs[i] == driving)
			return i;
	}
	for (int i = 0; i < resources->count_crtcs && i < 32; i++) {
		if (possible & 1u << i)
			return i;
	}
	return -ENODEV;
}

/* The id of a plane's property and its value, or 0. */
static uint32_t find_property(int fd, uint32_t plane, const char *name, uint64_t *ret_value)
{
	drmModeObjectPropertiesPtr list = drmModeObjectGetProperties(fd, plane, DRM_MODE_OBJECT_PLANE);
	uint32_t found = 0;

	for (uint32_t i = 0; list && i < list->count_props && !found; i++) {
		drmModePropertyPtr property = drmModeGetProperty(fd, list->props[i]);

		if (property && strcmp(property->name, name) == 0) {
			found = property->prop_id;
			*ret_value = list->prop_values[i];
		}
		drmModeFreeProperty(property);
	}
	drmModeFreeObjectProperties(list);
	return found;
}

static bool is_primary(const struct drm_screen *drm, const drmModePlane *plane, int crtc_place)
{
	uint64_t type = 0;

	return plane && plane->possible_crtcs & 1u << crtc_place &&
	       find_property(drm->base.fd, plane->plane_id, "type", &type) && type == DRM_PLANE_TYPE_PRIMARY;
}

/* Without one, pages are flipped. */
static void find_plane(struct drm_screen *drm, int crtc_place)
{
	drmModePlaneResPtr planes = drm->is_atomic ? drmModeGetPlaneResources(drm->base.fd) : NULL;
	uint64_t value;

	drm->plane = 0;
	for (uint32_t i = 0; planes && i < planes->count_planes && !drm->plane; i++) {
		drmModePlanePtr plane = drmModeGetPlane(drm->base.fd, planes->planes[i]);

		if (is_primary(drm, plane, crtc_place))
			drm->plane = plane->plane_id;
		drmModeFreePlane(plane);
	}
	drmModeFreePlaneResources(planes);
	if (!drm->plane)
		return;
	drm->plane_framebuffer = find_property(drm->base.fd, drm->plane, "FB_ID", &value);
	drm->plane_damage = find_property(drm->base.fd, drm->plane, "FB_DAMAGE_CLIPS", &value);
	if (!drm->plane_framebuffer)
		drm->plane = 0;
}

int drm_find_path(struct drm_screen *drm, const drmModeRes *resources)
{
	drmModeConnectorPtr connector = drmModeGetConnectorCurrent(drm->base.fd, drm->connector);
	int place = connector ? find_crtc(drm, resources, connector) : -ENODEV;

	drmModeFreeConnector(connector);
	if (place < 0)
		return place;
	drm->crtc = resources->crtcs[place];
	find_plane(drm, place);
	return 0;
}
