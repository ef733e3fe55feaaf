/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QEMU and a daemon, both of which are the test, around a process that serves a display (display_bench.h).
 * QEMU is the server of QMP and of both D-Bus connections; what it is called with is noted, and answered if
 * it likes.
 */
#ifndef VIADUCT_TESTS_FAKE_QEMU_H
#define VIADUCT_TESTS_FAKE_QEMU_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input-event-codes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "core/fd.h"
#include "interfaces/vmm_display/vmm_display_message.h"
#include "patience.h"
#include "qemu_double.h"

#define X8R8G8B8      QEMU_DOUBLE_X8R8G8B8
#define FAKE_HELD_MAX 1024u
#define GREETING      QEMU_DOUBLE_GREETING

/* Of QEMU's console, in the order in which they came. */
struct fake_call {
	char text[64]; /* method and arguments */
};

struct fake_news {
	struct vmm_display_message message;
	int file;
};

struct fake_qemu {
	int qmp, daemon; /* our ends; -1: closed */
	pid_t pid;
	/* ---- how it behaves ---- */
	bool is_mute; /* answers no call of the console's */
	bool is_dumb; /* answers nothing at all */
	bool is_absolute;
	uint32_t width, height, lights;
	const char *graphic;	/* the path of the console that is one */
	const char *add_client; /* the answer to it; NULL: fine */
	const char *look;	/* the answer to a look at the keyboard's queue; NULL: all was read */
	bool withholds_looks;	/* the test answers them */
	/* ---- what came ---- */
	char line[512];
	size_t line_bytes;
	unsigned commands, questions, registrations;
	unsigned looks;
	int display;
	sd_bus *control, *listener;
	sd_bus_message *held[FAKE_HELD_MAX]; /* calls that are not answered yet */
	unsigned held_count;
	struct fake_call calls[4096];
	unsigned call_count;
	unsigned answers, errors; /* to calls of the listener's */
	struct fake_news news[64];
	unsigned news_count, news_read;
	struct vmm_display_message keys; /* the last VMM_DISPLAY_KEYS, which is not among the news */
	bool is_over;			 /* the process closed the daemon's socket */
};

/* ---- QEMU's D-Bus ---- */

static inline int fake_on_message(sd_bus_message *message, void *context, sd_bus_error *error);

static inline sd_bus *fake_serve(struct fake_qemu *qemu, int fd)
{
	sd_bus *bus = qemu_double_serve(fd, fake_on_message, qemu);

	assert_non_null(bus);
	return bus;
}

static inline void fake_close(sd_bus **bus)
{
	if (*bus)
		sd_bus_close(*bus);
	*bus = sd_bus_unref(*bus);
}

static inline int fake_property(struct fake_qemu *qemu, sd_bus_message *call)
{
	const struct qemu_double_console console = {
		.graphic = qemu->graphic,
		.width = qemu->width,
		.height = qemu->height,
		.is_absolute = qemu->is_absolute,
		.lights = qemu->lights,
	};

	qemu->questions++;
	return qemu->is_dumb ? 1 : qemu_double_property(call, &console);
}

static inline int fake_register(struct fake_qemu *qemu, sd_bus_message *call)
{
	int fd = qemu_double_listener(call);

	assert_true(fd >= 0);
	assert_string_equal(sd_bus_message_get_path(call), qemu->graphic);
	fake_close(&qemu->listener);
	qemu->listener = fake_serve(qemu, fd);
	qemu->registrations++;
	return sd_bus_reply_method_return(call, NULL);
}

/* A call of the keyboard's, the mouse's or the console's. */
static inline int fake_console(struct fake_qemu *qemu, sd_bus_message *call)
{
	const char *types = sd_bus_message_get_signature(call, 1), *method = sd_bus_message_get_member(call),
		   *interface = strrchr(sd_bus_message_get_interface(call), '.') + 1;
	struct fake_call *note = &qemu->calls[qemu->call_count++];
	uint32_t numbers[4] = { 0 };

	assert_true(qemu->call_count < sizeof(qemu->calls) / sizeof(*qemu->calls));
	if (strcmp(types, "qqiiuu") == 0)
		sd_bus_message_skip(call, "qqii");
	for (unsigned i = 0; i < 2 && sd_bus_message_at_end(call, 1) == 0; i++)
		assert_true(sd_bus_message_read_basic(call, strchr(types, 'u') ? 'u' : 'i', &numbers[i]) > 0);
	if (strlen(types) == 1)
		snprintf(note->text, sizeof(note->text), "%s %s %u", interface, method, numbers[0]);
	else
		snprintf(note->text, sizeof(note->text), "%s %d %d", method, numbers[0], numbers[1]);
	if (!qemu->is_mute)
		return sd_bus_reply_method_return(call, NULL);
	assert_true(qemu->held_count < FAKE_HELD_MAX);
	qemu->held[qemu->held_count++] = sd_bus_message_ref(call);
	return 1;
}

static inline int fake_on_message(sd_bus_message *message, void *context, sd_bus_error *error)
{
	const char *member = sd_bus_message_get_member(message);
	uint8_t type;
	int result;

	sd_bus_message_get_type(message, &type);
	if (type != SD_BUS_MESSAGE_METHOD_CALL)
		return 0;
	if (strcmp(member, "Get") == 0)
		result = fake_property(context, message);
	else if (strcmp(member, "RegisterListener") == 0)
		result = fake_register(context, message);
	else
		result = fake_console(context, message);
	assert_true(result >= 0);
	return 1;
}

static inline void fake_answer_held(struct fake_qemu *qemu)
{
	qemu->is_mute = false;
	for (unsigned i = 0; i < qemu->held_count; i++) {
		assert_true(sd_bus_reply_method_return(qemu->held[i], NULL) >= 0);
		sd_bus_message_unref(qemu->held[i]);
	}
	qemu->held_count = 0;
}

/* ---- QEMU's QMP ---- */

static inline void fake_write(struct fake_qemu *qemu, const char *text)
{
	assert_int_equal(fd_send(qemu->qmp, text, strlen(text), NULL, 0), strlen(text));
}

static inline void fake_obey(struct fake_qemu *qemu, int fd)
{
	enum qemu_double_command command = qemu_double_command(qemu->line);
	const char *answer = QEMU_DOUBLE_FINE;

	if (command == QEMU_DOUBLE_LOOK) {
		qemu->looks++;
		if (!qemu->withholds_looks)
			fake_write(qemu, qemu->look ? qemu->look : QEMU_DOUBLE_READ);
		return;
	}
	qemu->commands++;
	if (command == QEMU_DOUBLE_GETFD) {
		assert_true(fd >= 0);
		qemu->display = fd;
	}
	if (qemu->is_dumb)
		return;
	if (command == QEMU_DOUBLE_ADD_CLIENT) {
		if (qemu->add_client)
			answer = qemu->add_client;
		else
			qemu->control = fake_serve(qemu, fd_take(&qemu->display));
	}
	fake_write(qemu, answer);
}

static inline void fake_read(struct fake_qemu *qemu)
{
	size_t fd_count = 0, room = sizeof(qemu->line) - 1 - qemu->line_bytes;
	int fd = -1;
	ssize_t received = fd_receive(qemu->qmp, qemu->line + qemu->line_bytes, room, &fd, 1, &fd_count);

	if (received == 0)
		fd_close(&qemu->qmp);
	if (received <= 0)
		return;
	qemu->line_bytes += (size_t)received;
	qemu->line[qemu->line_bytes] = '\0';
	if (strchr(qemu->line, '\n')) {
		fake_obey(qemu, fd);
		qemu->line_bytes = 0;
	}
}

/* ---- the daemon ---- */

/* A process that others keep from the processor takes what it is told later. */
static inline void daemon_say(struct fake_qemu *qemu, struct vmm_display_message message)
{
	ssize_t sent;

	AWAIT((sent = fd_send(qemu->daemon, &message, sizeof(message), NULL, 0)) != -EAGAIN,
	      poll(NULL, 0, 1));
	assert_int_equal(sent, sizeof(message));
}

/* Returns false when there is nothing. */
static inline bool daemon_read(struct fake_qemu *qemu)
{
	struct fake_news *news = &qemu->news[qemu->news_count % 64];
	size_t fd_count = 0;
	ssize_t received;

	news->file = -1;
	received = fd_receive(qemu->daemon, &news->message, sizeof(news->message), &news->file, 1, &fd_count);
	if (received == 0 || received == -ECONNRESET)
		qemu->is_over = true;
	if (received <= 0)
		return false;
	assert_int_equal(received, sizeof(news->message));
	if (news->message.kind == VMM_DISPLAY_KEYS) {
		qemu->keys = news->message;
		return true;
	}
	if (news->message.kind == VMM_DISPLAY_CURSOR)
		assert_int_equal(fd_count, news->message.width > 0);
	else
		assert_int_equal(fd_count, news->message.kind == VMM_DISPLAY_SURFACE);
	assert_true(++qemu->news_count - qemu->news_read <= 64);
	return true;
}

/* ---- both ---- */

static inline struct pollfd fake_poll_bus(sd_bus *bus)
{
	if (!bus)
		return (struct pollfd){ .fd = -1 };
	return (struct pollfd){ .fd = sd_bus_get_fd(bus), .events = (short)sd_bus_get_events(bus) };
}

/* Closes a connection that the process has closed. */
static inline void fake_process(sd_bus **bus)
{
	int result = 1;

	while (*bus && result > 0) {
		result = sd_bus_process(*bus, NULL);
		if (result < 0 || sd_bus_is_open(*bus) <= 0)
			fake_close(bus);
	}
}

/* What is there is served, or comes within some milliseconds. */
static inline void fake_step(struct fake_qemu *qemu)
{
	struct pollfd polled[] = { { .fd = qemu->qmp, .events = POLLIN },
				   { .fd = qemu->is_over ? -1 : qemu->daemon, .events = POLLIN },
				   fake_poll_bus(qemu->control),
				   fake_poll_bus(qemu->listener) };

	poll(polled, 4, 10);
	if (polled[0].revents)
		fake_read(qemu);
	if (polled[1].revents)
		daemon_read(qemu);
	fake_process(&qemu->control);
	fake_process(&qemu->listener);
}

#define UNTIL(qemu, condition) AWAIT(condition, fake_step(qemu))

/* The next message from the process. */
static inline struct fake_news *fake_next(struct fake_qemu *qemu)
{
	UNTIL(qemu, qemu->news_read < qemu->news_count);
	return &qemu->news[qemu->news_read++ % 64];
}

#endif
