/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory as a VMM maps it for the function (VFIO_USER_DMA_MAP, _UNMAP). Ranges that overlap older
 * ones take their place, as after a reboot of a guest; parts of ranges can be unmapped. What comes without a
 * file, or in a file on a disk, is known and cannot be reached: firmware's ROM and an NVDIMM, for instance.
 * Where the function runs errands, memory without a file that may be read and written is reached by messages,
 * too.
 *
 * Each change makes another set of memory; requests under way keep the set that they began with.
 */
#ifndef VIADUCT_INTERFACES_VFIO_USER_VFIO_USER_DMA_H
#define VIADUCT_INTERFACES_VFIO_USER_VFIO_USER_DMA_H

#include <stdbool.h>
#include <stdint.h>

#include "interfaces/vfio_user/vfio_user_messages.h"

struct guest_memory;
struct handover;

/* [address, address + size), at `offset` of its file; without one, and not remote: cannot be reached. */
struct vfio_user_range {
	uint64_t address, size, offset;
	int fd;				/* its own; -1: none */
	bool remote;			/* messages reach it */
	bool mapped;			/* it is part of the set */
};

struct vfio_user_dma {
	struct guest_memory *memory;	/* what can be reached; never NULL */
	struct guest_memory *empty;
	struct vfio_user_range range[VFIO_USER_MAPS_MAX];
	unsigned count;			/* sorted by address, no two overlap */
	bool has_messages;		/* set by the owner: there are remote ranges */
};

/* Returns 0 or -ENOMEM. */
int vfio_user_dma_init(struct vfio_user_dma *dma);
/* Idempotent, also on zeroes. */
void vfio_user_dma_finish(struct vfio_user_dma *dma);

/*
 * *fd (-1: none) is taken when it is -1 afterwards. Returns 0 or -errno: -EINVAL (no size, an end beyond
 * 2^64, or not in whole pages), -ENOSPC (too many ranges, or more memory than one guest may have here),
 * -ENOMEM, or guest_memory_add()'s errors. What the range overlaps may be unmapped then.
 */
int vfio_user_dma_map(struct vfio_user_dma *dma, const struct vfio_user_dma_map *map, int *fd);
/*
 * A range where nothing is mapped is none the less unmapped. Returns 0, or errors as vfio_user_dma_map():
 * parts of ranges that stay may be out of reach then.
 */
int vfio_user_dma_unmap(struct vfio_user_dma *dma, uint64_t address, uint64_t size);
void vfio_user_dma_unmap_all(struct vfio_user_dma *dma);

/* Is there no file of anything although there are ranges? The VMM does not share its guest's memory. */
bool vfio_user_dma_is_private(const struct vfio_user_dma *dma);

/* ---- takeover ---- */

void vfio_user_dma_save(const struct vfio_user_dma *dma, struct handover *handover);
/*
 * Into one that was initialised. A file that cannot be mapped any more makes handover->error. knows_remote:
 * the stream says which ranges are remote.
 */
void vfio_user_dma_restore(struct vfio_user_dma *dma, bool knows_remote, struct handover *handover);

#endif
