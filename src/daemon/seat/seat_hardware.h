/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's own screen, keyboards and pointers, as a seat has them, beside its viewers. Opened, handed over
 * and closed on the control thread while it is stopped; else it is the seats' thread's.
 */
#ifndef VIADUCT_DAEMON_SEAT_SEAT_HARDWARE_H
#define VIADUCT_DAEMON_SEAT_SEAT_HARDWARE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/log.h"
#include "core/loop.h"
#include "daemon/seat/seat_config.h"
#include "daemon/seat/seat_hand.h"
#include "host/input/input_set.h"
#include "host/screen/screen.h"

struct config_messages;
struct handover;
struct seat_rect;
struct seat_screen;
struct takeover_offer;

struct seat_hardware {
	struct seat_hand hand;
	struct screen monitor;	/* without a device: none */
	struct input_set input; /* without `wanted`: none */
	char card[SEAT_CARD_SIZE], connector[SEAT_CARD_SIZE];
	struct loop_timer reopen; /* while the card cannot be opened */
	char *devices;		  /* the text of input =; owned */
	unsigned x, y;		  /* of the pointer, on the seat's screen */
	int pointer_file;	  /* which says so to a successor; -1: none */
	bool has_place;		  /* a predecessor's pointer was there */
	bool handed_over;	  /* to a successor, unless it is started again */
};

/*
 * Opens what the settings name; what cannot be opened is told in the log, and the seat does without until it
 * can be: a card's driver may be late. What a
 * predecessor handed over is taken from the offer (NULL: none).
 */
void seat_hardware_open(struct seat_hardware *hardware, const struct config_seat *settings,
			const struct log_subject *subject, struct takeover_offer *offer);
/* The mode that the monitor will have for a seat of this size (0: of any), if there is a monitor. */
bool seat_hardware_mode(const struct seat_hardware *hardware, unsigned width, unsigned height,
			struct screen_mode *ret_mode);
/* The screen is made: its picture is that of the monitor, and it draws for it from now on. */
void seat_hardware_attach(struct seat_hardware *hardware, struct seat_screen *screen);
void seat_hardware_close(struct seat_hardware *hardware);
/* Of the seat `name`. */
void seat_hardware_hand_over(struct seat_hardware *hardware, const char *name, struct handover *header);

void seat_hardware_start(struct seat_hardware *hardware);
/* What is held comes up. Idempotent. */
void seat_hardware_stop(struct seat_hardware *hardware);

/* Does a monitor show the seat? */
bool seat_hardware_shows(const struct seat_hardware *hardware);

/* As a viewer: these pixels are others, and now is the time to show them. */
void seat_hardware_damage(struct seat_hardware *hardware, const struct seat_rect *rect);
void seat_hardware_flush(struct seat_hardware *hardware);

/* The keyboards show these lights: seat_lights(). */
void seat_hardware_light(struct seat_hardware *hardware, unsigned lights);

/* Adds "screen" and "input", where there are. On the seats' thread, or while it is stopped. */
void seat_hardware_describe(const struct seat_hardware *hardware, json_t *object);

/* viaductd --check. */
void seat_hardware_plan(const struct config_seat *settings, FILE *out, struct config_messages *messages);

#endif
