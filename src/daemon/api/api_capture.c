/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Captures: the frames of a card or an uplink as a stream of pcapng. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/log.h"
#include "daemon/api/api.h"
#include "daemon/api/api_body.h"
#include "daemon/api/api_stream.h"
#include "daemon/nic/nic_capture.h"
#include "daemon/nic/nic_device.h"
#include "daemon/nic/switch.h"

#define BUFFER_BYTES ((size_t)2 * PCAPNG_BLOCK_MAX)
/*
 * While no frame comes, the counts are sent so often. A client that has left is noticed by that, and one that
 * listens learns of frames that were lost.
 */
#define COUNT_NS (5 * NS_PER_S)

struct capture_stream {
	struct api_stream base;
	struct loop *loop;
	struct log_subject subject;
	struct nic_capture *capture;
	struct loop_timer counting;
	size_t bytes, taken; /* in the buffer; and of them, by the client */
	uint8_t buffer[BUFFER_BYTES];
};

static struct capture_stream *capture_stream_of(struct api_stream *stream)
{
	return container_of(stream, struct capture_stream, base);
}

static ssize_t read_capture(struct api_stream *stream, uint8_t *to, size_t room)
{
	struct capture_stream *capture = capture_stream_of(stream);
	size_t part;

	if (capture->taken == capture->bytes) {
		if (nic_capture_ended(capture->capture))
			return API_STREAM_END;
		capture->bytes = nic_capture_fill(capture->capture, capture->buffer, BUFFER_BYTES);
		capture->taken = 0;
	}
	part = capture->bytes - capture->taken < room ? capture->bytes - capture->taken : room;
	memcpy(to, capture->buffer + capture->taken, part);
	capture->taken += part;
	if (part > 0)
		loop_timer_start(capture->loop, &capture->counting, clock_now_ns() + COUNT_NS);
	return (ssize_t)part;
}

static void close_capture(struct api_stream *stream)
{
	struct capture_stream *capture = capture_stream_of(stream);
	uint64_t frames, lost;

	nic_capture_totals(capture->capture, &frames, &lost);
	log_info(&capture->subject, "the capture is over: %llu frames, %llu lost", (unsigned long long)frames,
		 (unsigned long long)lost);
	loop_timer_stop(capture->loop, &capture->counting);
	nic_capture_close(capture->capture);
	free(capture);
}

static const struct api_stream_ops capture_ops = {
	.content_type = "application/x-pcapng",
	.read = read_capture,
	.close = close_capture,
};

static void frames_came(void *context)
{
	struct capture_stream *capture = context;

	api_stream_ready(&capture->base);
}

static void count(struct loop_timer *timer)
{
	struct capture_stream *capture = container_of(timer, struct capture_stream, counting);

	nic_capture_count(capture->capture);
	api_stream_ready(&capture->base);
}

/* Answers 400 and returns false when the body makes no sense. No body: whole frames. */
static bool parse_snap(const struct api_request *request, struct api_response *response, uint32_t *ret_snap)
{
	static const struct api_field fields[] = { { .name = "snap_bytes", .type = JSON_INTEGER } };
	json_int_t snap = 0;
	json_t *body;

	if (request->body_length > 0) {
		body = api_body_parse(request, fields, 1, response);
		if (!body)
			return false;
		snap = json_integer_value(json_object_get(body, "snap_bytes"));
		json_decref(body);
	}
	if (snap < 0 || snap > PCAPNG_SNAP_ALL) {
		api_respond_error(response, 400, "snap_bytes is from 0, which is all, to %u",
				  PCAPNG_SNAP_ALL);
		return false;
	}
	*ret_snap = (uint32_t)snap;
	return true;
}

static void capture_port(struct daemon *daemon, struct port *port, struct nic_capture_options *options,
			 struct api_response *response)
{
	struct capture_stream *capture = calloc(1, sizeof(*capture));

	options->loop = daemon->control;
	options->ready = frames_came;
	options->context = capture;
	if (!capture || nic_capture_open(port, options, &capture->capture) != 0) {
		free(capture);
		api_respond_error(response, 500, "out of memory");
		return;
	}
	capture->base.ops = &capture_ops;
	capture->loop = daemon->control;
	capture->counting.expired = count;
	log_subject_name(&capture->subject, "%s", options->name);
	log_info(&capture->subject, "a capture begins");
	response->status = 200;
	response->stream = &capture->base;
}

void api_capture_nic(struct daemon *daemon, const char *name, const struct api_request *request,
		     struct api_response *response)
{
	const struct device *device = device_find(daemon, &nic_device_kind, name);
	struct nic_capture_options options = { .name = name };
	char description[CONFIG_NAME_SIZE + 32];

	if (!device) {
		api_respond_error(response, 404, "there is no nic '%s'", name);
	} else if (!nic_device_of(device)->port) {
		api_respond_error(response, 409, "%s is not served: %s", name, device->error.text);
	} else if (parse_snap(request, response, &options.snap_bytes)) {
		snprintf(description, sizeof(description), "network card on switch %s",
			 nic_device_of(device)->switch_name);
		options.description = description;
		capture_port(daemon, nic_device_of(device)->port, &options, response);
	}
}

void api_capture_uplink(struct daemon *daemon, const char *name, const struct api_request *request,
			struct api_response *response)
{
	const struct daemon_switch *found = daemon_switch_find(daemon, name);
	struct port *uplink = found ? vswitch_uplink(found->vswitch) : NULL;
	struct nic_capture_options options = { .name = name, .uplink = true };

	options.description = "uplink of the switch";
	if (!found)
		api_respond_error(response, 404, "there is no switch '%s'", name);
	else if (!uplink)
		api_respond_error(response, 409,
				  "switch %s has no uplink to capture; name a card, GUEST/NAME", name);
	else if (parse_snap(request, response, &options.snap_bytes))
		capture_port(daemon, uplink, &options, response);
}
