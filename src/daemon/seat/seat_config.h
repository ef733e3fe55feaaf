/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sections [seat] and [display], and what their texts mean. */
#ifndef VIADUCT_DAEMON_SEAT_SEAT_CONFIG_H
#define VIADUCT_DAEMON_SEAT_SEAT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "daemon/config/config.h"

#define SEAT_CARD_SIZE 108

struct config_seat {
	struct config_object object;
	char *size;   /* "1280x800" */
	char *vnc;    /* "127.0.0.1:5900", or "none" */
	/* Files; NULL: viewers at `vnc` need to prove nothing. All of them or none. */
	char *vnc_certificate, *vnc_key, *vnc_password_file;
	char *web;    /* "127.0.0.1:6080", or "none" */
	char *font;   /* NULL: the default, if it is there */
	char *layout; /* "us", "de:nodeadkeys" */
	char *screen; /* "/dev/dri/card0", "/dev/dri/card0:HDMI-A-1", or "none" */
	char *input;  /* "all", "/dev/input/event3, /dev/input/event4", or "none" */
};

/* Where a display's picture comes from. */
enum display_source {
	DISPLAY_OF_VMM,	   /* the VMM's own display */
	DISPLAY_OF_VIRTIO, /* a virtio display of ours */
	DISPLAY_OF_BOCHS,  /* a display of ours that is made of registers */
};

/* Which viewers a display has, besides its seat's. */
enum display_vnc {
	DISPLAY_VNC_NONE,
	DISPLAY_VNC_OWN, /* those that see this guest alone */
};

const char *display_source_text(enum display_source source);

struct config_display {
	union {
		struct config_object object;
		struct config_device device;
	};
	unsigned source; /* enum display_source */
	char *seat;
	unsigned vnc;	   /* enum display_vnc */
	char *size;	   /* of the monitors of a display of ours: "1024x768" */
	uint64_t scanouts; /* of a virtio display: its monitors */
	char *colour; /* NULL: by the guest's place in the configuration */
};

enum config_input_model { CONFIG_INPUT_VIRTIO, CONFIG_INPUT_XHCI };

/* A keyboard or tablet: it follows the window of the guest's display. */
struct config_input {
	union {
		struct config_object object;
		struct config_device device;
	};
	unsigned model; /* enum config_input_model */
};

extern const struct config_section config_section_seat, config_section_display, config_section_keyboard,
	config_section_tablet;

/* Digits and nothing else, up to `max`. Returns what follows them, or NULL. */
const char *seat_parse_number(const char *text, unsigned long max, unsigned *ret_number);
/* "1280x800". False: it is no size of a screen. */
bool seat_parse_size(const char *text, unsigned *ret_width, unsigned *ret_height);
/* A name of a colour, or "RRGGBB". */
bool seat_parse_colour(const char *text, uint32_t *ret_colour);
/* NULL: it has none. */
const char *seat_colour_name(uint32_t colour);

/* ---- seat_address.c: where a seat's viewers or browsers connect by TCP ---- */

struct seat_address {
	struct sockaddr_storage address;
	socklen_t bytes; /* 0: nowhere */
};

/* "127.0.0.1:5900", "[::1]:5900" or "none". Returns NULL, or what is wrong with it, to follow the text. */
const char *seat_parse_address(const char *text, struct seat_address *ret_address);
/* Is it reached by this machine alone? */
bool seat_address_is_loopback(const struct seat_address *address);
/* Do viewers at `vnc` have to prove themselves? */
bool seat_is_guarded(const struct config_seat *seat);

/* A screen of the host's. */
struct seat_card {
	char path[SEAT_CARD_SIZE];	/* "": none */
	char connector[SEAT_CARD_SIZE]; /* "HDMI-A-1"; "": the first with a monitor */
};

/* Returns NULL, or what is wrong with it, to follow the text. */
const char *seat_parse_screen(const char *text, struct seat_card *ret_card);

/* What is wrong with them, and what another seat has already, becomes messages. */
void seat_check_hardware(const struct config *config, const struct config_object *object,
			 struct config_messages *messages);

/* Are there seats that use screens, keyboards or pointers of the host's? */
bool seats_have_screens(const struct config *config);
bool seats_have_input(const struct config *config);

/* Is there a seat with a console in the browser? */
bool seats_have_web(const struct config *config);

/* "alice/0" as a part of a file's name: "alice-0". */
void seat_print_file_name(const char *display, char text[CONFIG_NAME_SIZE]);

/* Of a display's frame. */
uint32_t seat_display_colour(const struct config *config, const struct config_display *display);

#endif
