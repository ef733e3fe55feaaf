/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a seat says of the host's screen and input devices. */
#include <stdio.h>
#include <string.h>

#include "daemon/seat/seat_config.h"
#include "host/input/input_set.h"

/* "HDMI-A-1": letters, and a number at the end. Other colons belong to the card's path. */
static bool is_connector(const char *text)
{
	size_t letters = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
	const char *dash = strrchr(text, '-');

	return letters > 0 && dash && dash[1] && strspn(dash + 1, "0123456789") == strlen(dash + 1);
}

const char *seat_parse_screen(const char *text, struct seat_card *ret_card)
{
	const char *colon = strrchr(text, ':'), *end = text + strlen(text);

	*ret_card = (struct seat_card){ .path = "" };
	if (strcmp(text, "none") == 0)
		return NULL;
	if (colon && is_connector(colon + 1))
		end = colon;
	if (text[0] != '/' || strlen(text) >= SEAT_CARD_SIZE || end[-1] == ':' || end[-1] == '/')
		return "is no screen of the host's; use for example /dev/dri/card0, "
		       "/dev/dri/card0:HDMI-A-1, or none";
	snprintf(ret_card->path, SEAT_CARD_SIZE, "%.*s", (int)(end - text), text);
	if (*end)
		snprintf(ret_card->connector, SEAT_CARD_SIZE, "%s", end + 1);
	return NULL;
}

/* Is a text of some seat another than "none"? */
static bool any_seat_has(const struct config *config, const char *(*text)(const struct config_seat *seat))
{
	config_for_each(config_list(config, &config_section_seat), config_seat, seat)
	{
		if (strcmp(text(seat), "none") != 0)
			return true;
	}
	return false;
}

static const char *web_of(const struct config_seat *seat)
{
	return seat->web;
}

static const char *screen_of(const struct config_seat *seat)
{
	return seat->screen;
}

static const char *input_of(const struct config_seat *seat)
{
	return seat->input;
}

bool seats_have_web(const struct config *config)
{
	return any_seat_has(config, web_of);
}

bool seats_have_screens(const struct config *config)
{
	return any_seat_has(config, screen_of);
}

bool seats_have_input(const struct config *config)
{
	return any_seat_has(config, input_of);
}

/* ---- checks ---- */

/* A card has one master, and a device is grabbed once. */
static bool same_card(const struct config_seat *one, const struct config_seat *other)
{
	struct seat_card card, other_card;

	return !seat_parse_screen(one->screen, &card) && !seat_parse_screen(other->screen, &other_card) &&
	       card.path[0] && strcmp(card.path, other_card.path) == 0;
}

static bool same_devices(const struct config_seat *one, const struct config_seat *other)
{
	const char *rest = one->input, *other_rest;
	char path[INPUT_PATH_SIZE], other_path[INPUT_PATH_SIZE];

	if (strcmp(one->input, "none") == 0 || strcmp(other->input, "none") == 0)
		return false;
	if (strcmp(one->input, "all") == 0 || strcmp(other->input, "all") == 0)
		return true;
	while (input_next_path(&rest, path)) {
		other_rest = other->input;
		while (input_next_path(&other_rest, other_path)) {
			if (strcmp(path, other_path) == 0)
				return true;
		}
	}
	return false;
}

void seat_check_hardware(const struct config *config, const struct config_object *object,
			 struct config_messages *messages)
{
	const struct config_seat *seat = (const struct config_seat *)object;
	struct seat_card card;
	const char *wrong = seat_parse_screen(seat->screen, &card);

	if (wrong)
		config_complain(object, "screen", messages, seat->screen, wrong);
	wrong = input_check_wanted(seat->input);
	if (wrong)
		config_complain(object, "input", messages, seat->input, wrong);
	for (const struct config_object *before = config_list(config, &config_section_seat); before != object;
	     before = before->next) {
		const struct config_seat *other = (const struct config_seat *)before;

		if (same_card(seat, other))
			config_complain(object, "screen", messages, seat->screen,
					"is on a card that another seat has; a card is one seat's");
		if (same_devices(seat, other))
			config_complain(object, "input", messages, seat->input,
					"has a device that another seat has; a device is one seat's");
	}
}
