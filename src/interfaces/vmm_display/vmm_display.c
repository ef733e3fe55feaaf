/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The endpoint: lets a VMM in, and hands the connection to the seat's thread. Control thread. */
#include "interfaces/vmm_display/vmm_display.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/handover.h"
#include "core/log.h"
#include "core/loop_account.h"
#include "interfaces/door/porter.h"
#include "interfaces/endpoint_socket.h"
#include "interfaces/vmm_display/vmm_display_serve.h"
#include "interfaces/vmm_display/vmm_display_source.h"

#define FORMAT_VERSION 1

struct vmm_display {
	struct endpoint base;
	struct vmm_display_options options;
	struct log_subject subject;
	struct endpoint_socket socket;
	int fd; /* to the process of the VMM that is connected; -1: none */
	uint64_t protocol_errors;
	struct loop_account *account;
	struct vmm_display_source source; /* the seat's thread's, while fd >= 0 */
	struct vmm_display_counters counters;

	/* From the seat's thread: the source has ended. */
	struct loop_message ended;
	bool ended_posted;
	const char *why;

	bool destroying, handed_over;
	void (*gone)(void *context);
	void *gone_context;
};

static struct vmm_display *display_of(const struct endpoint *base)
{
	return container_of((struct endpoint *)base, struct vmm_display, base);
}

const struct vmm_display_counters *vmm_display_counters(const struct endpoint *endpoint)
{
	return &display_of(endpoint)->counters;
}

static void serve(const struct porter_peer *peer)
{
	vmm_display_serve(peer->socket, peer->inner);
}

const struct porter_service vmm_display_porter_service = {
	.name = "viaduct-display",
	.socket_type = SOCK_SEQPACKET,
	.serve = serve,
};

/* ---- the connected VMM ---- */

struct start_errand {
	struct vmm_display *display;
	uint32_t again;
	int error;
};

static void start_source(void *context)
{
	struct start_errand *errand = context;

	errand->error =
		vmm_display_source_start(&errand->display->source, errand->display->fd, errand->again);
}

static void end_source(void *context)
{
	vmm_display_source_stop(context, true);
}

static void suspend_source(void *context)
{
	vmm_display_source_stop(context, false);
}

static void call(struct vmm_display *display, void (*run)(void *context), void *context)
{
	display->options.call(display->options.call_context, run, context);
}

/* Has display->fd served. Returns 0 or -errno. */
static int attach(struct vmm_display *display, bool again)
{
	struct start_errand errand = { .display = display };

	/* Another than at any time before; never 0. */
	if (again)
		errand.again = (uint32_t)clock_now_ns() | 1;
	call(display, start_source, &errand);
	return errand.error;
}

static void detach(struct vmm_display *display)
{
	if (display->fd < 0)
		return;
	call(display, end_source, &display->source);
	fd_close(&display->fd);
}

static void on_source_ended(struct vmm_display_source *source, const char *why)
{
	struct vmm_display *display = container_of(source, struct vmm_display, source);

	display->why = why;
	display->ended_posted = true;
	loop_post(display->options.endpoint.control, &display->ended);
}

static bool accepted(void *context, int fd)
{
	struct vmm_display *display = context;

	if (display->fd >= 0)
		return false;
	display->fd = fd;
	if (attach(display, false))
		display->fd = -1;
	return display->fd >= 0;
}

static unsigned peer_count(const void *context)
{
	return ((const struct vmm_display *)context)->fd >= 0;
}

static const struct endpoint_socket_ops socket_ops = { .accepted = accepted, .peer_count = peer_count };

/* ---- life ---- */

static void free_display(struct vmm_display *display)
{
	loop_account_close(display->account);
	loop_guest_put(display->options.endpoint.guest);
	free((char *)display->options.endpoint.name);
	free((char *)display->options.endpoint.path);
	free(display);
}

static void free_when_quiet(struct vmm_display *display)
{
	void (*gone)(void *context) = display->gone;
	void *context = display->gone_context;

	if (display->ended_posted)
		return;
	free_display(display);
	if (gone)
		gone(context);
}

static void on_ended(struct loop_message *message)
{
	struct vmm_display *display = container_of(message, struct vmm_display, ended);
	const char *why = display->why;

	display->ended_posted = false;
	if (display->destroying) {
		free_when_quiet(display);
		return;
	}
	/* It may be suspended, or have been stopped since. */
	if (display->fd < 0)
		return;
	if (why)
		log_guest(&display->subject, "the VMM's display: %s", why);
	else
		log_debug(&display->subject, "the VMM is gone");
	detach(display);
	if (why) {
		display->protocol_errors++;
		endpoint_socket_violation(&display->socket);
	}
	endpoint_socket_peer_gone(&display->socket);
}

static struct vmm_display *create(const struct vmm_display_options *options)
{
	struct vmm_display *display = calloc(1, sizeof(*display));
	struct endpoint_options *endpoint;

	if (!display)
		return NULL;
	display->fd = -1;
	display->options = *options;
	display->ended.run = on_ended;
	endpoint = &display->options.endpoint;
	endpoint->name = strdup(options->endpoint.name);
	endpoint->path = options->endpoint.path ? strdup(options->endpoint.path) : NULL;
	endpoint->guest =
		options->endpoint.guest ? loop_guest_get(options->endpoint.guest) : loop_guest_create();
	if (endpoint->guest)
		display->account = loop_account_create(endpoint->guest, options->seat);
	if (!display->account || !endpoint->name || (options->endpoint.path && !endpoint->path)) {
		free_display(display);
		return NULL;
	}
	log_subject_name(&display->subject, "%s", options->endpoint.name);
	display->source = (struct vmm_display_source){
		.loop = options->seat,
		.account = display->account,
		.window = options->window,
		.counters = &display->counters,
		.ended = on_source_ended,
		.socket = -1,
	};
	endpoint_socket_init(&display->socket, endpoint, &socket_ops, display, &display->subject);
	return display;
}

static void destroy(struct endpoint *base, void (*gone)(void *context), void *context)
{
	struct vmm_display *display = display_of(base);

	assert(!display->destroying);
	display->destroying = true;
	display->gone = gone;
	display->gone_context = context;
	endpoint_socket_finish(&display->socket);
	detach(display);
	free_when_quiet(display);
}

static void status(const struct endpoint *base, struct endpoint_status *ret_status)
{
	const struct vmm_display *display = display_of(base);

	*ret_status = (struct endpoint_status){
		.connections = display->fd >= 0,
		.connects = display->socket.connects,
		.refused_connects = display->socket.refused_connects,
		.protocol_errors = display->protocol_errors,
		.cpu_ns = counter_read(&display->account->used_ns),
	};
}

static void config_changed(struct endpoint *base)
{
}

static void set_weight(struct endpoint *base, uint32_t weight)
{
	loop_account_set_weight(display_of(base)->account, weight);
}

static void move(struct endpoint *base)
{
}

/* ---- takeover ---- */

static void suspend(struct endpoint *base, void (*suspended)(void *context), void *context)
{
	struct vmm_display *display = display_of(base);

	endpoint_socket_suspend(&display->socket);
	if (display->fd >= 0)
		call(display, suspend_source, &display->source);
	suspended(context);
}

static void save(struct endpoint *base, struct handover *handover)
{
	struct vmm_display *display = display_of(base);

	display->handed_over = true;
	handover_put_u64(handover, FORMAT_VERSION);
	endpoint_socket_save(&display->socket, handover);
	handover_put_u64(handover, display->protocol_errors);
	handover_put_fd(handover, display->fd);
}

static void resume(struct endpoint *base)
{
	struct vmm_display *display = display_of(base);

	display->handed_over = false;
	if (display->fd >= 0 && attach(display, true))
		fd_close(&display->fd);
	if (endpoint_socket_resume(&display->socket))
		log_error(&display->subject, "cannot listen again: out of memory");
}

static const struct endpoint_ops vmm_display_ops = {
	.destroy = destroy,
	.status = status,
	.config_changed = config_changed,
	.set_weight = set_weight,
	.move = move,
	.suspend = suspend,
	.save = save,
	.resume = resume,
};

/* ---- the beginning ---- */

int vmm_display_create(const struct vmm_display_options *options, struct endpoint **ret_endpoint)
{
	struct vmm_display *display = create(options);
	int error = display ? 0 : -ENOMEM;

	if (!error) {
		display->base.ops = &vmm_display_ops;
		error = endpoint_socket_open(&display->socket);
	}
	if (!error) {
		*ret_endpoint = &display->base;
		return 0;
	}
	if (display)
		destroy(&display->base, NULL, NULL);
	return error;
}

int vmm_display_restore(const struct vmm_display_options *options, struct handover *handover,
			struct endpoint **ret_endpoint)
{
	struct vmm_display *display = create(options);
	int error, fd;

	if (!display)
		return -ENOMEM;
	display->base.ops = &vmm_display_ops;
	handover_fail_if(handover, handover_get_u64(handover) != FORMAT_VERSION);
	endpoint_socket_restore(&display->socket, handover);
	display->protocol_errors = handover_get_u64(handover);
	fd = handover_get_fd(handover);
	error = handover->error;
	if (!error && display->socket.listen_fd < 0 && options->endpoint.socket == ENDPOINT_LISTEN)
		error = endpoint_socket_open(&display->socket);
	if (error) {
		fd_close(&fd);
		destroy(&display->base, NULL, NULL);
		return error;
	}
	display->fd = fd;
	resume(&display->base);
	*ret_endpoint = &display->base;
	return 0;
}
