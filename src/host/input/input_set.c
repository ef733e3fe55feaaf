/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/input/input_set.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"

/* udev has given a new device its group and its links by then. */
#define SETTLE_NS (500 * NS_PER_MS)

/* ---- the list ---- */

bool input_next_path(const char **list, char path[INPUT_PATH_SIZE])
{
	const char *text = *list + strspn(*list, ", \t");
	size_t length = strcspn(text, ",");

	*list = text + length;
	while (length > 0 && strchr(" \t", text[length - 1]))
		length--;
	if (length == 0)
		return false;
	snprintf(path, INPUT_PATH_SIZE, "%.*s", (int)length, text);
	return true;
}

const char *input_check_wanted(const char *text)
{
	const char *rest = text;
	char path[INPUT_PATH_SIZE];
	unsigned count = 0;

	if (strcmp(text, "none") == 0 || strcmp(text, "all") == 0)
		return NULL;
	while (input_next_path(&rest, path)) {
		if (path[0] != '/')
			return "is no list of devices; use none, all, or paths with commas between them, for "
			       "example /dev/input/event3";
		if (strlen(path) == INPUT_PATH_SIZE - 1)
			return "has a path that is longer than 106 bytes";
		if (++count > INPUT_DEVICES_MAX)
			return "has more than 32 devices";
	}
	return count ? NULL : "names no device; use none, all, or for example /dev/input/event3";
}

const char *input_advice(int error)
{
	switch (error) {
	case -EACCES:
	case -EPERM:
		return "; the daemon's user must be in the group input";
	case -ENODEV:
		return "; it is neither a keyboard nor a pointer";
	case -EBUSY:
		return "; another program has it for itself, for example a desktop";
	default:
		return "";
	}
}

static bool wants_all(const struct input_set *set)
{
	return strcmp(set->wanted, "all") == 0;
}

/* ---- many as one ---- */

/* Down at the first device that holds it, and up at the last. */
static void on_key(void *context, unsigned code, bool down)
{
	struct input_set *set = context;
	unsigned before = set->holders[code];

	assert(down || before > 0);
	set->holders[code] = (uint8_t)(before + (down ? 1 : -1u));
	if (before == (down ? 0 : 1))
		set->ops->key(set->context, code, down);
}

static unsigned all_buttons(const struct input_set *set)
{
	unsigned buttons = 0;

	for (const struct evdev_device *device = set->devices; device; device = device->next)
		buttons |= device->reader.buttons;
	return buttons;
}

static void on_pointer(void *context, const struct input_motion *motion)
{
	struct input_set *set = context;
	struct input_motion joint = *motion;

	joint.buttons = all_buttons(set);
	set->ops->pointer(set->context, &joint);
}

static const struct input_reader_ops merge_ops = { .key = on_key, .pointer = on_pointer };

/* ---- devices come and go ---- */

static void on_gone(struct evdev_device *device)
{
	struct input_set *set = device->owner;
	struct evdev_device **link = &set->devices;

	while (*link != device)
		link = &(*link)->next;
	*link = device->next;
	set->count--;
	log_info(set->subject, "%s (%s) is gone", device->path, device->name);
	evdev_device_destroy(device);
}

static int start_device(struct input_set *set, struct evdev_device *device)
{
	int error;

	if (!set->loop)
		return 0;
	error = evdev_device_start(device, set->loop, &merge_ops, set);
	if (!error)
		evdev_device_light(device, set->lights);
	return error;
}

/* The set has it from now on, or it is closed. */
static int add_device(struct input_set *set, struct evdev_device *device)
{
	struct evdev_device **link = &set->devices;
	int error;

	device->owner = set;
	device->gone = on_gone;
	device->events = &set->events;
	device->dropped = &set->dropped;
	error = start_device(set, device);
	if (error) {
		evdev_device_destroy(device);
		return error;
	}
	while (*link)
		link = &(*link)->next;
	*link = device;
	set->count++;
	log_info(set->subject, "%s (%s) is its %s", device->path, device->name, evdev_device_kind(device));
	return 0;
}

static bool is_known(const struct input_set *set, dev_t number)
{
	const struct evdev_device *device = set->devices;

	while (device && device->number != number)
		device = device->next;
	return device;
}

/* The predecessor's descriptor of the device, or -1. */
static int take_handed(struct input_set *set, dev_t number)
{
	struct stat info;

	for (unsigned i = 0; i < set->handed_count; i++) {
		if (set->handed[i] >= 0 && fstat(set->handed[i], &info) == 0 && info.st_rdev == number)
			return fd_take(&set->handed[i]);
	}
	return -1;
}

/* named: in the configuration. Returns 0 also for a device that is open. */
static int look_at(struct input_set *set, const char *path, bool named)
{
	struct evdev_device *device;
	struct stat info;
	int error;

	if (stat(path, &info) < 0)
		return -errno;
	if (!S_ISCHR(info.st_mode))
		return -ENODEV;
	if (is_known(set, info.st_rdev))
		return 0;
	if (set->count == INPUT_DEVICES_MAX)
		return -EMFILE;
	error = evdev_device_open(path, take_handed(set, info.st_rdev), named, &device);
	return error ? error : add_device(set, device);
}

static void complain(const struct input_set *set, const char *path, int error)
{
	log_warning(set->subject, "cannot use %s: %s%s", path, strerror(-error), input_advice(error));
}

static int is_event_file(const struct dirent *entry)
{
	return strncmp(entry->d_name, "event", 5) == 0;
}

/* Those that are neither keyboards nor pointers are left alone, and not spoken of. */
static void look_at_all(struct input_set *set)
{
	struct dirent **entries;
	int count = scandir(set->folder, &entries, is_event_file, versionsort);

	for (int i = 0; i < count; i++) {
		char path[INPUT_PATH_SIZE];
		int length = snprintf(path, sizeof(path), "%s/%s", set->folder, entries[i]->d_name),
		    error = 0;

		if (length < (int)sizeof(path))
			error = look_at(set, path, false);
		if (error && error != -ENODEV && error != -ENOENT)
			complain(set, path, error);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

/* missed: tell of those that are not there. */
static void look_at_named(struct input_set *set, bool missed)
{
	const char *rest = set->wanted;
	char path[INPUT_PATH_SIZE];

	while (input_next_path(&rest, path)) {
		int error = look_at(set, path, true);

		if (error && (missed || error != -ENOENT))
			complain(set, path, error);
	}
}

/* ---- plugged in later ---- */

static void on_look(struct loop_timer *timer)
{
	struct input_set *set = container_of(timer, struct input_set, look);

	if (wants_all(set))
		look_at_all(set);
	else
		look_at_named(set, false);
}

static void on_news(struct loop_watch *watch, unsigned events)
{
	struct input_set *set = container_of(watch, struct input_set, watch);
	char news[4096];

	while (read(set->news, news, sizeof(news)) > 0)
		;
	loop_timer_start(set->loop, &set->look, clock_now_ns() + SETTLE_NS);
}

/* While files can still be opened at will: later it is only read. */
static void watch_folder(struct input_set *set)
{
	set->news = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (set->news < 0)
		return;
	if (inotify_add_watch(set->news, set->folder, IN_CREATE | IN_ATTRIB) < 0)
		fd_close(&set->news);
}

/* ---- life ---- */

void input_set_adopt(struct input_set *set, int fd)
{
	if (set->handed_count < INPUT_DEVICES_MAX)
		set->handed[set->handed_count++] = fd;
	else
		fd_close(&fd);
}

void input_set_open(struct input_set *set)
{
	watch_folder(set);
	if (wants_all(set))
		look_at_all(set);
	else
		look_at_named(set, true);
	if (set->count == 0)
		log_warning(set->subject, "there is neither a keyboard nor a pointer in %s", set->folder);
	for (unsigned i = 0; i < set->handed_count; i++)
		fd_close(&set->handed[i]);
	set->handed_count = 0;
}

void input_set_close(struct input_set *set)
{
	assert(!set->loop);
	while (set->devices) {
		struct evdev_device *device = set->devices;

		set->devices = device->next;
		evdev_device_destroy(device);
	}
	set->count = 0;
	fd_close(&set->news);
}

int input_set_start(struct input_set *set, struct loop *loop)
{
	int error = 0;

	assert(!set->loop);
	set->loop = loop;
	set->watch = (struct loop_watch){ .ready = on_news };
	set->look = (struct loop_timer){ .expired = on_look };
	if (set->news >= 0)
		error = loop_watch_start(loop, &set->watch, set->news, POLLIN);
	for (struct evdev_device *device = set->devices; device && !error; device = device->next)
		error = start_device(set, device);
	if (error)
		input_set_stop(set);
	return error;
}

void input_set_light(struct input_set *set, unsigned lights)
{
	set->lights = lights;
	for (struct evdev_device *device = set->devices; device && set->loop; device = device->next)
		evdev_device_light(device, lights);
}

void input_set_stop(struct input_set *set)
{
	if (!set->loop)
		return;
	for (struct evdev_device *device = set->devices; device; device = device->next)
		evdev_device_stop(device);
	loop_watch_stop(set->loop, &set->watch);
	loop_timer_stop(set->loop, &set->look);
	set->loop = NULL;
}
