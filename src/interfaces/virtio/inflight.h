/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The record of requests in flight that survives us: one region for each queue in a memory file that the
 * front end keeps (vhost-user, "Inflight I/O tracking"; byte layout and order of stores there and
 * in inflight.c). After a crash the next process resubmits what the region says was taken and not completed.
 * The region is the front end's to scribble on: everything read from it is checked.
 */
#ifndef VIADUCT_INTERFACES_VIRTIO_INFLIGHT_H
#define VIADUCT_INTERFACES_VIRTIO_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of one queue's region, a multiple of 64 so that regions stay aligned; size: 1 … 32768. */
size_t inflight_region_bytes(bool packed, unsigned queue_size);

/* Is anything recorded in it? A region of zeroes is new. */
bool inflight_is_used(const void *region, bool packed);

#endif
