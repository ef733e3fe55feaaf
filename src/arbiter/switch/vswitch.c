/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Switches and their ports as objects. */
#include "arbiter/switch/vswitch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/vswitch_private.h"
#include "core/clock.h"

#define MTU_MIN 68u /* of IPv4 */

const char *port_drop_text(enum port_drop drop)
{
	static const char *const texts[PORT_DROPS] = {
		[PORT_DROP_MALFORMED] = "malformed", [PORT_DROP_LINK] = "link",
		[PORT_DROP_SOURCE] = "source",	     [PORT_DROP_VLAN] = "vlan",
		[PORT_DROP_GUARD] = "guard",	     [PORT_DROP_FLOOD] = "flood",
		[PORT_DROP_UNKNOWN] = "unknown",     [PORT_DROP_ISOLATED] = "isolated",
		[PORT_DROP_FULL] = "full",	     [PORT_DROP_TOO_LARGE] = "too_large",
	};

	return texts[drop];
}

/* ---- switches ---- */

int vswitch_create(unsigned ageing_s, struct vswitch **ret_vswitch)
{
	struct vswitch *vswitch = calloc(1, sizeof(*vswitch));
	pthread_rwlockattr_t attributes;

	if (!vswitch)
		return -ENOMEM;
	vswitch->ageing_ns = (ageing_s ? ageing_s : VSWITCH_AGEING_S_DEFAULT) * NS_PER_S;
	if (uplink_meter_create(&vswitch->meter) != 0 || mac_table_init(&vswitch->table) != 0) {
		uplink_meter_destroy(vswitch->meter);
		free(vswitch);
		return -ENOMEM;
	}
	/* Workers that forward all the time must not keep out a change. */
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&vswitch->lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	*ret_vswitch = vswitch;
	return 0;
}

void vswitch_destroy(struct vswitch *vswitch)
{
	if (!vswitch)
		return;
	assert(!vswitch->ports && !vswitch->uplink);
	pthread_rwlock_destroy(&vswitch->lock);
	mac_table_finish(&vswitch->table);
	uplink_meter_destroy(vswitch->meter);
	free(vswitch);
}

struct uplink_meter *vswitch_meter(const struct vswitch *vswitch)
{
	return vswitch->meter;
}

void vswitch_stand_still(struct vswitch *vswitch, bool still)
{
	pthread_rwlock_wrlock(&vswitch->lock);
	vswitch->still = still;
	pthread_rwlock_unlock(&vswitch->lock);
}

static void forgotten(struct port *port)
{
	assert(port->learned > 0);
	port->learned--;
}

void vswitch_age(struct vswitch *vswitch, uint64_t now_ns)
{
	pthread_rwlock_wrlock(&vswitch->lock);
	if (now_ns > vswitch->ageing_ns)
		mac_table_age(&vswitch->table, now_ns - vswitch->ageing_ns, forgotten);
	pthread_rwlock_unlock(&vswitch->lock);
}

void vswitch_each_address(struct vswitch *vswitch,
			  void (*each)(void *context, const struct vswitch_address *address), void *context)
{
	pthread_rwlock_rdlock(&vswitch->lock);
	for (unsigned i = 0; i < MAC_TABLE_SIZE; i++) {
		const struct mac_entry *entry = &vswitch->table.entries[i];
		struct vswitch_address address = { .port = entry->port };

		if (!entry->port)
			continue;
		for (unsigned byte = 0; byte < FRAME_ADDRESS_BYTES; byte++)
			address.address[byte] = (uint8_t)(entry->key >> (12 + 8 * (5 - byte)));
		address.seen_ns = __atomic_load_n(&entry->seen_ns, __ATOMIC_RELAXED);
		address.learned = address.seen_ns != UINT64_MAX;
		address.vlan = address.learned ? entry->key & 4095 : 0;
		each(context, &address);
	}
	pthread_rwlock_unlock(&vswitch->lock);
}

/* ---- ports ---- */

/* With the lock held alone. */
static void apply(struct port *port, const struct port_settings *settings)
{
	struct vswitch *vswitch = port->vswitch;

	vswitch->promiscuous += settings->promiscuous - port->settings.promiscuous;
	bucket_set(&port->flood, settings->flood_limit, NS_PER_S / 10, 1, clock_now_ns());
	port->settings = *settings;
	__atomic_store_n(&port->link, settings->link, __ATOMIC_RELAXED);
	if (!settings->learn && port->learned > 0) {
		mac_table_forget_learned(&vswitch->table, port);
		port->learned = 0;
	}
}

static void port_free(struct port *port)
{
	pthread_mutex_destroy(&port->flood_lock);
	free(port->name);
	free(port);
}

static struct port *port_alloc(struct vswitch *vswitch, const char *name, unsigned mtu)
{
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->name = strdup(name);
	if (!port->name) {
		free(port);
		return NULL;
	}
	port->vswitch = vswitch;
	port->mtu = mtu;
	pthread_mutex_init(&port->flood_lock, NULL);
	return port;
}

static void link_port(struct port *port, const struct port_settings *settings)
{
	struct vswitch *vswitch = port->vswitch;
	struct port **link = &vswitch->ports;

	while (*link)
		link = &(*link)->next;
	*link = port;
	apply(port, settings);
}

static bool is_unicast(const uint8_t address[FRAME_ADDRESS_BYTES])
{
	static const uint8_t none[FRAME_ADDRESS_BYTES];

	return !(address[0] & 1) && memcmp(address, none, sizeof(none)) != 0;
}

int port_create(struct vswitch *vswitch, const char *name, const uint8_t address[FRAME_ADDRESS_BYTES],
		unsigned mtu, const struct port_settings *settings, struct port **ret_port)
{
	struct port *port;
	int error;

	if (!is_unicast(address) || mtu < MTU_MIN || mtu > UINT16_MAX)
		return -EINVAL;
	port = port_alloc(vswitch, name, mtu);
	if (!port)
		return -ENOMEM;
	memcpy(port->address, address, FRAME_ADDRESS_BYTES);
	pthread_rwlock_wrlock(&vswitch->lock);
	error = mac_table_fix(&vswitch->table, address, port);
	if (!error)
		link_port(port, settings);
	pthread_rwlock_unlock(&vswitch->lock);
	if (error)
		port_free(port);
	else
		*ret_port = port;
	return error;
}

int port_create_uplink(struct vswitch *vswitch, struct uplink *card, unsigned mtu,
		       const struct port_settings *settings, struct port **ret_port)
{
	struct port *port;

	if (vswitch->uplink)
		return -EBUSY;
	port = port_alloc(vswitch, "uplink", mtu);
	if (!port)
		return -ENOMEM;
	port->card = card;
	pthread_rwlock_wrlock(&vswitch->lock);
	link_port(port, settings);
	vswitch->uplink = port;
	pthread_rwlock_unlock(&vswitch->lock);
	*ret_port = port;
	return 0;
}

struct port *vswitch_uplink(const struct vswitch *vswitch)
{
	return vswitch->uplink;
}

void port_destroy(struct port *port)
{
	struct port_settings nothing = { .link = false };
	struct vswitch *vswitch;
	struct port **link;

	if (!port)
		return;
	assert(!port->sources && port->sink_count == 0);
	vswitch = port->vswitch;
	pthread_rwlock_wrlock(&vswitch->lock);
	apply(port, &nothing);
	mirrors_end(port);
	mac_table_forget(&vswitch->table, port);
	for (link = &vswitch->ports; *link != port;)
		link = &(*link)->next;
	*link = port->next;
	if (vswitch->uplink == port)
		vswitch->uplink = NULL;
	pthread_rwlock_unlock(&vswitch->lock);
	if (port->card)
		uplink_free(port);
	port_free(port);
}

void port_set(struct port *port, const struct port_settings *settings)
{
	pthread_rwlock_wrlock(&port->vswitch->lock);
	apply(port, settings);
	pthread_rwlock_unlock(&port->vswitch->lock);
}

const char *port_name(const struct port *port)
{
	return port->name;
}

const uint8_t *port_address(const struct port *port)
{
	return port->address;
}

unsigned port_mtu(const struct port *port)
{
	return port->mtu;
}

bool port_link(const struct port *port)
{
	return __atomic_load_n(&port->link, __ATOMIC_RELAXED) && (!port->card || uplink_link(port));
}

void port_totals(const struct port *port, struct port_totals *ret_totals)
{
	struct port_totals sum;

	pthread_rwlock_rdlock(&port->vswitch->lock);
	sum = port->closed;
	sum.learned = port->learned;
	sum.dropped[PORT_DROP_FULL] += __atomic_load_n(&port->no_sink, __ATOMIC_RELAXED);
	for (const struct port_source *source = port->sources; source; source = source->next) {
		sum.sent_frames += counter_read(&source->sent_frames);
		sum.sent_bytes += counter_read(&source->sent_bytes);
		for (unsigned i = 0; i < PORT_DROPS; i++)
			sum.dropped[i] += counter_read(&source->dropped[i]);
	}
	for (unsigned i = 0; i < port->sink_count; i++) {
		sum.received_frames += counter_read(&port->sinks[i]->received_frames);
		sum.received_bytes += counter_read(&port->sinks[i]->received_bytes);
		sum.dropped[PORT_DROP_FULL] += counter_read(&port->sinks[i]->backlog.full);
		sum.dropped[PORT_DROP_TOO_LARGE] += counter_read(&port->sinks[i]->too_large);
	}
	pthread_rwlock_unlock(&port->vswitch->lock);
	*ret_totals = sum;
}

/* ---- shares ---- */

void port_set_share(struct port *port, struct gate_node *share)
{
	assert(!port->sources);
	port->share = share;
}

void port_time(const struct port *port, struct gate_counters *ret_time)
{
	memset(ret_time, 0, sizeof(*ret_time));
	pthread_rwlock_rdlock(&port->vswitch->lock);
	gate_counters_add(ret_time, &port->closed_time);
	for (const struct port_source *source = port->sources; source; source = source->next)
		gate_counters_add(ret_time, &source->share.counters);
	pthread_rwlock_unlock(&port->vswitch->lock);
}
