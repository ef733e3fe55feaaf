/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of seats as metrics. */
#include <stdio.h>

#include "core/loop_account.h"
#include "daemon/base/metrics.h"
#include "daemon/seat/seat_room.h"

#define METRIC_PREFIX "viaduct_seat"
#define LABELS_MAX    (CONFIG_NAME_SIZE + 16)

static void print_samples(const struct daemon *daemon, FILE *out, const char *name,
			  uint64_t (*value)(const struct daemon_seat *reported), bool ns)
{
	for (const struct daemon_seat *reported = daemon->seats; reported; reported = reported->next) {
		char labels[LABELS_MAX];

		snprintf(labels, sizeof(labels), "seat=\"%s\"", reported->name);
		metrics_sample(out, name, labels, value(reported), ns);
	}
}

static uint64_t viewers(const struct daemon_seat *reported)
{
	return seat_viewer_count(reported, &reported->screen);
}

static uint64_t frames(const struct daemon_seat *reported)
{
	return counter_read(&reported->screen.frames);
}

static uint64_t drawn_pixels(const struct daemon_seat *reported)
{
	return counter_read(&reported->screen.drawn_pixels);
}

static uint64_t screen_frames(const struct daemon_seat *reported)
{
	return counter_read(&reported->hardware.monitor.frames);
}

static uint64_t input_events(const struct daemon_seat *reported)
{
	return counter_read(&reported->hardware.input.events);
}

static uint64_t input_dropped(const struct daemon_seat *reported)
{
	return counter_read(&reported->hardware.input.dropped);
}

static uint64_t cpu_ns(const struct daemon_seat *reported)
{
	return counter_read(&reported->screen.account->used_ns);
}

static uint64_t wrong_passwords(const struct daemon_seat *reported)
{
	return reported->wrong_passwords;
}

static uint64_t refused_viewers(const struct daemon_seat *reported)
{
	return reported->refused_viewers;
}

void seats_print_metrics(struct daemon *daemon, FILE *out)
{
	static const struct {
		const char *name, *type, *help;
		uint64_t (*value)(const struct daemon_seat *reported);
		bool ns;
	} rows[] = {
		{ METRIC_PREFIX "_viewers", "gauge", "Viewers that are connected.", viewers },
		{ METRIC_PREFIX "_frames_total", "counter", "Pictures of the screen that were drawn.",
		  frames },
		{ METRIC_PREFIX "_drawn_pixels_total", "counter", "Pixels that were drawn.", drawn_pixels },
		{ METRIC_PREFIX "_screen_frames_total", "counter", "Pictures shown on the host's screen.",
		  screen_frames },
		{ METRIC_PREFIX "_input_events_total", "counter", "Events of the host's input devices.",
		  input_events },
		{ METRIC_PREFIX "_input_dropped_total", "counter",
		  "Times that an input device lost events, because they were not read in time.",
		  input_dropped },
		{ METRIC_PREFIX "_cpu_seconds_total", "counter",
		  "CPU time of the seats' thread that was for no guest's sake: the bar and the background, "
		  "viewers, keys.",
		  cpu_ns, true },
		{ METRIC_PREFIX "_wrong_passwords_total", "counter",
		  "Wrong passwords of viewers from other machines.", wrong_passwords },
		{ METRIC_PREFIX "_refused_viewers_total", "counter",
		  "Viewers from other machines that went, or were sent away, without a right password.",
		  refused_viewers },
	};

	if (!daemon->seats)
		return;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		metrics_head(out, rows[i].name, rows[i].type, rows[i].help);
		print_samples(daemon, out, rows[i].name, rows[i].value, rows[i].ns);
	}
}
