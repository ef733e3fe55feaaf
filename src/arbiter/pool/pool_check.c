/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct pool check`: everything pool_open() verifies, and all of what it finds. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "arbiter/pool/pool_load.h"
#include "host/host_disk.h"

static void report_sound(struct pool_reporter *reporter, const struct pool_image *image)
{
	const struct pool_ledger *ledger = &image->ledger;
	uint64_t area = image->layout.area_offset[image->superblock.active_area];

	assert(image->log_used_blocks <= image->layout.log_blocks);
	pool_report(reporter, 0, area,
		    "generation %" PRIu64
		    ", metadata area %u; %u of %u blocks of the log in use, next record %" PRIu64,
		    image->superblock.generation, image->superblock.active_area, image->log_used_blocks,
		    image->layout.log_blocks, image->next_sequence);
	pool_report(reporter, 0, image->layout.data_offset,
		    "%u disks, %u of %u extents in use; the tables hold up to %u", ledger->disk_count,
		    ledger->extent_count - ledger->free_count, ledger->extent_count,
		    ledger->capacity_extents);
}

int pool_check(struct host_disk *host, void (*report)(void *context, const struct pool_finding *finding),
	       void *context)
{
	struct pool_reporter reporter = {.report = report, .context = context};
	struct pool_image image;
	int error = pool_load(host, &reporter, &image);

	if (!error) {
		report_sound(&reporter, &image);
		pool_ledger_finish(&image.ledger);
	} else if (error == -ENOENT) {
		pool_report(&reporter, 2, 0, "there is no pool on this disk");
	} else if (error == -EPROTONOSUPPORT) {
		pool_report(&reporter, 2, 0, "the pool is of a newer format than version %u", POOL_VERSION);
	} else if (error != -EBADMSG) {
		return error;
	}
	return (int)(reporter.repairable + reporter.damages);
}
