/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trees of shares: built as devices come and go, and kept at what they are to be. The gates are their
 * owners' (disk_gate.h).
 */
#include "daemon/share/shares.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/log.h"
#include "core/loop.h"
#include "daemon/base/daemon.h"
#include "daemon/share/shares_private.h"

/* How often what the devices do is looked at. */
#define WATCH_NS NS_PER_S

/* ---- settings ---- */

struct share_settings share_wanted(const struct daemon *daemon, struct share_id id)
{
	const struct config_section *section = share_section(id.kind);
	const struct config_object *declared = config_find(config_list(daemon->config, section), id.name);
	struct share_settings share = config_share_of(section, id.resource, declared);
	const struct setting *setting = settings_find(daemon->settings, id.kind, id.name);

	for (unsigned i = 0; setting && i < SHARE_KEYS; i++) {
		if (setting->part[id.resource].given[i])
			share.value[i] = setting->part[id.resource].share.value[i];
	}
	return share;
}

/* ---- gates ---- */

static void on_watch(struct loop_timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, watch_timer);

	for (struct share_gate *gate = daemon->gates; gate; gate = gate->next)
		if (gate->watch)
			gate->watch(gate, daemon);
	loop_timer_start(daemon->control, timer, clock_now_ns() + WATCH_NS);
}

void share_gate_add(struct daemon *daemon, struct share_gate *gate)
{
	if (!daemon->gates && daemon->control) {
		daemon->watch_timer.expired = on_watch;
		loop_timer_start(daemon->control, &daemon->watch_timer, clock_now_ns() + WATCH_NS);
	}
	gate->next = daemon->gates;
	daemon->gates = gate;
}

void share_gate_remove(struct daemon *daemon, struct share_gate *gate)
{
	struct share_gate **link = &daemon->gates;

	assert(!gate->nodes);
	while (*link != gate)
		link = &(*link)->next;
	*link = gate->next;
	if (!daemon->gates && daemon->control)
		loop_timer_stop(daemon->control, &daemon->watch_timer);
}

void shares_drain(struct daemon *daemon, bool drain)
{
	for (struct share_gate *gate = daemon->gates; gate; gate = gate->next) {
		if (drain && gate->keep)
			gate->keep(gate, daemon);
		gate_drain(gate->gate, drain);
	}
}

/* ---- the tree of one gate ---- */

struct share_node *share_node_find(const struct share_gate *gate, struct share_id id)
{
	struct share_node *node = gate->resource == id.resource ? gate->nodes : NULL;

	while (node && (node->kind != id.kind || strcmp(node->name, id.name) != 0))
		node = node->next;
	return node;
}

static struct share_id id_of(const struct share_node *node)
{
	return (struct share_id){ node->kind, node->gate->resource, node->name };
}

struct share_settings share_effective(const struct daemon *daemon, struct share_id id,
				      const char **ret_refused)
{
	struct share_settings share = share_wanted(daemon, id);
	const char *refused = NULL;
	bool found = false;

	for (const struct share_gate *gate = daemon->gates; gate && !refused; gate = gate->next) {
		const struct share_node *node = share_node_find(gate, id);

		if (node && node->refused.text[0])
			refused = node->refused.text;
		if (node && (!found || refused)) {
			share = *gate_node_settings(node->node);
			share.value[SHARE_WEIGHT] = gate_node_weight(node->node);
		}
		found = found || node;
	}
	if (ret_refused)
		*ret_refused = refused;
	return share;
}

/* Remembers and logs why a node is not as it should be; NULL: it is. */
static void set_refused(struct share_node *node, const char *why)
{
	if (why && strcmp(why, node->refused.text) != 0)
		log_error(NULL, "%s %s: %s", share_kind_text(node->kind), node->name, why);
	if (why != node->refused.text)
		snprintf(node->refused.text, sizeof(node->refused.text), "%s", why ? why : "");
}

/* Creates it with as much of its settings as is possible. */
static int create_in_gate(const struct daemon *daemon, struct share_node *node)
{
	struct share_settings settings = share_wanted(daemon, id_of(node));
	struct gate_node *parent = node->parent ? node->parent->node : NULL;
	struct error why = { .text = "" };
	int error = gate_node_create(node->gate->gate, parent, &settings, &node->node, &why);

	if (error != -ENOSPC && error != -EINVAL)
		return error;
	settings.min_iops = settings.min_bandwidth = 0;
	set_refused(node, why.text);
	return gate_node_create(node->gate->gate, parent, &settings, &node->node, NULL);
}

/* Finds or makes a node. */
static struct share_node *open_node(const struct daemon *daemon, struct share_gate *gate,
				    enum share_kind kind, const char *name, struct share_node *parent)
{
	struct share_node *node = share_node_find(gate, (struct share_id){ kind, gate->resource, name });

	if (node)
		return node;
	node = calloc(1, sizeof(*node));
	if (!node)
		return NULL;
	node->gate = gate;
	node->kind = kind;
	node->parent = parent;
	snprintf(node->name, sizeof(node->name), "%s", name);
	if (create_in_gate(daemon, node) != 0) {
		free(node);
		return NULL;
	}
	if (parent)
		parent->children++;
	node->next = gate->nodes;
	gate->nodes = node;
	return node;
}

/* Frees a node without children, and those above it that have no others. */
static void close_node(struct share_node *node)
{
	while (node && node->children == 0) {
		struct share_node **link = &node->gate->nodes, *parent = node->parent;

		while (*link != node)
			link = &(*link)->next;
		*link = node->next;
		gate_node_destroy(node->node);
		free(node);
		if (parent)
			parent->children--;
		node = parent;
	}
}

static const char *group_of(const struct daemon *daemon, const char *guest)
{
	const struct config_guest *settings =
		(const struct config_guest *)config_find(config_guests(daemon->config), guest);

	return settings ? settings->group : NULL;
}

/* The virtual devices that have shares of a resource. */
static const enum share_kind kind_of_device[SHARE_RESOURCES] = {
	[SHARE_DISKS] = SHARE_OF_DISK,
	[SHARE_NICS] = SHARE_OF_NIC,
};

static void tell_changed(struct share_gate *gate)
{
	if (gate->changed)
		gate->changed(gate);
}

struct share_node *share_open(struct daemon *daemon, struct share_gate *gate, const char *name)
{
	enum share_kind kind = kind_of_device[gate->resource];
	struct share_node *group = NULL, *guest, *node = NULL;
	char guest_name[CONFIG_GUEST_MAX + 1];
	const char *group_name, *rest;
	bool is_name = config_split_name(name, guest_name, &rest);

	assert(is_name && !share_node_find(gate, (struct share_id){ kind, gate->resource, name }));
	group_name = group_of(daemon, guest_name);
	if (group_name) {
		group = open_node(daemon, gate, SHARE_OF_GROUP, group_name, NULL);
		if (!group)
			return NULL;
	}
	guest = open_node(daemon, gate, SHARE_OF_GUEST, guest_name, group);
	if (guest)
		node = open_node(daemon, gate, kind, name, guest);
	if (!node)
		close_node(guest ? guest : group);
	else
		tell_changed(gate);
	return node;
}

void share_close(struct share_node *device)
{
	struct share_gate *gate = device ? device->gate : NULL;

	if (!device)
		return;
	assert(device->kind == kind_of_device[gate->resource]);
	close_node(device);
	tell_changed(gate);
}

uint32_t share_guest_weight(const struct share_node *device)
{
	const struct share_node *guest = device->parent;
	uint64_t weight = gate_node_weight(guest->node), sum = 0;

	if (!guest->parent)
		return (uint32_t)weight;
	for (const struct share_node *other = device->gate->nodes; other; other = other->next)
		if (other->parent == guest->parent)
			sum += gate_node_weight(other->node);
	assert(sum >= weight && weight > 0);
	weight = gate_node_weight(guest->parent->node) * weight / sum;
	return weight > 0 ? (uint32_t)weight : 1;
}

/* ---- keeping it at what it is to be ---- */

/* All settings but the reservations, which stay what they are. */
static void apply_rest(struct share_node *node, const struct share_settings *wanted)
{
	struct share_settings rest = *wanted;

	rest.min_iops = gate_node_settings(node->node)->min_iops;
	rest.min_bandwidth = gate_node_settings(node->node)->min_bandwidth;
	if (gate_node_set(node->node, &rest, NULL) == 0)
		return;
	rest.min_iops = rest.min_bandwidth = 0;	/* a new limit is below the old reservation */
	gate_node_set(node->node, &rest, NULL);
}

/* A guest goes to the group that it belongs to now. Returns 0, or -errno with *why. */
static int follow_group(struct daemon *daemon, struct share_node *guest, struct error *why)
{
	const char *name = group_of(daemon, guest->name);
	struct share_node *old = guest->parent, *group = NULL;
	int error;

	if (old ? name && strcmp(name, old->name) == 0 : !name)
		return 0;
	if (name && !(group = open_node(daemon, guest->gate, SHARE_OF_GROUP, name, NULL)))
		return -ENOMEM;
	error = gate_node_move(guest->node, group ? group->node : NULL, why);
	if (error)
		return error;
	guest->parent = group;
	if (group)
		group->children++;
	if (old)
		old->children--;	/* swept up later */
	return 0;
}

/* Has it all its settings? Its group aside. */
static bool is_settled(const struct share_node *node, const struct share_settings *wanted)
{
	return !node->refused.text[0] && memcmp(wanted, gate_node_settings(node->node), sizeof(*wanted)) == 0;
}

static void note_outcome(struct share_node *node, int error, const struct error *why)
{
	set_refused(node, !error ? NULL : why->text[0] ? why->text : strerror(-error));
}

/* As far as it goes. */
static void set_share(struct share_node *node, struct share_settings wanted)
{
	struct error why = { .text = "" };
	int error = gate_node_set(node->node, &wanted, &why);

	if (error)
		apply_rest(node, &wanted);
	note_outcome(node, error, &why);
}

static void settle_node(struct daemon *daemon, struct share_node *node)
{
	struct share_settings wanted = share_wanted(daemon, id_of(node));
	struct error why = { .text = "" };
	int error = node->kind == SHARE_OF_GUEST ? follow_group(daemon, node, &why) : 0;

	if (error) {
		apply_rest(node, &wanted);
		note_outcome(node, error, &why);
	} else if (!is_settled(node, &wanted)) {
		set_share(node, wanted);
	}
}

/* All that is reserved is more than there is: nobody has a reservation until it is granted again. */
static void strip_reservations(struct share_gate *gate)
{
	for (struct share_node *node = gate->nodes; node; node = node->next) {
		struct share_settings settings = *gate_node_settings(node->node);

		settings.min_iops = settings.min_bandwidth = 0;
		gate_node_set(node->node, &settings, NULL);
	}
}

static bool wants_reservation(const struct daemon *daemon, const struct share_node *node)
{
	struct share_settings wanted = share_wanted(daemon, id_of(node));

	return wanted.min_iops > 0 || wanted.min_bandwidth > 0;
}

void share_gate_reserve_anew(struct daemon *daemon, struct share_gate *gate)
{
	if (gate_reserved_ppb(gate->gate) > GATE_RESERVABLE_PPB)
		strip_reservations(gate);
	/* Twice: what one gives up, another may get. */
	for (unsigned round = 0; round < 2; round++) {
		for (struct share_node *node = gate->nodes; node; node = node->next) {
			if (wants_reservation(daemon, node) || node->refused.text[0])
				set_share(node, share_wanted(daemon, id_of(node)));
		}
	}
}

/* Groups that lost their last guest. */
static void sweep(struct share_gate *gate)
{
	struct share_node *node = gate->nodes;

	while (node) {
		struct share_node *next = node->next;

		if (node->kind == SHARE_OF_GROUP)
			close_node(node);
		node = next;
	}
}

void shares_update(struct daemon *daemon)
{
	for (struct share_gate *gate = daemon->gates; gate; gate = gate->next) {
		/* Twice: what one gives up, another may get. */
		for (unsigned round = 0; round < 2; round++) {
			for (struct share_node *node = gate->nodes; node; node = node->next)
				settle_node(daemon, node);
		}
		sweep(gate);
		tell_changed(gate);
	}
}

void share_settle(struct daemon *daemon, struct share_id id)
{
	for (struct share_gate *gate = daemon->gates; gate; gate = gate->next) {
		struct share_node *node = share_node_find(gate, id);

		if (!node)
			continue;
		settle_node(daemon, node);
		tell_changed(gate);
	}
}

void shares_settle_refused(struct daemon *daemon)
{
	for (struct share_gate *gate = daemon->gates; gate; gate = gate->next) {
		for (struct share_node *node = gate->nodes; node; node = node->next) {
			if (node->refused.text[0])
				settle_node(daemon, node);
		}
	}
}
