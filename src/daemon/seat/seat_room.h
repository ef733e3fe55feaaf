/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Seats as the daemon has them: an arbiter's seat, its picture, and the sockets at which viewers arrive. The
 * seat itself, its windows and what viewers see and press belong to the seats' thread (daemon.seat_worker);
 * all else is the control thread's, which has things done there with seat_call().
 *
 *   seat_config.c      the sections [seat] and [display]
 *   seat_config_values.c  what the texts in them mean
 *   seat_address.c     addresses and ports in them
 *   seat_life.c        seats come and go: start, reload, takeover, end
 *   seat_door.c        where viewers arrive
 *   seat_clients.c     those that have arrived
 *   seat_guard.c       how those from other machines prove themselves
 *   seat_attempts.c    and which of them have to wait
 *   seat_screen.c      the picture, on the seats' thread; seat_screen_bare.c: that of one guest alone
 *   seat_viewer.c      one viewer, there
 *   seat_hand.c        whose keys and pointer count
 *   seat_hardware.c    the host's own screen, keyboards and pointers
 *   seat_config_hardware.c  how the configuration names them
 *   seat_clipboard.c   what viewers have copied, until it is pasted
 *   display_device.c   the kind of device: a guest's display, which has a window or several
 *   display_served.c   one that the daemon serves: see display_served_private.h
 *   display_bare.c     viewers that see one guest alone
 *   input_device.c     the kinds of devices: its virtio keyboard and tablet
 *   seat_web.c         a console in the browser: who may open it, what it is told
 *   seat_takeover.c    what a successor gets
 *   seat_picture.c     what is on a screen or in a window, to be kept
 *   seat_arrange.c     how users arrange windows
 *   seat_report.c      what is told of seats and displays, and what users do with them
 *   seat_metrics.c     the same as metrics
 */
#ifndef VIADUCT_DAEMON_SEAT_SEAT_ROOM_H
#define VIADUCT_DAEMON_SEAT_SEAT_ROOM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/error.h"
#include "core/log.h"
#include "daemon/base/daemon.h"
#include "daemon/seat/seat_attempts.h"
#include "daemon/seat/seat_config.h"
#include "daemon/seat/seat_hardware.h"
#include "daemon/seat/seat_screen.h"
#include "host/web/web_request.h"
#include "interfaces/endpoint_socket.h"

struct change_report;
struct daemon_seat;
struct display_device;
struct display_window;
struct handover;

#define SEAT_WEB_ADDRESS_MAX 80u
/*
 * Viewers that have not yet proven the password: of one address, and of all, so that there is always room for
 * one more. For a further one the oldest goes.
 */
#define SEAT_UNPROVEN_ORIGIN_MAX 3u
#define SEAT_UNPROVEN_MAX	 8u

#define SEAT_DOOR_KEY_SIZE (CONFIG_NAME_SIZE + 32)

/* A socket at which viewers arrive. */
struct seat_door {
	struct daemon_seat *owner;
	struct seat_screen *screen;  /* what they see: the seat's, or one guest's alone */
	const char *kind;	     /* what it is in a handover, */
	char key[SEAT_DOOR_KEY_SIZE]; /* and its name there */
	struct endpoint_options options;
	struct endpoint_socket socket;
	char path[SOCKET_PATH_SIZE]; /* "": none */
	bool open;
	struct error failure;	    /* code 0: none */
	struct seat_guard *guard;   /* NULL: its viewers need to prove nothing */
	struct seat_origin knocked; /* of a guarded one: the viewer that is being let in */
};

enum seat_door_kind { SEAT_DOOR_UNIX, SEAT_DOOR_TCP, SEAT_DOOR_WEB, SEAT_DOORS };

/* A viewer, or a browser that may become one, as the control thread knows it. */
struct seat_client {
	struct seat_client *next;
	struct seat_door *door;	   /* by which it came */
	struct seat_viewer viewer; /* the seats' thread's, but for what its header says */
	struct seat_origin origin; /* of a guarded door's */
	int fd;
	bool counted; /* as a viewer */
	bool lost;    /* it could not begin: out of memory */
};

struct daemon_seat {
	struct daemon_seat *next; /* in daemon.seats */
	struct daemon *daemon;
	struct log_subject subject; /* "seat desk" */
	char name[CONFIG_NAME_SIZE];
	struct seat_screen screen;
	struct seat_hardware hardware;
	struct seat_door doors[SEAT_DOORS];
	struct seat_client *clients;		/* also those that see one of its guests alone */
	struct seat_attempts attempts;		/* at a guarded door */
	uint64_t wrong_passwords, refused_viewers; /* there */
	struct loop_message viewers_changed;	/* from the seats' thread: one or several have */
	bool viewers_changed_posted;		/* atomic */
	unsigned displays;			/* that have a window */
	int state_file;				/* while a successor may need it; -1: none */
	char token[WEB_TOKEN_SIZE];		/* of the console in a browser; "": there is none */
	char web_address[SEAT_WEB_ADDRESS_MAX]; /* of the same, without the token: "http://127.0.0.1:6080/" */
};

/* Runs run(context) on the seats' thread, and waits for its end. */
void seat_call(struct daemon *daemon, void (*run)(void *context), void *context);

/* ---- seat_life.c ---- */

/* NULL: there is none. */
struct daemon_seat *daemon_seat_find(const struct daemon *daemon, const char *name);

/* Why a seat of the configuration could not be opened at the start; NULL: it was, or is not of the start. */
const char *daemon_seat_failure(const struct daemon *daemon, const char *name);
/* How many could not, and how many places where viewers should arrive. */
unsigned seats_failed(const struct daemon *daemon);

void seats_open(struct daemon *daemon);
/* Its displays are there. */
void seats_start(struct daemon *daemon);
void seats_close(struct daemon *daemon);
void seats_reload(struct daemon *daemon, const struct config *old, struct change_report *report);
/* Takeover: viewers leave, and the sockets at which they arrive are handed over; or they are let in again. */
void seats_stand_still(struct daemon *daemon, bool still);
/* What this host does not have, whatever is open. */
void seats_check_host(const struct config *config, struct config_messages *messages);
/* viaductd --check. */
void seats_plan(const struct config *config, const char *force_format, FILE *out,
		struct config_messages *messages);

/* ---- seat_takeover.c ---- */

void seats_hand_over(struct daemon *daemon, struct handover *header);
/* Of a predecessor; nothing when there is none: the picture, before the first is drawn, and the windows. */
void seat_take_over_picture(struct daemon_seat *owner);
void seat_take_over_windows(struct daemon_seat *owner);

/* ---- seat_door.c ---- */

/* Returns 0, or -errno with *error. Nothing to open (vnc = none): 0. */
int seat_door_open(struct daemon_seat *owner, enum seat_door_kind kind, const struct config_seat *settings,
		   struct error *error);
/* RUNTIME/KIND-NAME.vnc. Returns 0 or -ENAMETOOLONG with *error. */
int seat_door_set_path(struct seat_door *door, const char *kind, const char *name, struct error *error);
/* One of which all but options, socket and open is set: viewers arrive at its path. The rest as above. */
int seat_door_open_bare(struct seat_door *door, struct error *error);
void seat_door_close(struct seat_door *door);
/* Takeover: nobody arrives, or they do again. */
void seat_door_stand_still(struct seat_door *door, bool still);
void seat_door_hand_over(struct seat_door *door, struct handover *header);

/* ---- seat_clients.c ---- */

/* Of a door's socket. */
extern const struct endpoint_socket_ops seat_client_socket_ops;
/* seat_client's beginnings and ends, as the seats' thread posts them. */
void seat_clients_changed(struct loop_message *message);
/* How many see this screen, the seat's or a bare one of it. */
unsigned seat_viewer_count(const struct daemon_seat *owner, const struct seat_screen *screen);
/* Viewers of the seat see and do nothing, until they go on or leave. */
void seat_clients_suspend(struct daemon_seat *owner);
void seat_clients_resume(struct daemon_seat *owner);
/* Those that see this screen. */
void seat_clients_hand_over(struct daemon_seat *owner, const struct seat_screen *screen,
			    struct handover *header);
/* Those of the predecessor that saw the door's screen go on, as if they had come by this door. */
void seat_clients_take_over(struct seat_door *door);
/* Those that see this screen leave; NULL: all. */
void seat_clients_end(struct daemon_seat *owner, const struct seat_screen *screen);

/* ---- seat_web.c ---- */

/*
 * Finds or makes the token of the seat's console, and its address. Returns 0 or -errno with *error. The file
 * of the token stays when the daemon ends, so that pages which are open can come back.
 */
int seat_web_open(struct daemon_seat *owner, const struct config_seat *settings, struct error *error);
/* Does what a client has asked for. */
void seat_web_serve(struct daemon_seat *owner, struct seat_client *client);

/* ---- seat_arrange.c ---- */

#define SEAT_SCALE_TEXT_SIZE 16u

/* "fit", or "50%": SEAT_SCALE_MIN to SEAT_SCALE_MAX. False: it is neither. */
bool seat_parse_scale(const char *text, unsigned *ret_percent);
void seat_print_scale(unsigned percent, char text[SEAT_SCALE_TEXT_SIZE]);
void seat_scale_display(const struct display_window *window, unsigned percent);
/* Asks its guest for a picture of this size (seat_parse_size()). Returns 0 or -ENOTCONN: no VMM is there. */
int seat_resize_display(const struct display_window *window, unsigned width, unsigned height);
/* All windows side by side. */
void seat_show_overview(struct daemon_seat *owner, bool overview);
bool seat_shows_overview(const struct daemon_seat *owner);

/* ---- seat_report.c ---- */

json_t *seat_json(const struct daemon_seat *reported);
/* With the address of its console, which is a secret. */
json_t *seat_secret_json(const struct daemon_seat *reported);
/* What a console in a browser is told. */
json_t *seat_state_json(const struct daemon_seat *reported);

/*
 * Types into the display with the focus; window: which must have it, NULL: any. Returns 0, or -errno with
 * *error.
 */
int seat_type(struct daemon_seat *owner, const struct display_window *window, const char *utf8,
	      struct error *error);

/* The same with what a viewer has copied. */
int seat_paste(struct daemon_seat *owner, const struct display_window *window, struct error *error);

/* Has its guest a picture at present? Only then it can have the focus. */
bool seat_shows_display(const struct display_window *window);
/* Gives a display of the seat the focus, or all of the screen; NULL: none has it. */
void seat_focus_display(struct daemon_seat *owner, const struct display_window *window);
void seat_enlarge_display(struct daemon_seat *owner, const struct display_window *window);
json_t *seats_json(struct daemon *daemon);

/* ---- seat_metrics.c ---- */

void seats_print_metrics(struct daemon *daemon, FILE *out);

#endif
