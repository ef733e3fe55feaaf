/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/seat_hardware.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arbiter/seat/seat.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/base/takeover_wire.h"
#include "daemon/seat/input_lights.h"
#include "daemon/seat/seat_screen.h"

#define KEY_SIZE  (CONFIG_NAME_SIZE + 16)
#define REOPEN_NS (5 * NS_PER_S)

/* ---- what the user does ---- */

static void on_key(void *context, unsigned code, bool down)
{
	struct seat_hardware *hardware = context;

	seat_hand_key(&hardware->hand, code, down);
}

/* The pointer stays where it can be seen: a monitor may be smaller than the seat. */
static unsigned limit_of(unsigned side, unsigned seen)
{
	return seen > 0 && seen < side ? seen : side;
}

static unsigned moved(unsigned at, int by, unsigned side)
{
	int64_t to = (int64_t)at + by;

	if (to < 0)
		return 0;
	return to < side ? (unsigned)to : side - 1;
}

static unsigned placed(unsigned place, unsigned side)
{
	return (unsigned)(((uint64_t)place * (side - 1) + INPUT_PLACE_MAX / 2) / INPUT_PLACE_MAX);
}

static void on_pointer(void *context, const struct input_motion *motion)
{
	struct seat_hardware *hardware = context;
	const struct seat_screen *screen = hardware->hand.screen;
	const struct screen *monitor = &hardware->monitor;
	bool on = monitor->state == SCREEN_ON;
	unsigned width = limit_of(screen->width, on ? monitor->mode.width : 0),
		 height = limit_of(screen->height, on ? monitor->mode.height : 0);

	if (motion->is_placed) {
		hardware->x = placed(motion->place_x, width);
		hardware->y = placed(motion->place_y, height);
	} else {
		hardware->x = moved(hardware->x, motion->by_x, width);
		hardware->y = moved(hardware->y, motion->by_y, height);
	}
	seat_hand_point(&hardware->hand, hardware->x, hardware->y, motion->buttons, motion->wheel);
	if (!monitor->device)
		return;
	screen_point(&hardware->monitor, (int)hardware->x, (int)hardware->y);
	screen_flush(&hardware->monitor);
}

static const struct input_reader_ops input_ops = { .key = on_key, .pointer = on_pointer };

/* ---- what the user sees ---- */

bool seat_hardware_shows(const struct seat_hardware *hardware)
{
	return hardware->monitor.state == SCREEN_ON;
}

void seat_hardware_damage(struct seat_hardware *hardware, const struct seat_rect *rect)
{
	if (hardware->monitor.device)
		screen_damage(&hardware->monitor,
			      &(struct screen_rect){ rect->x, rect->y, rect->width, rect->height });
}

void seat_hardware_flush(struct seat_hardware *hardware)
{
	if (hardware->monitor.device)
		screen_flush(&hardware->monitor);
}

void seat_hardware_light(struct seat_hardware *hardware, unsigned lights)
{
	input_set_light(&hardware->input, lights);
}

/* ---- life ---- */

/* For a successor, in a memory file: where the pointer is, and whether it is seen. */
struct pointer_state {
	uint32_t x, y, is_seen;
};

static void hand_over_pointer(struct seat_hardware *hardware, const char *name, struct handover *header)
{
	const struct pointer_state state = { hardware->x, hardware->y, hardware->monitor.has_pointer };

	fd_close(&hardware->pointer_file);
	hardware->pointer_file = fd_memfd("viaduct-seat-pointer", sizeof(state));
	if (hardware->pointer_file >= 0 &&
	    pwrite(hardware->pointer_file, &state, sizeof(state), 0) == (ssize_t)sizeof(state))
		takeover_put_fd(header, "seat-pointer", name, hardware->pointer_file);
}

/* The descriptor is closed. -1: there is none. */
static void take_over_pointer(struct seat_hardware *hardware, int file)
{
	struct pointer_state state;

	if (file >= 0 && pread(file, &state, sizeof(state), 0) == (ssize_t)sizeof(state)) {
		hardware->x = state.x;
		hardware->y = state.y;
		hardware->has_place = true;
		hardware->monitor.has_pointer = state.is_seen;
	}
	fd_close(&file);
}

static void input_key(unsigned index, const char *name, char key[KEY_SIZE])
{
	snprintf(key, KEY_SIZE, "%u %s", index, name);
}

/* fd: a predecessor's, or -1. */
static int open_card(struct seat_hardware *hardware, int fd, struct error *error)
{
	return screen_drm_open(hardware->card, hardware->connector[0] ? hardware->connector : NULL, fd,
			       &hardware->monitor.device, error);
}

static void open_monitor(struct seat_hardware *hardware, const struct config_seat *settings,
			 const struct log_subject *subject, struct takeover_offer *offer)
{
	struct seat_card card;
	struct screen *monitor = &hardware->monitor;
	struct error error;
	bool parsed = seat_parse_screen(settings->screen, &card) == NULL;

	assert(parsed);
	monitor->subject = subject;
	memcpy(hardware->card, card.path, sizeof(card.path));
	memcpy(hardware->connector, card.connector, sizeof(card.connector));
	if (!card.path[0])
		return;
	if (open_card(hardware, takeover_offer_take(offer, "seat-screen", settings->object.name), &error))
		log_error(subject, "screen = %s: %s", settings->screen, error.text);
	else
		monitor->device->ops->look(monitor->device, true, &monitor->output);
}

static void open_input(struct seat_hardware *hardware, const struct config_seat *settings,
		       const struct log_subject *subject, struct takeover_offer *offer)
{
	struct input_set *input = &hardware->input;
	char key[KEY_SIZE];

	if (strcmp(settings->input, "none") == 0)
		return;
	hardware->devices = strdup(settings->input);
	if (!hardware->devices) {
		log_error(subject, "input = %s: out of memory", settings->input);
		return;
	}
	input->wanted = hardware->devices;
	input->folder = INPUT_FOLDER;
	input->subject = subject;
	for (unsigned i = 0; i < INPUT_DEVICES_MAX; i++) {
		int fd;

		input_key(i, settings->object.name, key);
		fd = takeover_offer_take(offer, "seat-input", key);
		if (fd >= 0)
			input_set_adopt(input, fd);
	}
	input_set_open(input);
}

void seat_hardware_open(struct seat_hardware *hardware, const struct config_seat *settings,
			const struct log_subject *subject, struct takeover_offer *offer)
{
	hardware->pointer_file = -1;
	hardware->input.ops = &input_ops;
	hardware->input.context = hardware;
	take_over_pointer(hardware, takeover_offer_take(offer, "seat-pointer", settings->object.name));
	open_monitor(hardware, settings, subject, offer);
	open_input(hardware, settings, subject, offer);
}

bool seat_hardware_mode(const struct seat_hardware *hardware, unsigned width, unsigned height,
			struct screen_mode *ret_mode)
{
	int mode = screen_choose_mode(&hardware->monitor.output, width, height);

	if (mode >= 0)
		*ret_mode = hardware->monitor.output.modes[mode];
	return mode >= 0;
}

void seat_hardware_attach(struct seat_hardware *hardware, struct seat_screen *screen)
{
	struct screen *monitor = &hardware->monitor;

	monitor->picture = screen->pixels;
	monitor->stride_bytes = screen->stride_bytes;
	monitor->width = screen->width;
	monitor->height = screen->height;
	hardware->hand.screen = screen;
	if (!hardware->has_place || hardware->x >= screen->width || hardware->y >= screen->height) {
		hardware->x = screen->width / 2;
		hardware->y = screen->height / 2;
	}
	monitor->pointer_x = (int)hardware->x;
	monitor->pointer_y = (int)hardware->y;
	if (hardware->card[0] || hardware->input.wanted)
		screen->hardware = hardware;
}

void seat_hardware_close(struct seat_hardware *hardware)
{
	struct screen *monitor = &hardware->monitor;

	if (monitor->device)
		monitor->device->ops->close(monitor->device, hardware->handed_over);
	monitor->device = NULL;
	if (hardware->input.wanted)
		input_set_close(&hardware->input);
	free(hardware->devices);
	fd_close(&hardware->pointer_file);
	*hardware = (struct seat_hardware){ .pointer_file = -1 };
}

void seat_hardware_hand_over(struct seat_hardware *hardware, const char *name, struct handover *header)
{
	char key[KEY_SIZE];
	unsigned index = 0;

	hardware->handed_over = true;
	hand_over_pointer(hardware, name, header);
	if (hardware->monitor.device)
		takeover_put_fd(header, "seat-screen", name, hardware->monitor.device->fd);
	for (const struct evdev_device *device = hardware->input.devices; device; device = device->next) {
		input_key(index++, name, key);
		takeover_put_fd(header, "seat-input", key, device->fd);
	}
}

static void on_reopen(struct loop_timer *timer)
{
	struct seat_hardware *hardware = container_of(timer, struct seat_hardware, reopen);
	struct loop *loop = hardware->hand.screen->loop;
	struct error ignored;

	if (open_card(hardware, -1, &ignored))
		loop_timer_start(loop, timer, clock_now_ns() + REOPEN_NS);
	else if (screen_start(&hardware->monitor, loop))
		log_error(hardware->monitor.subject, "is not on the host's screen: out of memory");
}

void seat_hardware_start(struct seat_hardware *hardware)
{
	struct screen *monitor = &hardware->monitor;
	struct loop *loop = hardware->hand.screen->loop;

	seat_hardware_stop(hardware);
	fd_close(&hardware->pointer_file);
	hardware->handed_over = false;
	seat_hardware_light(hardware, seat_lights(hardware->hand.screen->seat));
	hardware->reopen = (struct loop_timer){ .expired = on_reopen };
	if (hardware->card[0] && !monitor->device)
		loop_timer_start(loop, &hardware->reopen, clock_now_ns() + REOPEN_NS);
	if ((monitor->device && screen_start(monitor, loop)) ||
	    (hardware->input.wanted && input_set_start(&hardware->input, loop)))
		log_error(monitor->subject, "is not on the host's screen: out of memory");
}

void seat_hardware_stop(struct seat_hardware *hardware)
{
	input_set_stop(&hardware->input);
	screen_stop(&hardware->monitor);
	if (!hardware->hand.screen)
		return;
	loop_timer_stop(hardware->hand.screen->loop, &hardware->reopen);
	seat_hand_leave(&hardware->hand);
}

/* ---- what is told ---- */

static json_t *screen_json(const struct seat_hardware *hardware)
{
	static const char *const states[] = {
		[SCREEN_OFF] = "off", [SCREEN_ON] = "on", [SCREEN_LOST] = "lost"
	};
	const struct screen *monitor = &hardware->monitor;
	json_t *object = json_pack("{s:s, s:s, s:I, s:I}", "card", hardware->card, "state",
				   monitor->device ? states[monitor->state] : "closed", "frames",
				   (json_int_t)counter_read(&monitor->frames), "copied_pixels",
				   (json_int_t)counter_read(&monitor->copied_pixels));

	if (monitor->state != SCREEN_ON)
		return object;
	json_object_set_new(object, "connector", json_string(monitor->output.connector));
	json_object_set_new(object, "width", json_integer(monitor->mode.width));
	json_object_set_new(object, "height", json_integer(monitor->mode.height));
	json_object_set_new(object, "refresh_hz", json_integer(monitor->mode.refresh_hz));
	return object;
}

static json_t *input_json(const struct input_set *input)
{
	json_t *devices = json_array();

	for (const struct evdev_device *device = input->devices; device; device = device->next) {
		/* A device's name may be no UTF-8. */
		json_t *name = json_string(device->name);

		json_array_append_new(devices, json_pack("{s:s, s:o, s:s}", "path", device->path, "name",
							 name ? name : json_string("?"), "kind",
							 evdev_device_kind(device)));
	}
	return json_pack("{s:o, s:o, s:I, s:I}", "devices", devices, "leds", input_lights_json(input->lights),
			 "events", (json_int_t)counter_read(&input->events), "dropped",
			 (json_int_t)counter_read(&input->dropped));
}

void seat_hardware_describe(const struct seat_hardware *hardware, json_t *object)
{
	if (hardware->card[0])
		json_object_set_new(object, "screen", screen_json(hardware));
	if (hardware->input.wanted)
		json_object_set_new(object, "input", input_json(&hardware->input));
}

/* ---- viaductd --check ---- */

static void plan_file(const struct config_seat *settings, const char *key, const char *path,
		      const char *group, struct config_messages *messages)
{
	char wrong[160];

	if (access(path, R_OK | (strcmp(key, "screen") == 0 ? W_OK : 0)) == 0)
		return;
	snprintf(wrong, sizeof(wrong), "cannot be opened: %s%s%s", strerror(errno),
		 errno == EACCES ? "; start as root, or be in the group " : "", errno == EACCES ? group : "");
	config_complain(&settings->object, key, messages, path, wrong);
}

void seat_hardware_plan(const struct config_seat *settings, FILE *out, struct config_messages *messages)
{
	struct seat_card card;
	const char *rest = settings->input, *name = settings->object.name;
	char path[INPUT_PATH_SIZE];

	if (!seat_parse_screen(settings->screen, &card) && card.path[0]) {
		fprintf(out, "seat %s: show it on the host's screen, %s%s%s\n", name, card.path,
			card.connector[0] ? ", connector " : "", card.connector);
		plan_file(settings, "screen", card.path, "video", messages);
	}
	if (strcmp(settings->input, "none") == 0)
		return;
	fprintf(out, "seat %s: take the host's input devices, %s, for itself\n", name,
		strcmp(settings->input, "all") == 0 ? "all keyboards and pointers" : settings->input);
	if (strcmp(settings->input, "all") == 0) {
		plan_file(settings, "input", INPUT_FOLDER, "input", messages);
		return;
	}
	while (input_next_path(&rest, path))
		plan_file(settings, "input", path, "input", messages);
}
