/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A monitor as large as a display's window, as it describes itself to the guest's driver. Pure. */
#ifndef VIADUCT_DEVICES_DISPLAY_DISPLAY_EDID_H
#define VIADUCT_DEVICES_DISPLAY_DISPLAY_EDID_H

#include <stddef.h>
#include <stdint.h>

#define DISPLAY_EDID_BYTES_MAX 256u
/* Of a picture, in pixels: as much as a seat's window can have. */
#define DISPLAY_SIDE_MAX     8192u
#define DISPLAY_SERIAL_BYTES 11u

struct display_monitor {
	unsigned width, height; /* 1 to DISPLAY_SIDE_MAX */
	unsigned number;	/* of the scanout */
	const char *serial;	/* at most DISPLAY_SERIAL_BYTES - 1 characters */
};

/* Describes it (VESA E-EDID A.2). Returns the bytes: 128, or 256 where that has no room for a side. */
size_t display_edid_make(const struct display_monitor *monitor, uint8_t edid[DISPLAY_EDID_BYTES_MAX]);

#endif
