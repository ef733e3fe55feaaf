/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arbiter/seat/seat_keymap.h"
#include "core/fd.h"
#include "daemon/config/config_values.h"
#include "daemon/device/report.h"
#include "daemon/seat/display_device.h"
#include "daemon/seat/seat_guard.h"
#include "daemon/seat/seat_room.h"

#define FONT_DEFAULT "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
/* Behind the name of one display, with that of the other. */
#define SAME_COLOUR  "its frame has the colour of %s; give it another with colour ="
#define AT_RESTART   "at the next restart; viaductd --takeover does that without a break"

void seat_call(struct daemon *daemon, void (*run)(void *context), void *context)
{
	worker_call(daemon->seat_worker, run, context);
}

struct daemon_seat *daemon_seat_find(const struct daemon *daemon, const char *name)
{
	struct daemon_seat *found = daemon->seats;

	while (found && strcmp(found->name, name) != 0)
		found = found->next;
	return found;
}

/* ---- those that could not be opened ---- */

struct seat_failure {
	struct seat_failure *next;
	char name[CONFIG_NAME_SIZE];
	struct error error;
};

/* Without memory for it, the log alone tells it. */
static void remember_failure(struct daemon *daemon, const char *name, const struct error *error)
{
	struct seat_failure *failure = calloc(1, sizeof(*failure));

	if (!failure)
		return;
	snprintf(failure->name, sizeof(failure->name), "%s", name);
	failure->error = *error;
	failure->next = daemon->seat_failures;
	daemon->seat_failures = failure;
}

const char *daemon_seat_failure(const struct daemon *daemon, const char *name)
{
	const struct seat_failure *failure = daemon->seat_failures;

	while (failure && strcmp(failure->name, name) != 0)
		failure = failure->next;
	return failure ? failure->error.text : NULL;
}

unsigned seats_failed(const struct daemon *daemon)
{
	unsigned failed = 0;

	for (const struct seat_failure *failure = daemon->seat_failures; failure; failure = failure->next)
		failed++;
	for (const struct daemon_seat *owner = daemon->seats; owner; owner = owner->next)
		for (unsigned kind = 0; kind < SEAT_DOORS; kind++)
			failed += owner->doors[kind].failure.code != 0;
	return failed;
}

static void forget_failures(struct daemon *daemon)
{
	while (daemon->seat_failures) {
		struct seat_failure *failure = daemon->seat_failures;

		daemon->seat_failures = failure->next;
		free(failure);
	}
}

/* ---- one seat ---- */

struct start_errand {
	struct seat_screen *screen;
	uint64_t after_ns;
};

static void start_screen(void *context)
{
	const struct start_errand *errand = context;

	seat_screen_start(errand->screen, errand->after_ns);
}

static void stop_screen(void *context)
{
	seat_screen_stop(context);
}

static void start_hardware(void *context)
{
	seat_hardware_start(context);
}

static void stop_hardware(void *context)
{
	seat_hardware_stop(context);
}

/* Its own, or that of the monitor. */
static void choose_size(const struct daemon_seat *opened, const struct config_seat *settings,
			unsigned *ret_width, unsigned *ret_height)
{
	bool parsed = seat_parse_size(settings->size, ret_width, ret_height);
	struct screen_mode mode;

	assert(parsed);
	if (config_given(&settings->object, "size") || !seat_hardware_mode(&opened->hardware, 0, 0, &mode))
		return;
	*ret_width = mode.width > SEAT_SIDE_MIN ? mode.width : SEAT_SIDE_MIN;
	*ret_height = mode.height > SEAT_SIDE_MIN ? mode.height : SEAT_SIDE_MIN;
}

static int open_screen(struct daemon_seat *opened, const struct config_seat *settings, struct error *error)
{
	struct seat_screen_options options = {
		.name = opened->name,
		.subject = &opened->subject,
		.layout = settings->layout,
		.seat.font = settings->font,
	};

	choose_size(opened, settings, &options.seat.width, &options.seat.height);
	if (!options.seat.font && access(FONT_DEFAULT, R_OK) == 0)
		options.seat.font = FONT_DEFAULT;
	if (!options.seat.font)
		log_warning(&opened->subject,
			    "frames have colours and no names: install fonts-dejavu-core, or set font = ");
	return seat_screen_init(&opened->screen, opened->daemon->seat_worker->loop, &options, error);
}

static void open_doors(struct daemon_seat *opened, const struct config_seat *settings)
{
	for (unsigned kind = 0; kind < SEAT_DOORS; kind++) {
		struct error *error = &opened->doors[kind].failure;

		if (seat_door_open(opened, kind, settings, error))
			log_error(&opened->subject, "%s", error->text);
	}
}

static void open_seat(struct daemon *daemon, const struct config_seat *settings)
{
	struct daemon_seat *opened = calloc(1, sizeof(*opened)), **link = &daemon->seats;
	struct error error;

	if (!opened) {
		log_error(NULL, "seat %s: out of memory", settings->object.name);
		return;
	}
	opened->daemon = daemon;
	opened->state_file = -1;
	opened->viewers_changed.run = seat_clients_changed;
	snprintf(opened->name, sizeof(opened->name), "%s", settings->object.name);
	log_subject_name(&opened->subject, "seat %s", opened->name);
	seat_hardware_open(&opened->hardware, settings, &opened->subject, daemon->offer);
	if (open_screen(opened, settings, &error)) {
		log_error(&opened->subject, "%s", error.text);
		remember_failure(daemon, opened->name, &error);
		seat_hardware_close(&opened->hardware);
		free(opened);
		return;
	}
	seat_hardware_attach(&opened->hardware, &opened->screen);
	while (*link)
		link = &(*link)->next;
	*link = opened;
	seat_take_over_picture(opened);
	open_doors(opened, settings);
}

static void close_seat(struct daemon_seat *closed)
{
	assert(closed->displays == 0);
	for (unsigned kind = 0; kind < SEAT_DOORS; kind++)
		seat_door_close(&closed->doors[kind]);
	seat_clients_end(closed, NULL);
	seat_call(closed->daemon, stop_hardware, &closed->hardware);
	for (unsigned kind = 0; kind < SEAT_DOORS; kind++)
		seat_guard_destroy(closed->doors[kind].guard);
	seat_call(closed->daemon, stop_screen, &closed->screen);
	seat_hardware_close(&closed->hardware);
	loop_unpost(closed->daemon->control, &closed->viewers_changed);
	seat_screen_finish(&closed->screen);
	fd_close(&closed->state_file);
	free(closed);
}

/* ---- all of them ---- */

/* A display before this one whose frame would look the same; NULL: none, or nothing of it was chosen. */
static const struct config_display *same_colour(const struct config *config,
						const struct config_display *display)
{
	config_for_each(config_list(config, &config_section_display), config_display, other)
	{
		if (other == display)
			break;
		if ((display->colour || other->colour) && value_same_text(display->seat, other->seat) &&
		    seat_display_colour(config, other) == seat_display_colour(config, display))
			return other;
	}
	return NULL;
}

void seats_open(struct daemon *daemon)
{
	config_for_each(config_list(daemon->config, &config_section_display), config_display, display)
	{
		const struct config_display *other = same_colour(daemon->config, display);

		if (other)
			log_warning(NULL, "display %s: " SAME_COLOUR, display->object.name,
				    other->object.name);
	}
	config_for_each(config_list(daemon->config, &config_section_seat), config_seat, settings)
		open_seat(daemon, settings);
}

/* Displays that a predecessor served have their pictures again soon; until then its own is shown. */
void seats_start(struct daemon *daemon)
{
	for (struct daemon_seat *owner = daemon->seats; owner; owner = owner->next) {
		struct start_errand errand = { &owner->screen, daemon->offer ? SEAT_PICTURES_NS : 0 };

		seat_take_over_windows(owner);
		seat_call(daemon, start_screen, &errand);
		seat_call(daemon, start_hardware, &owner->hardware);
		seat_clients_take_over(&owner->doors[SEAT_DOOR_UNIX]);
		displays_take_over_viewers(owner);
	}
}

void seats_close(struct daemon *daemon)
{
	while (daemon->seats) {
		struct daemon_seat *closed = daemon->seats;

		daemon->seats = closed->next;
		close_seat(closed);
	}
	forget_failures(daemon);
}

void seats_reload(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	const struct config_object *now = config_list(daemon->config, &config_section_seat),
				   *before = config_list(old, &config_section_seat);

	for (const struct config_object *object = now; object; object = object->next) {
		const struct config_object *was = config_find((struct config_object *)before, object->name);

		if (!was)
			report_refused(report, "seat %s: is added " AT_RESTART, object->name);
		else if (config_differs(was, object))
			report_refused(report, "seat %s: changes " AT_RESTART, object->name);
	}
	for (const struct config_object *object = before; object; object = object->next) {
		if (!config_find((struct config_object *)now, object->name))
			report_refused(report, "seat %s: goes " AT_RESTART, object->name);
	}
}

/* ---- takeover ---- */

static void stand(struct daemon_seat *owner, bool still)
{
	for (unsigned kind = 0; kind < SEAT_DOORS; kind++)
		seat_door_stand_still(&owner->doors[kind], still);
	seat_call(owner->daemon, still ? stop_hardware : start_hardware, &owner->hardware);
	if (still)
		seat_clients_suspend(owner);
	else
		seat_clients_resume(owner);
	if (!still)
		fd_close(&owner->state_file);
}

void seats_stand_still(struct daemon *daemon, bool still)
{
	for (struct daemon_seat *owner = daemon->seats; owner; owner = owner->next)
		stand(owner, still);
}

/* ---- checks ---- */

/* A host without any layouts is told at the start: the configuration is not at fault. */
void seats_check_host(const struct config *config, struct config_messages *messages)
{
	config_for_each(config_list(config, &config_section_seat), config_seat, settings)
	{
		struct seat_keymap *keymap = NULL;
		struct seat_layout parsed;

		if (seat_layout_parse(settings->layout, &parsed) &&
		    seat_keymap_create(settings->layout, &keymap) == -EINVAL)
			config_complain(&settings->object, "layout", messages, settings->layout,
					"is no keyboard layout of this host; use for example us, de, fr or "
					"de:nodeadkeys (`man xkeyboard-config` lists them)");
		seat_keymap_destroy(keymap);
	}
}

/* Its files are looked at as they will be at the start, by the same user. */
static void plan_guard(const struct config_seat *settings, struct config_messages *messages)
{
	struct seat_guard *guard = NULL;
	struct error error;

	if (seat_is_guarded(settings) && seat_guard_load(settings, &guard, &error))
		config_message(messages, settings->object.file, settings->object.line, "%s", error.text);
	seat_guard_destroy(guard);
}

void seats_plan(const struct config *config, const char *force_format, FILE *out,
		struct config_messages *messages)
{
	config_for_each(config_list(config, &config_section_seat), config_seat, settings)
	{
		bool by_port = strcmp(settings->vnc, "none") != 0,
		     by_web = strcmp(settings->web, "none") != 0;

		fprintf(out, "seat %s: a screen of %s, for viewers at its socket%s%s%s%s%s\n",
			settings->object.name,
			strcmp(settings->screen, "none") == 0 || config_given(&settings->object, "size")
				? settings->size
				: "the monitor's size",
			by_port ? " and at " : "", by_port ? settings->vnc : "",
			by_port && seat_is_guarded(settings) ? " with TLS and a password" : "",
			by_web ? ", for browsers at http://" : "", by_web ? settings->web : "");
		plan_guard(settings, messages);
		seat_hardware_plan(settings, out, messages);
	}
	config_for_each(config_list(config, &config_section_display), config_display, display)
	{
		const struct config_display *other = same_colour(config, display);

		if (other)
			fprintf(out, "display %s: " SAME_COLOUR "\n", display->object.name,
				other->object.name);
	}
}
