/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An uplink that could not be opened is tried again: after RETRY_FIRST_S, then after twice as long each time,
 * at most RETRY_LAST_S. An interface that goes while it is the uplink needs none of this: its driver looks
 * for it.
 */
#include <errno.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "daemon/nic/switch.h"

#define RETRY_FIRST_S 1u
/* Nobody waits longer than this for an uplink that is possible again, and a try costs some system calls. */
#define RETRY_LAST_S 30u

static const struct config_switch *section_of(const struct daemon_switch *owner)
{
	return (const struct config_switch *)config_find(
		config_list(owner->daemon->config, &config_section_switch), owner->name);
}

/* What needs rights that were given up, or calls that the sandbox forbids, stays impossible. */
static bool is_hopeless(const struct daemon_switch *owner, const struct config_switch *settings)
{
	int code = owner->uplink.error.code;

	if (code == -EAFNOSUPPORT)
		return true;
	switch (switch_uplink_name(settings).kind) {
	case UPLINK_USER:
	case UPLINK_VXLAN:
		return owner->daemon->no_internet;
	case UPLINK_TAP:
		return false;
	case UPLINK_PACKET:
		return code == -EPERM || code == -EACCES;
	default:
		return true;
	}
}

static void schedule(struct daemon_switch *owner)
{
	struct switch_retry *retry = &owner->retry;
	unsigned delay_s = retry->tries < 5 ? RETRY_FIRST_S << retry->tries : RETRY_LAST_S;

	retry->at_ns = clock_now_ns() + delay_s * NS_PER_S;
	loop_timer_start(owner->daemon->control, &retry->timer, retry->at_ns);
}

/* The section may have another uplink than the one that is open: that one stays until this one can be had. */
static int try_again(struct daemon_switch *owner, const struct config_switch *settings, struct error *error)
{
	int code = 0;

	if (!owner->uplink.nic || owner->uplink.running)
		code = uplink_open(owner, settings, error);
	if (!code)
		code = uplink_start(owner, error);
	return code;
}

static void expired(struct loop_timer *timer)
{
	struct daemon_switch *owner = container_of(timer, struct daemon_switch, retry.timer);
	const struct config_switch *settings = section_of(owner);
	struct error error = { .code = 0 };

	owner->retry.at_ns = 0;
	if (!settings)
		return;
	owner->retry.tries++;
	if (try_again(owner, settings, &error) == 0)
		switch_gate_update(owner, settings);
	owner->uplink.error = error;
	if (error.code && !is_hopeless(owner, settings))
		schedule(owner);
	else if (!error.code)
		uplink_retry_update(owner);
}

void uplink_retry_init(struct daemon_switch *owner)
{
	owner->retry = (struct switch_retry){ .timer.expired = expired, .socket_fd = -1 };
}

void uplink_retry_stop(struct daemon_switch *owner)
{
	loop_timer_stop(owner->daemon->control, &owner->retry.timer);
	owner->retry.at_ns = 0;
}

void uplink_retry_update(struct daemon_switch *owner)
{
	const struct config_switch *settings = section_of(owner);

	uplink_retry_stop(owner);
	owner->retry.tries = 0;
	if (!owner->uplink.error.code || !settings)
		fd_close(&owner->retry.socket_fd);
	else if (!is_hopeless(owner, settings))
		schedule(owner);
}

void uplink_retry_finish(struct daemon_switch *owner)
{
	uplink_retry_stop(owner);
	fd_close(&owner->retry.socket_fd);
}

unsigned uplink_retry_seconds(const struct daemon_switch *owner)
{
	uint64_t now_ns = clock_now_ns(), at_ns = owner->retry.at_ns;

	if (at_ns == 0)
		return 0;
	return at_ns > now_ns ? (unsigned)((at_ns - now_ns + NS_PER_S - 1) / NS_PER_S) : 1;
}
