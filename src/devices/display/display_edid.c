/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The blocks of an EDID of version 1.4 (VESA E-EDID A.2):
 *
 *     0   header, maker, product, serial number, year, version     (3.3, 3.4)
 *    20   digital, sRGB, size, gamma                                (3.6, 3.7)
 *    35   established and standard timings                          (3.8, 3.9)
 *    54   four descriptors: the preferred timing, name, serial, none (3.10)
 *   126   extensions, checksum
 *
 * A side in a detailed timing has 12 bits. The timing of a larger window is in an extension with a DisplayID
 * section (VESA DisplayID 1.3), where it is preferred, too; the block itself then has one of the same shape
 * that is a half, or a third. Programs that know no extensions use that, and are scaled.
 */
#include "devices/display/display_edid.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES	 128u
#define DESCRIPTOR_BYTES 18ul
#define DESCRIPTORS_AT	 54u
#define TEXT_BYTES	 13u
#define DTD_SIDE_MAX	 4095u	/* 12 bits */
#define DTD_CLOCK_MAX	 65535u /* 16 bits of 10 kHz */
#define REFRESH_HZ	 60u
#define BLANK		 160u
/* Of all lines together, with their blanks: 10 MHz. */
#define FRAME_PIXELS_MIN (10000000u / REFRESH_HZ)
#define YEAR		 2026u
#define FIRST_YEAR	 1990u
#define PRODUCT		 1u
#define GAMMA		 120u /* 2.2, in hundredths above 1 */

/* Three letters, which nobody has registered. */
static const char maker[3] = { 'V', 'Q', 'D' };

enum descriptor_tag {
	TAG_NONE = 0x10,
	TAG_NAME = 0xfc,
	TAG_SERIAL = 0xff,
};

/* Of one direction: pixels or lines. */
struct axis {
	unsigned active, blank, front, sync, millimetres;
};

struct timing {
	struct axis across, down;
	unsigned clock; /* 10 kHz */
};

/* As on a screen with 96 pixels to the inch. */
static unsigned millimetres(unsigned pixels)
{
	unsigned length = pixels * 254 / 960;

	return length > 0 ? length : 1;
}

/*
 * Reduced blanking, as VESA's coordinated video timings have it: 160 pixels, and 460 us of each 60th of a
 * second. When the clock has no room for so many pixels there are fewer pictures a second. A clock below
 * 10 MHz is taken for nonsense by some that read it: the lines of a very small picture have more blanks.
 */
static struct timing timing_of(unsigned width, unsigned height, unsigned clock_max)
{
	struct timing timing = {
		.across = { width, BLANK, 48, 32, millimetres(width) },
		.down = { height, 12 + height * 460 / 16206, 3, 6, millimetres(height) },
	};
	unsigned line_min = FRAME_PIXELS_MIN / (height + timing.down.blank) + 1;
	uint64_t pixels, clock;

	if (line_min > width + BLANK)
		timing.across.blank = line_min - width < DTD_SIDE_MAX ? line_min - width : DTD_SIDE_MAX;
	pixels = (uint64_t)(width + timing.across.blank) * (height + timing.down.blank);
	clock = (pixels * REFRESH_HZ + 5000) / 10000;
	timing.clock = clock < clock_max ? (unsigned)clock : clock_max;
	return timing;
}

static uint8_t low(unsigned value)
{
	return (uint8_t)value;
}

static void put_u16(uint8_t *to, unsigned value)
{
	to[0] = low(value);
	to[1] = low(value >> 8);
}

/* 3.10.2: the low eight bits of each number, and the high four of two in one byte. */
static void put_pair(uint8_t *to, unsigned first, unsigned second)
{
	to[0] = low(first);
	to[1] = low(second);
	to[2] = low(first >> 8 << 4 | second >> 8);
}

static void put_detailed(uint8_t *to, const struct timing *timing)
{
	const struct axis *across = &timing->across, *down = &timing->down;

	put_u16(to, timing->clock);
	put_pair(to + 2, across->active, across->blank);
	put_pair(to + 5, down->active, down->blank);
	to[8] = low(across->front);
	to[9] = low(across->sync);
	to[10] = low(down->front << 4 | down->sync);
	put_pair(to + 12, across->millimetres, down->millimetres);
	/* Separate syncs, the horizontal one positive. */
	to[17] = 0x1a;
}

/* 3.10.3: the text ends with a line feed and is filled up with blanks. */
static void put_text(uint8_t *to, enum descriptor_tag tag, const char *text)
{
	size_t length = strnlen(text, TEXT_BYTES);

	to[3] = (uint8_t)tag;
	memset(to + 5, ' ', TEXT_BYTES);
	memcpy(to + 5, text, length);
	if (length < TEXT_BYTES)
		to[5 + length] = '\n';
}

/* All bytes and this one add up to 0. */
static uint8_t checksum(const uint8_t *bytes, size_t count)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return (uint8_t)-sum;
}

static void put_identity(uint8_t *edid, const struct display_monitor *monitor)
{
	static const uint8_t header[] = { 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0 };
	unsigned letters = 0;

	memcpy(edid, header, sizeof(header));
	/* Five bits each. */
	for (unsigned i = 0; i < 3; i++)
		letters = letters << 5 | (unsigned)(maker[i] - '@');
	edid[8] = low(letters >> 8);
	edid[9] = low(letters);
	put_u16(edid + 10, PRODUCT);
	edid[12] = low(monitor->number + 1);
	edid[17] = YEAR - FIRST_YEAR;
	edid[18] = 1;
	edid[19] = 4;
}

static void put_features(uint8_t *edid, const struct display_monitor *monitor)
{
	static const uint8_t srgb[] = { 0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54 };

	edid[20] = 0xa0; /* digital, 8 bits for each colour */
	edid[21] = low((millimetres(monitor->width) + 9) / 10);
	edid[22] = low((millimetres(monitor->height) + 9) / 10);
	edid[23] = GAMMA;
	edid[24] = 0x06; /* sRGB; the preferred timing is the monitor's own */
	memcpy(edid + 25, srgb, sizeof(srgb));
	edid[35] = 0x21;	  /* 640 to 480 and 800 to 600, 60 Hz */
	edid[36] = 0x08;	  /* 1024 to 768, 60 Hz */
	memset(edid + 38, 1, 16); /* no others */
}

static void put_descriptors(uint8_t *edid, const struct display_monitor *monitor, const struct timing *timing)
{
	uint8_t *at = edid + DESCRIPTORS_AT;
	char serial[DISPLAY_SERIAL_BYTES + 3];

	snprintf(serial, sizeof(serial), "%.10s/%u", monitor->serial, monitor->number % 100);
	put_detailed(at, timing);
	put_text(at + DESCRIPTOR_BYTES, TAG_NAME, "Viaduct");
	put_text(at + 2 * DESCRIPTOR_BYTES, TAG_SERIAL, serial);
	at[3 * DESCRIPTOR_BYTES + 3] = TAG_NONE;
}

/*
 * DisplayID 1.3: a section of data blocks, each with a tag, a revision and the bytes that follow (4). A
 * display that stands alone has the first three besides its timings. Most numbers are one less than what they
 * mean.
 *
 *    0  tag of the extension
 *    1  version, bytes of all blocks, product type, further extensions
 *    5  tag 0x00, 12 bytes: maker (3 letters), product (2), serial number (4), week, year, no name  (4.1)
 *   20  tag 0x01, 12 bytes: size in 0.1 mm (4), pixels (4), features, gamma, shape, depths          (4.2)
 *   35  tag 0x0f, 10 bytes: kind and links, version, depths (3), protection (2), spectrum, more (2) (4.9)
 *   48  tag 0x03, 20 bytes: clock (3), flags, four numbers across (2 each), four down               (4.4.1)
 *   71  checksum of the section
 */
#define SECTION_AT 5u

/* Returns where the block's bytes are; the next block is behind them. */
static uint8_t *begin_block(uint8_t **at, uint8_t tag, uint8_t bytes)
{
	uint8_t *block = *at;

	block[0] = tag;
	block[2] = bytes;
	*at = block + 3 + bytes;
	return block + 3;
}

static void put_product(uint8_t **at, const struct display_monitor *monitor)
{
	uint8_t *to = begin_block(at, 0x00, 12);

	memcpy(to, maker, 3);
	put_u16(to + 3, PRODUCT);
	put_u16(to + 5, monitor->number + 1);
	to[10] = YEAR - 2000;
}

/* The shape in hundredths, as far as a byte has them. */
static uint8_t shape(const struct display_monitor *monitor)
{
	unsigned longer = monitor->width, shorter = monitor->height, hundredths;

	if (longer < shorter) {
		longer = monitor->height;
		shorter = monitor->width;
	}
	hundredths = longer * 100 / shorter - 100;
	return hundredths < 255 ? low(hundredths) : 255;
}

static void put_parameters(uint8_t **at, const struct display_monitor *monitor)
{
	uint8_t *to = begin_block(at, 0x01, 12);

	put_u16(to, millimetres(monitor->width) * 10);
	put_u16(to + 2, millimetres(monitor->height) * 10);
	put_u16(to + 4, monitor->width);
	put_u16(to + 6, monitor->height);
	to[8] = 0x08; /* one size of pixels: its own */
	to[9] = GAMMA;
	to[10] = shape(monitor);
	to[11] = 0x77; /* 8 bits for each colour */
}

static void put_interface(uint8_t **at)
{
	uint8_t *to = begin_block(at, 0x0f, 10);

	to[0] = 0xb1; /* digital, of no standard; one link */
	to[2] = 0x02; /* red, green and blue in 8 bits each; nothing else */
}

static void put_timing(uint8_t **at, const struct timing *timing)
{
	const struct axis *across = &timing->across, *down = &timing->down;
	uint8_t *to = begin_block(at, 0x03, 20);

	put_u16(to, timing->clock - 1);
	to[2] = low((timing->clock - 1) >> 16);
	to[3] = 0x88; /* preferred; the shape is not one of those that have a number */
	put_u16(to + 4, across->active - 1);
	put_u16(to + 6, across->blank - 1);
	put_u16(to + 8, (across->front - 1) | 1u << 15);
	put_u16(to + 10, across->sync - 1);
	put_u16(to + 12, down->active - 1);
	put_u16(to + 14, down->blank - 1);
	put_u16(to + 16, down->front - 1);
	put_u16(to + 18, down->sync - 1);
}

static void put_display_id(uint8_t *extension, const struct display_monitor *monitor,
			   const struct timing *timing)
{
	static const uint8_t begin[SECTION_AT] = { 0x70, 0x13, 0, 0x03, 0 };
	uint8_t *at = extension + SECTION_AT;

	memcpy(extension, begin, sizeof(begin));
	put_product(&at, monitor);
	put_parameters(&at, monitor);
	put_interface(&at);
	put_timing(&at, timing);
	extension[2] = (uint8_t)(at - (extension + SECTION_AT));
	*at = checksum(extension + 1, (size_t)(at - (extension + 1)));
	extension[BLOCK_BYTES - 1] = checksum(extension, BLOCK_BYTES - 1);
}

/* The smallest number that makes both sides fit. */
static unsigned divisor(const struct display_monitor *monitor)
{
	unsigned side = monitor->width > monitor->height ? monitor->width : monitor->height;

	return (side + DTD_SIDE_MAX - 1) / DTD_SIDE_MAX;
}

size_t display_edid_make(const struct display_monitor *monitor, uint8_t edid[DISPLAY_EDID_BYTES_MAX])
{
	unsigned part = divisor(monitor);
	unsigned width = monitor->width / part, height = monitor->height / part;
	struct timing timing = timing_of(width > 0 ? width : 1, height > 0 ? height : 1, DTD_CLOCK_MAX),
		      large;

	assert(monitor->width <= DISPLAY_SIDE_MAX && monitor->height <= DISPLAY_SIDE_MAX);
	timing.across.millimetres = millimetres(monitor->width);
	timing.down.millimetres = millimetres(monitor->height);
	memset(edid, 0, DISPLAY_EDID_BYTES_MAX);
	put_identity(edid, monitor);
	put_features(edid, monitor);
	put_descriptors(edid, monitor, &timing);
	edid[126] = part > 1;
	edid[127] = checksum(edid, 127);
	if (part == 1)
		return BLOCK_BYTES;
	large = timing_of(monitor->width, monitor->height, (1u << 24) - 1);
	put_display_id(edid + BLOCK_BYTES, monitor, &large);
	return DISPLAY_EDID_BYTES_MAX;
}
