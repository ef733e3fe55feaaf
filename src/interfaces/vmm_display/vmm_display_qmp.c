/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_qmp.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fd.h"

#define READ_BYTES 4096u
/* Of QEMU's own words in a refusal. */
#define QUOTED_MAX 40

/* How the monitor says what it has read from a port, and what it means there. */
#define STATUS_PREFIX "] = "
#define STATUS_FULL   0x01u
#define STATUS_MOUSE  0x20u
#define STATUS_NONE   0xffu

struct command {
	const char *text;
	bool with_display; /* QEMU takes the socket that comes with it */
};

/* What is sent when this stage begins. */
static const struct command commands[] = {
	[VMM_DISPLAY_QMP_CAPABILITIES] = { "{\"execute\":\"qmp_capabilities\"}\n", false },
	[VMM_DISPLAY_QMP_GETFD] = { "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"viaduct-display\"}}"
				    "\n",
				    true },
	[VMM_DISPLAY_QMP_ADD_CLIENT] = { "{\"execute\":\"add_client\",\"arguments\":{\"protocol\":"
					 "\"@dbus-display\",\"fdname\":\"viaduct-display\"}}\n",
					 false },
};

void vmm_display_qmp_init(struct vmm_display_qmp *qmp, int socket, int display)
{
	qmp->socket = socket;
	qmp->display = display;
	qmp->stage = VMM_DISPLAY_QMP_GREETING;
	qmp->line_bytes = 0;
	qmp->is_long = qmp->is_looking = false;
	qmp->look = VMM_DISPLAY_QMP_UNSEEN;
	qmp->refusal[0] = '\0';
}

void vmm_display_qmp_finish(struct vmm_display_qmp *qmp)
{
	fd_close(&qmp->display);
}

/* Three short lines fit into any socket's buffer, unless the peer made it useless. */
static int enter(struct vmm_display_qmp *qmp, enum vmm_display_qmp_stage stage)
{
	const struct command *command = &commands[stage];
	size_t bytes = strlen(command->text);
	ssize_t sent =
		fd_send_now(qmp->socket, command->text, bytes, &qmp->display, command->with_display ? 1 : 0);

	if (sent < 0 || (size_t)sent < bytes)
		return -EPIPE;
	if (command->with_display)
		fd_close(&qmp->display);
	qmp->stage = stage;
	return 0;
}

static int refuse(struct vmm_display_qmp *qmp, const char *advice, const char *quoted)
{
	int length = snprintf(qmp->refusal, sizeof(qmp->refusal), "%s", advice);

	if (quoted && length > 0)
		snprintf(qmp->refusal + length, sizeof(qmp->refusal) - (size_t)length, " (%.*s)", QUOTED_MAX,
			 quoted);
	/* It goes into a log: no control characters of a stranger's, and no half of a character. */
	for (char *at = qmp->refusal; *at; at++) {
		if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
			*at = '?';
	}
	return -EPROTO;
}

static int refuse_error(struct vmm_display_qmp *qmp, const json_t *error)
{
	const char *why = json_string_value(json_object_get(error, "desc"));

	if (qmp->stage == VMM_DISPLAY_QMP_ADD_CLIENT)
		return refuse(qmp, "QEMU needs -display dbus,p2p=yes", why);
	return refuse(qmp, "QEMU's monitor refuses to take a socket", why);
}

/* ---- looks ---- */

int vmm_display_qmp_look(struct vmm_display_qmp *qmp)
{
	static const char command[] = "{\"execute\":\"human-monitor-command\",\"arguments\":{"
				      "\"command-line\":\"i /b 0x64\"}}\n";
	size_t bytes = sizeof(command) - 1;

	assert(qmp->stage == VMM_DISPLAY_QMP_DONE && !qmp->is_looking);
	if (fd_send_now(qmp->socket, command, bytes, NULL, 0) != (ssize_t)bytes)
		return -EPIPE;
	qmp->is_looking = true;
	return 0;
}

enum vmm_display_qmp_look vmm_display_qmp_take_look(struct vmm_display_qmp *qmp)
{
	enum vmm_display_qmp_look look = qmp->look;

	qmp->look = VMM_DISPLAY_QMP_UNSEEN;
	return look;
}

/* "portb[0x0064] = 0x1c" */
static enum vmm_display_qmp_look status_of(const char *text)
{
	const char *number = text ? strstr(text, STATUS_PREFIX) : NULL;
	unsigned long status = number ? strtoul(number + strlen(STATUS_PREFIX), NULL, 16) : STATUS_NONE;

	if (status >= STATUS_NONE)
		return VMM_DISPLAY_QMP_BLIND;
	if (!(status & STATUS_FULL))
		return VMM_DISPLAY_QMP_READ;
	return status & STATUS_MOUSE ? VMM_DISPLAY_QMP_MOUSE : VMM_DISPLAY_QMP_UNREAD;
}

static void take_answer(struct vmm_display_qmp *qmp, const json_t *line)
{
	const json_t *answer = json_object_get(line, "return");

	if (!qmp->is_looking || (!answer && !json_object_get(line, "error")))
		return;
	qmp->is_looking = false;
	qmp->look = status_of(json_string_value(answer));
}

/* ---- lines ---- */

/* A line that is neither what is waited for nor an error is an event. */
static int obey(struct vmm_display_qmp *qmp, const json_t *line)
{
	const json_t *error = json_object_get(line, "error");

	if (qmp->stage == VMM_DISPLAY_QMP_DONE) {
		take_answer(qmp, line);
		return 0;
	}
	if (qmp->stage == VMM_DISPLAY_QMP_GREETING)
		return json_object_get(line, "QMP") ? enter(qmp, VMM_DISPLAY_QMP_CAPABILITIES) : 0;
	if (error)
		return refuse_error(qmp, error);
	if (!json_object_get(line, "return"))
		return 0;
	if (qmp->stage == VMM_DISPLAY_QMP_ADD_CLIENT) {
		qmp->stage = VMM_DISPLAY_QMP_DONE;
		return 0;
	}
	return enter(qmp, qmp->stage + 1);
}

static int take_line(struct vmm_display_qmp *qmp)
{
	json_t *line;
	int error = 0;

	if (strspn(qmp->line, " \t\r") >= qmp->line_bytes)
		return 0;
	line = json_loadb(qmp->line, qmp->line_bytes, 0, NULL);
	if (json_is_object(line))
		error = obey(qmp, line);
	else if (qmp->stage != VMM_DISPLAY_QMP_DONE)
		error = refuse(qmp, "not QMP: give QEMU's -mon mode=control", NULL);
	json_decref(line);
	return error;
}

/* Takes a byte that ends no line; one of the line is kept for the NUL. */
static int append(struct vmm_display_qmp *qmp, char byte)
{
	qmp->is_long |= qmp->line_bytes == VMM_DISPLAY_QMP_LINE_MAX - 1;
	if (!qmp->is_long)
		qmp->line[qmp->line_bytes++] = byte;
	/* Later a long one is an event of some new kind. */
	if (qmp->is_long && qmp->stage != VMM_DISPLAY_QMP_DONE)
		return refuse(qmp, "not QMP: a line has no end", NULL);
	return 0;
}

int vmm_display_qmp_eat(struct vmm_display_qmp *qmp, const char *bytes, size_t count)
{
	int error = 0;

	for (size_t i = 0; i < count && error == 0; i++) {
		if (bytes[i] != '\n') {
			error = append(qmp, bytes[i]);
			continue;
		}
		qmp->line[qmp->line_bytes] = '\0';
		if (!qmp->is_long)
			error = take_line(qmp);
		qmp->is_long = false;
		qmp->line_bytes = 0;
	}
	return error;
}

int vmm_display_qmp_read(struct vmm_display_qmp *qmp)
{
	char bytes[READ_BYTES];
	size_t fd_count = 0;
	/* Descriptors that come along are closed at once. */
	ssize_t received = fd_receive(qmp->socket, bytes, sizeof(bytes), NULL, 0, &fd_count);

	if (received == -EAGAIN)
		return 0;
	if (received <= 0)
		return -EPIPE;
	return vmm_display_qmp_eat(qmp, bytes, (size_t)received);
}
