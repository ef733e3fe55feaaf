/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forwards of a switch: those of its section, and those that were added at run time. The list says what is
 * wanted; the uplink, while it is a NAT, has those of them that could be had.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/nic/network_state.h"
#include "daemon/nic/switch.h"

/* ---- the list ---- */

static struct switch_forward **find(struct daemon_switch *owner, const struct nic_user_forward *forward)
{
	char text[FORWARD_TEXT_MAX], other[FORWARD_TEXT_MAX];
	struct switch_forward **link = &owner->forwards;

	nic_format_forward(forward, text);
	while (*link && strcmp(nic_format_forward(&(*link)->forward, other), text) != 0)
		link = &(*link)->next;
	return link;
}

static bool has_nat(const struct daemon_switch *owner)
{
	return owner->uplink.nic && owner->uplink.name.kind == UPLINK_USER;
}

/* Tells the uplink. Returns what it says; -ENOTCONN: there is none to tell. */
static int apply(struct daemon_switch *owner, struct switch_forward *added)
{
	added->code = has_nat(owner) ? nic_user_forward_add(owner->uplink.nic, &added->forward) : -ENOTCONN;
	return added->code;
}

static void log_failure(const struct daemon_switch *owner, const struct switch_forward *failed)
{
	char text[FORWARD_TEXT_MAX];

	log_error(&owner->subject, "forward %s: %s", nic_format_forward(&failed->forward, text),
		  strerror(-failed->code));
}

/* At the end of the list. NULL: out of memory. */
static struct switch_forward *append(struct daemon_switch *owner, const struct nic_user_forward *forward,
				     bool configured)
{
	struct switch_forward *added = calloc(1, sizeof(*added)), **link = &owner->forwards;

	if (!added)
		return NULL;
	*added = (struct switch_forward){ .forward = *forward, .configured = configured, .code = -ENOTCONN };
	while (*link)
		link = &(*link)->next;
	*link = added;
	return added;
}

static void take_out(struct daemon_switch *owner, struct switch_forward **link)
{
	struct switch_forward *gone = *link;

	if (has_nat(owner) && gone->code == 0)
		nic_user_forward_remove(owner->uplink.nic, &gone->forward);
	*link = gone->next;
	free(gone);
}

void forwards_free(struct daemon_switch *owner)
{
	while (owner->forwards)
		take_out(owner, &owner->forwards);
}

void forwards_apply(struct daemon_switch *owner)
{
	if (!has_nat(owner))
		return;
	for (struct switch_forward *listed = owner->forwards; listed; listed = listed->next)
		if (apply(owner, listed))
			log_failure(owner, listed);
}

void forwards_retry(struct daemon_switch *owner)
{
	char text[FORWARD_TEXT_MAX];

	if (!has_nat(owner))
		return;
	for (struct switch_forward *listed = owner->forwards; listed; listed = listed->next)
		if (listed->code && apply(owner, listed) == 0)
			log_info(&owner->subject, "forward %s: works now",
				 nic_format_forward(&listed->forward, text));
}

/* ---- the section ---- */

struct reading {
	struct daemon_switch *owner;
	unsigned changes;
};

static void mark_configured(void *context, const struct nic_user_forward *forward)
{
	struct switch_forward *listed = *find(context, forward);

	if (listed)
		listed->configured = true;
}

static void read_configured(void *context, const struct nic_user_forward *forward)
{
	struct reading *reading = context;
	struct daemon_switch *owner = reading->owner;
	struct switch_forward *listed = *find(owner, forward);

	if (listed) {
		listed->configured = true;
		return;
	}
	listed = append(owner, forward, true);
	if (!listed)
		return;
	reading->changes++;
	if (has_nat(owner) && apply(owner, listed))
		log_failure(owner, listed);
}

static void read_section(struct reading *reading, const struct config_switch *settings)
{
	bool parsed = !settings->forward || nic_parse_forwards(settings->forward, read_configured, reading);

	assert(parsed);
}

static bool is_in_state(const struct daemon_switch *owner, const struct nic_user_forward *forward)
{
	const json_t *list = network_state_forwards(owner->daemon, owner->name);
	char text[FORWARD_TEXT_MAX];

	nic_format_forward(forward, text);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *kept = json_string_value(json_array_get(list, i));

		if (kept && strcmp(kept, text) == 0)
			return true;
	}
	return false;
}

void forwards_load(struct daemon_switch *owner, const struct config_switch *settings)
{
	const json_t *kept = network_state_forwards(owner->daemon, owner->name);
	struct reading reading = { .owner = owner };
	struct nic_user_forward forward;

	read_section(&reading, settings);
	for (size_t i = 0; i < json_array_size(kept); i++) {
		const char *text = json_string_value(json_array_get(kept, i));

		if (!text || !nic_parse_forward(text, &forward))
			log_warning(&owner->subject, "forward %s of an earlier run is none",
				    text ? text : "?");
		else if (!*find(owner, &forward) && !append(owner, &forward, false))
			log_error(&owner->subject, "out of memory");
	}
}

unsigned forwards_reload(struct daemon_switch *owner, const struct config_switch *settings)
{
	struct reading reading = { .owner = owner };
	struct switch_forward **link = &owner->forwards;

	/* A port of the host may lead elsewhere now, so what goes does so first. */
	for (struct switch_forward *listed = owner->forwards; listed; listed = listed->next)
		listed->configured = false;
	if (settings->forward)
		nic_parse_forwards(settings->forward, mark_configured, owner);
	while (*link) {
		if ((*link)->configured || is_in_state(owner, &(*link)->forward)) {
			link = &(*link)->next;
			continue;
		}
		take_out(owner, link);
		reading.changes++;
	}
	read_section(&reading, settings);
	forwards_retry(owner);
	return reading.changes;
}

/* ---- at run time ---- */

static int refuse(const struct daemon_switch *owner, const char *text, int code, struct error *error)
{
	switch (-code) {
	case ENOTCONN:
		return error_set(error, -EINVAL, "the switch %s has no uplink user, and forwards need one",
				 owner->name);
	case EINVAL:
		return error_set(error, code,
				 "forward %s: the guest's address is outside of the network, or "
				 "the gateway's or the name server's",
				 text);
	case EEXIST:
	case EADDRINUSE:
		return error_set(error, -EEXIST, "forward %s: the host's address and port are taken", text);
	case EADDRNOTAVAIL:
		return error_set(error, -EINVAL, "forward %s: the host does not have that address", text);
	case EACCES:
	case EPERM:
		return error_set(error, -EPERM,
				 "forward %s: permission denied; ports below 1024 are root's: configure it, "
				 "and start as root",
				 text);
	case ENOSPC:
		return error_set(error, code, "there are %u forwards already, and no more are possible",
				 NIC_USER_FORWARDS_MAX);
	default:
		return error_set(error, code, "forward %s: %s", text, strerror(-code));
	}
}

static int parse(const char *text, struct nic_user_forward *ret_forward, struct error *error)
{
	if (nic_parse_forward(text, ret_forward))
		return 0;
	return error_set(error, -EINVAL,
			 "'%.100s' is no forward; write for example "
			 "tcp:127.0.0.1:2222-10.0.2.15:22",
			 text);
}

int forward_add(struct daemon_switch *owner, const char *given, struct error *error)
{
	struct nic_user_forward forward;
	struct switch_forward *added, **link;
	char text[FORWARD_TEXT_MAX];
	int code = parse(given, &forward, error);

	if (code)
		return code;
	nic_format_forward(&forward, text);
	if (*find(owner, &forward))
		return error_set(error, -EEXIST, "the forward %s is there already", text);
	added = append(owner, &forward, false);
	if (!added)
		return error_set(error, -ENOMEM, "out of memory");
	code = apply(owner, added);
	if (code) {
		link = find(owner, &forward);
		take_out(owner, link);
		return refuse(owner, text, code, error);
	}
	network_state_set_forward(owner->daemon, owner->name, text, true);
	return 0;
}

int forward_remove(struct daemon_switch *owner, const char *given, struct error *error)
{
	struct nic_user_forward forward;
	struct switch_forward **link;
	char text[FORWARD_TEXT_MAX];
	int code = parse(given, &forward, error);

	if (code)
		return code;
	nic_format_forward(&forward, text);
	link = find(owner, &forward);
	if (!*link)
		return error_set(error, -ENOENT, "the switch %s has no forward %s", owner->name, text);
	if ((*link)->configured)
		return error_set(error, -EPERM,
				 "the forward %s is configured; take it out of [switch %s], and "
				 "reload",
				 text, owner->name);
	take_out(owner, link);
	network_state_set_forward(owner->daemon, owner->name, text, false);
	return 0;
}
