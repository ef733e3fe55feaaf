/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest chose for its disk's write cache (virtio-blk's CONFIG_WCE) outlives the daemon: QEMU tells a
 * back end once and caches the answer, so a successor that forgot it would acknowledge writes too early. The
 * memory is a file beside the socket; the runtime directory ends with the host, and so do the guests.
 */
#ifndef VIADUCT_DAEMON_DISK_WRITE_MODE_H
#define VIADUCT_DAEMON_DISK_WRITE_MODE_H

#include <stdbool.h>

struct disk_device;

#define WRITE_MODE_PATH_SIZE 512

/* Did the guest choose write-through? */
bool write_mode_is_through(const struct disk_device *disk);

/* virtio_blk_options.writeback_changed; the context is the disk_device. Control thread. */
void write_mode_changed(void *context, bool writeback);

#endif
