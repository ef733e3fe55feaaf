/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "seat_guest.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "qemu_double.h"

#define LISTENER      "/org/qemu/Display1/Listener"
#define LISTENER_NAME "org.qemu.Display1.Listener"
#define PIXEL_BYTES   4u
#define CURSOR_WIDTH  8u
#define CURSOR_HEIGHT 16u
/* Pictures on their way of one that draws without end: it never waits for the answer to one. */
#define STORM_CALLS 2u
/* After it was seen, from 20 to 60 ms: at no fixed time from a picture of the screen. */
#define PULSE_MIN_NS (20 * NS_PER_MS)
#define PULSE_MAX_NS (60 * NS_PER_MS)
/* A multiple of it differs from its neighbours in all three colours. */
#define STEP 0x010307u

static void fail(struct seat_guest *guest, const char *what)
{
	__atomic_store_n(&guest->failed, what, __ATOMIC_RELEASE);
}

static void raise_event(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		return; /* it is raised so often already */
}

/* ---- drawing ---- */

struct area {
	unsigned x, y, width, height;
};

static void fill(uint32_t *pixels, const struct area *area, uint32_t number)
{
	for (unsigned x = 0; x < area->width; x++)
		pixels[x] = (number * STEP + x) & 0xffffff;
	for (unsigned y = 1; y < area->height; y++)
		memcpy(pixels + (size_t)y * area->width, pixels, (size_t)area->width * PIXEL_BYTES);
}

static int on_answer(sd_bus_message *answer, void *context, sd_bus_error *error)
{
	struct seat_guest *guest = context;

	guest->waiting--;
	if (sd_bus_message_is_method_error(answer, NULL))
		fail(guest, "a picture was refused");
	__atomic_store_n(&guest->is_shown, true, __ATOMIC_RELEASE);
	return 0;
}

/* Adds what a picture consists of, drawn in place. Returns 0 or -errno. */
static int append_pixels(sd_bus_message *call, const struct area *area, uint32_t number, uint32_t *ret_corner)
{
	size_t count = (size_t)area->width * area->height;
	void *pixels;
	int error = sd_bus_message_append(call, "uu", area->width * PIXEL_BYTES, QEMU_DOUBLE_X8R8G8B8);

	if (error >= 0)
		error = sd_bus_message_append_array_space(call, 'y', count * PIXEL_BYTES, &pixels);
	if (error < 0)
		return error;
	fill(pixels, area, number);
	*ret_corner = ((uint32_t *)pixels)[count - 1];
	return 0;
}

static int begin_call(struct seat_guest *guest, const struct area *area, sd_bus_message **ret_call)
{
	bool is_first = guest->number == 0;
	int error = sd_bus_message_new_method_call(guest->listener, ret_call, NULL, LISTENER, LISTENER_NAME,
						   is_first ? "Scanout" : "Update");

	if (error < 0)
		return error;
	return is_first ? sd_bus_message_append(*ret_call, "uu", area->width, area->height)
			: sd_bus_message_append(*ret_call, "iiii", (int)area->x, (int)area->y,
						(int)area->width, (int)area->height);
}

static void draw(struct seat_guest *guest, const struct area *area)
{
	sd_bus_message *call = NULL;
	uint32_t corner;
	int error = begin_call(guest, area, &call);

	if (error >= 0)
		error = append_pixels(call, area, guest->number + 1, &corner);
	if (error >= 0) {
		guest->number++;
		guest->waiting++;
		__atomic_store_n(&guest->flushed_ns, clock_now_ns(), __ATOMIC_RELAXED);
		__atomic_store_n(&guest->corner, corner, __ATOMIC_RELEASE);
		error = sd_bus_call_async(guest->listener, NULL, call, on_answer, guest, UINT64_MAX);
	}
	sd_bus_message_unref(call);
	if (error < 0)
		fail(guest, "a picture could not be sent");
	else
		__atomic_add_fetch(&guest->flushes, 1, __ATOMIC_RELAXED);
}

static void draw_all(struct seat_guest *guest)
{
	const struct seat_guest_options *options = &guest->options;

	draw(guest, &(struct area){ 0, 0, options->width, options->height });
}

/* The next is so long after the one before, unless that time has passed already. */
static void pace(struct seat_guest *guest, uint64_t now_ns)
{
	guest->next_ns += (uint64_t)((double)NS_PER_S / guest->options.rate);
	if (guest->next_ns < now_ns)
		guest->next_ns = now_ns;
}

static uint64_t chance_ns(struct seat_guest *guest)
{
	/* Knuth's multiplier: no two pauses in a row are alike. */
	return PULSE_MIN_NS + guest->number * 2654435761u % (PULSE_MAX_NS - PULSE_MIN_NS);
}

/* Draws what is due. */
static void act(struct seat_guest *guest)
{
	uint64_t now_ns = clock_now_ns();

	if (!guest->listener || (guest->number > 0 && now_ns < guest->next_ns))
		return;
	if (guest->number == 0) {
		draw_all(guest);
	} else if (guest->options.role == SEAT_STORM) {
		while (guest->waiting < STORM_CALLS && !guest->failed)
			draw_all(guest);
	} else if (guest->waiting > 0 || guest->options.role == SEAT_STILL) {
		return;
	} else if (guest->options.role == SEAT_BLINK) {
		draw(guest, &(struct area){ 0, 0, CURSOR_WIDTH, CURSOR_HEIGHT });
		pace(guest, now_ns);
	} else if (guest->options.role == SEAT_FRAMES) {
		draw_all(guest);
		pace(guest, now_ns);
	} else if (guest->was_seen) {
		guest->was_seen = false;
		draw_all(guest);
	}
}

/* ---- what it is called with ---- */

static int on_key(struct seat_guest *guest, sd_bus_message *call)
{
	__atomic_store_n(&guest->key_ns, clock_now_ns(), __ATOMIC_RELAXED);
	__atomic_add_fetch(&guest->keys, 1, __ATOMIC_RELEASE);
	raise_event(guest->events);
	return sd_bus_reply_method_return(call, NULL);
}

static int on_message(sd_bus_message *call, void *context, sd_bus_error *error);

static int on_register(struct seat_guest *guest, sd_bus_message *call)
{
	int fd = qemu_double_listener(call);

	if (fd < 0)
		return fd;
	guest->listener = sd_bus_unref(guest->listener);
	guest->listener = qemu_double_serve(fd, on_message, guest);
	return guest->listener ? sd_bus_reply_method_return(call, NULL) : -EIO;
}

static int on_message(sd_bus_message *call, void *context, sd_bus_error *error)
{
	struct seat_guest *guest = context;
	const struct qemu_double_console console = {
		.graphic = QEMU_DOUBLE_CONSOLE,
		.width = guest->options.width,
		.height = guest->options.height,
		.is_absolute = true,
	};
	int result;

	if (sd_bus_message_is_method_call(call, NULL, NULL) <= 0)
		return 0;
	if (sd_bus_message_is_method_call(call, NULL, "Get") > 0)
		result = qemu_double_property(call, &console);
	else if (sd_bus_message_is_method_call(call, NULL, "RegisterListener") > 0)
		result = on_register(guest, call);
	else if (sd_bus_message_is_method_call(call, "org.qemu.Display1.Keyboard", NULL) > 0)
		result = on_key(guest, call);
	else
		result = sd_bus_reply_method_return(call, NULL);
	if (result < 0)
		fail(guest, "a call could not be answered");
	return 1;
}

static void say(struct seat_guest *guest, const char *text)
{
	if (fd_send(guest->qmp, text, strlen(text), NULL, 0) < 0)
		fail(guest, "the daemon does not take what is said");
}

static void obey(struct seat_guest *guest, int fd)
{
	const char *answer = QEMU_DOUBLE_FINE;

	switch (qemu_double_command(guest->line)) {
	case QEMU_DOUBLE_GETFD:
		guest->display = fd_take(&fd);
		break;
	case QEMU_DOUBLE_ADD_CLIENT:
		guest->control = qemu_double_serve(fd_take(&guest->display), on_message, guest);
		if (!guest->control)
			fail(guest, "there is no D-Bus");
		break;
	case QEMU_DOUBLE_LOOK:
		answer = QEMU_DOUBLE_READ;
		break;
	case QEMU_DOUBLE_OTHER:
		break;
	}
	fd_close(&fd);
	say(guest, answer);
}

static void read_qmp(struct seat_guest *guest)
{
	size_t fd_count = 0;
	int fd = -1;
	ssize_t received = fd_receive(guest->qmp, guest->line + guest->line_bytes,
				      sizeof(guest->line) - 1 - guest->line_bytes, &fd, 1, &fd_count);

	if (received <= 0) {
		if (received != -EAGAIN)
			fail(guest, "the daemon has closed the display");
		return;
	}
	guest->line_bytes += (size_t)received;
	guest->line[guest->line_bytes] = '\0';
	if (!strchr(guest->line, '\n')) {
		/* The rest is to come, and no command has a descriptor before its end. */
		fd_close(&fd);
		return;
	}
	obey(guest, fd);
	guest->line_bytes = 0;
}

/* ---- its thread ---- */

static struct pollfd poll_bus(sd_bus *bus)
{
	if (!bus)
		return (struct pollfd){ .fd = -1 };
	return (struct pollfd){ .fd = sd_bus_get_fd(bus), .events = (short)sd_bus_get_events(bus) };
}

static void process(struct seat_guest *guest, sd_bus *bus)
{
	int result = 1;

	while (bus && result > 0)
		result = sd_bus_process(bus, NULL);
	if (result < 0 && !__atomic_load_n(&guest->is_over, __ATOMIC_ACQUIRE))
		fail(guest, "the daemon has closed the display's bus");
}

/* Until something comes, or the next picture is due. */
static void wait_and_serve(struct seat_guest *guest)
{
	struct pollfd polled[] = {
		{ .fd = guest->qmp, .events = POLLIN },
		{ .fd = guest->seen, .events = POLLIN },
		poll_bus(guest->control),
		poll_bus(guest->listener),
	};
	uint64_t now_ns = clock_now_ns(), raised;
	bool is_timed = guest->number > 0 && guest->next_ns > now_ns;
	const struct timespec left = { .tv_sec = (time_t)((guest->next_ns - now_ns) / NS_PER_S),
				       .tv_nsec = (long)((guest->next_ns - now_ns) % NS_PER_S) };

	ppoll(polled, 4, is_timed ? &left : NULL, NULL);
	if (polled[0].revents)
		read_qmp(guest);
	if (polled[1].revents && read(guest->seen, &raised, sizeof(raised)) > 0) {
		guest->was_seen = true;
		guest->next_ns = clock_now_ns() + chance_ns(guest);
	}
	process(guest, guest->control);
	process(guest, guest->listener);
}

static void *run(void *context)
{
	struct seat_guest *guest = context;

	say(guest, QEMU_DOUBLE_GREETING);
	while (!guest->failed && !__atomic_load_n(&guest->is_over, __ATOMIC_ACQUIRE)) {
		wait_and_serve(guest);
		act(guest);
	}
	/* What waits for it is to notice. */
	raise_event(guest->events);
	return NULL;
}

/* ---- life ---- */

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	error = -errno;
	fd_close(&fd);
	return error;
}

int seat_guest_start(struct seat_guest *guest, const struct seat_guest_options *options)
{
	*guest = (struct seat_guest){ .options = *options, .display = -1, .was_seen = true };
	guest->events = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	guest->seen = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	guest->qmp = connect_to(options->socket);
	if (guest->qmp < 0)
		return guest->qmp;
	return guest->events < 0 || guest->seen < 0 ? -EMFILE
						    : -pthread_create(&guest->thread, NULL, run, guest);
}

void seat_guest_saw(struct seat_guest *guest)
{
	raise_event(guest->seen);
}

void seat_guest_stop(struct seat_guest *guest)
{
	__atomic_store_n(&guest->is_over, true, __ATOMIC_RELEASE);
	raise_event(guest->seen);
	pthread_join(guest->thread, NULL);
	sd_bus_close(guest->listener);
	sd_bus_unref(guest->listener);
	sd_bus_close(guest->control);
	sd_bus_unref(guest->control);
	fd_close(&guest->qmp);
	fd_close(&guest->display);
	fd_close(&guest->events);
	fd_close(&guest->seen);
}
