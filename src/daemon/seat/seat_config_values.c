/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the texts in the sections of seats and displays mean. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/seat/seat.h"
#include "daemon/config/config_values.h"
#include "daemon/seat/seat_config.h"

const char *seat_parse_number(const char *text, unsigned long max, unsigned *ret_number)
{
	unsigned long number = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9' && number <= max; at++)
		number = number * 10 + (unsigned long)(*at - '0');
	*ret_number = (unsigned)number;
	return at == text || number > max ? NULL : at;
}

static bool has_side(unsigned pixels)
{
	return pixels >= SEAT_SIDE_MIN && pixels <= SEAT_SIDE_MAX;
}

bool seat_parse_size(const char *text, unsigned *ret_width, unsigned *ret_height)
{
	unsigned width, height;
	const char *rest = seat_parse_number(text, SEAT_SIDE_MAX, &width);

	if (!rest || *rest != 'x')
		return false;
	rest = seat_parse_number(rest + 1, SEAT_SIDE_MAX, &height);
	if (!rest || *rest || !has_side(width) || !has_side(height))
		return false;
	*ret_width = width;
	*ret_height = height;
	return true;
}

/*
 * Far from each other, and all dark enough for white letters or bright enough for black ones. Guests get them
 * in this order: the first are told apart by those, too, who see no difference between red and green.
 */
static const struct {
	const char *name;
	uint32_t colour;
} colours[] = {
	{ "blue", 0x1a5fb4 }, { "orange", 0xe87722 }, { "cyan", 0x00a3ad },  { "yellow", 0xf2c200 },
	{ "red", 0xc8102e },  { "purple", 0x8e3ab5 }, { "green", 0x1e8e3e }, { "pink", 0xe85d9e },
};

#define COLOURS (sizeof(colours) / sizeof(colours[0]))

bool seat_parse_colour(const char *text, uint32_t *ret_colour)
{
	uint32_t colour = 0;

	for (size_t i = 0; i < COLOURS; i++) {
		if (strcmp(colours[i].name, text) == 0) {
			*ret_colour = colours[i].colour;
			return true;
		}
	}
	if (strlen(text) != 6 || strspn(text, "0123456789abcdefABCDEF") != 6)
		return false;
	colour = (uint32_t)strtoul(text, NULL, 16);
	*ret_colour = colour;
	return true;
}

const char *seat_colour_name(uint32_t colour)
{
	for (size_t i = 0; i < COLOURS; i++) {
		if (colours[i].colour == (colour & 0xffffff))
			return colours[i].name;
	}
	return NULL;
}

bool seat_is_guarded(const struct config_seat *seat)
{
	return seat->vnc_certificate && seat->vnc_key && seat->vnc_password_file;
}

/* Displays of one guest have one colour, and the first guests of the configuration have different ones. */
static size_t guest_place(const struct config *config, const char *guest)
{
	char name[CONFIG_GUEST_MAX + 1], before[CONFIG_GUEST_MAX + 1] = "";
	const char *rest;
	size_t place = 0;

	config_for_each(config_list(config, &config_section_display), config_display, display)
	{
		if (!config_split_name(display->object.name, name, &rest))
			continue;
		if (strcmp(name, guest) == 0)
			break;
		place += strcmp(name, before) != 0;
		memcpy(before, name, sizeof(before));
	}
	return place;
}

uint32_t seat_display_colour(const struct config *config, const struct config_display *display)
{
	char guest[CONFIG_GUEST_MAX + 1];
	const char *rest;
	uint32_t colour;

	if (display->colour && seat_parse_colour(display->colour, &colour))
		return colour;
	if (!config_split_name(display->object.name, guest, &rest))
		return colours[0].colour;
	return colours[guest_place(config, guest) % COLOURS].colour;
}
