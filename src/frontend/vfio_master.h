/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The client's side of a vfio-user socket (QEMU, docs/interop/vfio-user.rst): one message at a time. */
#ifndef VIADUCT_FRONTEND_VFIO_MASTER_H
#define VIADUCT_FRONTEND_VFIO_MASTER_H

#include <stddef.h>
#include <stdint.h>

struct vfio_master {
	int socket;
	uint16_t next_id;
};

/* Regions and kinds of interrupts that drivers need. */
#define VFIO_MASTER_CONFIG 7u
#define VFIO_MASTER_MSIX   2u

/*
 * All return 0, or -errno: -ETIMEDOUT (no answer within 10 s), -EPIPE (the back end closed the connection),
 * -EPROTO (nonsense, or the back end refused).
 */

/* Agrees on a version. */
int vfio_master_version(struct vfio_master *master);
/* [address, address + bytes) of the guest is the file, from its beginning on. */
int vfio_master_map(struct vfio_master *master, uint64_t address, uint64_t bytes, int fd);
/* The eventfd of vector 0. */
int vfio_master_vector(struct vfio_master *master, int event_fd);
int vfio_master_read(struct vfio_master *master, uint32_t region, uint64_t offset, void *data,
		     uint32_t bytes);
int vfio_master_write(struct vfio_master *master, uint32_t region, uint64_t offset, const void *data,
		      uint32_t bytes);
/* Without an answer: what follows is carried out after it all the same. At most 8 bytes. */
int vfio_master_post(struct vfio_master *master, uint32_t region, uint64_t offset, const void *data,
		     uint32_t bytes);

#endif
