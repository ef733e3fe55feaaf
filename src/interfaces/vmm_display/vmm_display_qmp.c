/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_qmp.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/fd.h"

#define READ_BYTES 4096u
/* Of QEMU's own words in a refusal. */
#define QUOTED_MAX 40

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

/* A line that is neither what is waited for nor an error is an event. */
static int obey(struct vmm_display_qmp *qmp, const json_t *line)
{
	const json_t *error = json_object_get(line, "error");

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
	int error;

	if (strspn(qmp->line, " \t\r") >= qmp->line_bytes)
		return 0;
	line = json_loadb(qmp->line, qmp->line_bytes, 0, NULL);
	if (!json_is_object(line))
		error = refuse(qmp, "not QMP: give QEMU's -mon mode=control", NULL);
	else
		error = obey(qmp, line);
	json_decref(line);
	return error;
}

int vmm_display_qmp_eat(struct vmm_display_qmp *qmp, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count && qmp->stage != VMM_DISPLAY_QMP_DONE; i++) {
		int error;

		/* One byte is kept for the NUL. */
		if (bytes[i] != '\n' && qmp->line_bytes == VMM_DISPLAY_QMP_LINE_MAX - 1)
			return refuse(qmp, "not QMP: a line has no end", NULL);
		if (bytes[i] != '\n') {
			qmp->line[qmp->line_bytes++] = bytes[i];
			continue;
		}
		qmp->line[qmp->line_bytes] = '\0';
		error = take_line(qmp);
		qmp->line_bytes = 0;
		if (error < 0)
			return error;
	}
	return 0;
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
