/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/disk/disk_gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/disk/disk_meter.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "daemon/base/daemon.h"
#include "daemon/base/state.h"
#include "host/host_disk.h"

/* ---- what was seen, kept: STATE/disk-XXXXXXXX.cost, a line that names the disk, and the cost model ---- */

#define IDENTITY_MAX 4400
#define NAME_SIZE    32

/*
 * Each second the average takes so much of what was seen in it, and so many times more or less is worth
 * telling.
 */
#define WATCH_PART 0.1
#define WATCH_MOST 1.1

/* What must be the same for it to be of use. Returns its length. */
static size_t identity(const struct disk_gate *gate, char text[IDENTITY_MAX])
{
	const struct host_disk_geometry *geometry = &gate->host->geometry;

	return (size_t)snprintf(text, IDENTITY_MAX, "disk %.4096s size %llu block %u cache %u\n",
				gate->base.path, (unsigned long long)geometry->size_bytes,
				geometry->block_bytes, gate->cache);
}

static void file_name(const char *text, size_t length, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "disk-%08x.cost", crc32c(0, text, length));
}

static bool recall(const struct daemon *daemon, const struct disk_gate *gate, struct disk_cost *ret_cost)
{
	char text[IDENTITY_MAX], name[NAME_SIZE], *bytes;
	size_t head = identity(gate, text), length;
	bool known;

	file_name(text, head, name);
	if (state_read(daemon->state_dir, name, &bytes, &length) != 0)
		return false;
	known = length > head && memcmp(bytes, text, head) == 0 &&
		disk_cost_parse(bytes + head, length - head, ret_cost) == 0;
	free(bytes);
	return known;
}

static bool is_kept(const struct daemon *daemon, const char *name, const char *text, size_t length)
{
	size_t kept_length;
	char *kept;
	bool same;

	if (state_read(daemon->state_dir, name, &kept, &kept_length) != 0)
		return false;
	same = kept_length == length && memcmp(kept, text, length) == 0;
	free(kept);
	return same;
}

static void keep(struct share_gate *base, const struct daemon *daemon)
{
	const struct disk_gate *gate = container_of(base, struct disk_gate, base);
	char text[IDENTITY_MAX + COST_TEXT_MAX], name[NAME_SIZE];
	size_t head = identity(gate, text);
	struct gate_belief belief;
	struct disk_cost cost;
	int length, error;

	gate_believe(gate->base.gate, &belief);
	if (gate->origin == DISK_COST_SAID || belief.since_ns == 0 || !daemon->state_dir)
		return;
	file_name(text, head, name);
	disk_meter_cost(gate->meter, &cost);
	cost.window_ns = (uint32_t)belief.window_ns;
	length = disk_cost_print(&cost, text + head, sizeof(text) - head);
	error = length < 0 ? length : 0;
	if (!error && !is_kept(daemon, name, text, head + (size_t)length))
		error = state_write(daemon->state_dir, name, text, head + (size_t)length, false);
	if (error)
		log_warning(NULL,
			    "%s/%s: cannot be written: %s; the next start supposes an ordinary disk at %s",
			    daemon->state_dir, name, strerror(-error), gate->base.path);
}

/* ---- models ---- */

/*
 * 4 KiB random costs what capacity_iops says, 128 KiB sequential what capacity_bandwidth says. Neither is all
 * base or all bytes, so that each part can be corrected.
 */
static struct disk_cost cost_of(const struct config_capacity *capacity)
{
	uint64_t large_ns = NS_PER_S * COST_LARGE_BYTES / capacity->bandwidth,
		 small_ns = NS_PER_S / capacity->iops;
	uint64_t per_kib = large_ns / (COST_LARGE_BYTES / 1024),
		 most = small_ns / 8 * 7 / (COST_SMALL_BYTES / 1024);
	struct cost_line random = { .ns_per_kib = (uint32_t)(per_kib < most ? per_kib : most) };
	struct disk_cost cost = disk_cost_default;

	random.base_ns = (uint32_t)(small_ns - COST_SMALL_BYTES / 1024 * (uint64_t)random.ns_per_kib);
	cost.line[COST_READ_RANDOM] = cost.line[COST_WRITE_RANDOM] = random;
	cost.line[COST_READ_SEQUENTIAL] = cost.line[COST_WRITE_SEQUENTIAL] = cost_line_through(
		COST_SMALL_BYTES, large_ns * COST_SMALL_BYTES / COST_LARGE_BYTES, COST_LARGE_BYTES, large_ns);
	return cost;
}

/* ---- what is seen ---- */

/*
 * What it does now is what reservations are worth. Small and brief changes are let pass, as each time
 * reservations are granted anew.
 */
static void watch(struct share_gate *base, struct daemon *daemon)
{
	struct disk_gate *gate = container_of(base, struct disk_gate, base);
	struct gate_belief belief;
	struct disk_cost cost;
	double iops;

	gate_believe(base->gate, &belief);
	if (!belief.known || belief.since_ns == gate->watched_ns)
		return;
	gate->watched_ns = belief.since_ns;
	disk_meter_cost(gate->meter, &cost);
	iops = (double)disk_cost_iops(&cost);
	gate->lately_iops += (iops - gate->lately_iops) * WATCH_PART;
	if (gate->lately_iops > gate->granted_iops * WATCH_MOST ||
	    gate->lately_iops < gate->granted_iops / WATCH_MOST || !gate->granted) {
		gate->granted = true;
		gate->granted_iops = gate->lately_iops;
		share_gate_reserve_anew(daemon, base);
	}
}

/* ---- gates ---- */

static void choose_cost(const struct daemon *daemon, struct disk_gate *gate,
			const struct config_capacity *capacity, struct disk_cost *ret_cost)
{
	gate->origin = DISK_COST_SUPPOSED;
	*ret_cost = gate->host->geometry.rotational ? disk_cost_rotational : disk_cost_default;
	if (capacity->iops) {
		gate->origin = DISK_COST_SAID;
		*ret_cost = cost_of(capacity);
	} else if (recall(daemon, gate, ret_cost)) {
		gate->origin = DISK_COST_KEPT;
	}
}

static void destroy(struct disk_gate *gate)
{
	disk_meter_destroy(gate->meter);
	free(gate->base.path);
	free(gate);
}

struct disk_gate *disk_gate_open(struct daemon *daemon, const char *path, unsigned cache,
				 struct host_disk *host, const struct config_capacity *capacity)
{
	struct disk_gate *gate = calloc(1, sizeof(*gate));
	struct disk_cost cost;

	if (!gate)
		return NULL;
	gate->host = host;
	gate->cache = cache;
	gate->base.path = strdup(path);
	if (gate->base.path)
		choose_cost(daemon, gate, capacity, &cost);
	if (!gate->base.path ||
	    disk_meter_create(&cost, gate->origin == DISK_COST_SAID, &gate->meter) != 0) {
		destroy(gate);
		return NULL;
	}
	gate->base.gate = disk_meter_gate(gate->meter);
	gate->base.keep = keep;
	gate->base.watch = watch;
	gate->base.resource = SHARE_DISKS;
	gate->lately_iops = gate->granted_iops = (double)disk_cost_iops(&cost);
	share_gate_add(daemon, &gate->base);
	return gate;
}

void disk_gate_close(struct daemon *daemon, struct disk_gate *gate)
{
	if (!gate)
		return;
	keep(&gate->base, daemon);
	share_gate_remove(daemon, &gate->base);
	destroy(gate);
}

void disk_gate_set_capacity(struct disk_gate *gate, const struct config_capacity *capacity)
{
	struct disk_cost cost = cost_of(capacity);

	disk_meter_set_cost(gate->meter, &cost);
	gate->origin = DISK_COST_SAID;
}
