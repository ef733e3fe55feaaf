/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vmm_display/vmm_display_bus.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"

/* Messages of one connection in a turn, so that the other one and the keys have theirs. */
#define TURN_MESSAGES 16u

/* Takes the descriptor. */
static int start(sd_bus *bus, int fd)
{
	int error = sd_bus_set_fd(bus, fd, fd);

	if (error < 0) {
		close(fd);
		return error;
	}
	error = sd_bus_set_bus_client(bus, 0);
	if (error >= 0)
		error = sd_bus_negotiate_fds(bus, 1);
	return error < 0 ? error : sd_bus_start(bus);
}

int vmm_display_bus_open(struct vmm_display_bus *bus, int *ret_theirs)
{
	int ends[2], error;

	*bus = (struct vmm_display_bus){ .bus = NULL };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	error = sd_bus_new(&bus->bus);
	if (error < 0)
		close(ends[0]);
	else
		error = start(bus->bus, ends[0]);
	if (error < 0) {
		vmm_display_bus_close(bus);
		close(ends[1]);
		return error;
	}
	*ret_theirs = ends[1];
	return 0;
}

void vmm_display_bus_close(struct vmm_display_bus *bus)
{
	if (bus->bus)
		sd_bus_close(bus->bus);
	bus->bus = sd_bus_unref(bus->bus);
}

/* What is queued before the authentication is over can only be sent when its answers were read. */
static bool has_unsent(const struct vmm_display_bus *bus)
{
	uint64_t count = 0;

	return sd_bus_is_ready(bus->bus) > 0 && sd_bus_get_n_queued_write(bus->bus, &count) >= 0 && count > 0;
}

static bool is_late(const struct vmm_display_bus *bus)
{
	uint64_t deadline_us;

	return sd_bus_get_timeout(bus->bus, &deadline_us) > 0 && deadline_us <= clock_now_ns() / 1000;
}

struct pollfd vmm_display_bus_waits_for(const struct vmm_display_bus *bus, uint64_t *ret_deadline_us)
{
	int events;

	*ret_deadline_us = UINT64_MAX;
	if (!bus->bus)
		return (struct pollfd){ .fd = -1 };
	events = sd_bus_get_events(bus->bus);
	sd_bus_get_timeout(bus->bus, ret_deadline_us);
	if (has_unsent(bus))
		events &= ~POLLIN;
	else if (bus->is_busy)
		*ret_deadline_us = 0;
	return (struct pollfd){ .fd = sd_bus_get_fd(bus->bus), .events = (short)events };
}

int vmm_display_bus_process(struct vmm_display_bus *bus, short events)
{
	/* sd-bus reads whenever it is called: with something unsent not before that can be sent. */
	if (!bus->bus || (has_unsent(bus) ? events == 0 : events == 0 && !bus->is_busy && !is_late(bus)))
		return 0;
	bus->is_busy = true;
	for (unsigned i = 0; i < TURN_MESSAGES && bus->is_busy; i++) {
		int result = sd_bus_process(bus->bus, NULL);

		/* On its way to be closed it is not ready for anything, but not open any more either. */
		if (result < 0 || sd_bus_is_open(bus->bus) <= 0)
			return -EPIPE;
		bus->is_busy = result > 0;
		if (has_unsent(bus))
			break;
	}
	return 0;
}

int vmm_display_bus_call(const struct vmm_display_bus *bus, const struct vmm_display_call *call,
			 const char *types, ...)
{
	sd_bus_message *message = NULL;
	va_list arguments;
	int error = sd_bus_message_new_method_call(bus->bus, &message, NULL, call->path, call->interface,
						   call->method);

	if (error < 0)
		return error;
	va_start(arguments, types);
	error = sd_bus_message_appendv(message, types, arguments);
	va_end(arguments);
	if (error >= 0)
		error = sd_bus_call_async(bus->bus, NULL, message, call->answered, call->context,
					  call->timeout_us);
	sd_bus_message_unref(message);
	return error < 0 ? error : 0;
}
