/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/disk/disk_gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "arbiter/disk/disk_calibrate.h"
#include "arbiter/disk/disk_meter.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/crc32c.h"
#include "core/log.h"
#include "daemon/base/daemon.h"
#include "daemon/base/state.h"
#include "daemon/disk/disk_measure.h"
#include "host/host_disk.h"

/* ---- kept measurements: STATE/disk-XXXXXXXX.cost, a line that says of what disk, and the cost model ---- */

#define IDENTITY_MAX 4400
#define NAME_SIZE    32

/* What must be the same for a measurement to hold. Returns its length. */
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
	struct disk_cost cost;
	int length, error;

	if (!gate->measured || !daemon->state_dir)
		return;
	file_name(text, head, name);
	disk_meter_cost(gate->meter, &cost);
	length = disk_cost_print(&cost, text + head, sizeof(text) - head);
	error = length < 0 ? length : 0;
	if (!error && !is_kept(daemon, name, text, head + (size_t)length))
		error = state_write(daemon->state_dir, name, text, head + (size_t)length, false);
	if (error)
		log_warning(NULL, "%s/%s: cannot be written: %s; %s will be measured again",
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

/* ---- measuring ---- */

/* Reading holes tells nothing of the disk below them. */
static bool mostly_holes(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
	       status.st_blocks < status.st_size / 512 / 2;
}

static bool measure(struct daemon *daemon, struct disk_gate *gate, struct disk_cost *ret_cost)
{
	int error = 0;

	if (mostly_holes(gate->base.path)) {
		log_info(NULL,
			 "%s is mostly holes and not measured yet; its shares suppose an ordinary SSD, or "
			 "what "
			 "capacity_iops and capacity_bandwidth say",
			 gate->base.path);
		return false;
	}
	if (!daemon->measurer)
		error = disk_measurer_create(&daemon->measurer);
	if (!error)
		error = disk_measure(daemon->measurer, gate->host, ret_cost, &gate->hung);
	if (error) {
		log_warning(NULL, "%s cannot be measured: %s; its shares suppose an ordinary SSD",
			    gate->base.path, strerror(-error));
		*ret_cost = disk_cost_default;
		return false;
	}
	calibration_moderate(gate->host, ret_cost);
	log_info(NULL, "%s: measured %llu requests of 4 KiB or %llu MiB a second", gate->base.path,
		 (unsigned long long)disk_cost_iops(ret_cost),
		 (unsigned long long)(disk_cost_bandwidth(ret_cost) >> 20));
	return true;
}

/* ---- gates ---- */

static void choose_cost(struct daemon *daemon, struct disk_gate *gate,
			const struct config_capacity *capacity, struct disk_cost *ret_cost)
{
	*ret_cost = disk_cost_default;
	if (capacity->iops)
		*ret_cost = cost_of(capacity);
	else if (recall(daemon, gate, ret_cost))
		gate->measured = true;
	else if (!daemon->offer)	/* else guests wait, and it is the next start's */
		gate->measured = measure(daemon, gate, ret_cost);
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
	if (!gate->base.path || disk_meter_create(&cost, &gate->meter) != 0) {
		destroy(gate);
		return NULL;
	}
	gate->base.gate = disk_meter_gate(gate->meter);
	gate->base.keep = keep;
	gate->base.resource = SHARE_DISKS;
	share_gate_add(daemon, &gate->base);
	keep(&gate->base, daemon);
	return gate;
}

bool disk_gate_close(struct daemon *daemon, struct disk_gate *gate)
{
	bool unused;

	if (!gate)
		return true;
	keep(&gate->base, daemon);
	unused = measurement_let_go(gate->hung);
	share_gate_remove(daemon, &gate->base);
	destroy(gate);
	return unused;
}

void disk_gate_set_capacity(struct disk_gate *gate, const struct config_capacity *capacity)
{
	struct disk_cost cost = cost_of(capacity);

	disk_meter_set_cost(gate->meter, &cost);
	gate->measured = false;
}
