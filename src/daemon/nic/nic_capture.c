/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/nic/nic_capture.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "arbiter/switch/mirror.h"
#include "core/clock.h"

struct nic_capture {
	struct port_mirror *mirror;
	char name[PCAPNG_TEXT_MAX], description[PCAPNG_TEXT_MAX];
	uint32_t snap_bytes;
	bool uplink;
	uint64_t frames, lost;		     /* written; told as lost */
	uint64_t frames_before, lost_before; /* of them, in the sections before */
	struct mirrored_frame *pending;	     /* taken from the mirror, and not written yet */
	bool begun, count, ended;
};

int nic_capture_open(struct port *port, const struct nic_capture_options *options,
		     struct nic_capture **ret_capture)
{
	struct nic_capture *capture = calloc(1, sizeof(*capture));
	struct port_mirror_options mirror = {
		.snap_bytes = options->snap_bytes,
		.loop = options->loop,
		.ready = options->ready,
		.context = options->context,
	};
	int error;

	if (!capture)
		return -ENOMEM;
	snprintf(capture->name, sizeof(capture->name), "%s", options->name);
	snprintf(capture->description, sizeof(capture->description), "%s", options->description);
	capture->snap_bytes = options->snap_bytes;
	capture->uplink = options->uplink;
	error = port_mirror_open(port, &mirror, &capture->mirror);
	if (error)
		free(capture);
	else
		*ret_capture = capture;
	return error;
}

void nic_capture_close(struct nic_capture *capture)
{
	if (!capture)
		return;
	port_mirror_close(capture->mirror);
	free(capture);
}

/* Returns 0 when there is not enough room. */
static size_t write_frame(struct nic_capture *capture, const struct mirrored_frame *mirrored, uint8_t *to,
			  size_t room)
{
	char comment[PCAPNG_TEXT_MAX] = "";
	struct pcapng_frame frame = {
		.time_ns = mirrored->time_ns,
		.bytes = mirrored->bytes,
		.frame_bytes = mirrored->frame_bytes,
		.kept_bytes = mirrored->kept_bytes,
		.outbound = mirrored->sent != capture->uplink,
		.comment = comment,
	};
	size_t bytes;

	/* Writers on several threads may tell an older number behind a newer one. */
	if (mirrored->lost > capture->lost)
		frame.lost_before = mirrored->lost - capture->lost;
	if (mirrored->drop != PORT_DROPS)
		snprintf(comment, sizeof(comment), "dropped: %s", port_drop_text(mirrored->drop));
	bytes = pcapng_write_frame(to, room, &frame);
	if (bytes > 0) {
		capture->lost += frame.lost_before;
		capture->frames++;
	}
	return bytes;
}

static size_t write_frames(struct nic_capture *capture, uint8_t *to, size_t room)
{
	size_t used = 0, more;

	for (;;) {
		if (!capture->pending) {
			capture->pending = port_mirror_next(capture->mirror);
			if (!capture->pending)
				return used;
			mirrored_frame_finish(capture->pending);
		}
		more = write_frame(capture, capture->pending, to + used, room - used);
		if (more == 0)
			return used;
		capture->pending = NULL;
		used += more;
	}
}

static size_t write_counts(struct nic_capture *capture, uint8_t *to, size_t room)
{
	struct pcapng_counts counts = {
		.frames = capture->frames - capture->frames_before,
		.lost = port_mirror_lost(capture->mirror) - capture->lost_before,
	};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	counts.time_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
	return pcapng_write_counts(to, room, &counts);
}

size_t nic_capture_fill(struct nic_capture *capture, uint8_t *to, size_t room)
{
	size_t used = 0, more;
	bool over;

	assert(room >= PCAPNG_BLOCK_MAX);
	if (!capture->begun)
		used = pcapng_write_head(to, room, capture->name, capture->description, capture->snap_bytes);
	capture->begun = true;
	used += write_frames(capture, to + used, room - used);
	over = !capture->pending && port_mirror_ended(capture->mirror) && !capture->ended;
	if (!capture->count && !over)
		return used;
	more = write_counts(capture, to + used, room - used);
	if (more > 0) {
		capture->count = false;
		capture->ended |= over;
	}
	return used + more;
}

void nic_capture_count(struct nic_capture *capture)
{
	capture->count = true;
}

void nic_capture_restart(struct nic_capture *capture)
{
	capture->begun = false;
	capture->frames_before = capture->frames;
	capture->lost_before = capture->lost;
}

bool nic_capture_ended(const struct nic_capture *capture)
{
	return capture->ended;
}

void nic_capture_totals(const struct nic_capture *capture, uint64_t *ret_frames, uint64_t *ret_lost)
{
	*ret_frames = capture->frames;
	*ret_lost = port_mirror_lost(capture->mirror);
}
