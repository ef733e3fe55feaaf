/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/input/evdev_device.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libevdev/libevdev.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/container.h"
#include "core/fd.h"

/* Read before others of the loop have their turn. */
#define EVENTS_A_TURN 64u

/* ---- what it is ---- */

static bool has(const struct libevdev *evdev, unsigned type, unsigned code)
{
	return libevdev_has_event_code(evdev, type, code);
}

/* Those of a power button or of headphones are few, and none of these. */
static bool is_keyboard(const struct libevdev *evdev)
{
	return has(evdev, EV_KEY, KEY_ENTER) || has(evdev, EV_KEY, KEY_KPENTER) ||
	       has(evdev, EV_KEY, KEY_SPACE);
}

static bool is_stick(const struct libevdev *evdev)
{
	return has(evdev, EV_KEY, BTN_JOYSTICK) || has(evdev, EV_KEY, BTN_GAMEPAD) ||
	       libevdev_has_property(evdev, INPUT_PROP_ACCELEROMETER);
}

static bool is_pointer(const struct libevdev *evdev)
{
	bool moves = has(evdev, EV_REL, REL_X) && has(evdev, EV_REL, REL_Y),
	     points = has(evdev, EV_ABS, ABS_X) && has(evdev, EV_ABS, ABS_Y),
	     presses = has(evdev, EV_KEY, BTN_LEFT) || has(evdev, EV_KEY, BTN_TOUCH);

	return moves || (points && presses);
}

bool input_is_of_desk(const struct libevdev *evdev)
{
	return !is_stick(evdev) && (is_keyboard(evdev) || is_pointer(evdev));
}

static struct input_axis axis_of(const struct libevdev *evdev, unsigned code)
{
	const struct input_absinfo *info = libevdev_get_abs_info(evdev, code);

	return info ? (struct input_axis){ info->minimum, info->maximum, info->value }
		    : (struct input_axis){ 0 };
}

struct input_traits evdev_device_traits(const struct libevdev *evdev)
{
	return (struct input_traits){
		.has_keys = libevdev_has_event_type(evdev, EV_KEY),
		.is_pointer = !is_stick(evdev) && is_pointer(evdev),
		/* A pen's tablet and a touchscreen know places, too, but no finger. */
		.is_pad = has(evdev, EV_KEY, BTN_TOOL_FINGER) && !has(evdev, EV_KEY, BTN_TOOL_PEN) &&
			  !libevdev_has_property(evdev, INPUT_PROP_DIRECT),
		.has_fine_wheel = has(evdev, EV_REL, REL_WHEEL_HI_RES),
		.x = axis_of(evdev, ABS_X),
		.y = axis_of(evdev, ABS_Y),
	};
}

const char *evdev_device_kind(const struct evdev_device *device)
{
	const struct libevdev *evdev = device->evdev;
	bool points = is_pointer(evdev), placed = has(evdev, EV_ABS, ABS_X);

	if (is_keyboard(evdev))
		return points ? "keyboard and pointer" : "keyboard";
	if (!points)
		return "keys";
	if (!placed)
		return "mouse";
	return device->reader.traits.is_pad ? "touchpad" : "tablet";
}

/* ---- opening ---- */

/* handed: by a predecessor, which has grabbed it, and so this process has. */
static int grab(struct evdev_device *device, const char *path, bool any, bool handed)
{
	struct stat info;
	int error = libevdev_new_from_fd(device->fd, &device->evdev);

	/* Another kind of file. */
	if (error == -ENOTTY || error == -EINVAL)
		return -ENODEV;
	if (error)
		return error;
	if (fstat(device->fd, &info) < 0)
		return -errno;
	device->number = info.st_rdev;
	snprintf(device->path, sizeof(device->path), "%s", path);
	snprintf(device->name, sizeof(device->name), "%s", libevdev_get_name(device->evdev));
	device->reader.traits = evdev_device_traits(device->evdev);
	if (!input_is_of_desk(device->evdev) && !(any && device->reader.traits.has_keys))
		return -ENODEV;
	error = libevdev_grab(device->evdev, LIBEVDEV_GRAB);
	return handed && error == -EBUSY ? 0 : error;
}

int evdev_device_open(const char *path, int fd, bool any, struct evdev_device **ret_device)
{
	struct evdev_device *device;
	bool handed = fd >= 0;
	int error;

	/* Lights need writing; a user's group may allow reading only. */
	if (fd < 0)
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS))
		fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	device = calloc(1, sizeof(*device));
	if (!device) {
		fd_close(&fd);
		return -ENOMEM;
	}
	device->fd = fd;
	/* What it has to say are answers of its functions. */
	libevdev_set_log_function(NULL, NULL);
	error = grab(device, path, any, handed);
	if (error) {
		evdev_device_destroy(device);
		return error;
	}
	*ret_device = device;
	return 0;
}

void evdev_device_destroy(struct evdev_device *device)
{
	if (!device)
		return;
	assert(!device->loop);
	libevdev_free(device->evdev);
	fd_close(&device->fd);
	free(device);
}

/* ---- events ---- */

static void go(struct evdev_device *device)
{
	evdev_device_stop(device);
	if (device->gone)
		device->gone(device);
}

/* Some were lost. What is different now is told as events, so that no key sticks. */
static int synchronise(struct evdev_device *device, struct input_event *event)
{
	int status = LIBEVDEV_READ_STATUS_SYNC;

	counter_add(device->dropped, 1);
	while (status == LIBEVDEV_READ_STATUS_SYNC) {
		input_reader_take(&device->reader, event);
		status = libevdev_next_event(device->evdev, LIBEVDEV_READ_FLAG_SYNC, event);
	}
	return status == -EAGAIN ? LIBEVDEV_READ_STATUS_SUCCESS : status;
}

/* Returns false when there is nothing more to read now, or the device is gone. */
static bool read_one(struct evdev_device *device)
{
	struct input_event event;
	int status = libevdev_next_event(device->evdev, LIBEVDEV_READ_FLAG_NORMAL, &event);

	if (status == LIBEVDEV_READ_STATUS_SUCCESS) {
		counter_add(device->events, event.type != EV_SYN);
		input_reader_take(&device->reader, &event);
	} else if (status == LIBEVDEV_READ_STATUS_SYNC) {
		status = synchronise(device, &event);
	}
	if (status < 0 && status != -EAGAIN && status != -EINTR)
		go(device);
	return status >= 0;
}

static void read_some(struct evdev_device *device)
{
	for (unsigned i = 0; i < EVENTS_A_TURN; i++) {
		if (!read_one(device))
			return;
	}
	loop_defer(device->loop, &device->more);
}

static void on_ready(struct loop_watch *watch, unsigned events)
{
	read_some(container_of(watch, struct evdev_device, watch));
}

static void on_more(struct loop_task *task)
{
	read_some(container_of(task, struct evdev_device, more));
}

int evdev_device_start(struct evdev_device *device, struct loop *loop, const struct input_reader_ops *ops,
		       void *context)
{
	struct input_traits traits = evdev_device_traits(device->evdev);
	int error;

	input_reader_init(&device->reader, &traits, ops, context);
	device->watch = (struct loop_watch){ .ready = on_ready };
	device->more = (struct loop_task){ .run = on_more };
	error = loop_watch_start(loop, &device->watch, device->fd, POLLIN);
	if (error)
		return error;
	device->loop = loop;
	/* What came before is read now: the watch tells of what comes. */
	loop_defer(loop, &device->more);
	return 0;
}

void evdev_device_light(const struct evdev_device *device, unsigned lights)
{
	for (unsigned led = LED_NUML; led <= LED_SCROLLL; led++) {
		enum libevdev_led_value value = lights >> led & 1 ? LIBEVDEV_LED_ON : LIBEVDEV_LED_OFF;

		/* That it cannot be lit is no error: few mice can. */
		if (has(device->evdev, EV_LED, led))
			libevdev_kernel_set_led_value(device->evdev, led, value);
	}
}

void evdev_device_stop(struct evdev_device *device)
{
	if (!device->loop)
		return;
	evdev_device_light(device, 0);
	input_reader_let_up(&device->reader);
	loop_watch_stop(device->loop, &device->watch);
	loop_defer_cancel(device->loop, &device->more);
	device->loop = NULL;
}
