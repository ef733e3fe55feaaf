/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/nic/nic_mirror.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/log.h"
#include "daemon/base/reach.h"
#include "daemon/nic/nic_capture.h"
#include "daemon/nic/nic_device.h"
#include "daemon/nic/nic_mirror_file.h"

#define BUFFER_BYTES ((size_t)4 * PCAPNG_BLOCK_MAX)
/* A pipe waits for its reader, a file for room on the disk or for other rights. */
#define RETRY_PIPE_NS (1 * NS_PER_S)
#define RETRY_FILE_NS (5 * NS_PER_S)
/* Turns of the control loop at the daemon's end, of at most 100 ms each. */
#define FINISH_TURNS   50
#define FINISH_TURN_NS (100 * NS_PER_MS)

struct nic_mirror {
	struct daemon *daemon;
	struct nic_mirror *next; /* in daemon->closing_mirrors */
	struct log_subject subject;
	char *path, *switch_name;
	struct port *port; /* NULL: stopped */
	uint64_t limit_bytes;
	struct loop_timer retry;
	bool told;   /* trouble that has not passed was logged */
	bool active; /* there is a file, and what follows */
	bool last;   /* stopped: the buffer is the last one */
	struct mirror_file file;
	struct nic_capture *capture;
	bool writing;
	struct loop_op op;
	size_t bytes, written; /* in the buffer; and of them, to the file */
	uint8_t buffer[BUFFER_BYTES];
};

static void pump(struct nic_mirror *mirror);

/* ---- the end of a mirror, or of a try ---- */

static void deactivate(struct nic_mirror *mirror)
{
	uint64_t frames, lost;

	assert(!mirror->writing);
	if (!mirror->active)
		return;
	nic_capture_totals(mirror->capture, &frames, &lost);
	if (!mirror->told)
		log_info(&mirror->subject, "mirror %s: ends after %llu frames, %llu lost", mirror->path,
			 (unsigned long long)frames, (unsigned long long)lost);
	nic_capture_close(mirror->capture);
	fd_close(&mirror->file.fd);
	mirror->active = false;
	mirror->bytes = mirror->written = 0;
}

static void mirror_free(struct nic_mirror *mirror)
{
	struct nic_mirror **link = &mirror->daemon->closing_mirrors;

	deactivate(mirror);
	while (*link && *link != mirror)
		link = &(*link)->next;
	if (*link)
		*link = mirror->next;
	free(mirror->path);
	free(mirror->switch_name);
	free(mirror);
}

/* Tells it once, and tries again later. */
static void trouble(struct nic_mirror *mirror, int code)
{
	bool of_pipe = code == -ENXIO || code == -EPIPE;

	deactivate(mirror);
	if (!mirror->told && !reach_has(mirror->daemon->reach, mirror->path))
		log_warning(&mirror->subject, "mirror %s " REACH_REFUSAL, mirror->path);
	else if (!mirror->told)
		log_line(of_pipe ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, &mirror->subject,
			 "mirror %s: %s; it is tried again", mirror->path, mirror_file_trouble(code));
	mirror->told = true;
	if (mirror->port)
		loop_timer_start(mirror->daemon->control, &mirror->retry,
				 clock_now_ns() + (of_pipe ? RETRY_PIPE_NS : RETRY_FILE_NS));
}

/* ---- writing ---- */

static void submit(struct nic_mirror *mirror)
{
	struct io_uring_sqe *sqe = loop_sqe(mirror->daemon->control);

	/* At the file's end, wherever that is. */
	io_uring_prep_write(sqe, mirror->file.fd, mirror->buffer + mirror->written,
			    (unsigned)(mirror->bytes - mirror->written), (uint64_t)-1);
	loop_sqe_finish(mirror->daemon->control, sqe, &mirror->op);
	mirror->writing = true;
}

/* Whole blocks only: what was written of the buffer goes again. */
static void cut_back(struct nic_mirror *mirror)
{
	if (!mirror->file.pipe && mirror->written > 0 &&
	    ftruncate(mirror->file.fd, (off_t)mirror->file.bytes) < 0)
		log_warning(&mirror->subject, "mirror %s: cannot cut off half a block: %s", mirror->path,
			    strerror(errno));
}

/* The buffer is written. Returns 0 or -errno. */
static int keep_full_file(struct nic_mirror *mirror)
{
	int error;

	mirror->file.bytes += mirror->bytes;
	if (mirror->file.pipe || mirror->file.bytes < mirror->limit_bytes || mirror->last)
		return 0;
	error = mirror_file_keep(mirror->path);
	fd_close(&mirror->file.fd);
	if (!error)
		error = mirror_file_open(mirror->path, mirror->limit_bytes, &mirror->file);
	nic_capture_restart(mirror->capture);
	return error;
}

static void written(struct loop_op *op, int result, unsigned flags)
{
	struct nic_mirror *mirror = container_of(op, struct nic_mirror, op);
	int error = result < 0 ? result : 0;

	mirror->writing = false;
	if (!error)
		mirror->written += (size_t)result;
	else
		cut_back(mirror);
	if (!error && mirror->written == mirror->bytes) {
		error = keep_full_file(mirror);
		mirror->bytes = mirror->written = 0;
		if (mirror->told)
			log_info(&mirror->subject, "mirror %s: goes on", mirror->path);
		mirror->told = false;
	}
	if (error && mirror->port) {
		trouble(mirror, error);
		return;
	}
	if (error)
		mirror_free(mirror);
	else
		pump(mirror);
}

/* Writes what there is, unless a write is under way. */
static void pump(struct nic_mirror *mirror)
{
	if (mirror->writing)
		return;
	if (mirror->bytes == 0 && !mirror->last) {
		mirror->bytes = nic_capture_fill(mirror->capture, mirror->buffer, BUFFER_BYTES);
		mirror->last = !mirror->port;
	}
	if (mirror->written < mirror->bytes)
		submit(mirror);
	else if (!mirror->port)
		mirror_free(mirror);
}

static void frames_came(void *context)
{
	struct nic_mirror *mirror = context;

	if (mirror->active)
		pump(mirror);
}

/* Does a mirror that was stopped still write its last frames there? */
static bool is_closing(const struct daemon *daemon, const char *path)
{
	const struct nic_mirror *closing = daemon->closing_mirrors;

	while (closing && strcmp(closing->path, path) != 0)
		closing = closing->next;
	return closing;
}

static void begin(struct loop_timer *timer)
{
	struct nic_mirror *mirror = container_of(timer, struct nic_mirror, retry);
	char description[CONFIG_NAME_SIZE + 32];
	struct nic_capture_options options = {
		.name = mirror->subject.name,
		.description = description,
		.loop = mirror->daemon->control,
		.ready = frames_came,
		.context = mirror,
	};
	int error;

	/* Not two writers in one file. */
	if (is_closing(mirror->daemon, mirror->path)) {
		loop_timer_start(mirror->daemon->control, &mirror->retry, clock_now_ns() + RETRY_PIPE_NS);
		return;
	}
	error = mirror_file_open(mirror->path, mirror->limit_bytes, &mirror->file);
	snprintf(description, sizeof(description), "network card on switch %s", mirror->switch_name);
	if (!error) {
		error = nic_capture_open(mirror->port, &options, &mirror->capture);
		if (error)
			fd_close(&mirror->file.fd);
	}
	if (error) {
		trouble(mirror, error);
		return;
	}
	mirror->active = true;
	if (!mirror->told)
		log_info(&mirror->subject, "mirror %s: begins", mirror->path);
	pump(mirror);
}

/* ---- settings ---- */

static struct nic_mirror *mirror_new(struct nic_device *nic, const struct config_nic *settings)
{
	struct nic_mirror *mirror = calloc(1, sizeof(*mirror));

	if (!mirror)
		return NULL;
	mirror->daemon = nic->base.daemon;
	mirror->port = nic->port;
	mirror->path = strdup(settings->mirror);
	mirror->switch_name = strdup(nic->switch_name);
	mirror->limit_bytes = settings->mirror_limit;
	mirror->retry.expired = begin;
	mirror->op.done = written;
	log_subject_name(&mirror->subject, "%s", nic->base.name);
	if (mirror->path && mirror->switch_name)
		return mirror;
	free(mirror->path);
	free(mirror->switch_name);
	free(mirror);
	return NULL;
}

static bool is_as_configured(const struct nic_mirror *mirror, const struct config_nic *settings)
{
	if (!mirror || !settings->mirror)
		return !mirror && !settings->mirror;
	return strcmp(mirror->path, settings->mirror) == 0 && mirror->limit_bytes == settings->mirror_limit;
}

bool nic_mirror_set(struct nic_device *nic, const struct config_nic *settings)
{
	if (!settings || is_as_configured(nic->mirror, settings))
		return false;
	if (nic->mirror && settings->mirror && strcmp(nic->mirror->path, settings->mirror) == 0) {
		nic->mirror->limit_bytes = settings->mirror_limit;
		return true;
	}
	nic_mirror_stop(nic);
	if (!settings->mirror)
		return true;
	nic->mirror = mirror_new(nic, settings);
	if (nic->mirror)
		loop_timer_start(nic->base.daemon->control, &nic->mirror->retry, clock_now_ns());
	else
		log_error(&nic->base.subject, "mirror %s: out of memory", settings->mirror);
	return true;
}

/* From now on a pipe gets what it has room for: a reader that does not read would hold up the end. */
json_t *nic_mirror_json(const struct nic_device *nic, bool *ret_open)
{
	const struct nic_mirror *mirror = nic->mirror;
	uint64_t frames = 0, lost = 0;

	*ret_open = mirror && mirror->active;
	if (!mirror)
		return NULL;
	if (mirror->active)
		nic_capture_totals(mirror->capture, &frames, &lost);
	return json_pack("{s:s, s:b, s:I, s:I}", "path", mirror->path, "open", mirror->active, "frames",
			 (json_int_t)frames, "lost", (json_int_t)lost);
}

static void hurry(struct nic_mirror *mirror)
{
	struct io_uring_sqe *sqe;

	fd_set_nonblocking(mirror->file.fd, true);
	if (!mirror->writing)
		return;
	sqe = loop_sqe(mirror->daemon->control);
	io_uring_prep_cancel(sqe, &mirror->op, 0);
	io_uring_sqe_set_data(sqe, NULL);
}

void nic_mirror_stop(struct nic_device *nic)
{
	struct nic_mirror *mirror = nic->mirror;

	if (!mirror)
		return;
	nic->mirror = NULL;
	mirror->port = NULL;
	loop_timer_stop(mirror->daemon->control, &mirror->retry);
	mirror->next = mirror->daemon->closing_mirrors;
	mirror->daemon->closing_mirrors = mirror;
	if (!mirror->active) {
		mirror_free(mirror);
		return;
	}
	nic_capture_count(mirror->capture);
	if (mirror->file.pipe)
		hurry(mirror);
	pump(mirror);
}

void nic_mirrors_finish(struct daemon *daemon)
{
	for (unsigned turn = 0; daemon->closing_mirrors && turn < FINISH_TURNS; turn++)
		loop_turn(daemon->control, FINISH_TURN_NS);
	if (daemon->closing_mirrors)
		log_warning(&daemon->closing_mirrors->subject, "mirror %s: the end is not written",
			    daemon->closing_mirrors->path);
}

void nic_mirror_check(const struct config *config, const struct config_nic *nic,
		      struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE];
	const char *file;

	for (const struct config_object *object = config_list(config, &config_section_nic);
	     nic->mirror && object != &nic->object; object = object->next) {
		const struct config_nic *other = (const struct config_nic *)object;
		unsigned line;

		if (!other->mirror || strcmp(other->mirror, nic->mirror) != 0)
			continue;
		line = config_line_of(&nic->object, "mirror", &file);
		config_message(messages, file, line,
			       "mirror = %s is also the mirror of %s:%u; give %s another", nic->mirror,
			       object->file, object->line, config_title(&nic->object, title));
	}
}
