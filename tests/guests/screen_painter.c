/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A graphical program for a guest of a test: paints each monitor of the first graphics card, by DRM and dumb
 * buffers, with pixels that are known (x, y on monitor m: 7x+s, 5y+40m, x^y as red, green and blue; s is how
 * often it has painted). It says "painted WIDTHxHEIGHT …" for the monitors, and paints again for each line of
 * its input. With "cursor" it puts one on each monitor, too: a square of 64 pixels, half transparent.
 *
 *     screen_painter [cursor]
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <drm.h>
#include <drm_mode.h>

#define MONITORS_MAX  16u
#define MODES_MAX     256u
#define CURSOR_SIDE   64u
#define CURSOR_X      100
#define CURSOR_Y      50
#define CURSOR_COLOUR 0x80800000u /* red, multiplied by its alpha */

struct buffer {
	uint32_t handle, pitch, *pixels;
};

struct monitor {
	uint32_t connector, crtc, picture;
	unsigned width, height;
	struct buffer buffer;
};

static struct monitor monitors[MONITORS_MAX];
static unsigned monitor_count;
static int card;

static void ask(unsigned long request, void *argument, const char *what)
{
	if (ioctl(card, request, argument) == 0)
		return;
	perror(what);
	exit(1);
}

static struct buffer make_buffer(unsigned width, unsigned height)
{
	struct drm_mode_create_dumb made = { .width = width, .height = height, .bpp = 32 };
	struct drm_mode_map_dumb map = { 0 };
	void *pixels;

	ask(DRM_IOCTL_MODE_CREATE_DUMB, &made, "create");
	map.handle = made.handle;
	ask(DRM_IOCTL_MODE_MAP_DUMB, &map, "map");
	pixels = mmap(NULL, made.size, PROT_READ | PROT_WRITE, MAP_SHARED, card, (off_t)map.offset);
	if (pixels == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return (struct buffer){ made.handle, made.pitch, pixels };
}

static void paint(const struct monitor *monitor, unsigned number, unsigned times)
{
	for (unsigned y = 0; y < monitor->height; y++)
		for (unsigned x = 0; x < monitor->width; x++)
			monitor->buffer.pixels[y * (monitor->buffer.pitch / 4) + x] =
				((7 * x + times) & 0xff) << 16 | ((5 * y + 40 * number) & 0xff) << 8 |
				((x ^ y) & 0xff);
}

static void show(struct monitor *monitor, const struct drm_mode_modeinfo *mode)
{
	struct drm_mode_fb_cmd picture = { .width = monitor->width, .height = monitor->height,
					   .pitch = monitor->buffer.pitch, .bpp = 32, .depth = 24,
					   .handle = monitor->buffer.handle };
	struct drm_mode_crtc crtc = { .crtc_id = monitor->crtc, .count_connectors = 1, .mode_valid = 1,
				      .set_connectors_ptr = (uintptr_t)&monitor->connector, .mode = *mode };

	ask(DRM_IOCTL_MODE_ADDFB, &picture, "add the picture");
	monitor->picture = crtc.fb_id = picture.fb_id;
	ask(DRM_IOCTL_MODE_SETCRTC, &crtc, "show it");
}

/* Each monitor that is connected, in the size that it prefers. */
static void take_monitor(uint32_t connector, uint32_t crtc)
{
	static struct drm_mode_modeinfo modes[MODES_MAX];
	struct drm_mode_get_connector asked = { .connector_id = connector };
	struct monitor *monitor = &monitors[monitor_count];

	ask(DRM_IOCTL_MODE_GETCONNECTOR, &asked, "count modes");
	asked = (struct drm_mode_get_connector){ .connector_id = connector,
						 .count_modes = asked.count_modes,
						 .modes_ptr = (uintptr_t)modes };
	if (asked.count_modes > MODES_MAX)
		asked.count_modes = MODES_MAX;
	ask(DRM_IOCTL_MODE_GETCONNECTOR, &asked, "read modes");
	if (asked.connection != 1 || asked.count_modes == 0)
		return;
	*monitor = (struct monitor){ .connector = connector, .crtc = crtc };
	monitor->width = modes[0].hdisplay;
	monitor->height = modes[0].vdisplay;
	monitor->buffer = make_buffer(monitor->width, monitor->height);
	paint(monitor, monitor_count, 0);
	show(monitor, &modes[0]);
	monitor_count++;
}

static void take_monitors(void)
{
	uint32_t crtcs[MONITORS_MAX], connectors[MONITORS_MAX];
	struct drm_mode_card_res all = { .count_crtcs = MONITORS_MAX, .count_connectors = MONITORS_MAX,
					 .crtc_id_ptr = (uintptr_t)crtcs,
					 .connector_id_ptr = (uintptr_t)connectors };

	ask(DRM_IOCTL_MODE_GETRESOURCES, &all, "list what the card has");
	for (unsigned i = 0; i < all.count_connectors && i < all.count_crtcs && i < MONITORS_MAX; i++)
		take_monitor(connectors[i], crtcs[i]);
}

static void paint_again(unsigned times)
{
	for (unsigned i = 0; i < monitor_count; i++) {
		struct drm_mode_fb_dirty_cmd dirty = { .fb_id = monitors[i].picture };

		paint(&monitors[i], i, times);
		ask(DRM_IOCTL_MODE_DIRTYFB, &dirty, "say that it was painted");
	}
}

static void put_cursors(void)
{
	struct buffer buffer = make_buffer(CURSOR_SIDE, CURSOR_SIDE);

	for (unsigned i = 0; i < CURSOR_SIDE * CURSOR_SIDE; i++)
		buffer.pixels[i] = CURSOR_COLOUR;
	for (unsigned i = 0; i < monitor_count; i++) {
		struct drm_mode_cursor cursor = { .flags = DRM_MODE_CURSOR_BO | DRM_MODE_CURSOR_MOVE,
						  .crtc_id = monitors[i].crtc, .x = CURSOR_X, .y = CURSOR_Y,
						  .width = CURSOR_SIDE, .height = CURSOR_SIDE,
						  .handle = buffer.handle };

		ask(DRM_IOCTL_MODE_CURSOR, &cursor, "put the cursor");
	}
}

int main(int argc, char **argv)
{
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	card = open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
	if (card < 0) {
		perror("/dev/dri/card0");
		return 1;
	}
	take_monitors();
	if (argc > 1 && strcmp(argv[1], "cursor") == 0)
		put_cursors();
	for (unsigned times = 0;; times++) {
		if (times > 0)
			paint_again(times);
		fputs("painted", stdout);
		for (unsigned i = 0; i < monitor_count; i++)
			printf(" %ux%u", monitors[i].width, monitors[i].height);
		puts("");
		if (!fgets(line, sizeof(line), stdin))
			return 0;
	}
}
