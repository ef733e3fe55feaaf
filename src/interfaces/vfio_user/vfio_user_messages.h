/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of vfio-user (QEMU, docs/interop/vfio-user.rst): formats, and what must hold before a message is
 * acted upon. Pure: bytes in, struct or error out. All numbers are little-endian.
 *
 *   header  id u16, command u16, size u32 (with the header), flags u32, error u32; then the payload
 */
#ifndef VIADUCT_INTERFACES_VFIO_USER_VFIO_USER_MESSAGES_H
#define VIADUCT_INTERFACES_VFIO_USER_VFIO_USER_MESSAGES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vfio_user_command {
	VFIO_USER_VERSION = 1,
	VFIO_USER_DMA_MAP = 2,
	VFIO_USER_DMA_UNMAP = 3,
	VFIO_USER_GET_INFO = 4,
	VFIO_USER_GET_REGION_INFO = 5,
	VFIO_USER_GET_REGION_IO_FDS = 6,
	VFIO_USER_GET_IRQ_INFO = 7,
	VFIO_USER_SET_IRQS = 8,
	VFIO_USER_REGION_READ = 9,
	VFIO_USER_REGION_WRITE = 10,
	VFIO_USER_DMA_READ = 11,
	VFIO_USER_DMA_WRITE = 12,
	VFIO_USER_RESET = 13,
	VFIO_USER_REGION_WRITE_MULTI = 15,
};
/* "dma-map": for logs; "?" for numbers that no command has. */
const char *vfio_user_command_name(uint16_t command);

#define VFIO_USER_FLAG_TYPE	0xfu
#define VFIO_USER_TYPE_COMMAND	0u
#define VFIO_USER_TYPE_REPLY	1u
#define VFIO_USER_FLAG_NO_REPLY 0x10u
#define VFIO_USER_FLAG_ERROR	0x20u

struct vfio_user_header {
	uint16_t id, command;
	uint32_t size, flags, error;
};
static_assert(sizeof(struct vfio_user_header) == 16, "vfio-user, Header");

/* What a register access may carry at most: a VMM reads a whole configuration space at once. */
#define VFIO_USER_DATA_MAX    4096u
/* Writes of one WRITE_MULTI: as many as QEMU collects. */
#define VFIO_USER_WRITES_MAX  200u
/* The longest message that is read, such a one: anything longer ends the connection. */
#define VFIO_USER_MESSAGE_MAX (16u + 8u + VFIO_USER_WRITES_MAX * 24u)
/* Descriptors of one message: Cloud Hypervisor sends 16 at a time, and QEMU what it is told. */
#define VFIO_USER_FDS_MAX     16u
/*
 * So often a VMM is given a BAR's memory over one connection; it asks once or twice for each BAR. The kernel
 * counts descriptors that are sent and not read, of all connections together.
 */
#define VFIO_USER_FDS_GIVEN_MAX 64u
/* Ranges of memory that a VMM may have mapped at a time (guest_memory.h). */
#define VFIO_USER_MAPS_MAX    512u

struct vfio_user_version {
	uint16_t major, minor;
	/* then JSON with a final NUL, or nothing */
};

#define VFIO_USER_DMA_READABLE 1u
#define VFIO_USER_DMA_WRITABLE 2u
struct vfio_user_dma_map {
	uint32_t argsz, flags;
	uint64_t offset, address, size;
};
static_assert(sizeof(struct vfio_user_dma_map) == 32, "vfio-user, VFIO_USER_DMA_MAP");

#define VFIO_USER_UNMAP_ALL 2u
struct vfio_user_dma_unmap {
	uint32_t argsz, flags;
	uint64_t address, size;
};
static_assert(sizeof(struct vfio_user_dma_unmap) == 24, "vfio-user, VFIO_USER_DMA_UNMAP");

#define VFIO_USER_DEVICE_RESETS 1u
#define VFIO_USER_DEVICE_PCI	2u
struct vfio_user_device_info {
	uint32_t argsz, flags, regions, interrupts;
};
static_assert(sizeof(struct vfio_user_device_info) == 16, "vfio-user, VFIO_USER_DEVICE_GET_INFO");

#define VFIO_USER_REGION_READABLE     1u
#define VFIO_USER_REGION_WRITABLE     2u
#define VFIO_USER_REGION_MAPPABLE     4u
#define VFIO_USER_REGION_CAPABILITIES 8u
struct vfio_user_region_info {
	uint32_t argsz, flags, index, capability_offset;
	uint64_t size, offset;
};
static_assert(sizeof(struct vfio_user_region_info) == 32, "vfio-user, VFIO_USER_DEVICE_GET_REGION_INFO");

/* A capability of a region: of it, only these areas can be mapped. Here there is one. */
#define VFIO_USER_CAPABILITY_SPARSE_MAP 1u
struct vfio_user_sparse_map {
	uint16_t id, version;
	uint32_t next;		/* 0: it is the last capability */
	uint32_t areas, reserved;
	uint64_t offset, size;
};
static_assert(sizeof(struct vfio_user_sparse_map) == 32, "vfio-user, VFIO_REGION_INFO_CAP_SPARSE_MMAP");

/* BAR 0 to 5 have their own numbers. */
#define VFIO_USER_REGION_ROM	6u
#define VFIO_USER_REGION_CONFIG 7u
#define VFIO_USER_REGION_VGA	8u
#define VFIO_USER_REGIONS	9u

#define VFIO_USER_IRQ_EVENTFD	 1u
#define VFIO_USER_IRQ_MASKABLE	 2u
#define VFIO_USER_IRQ_AUTOMASKED 4u
struct vfio_user_irq_info {
	uint32_t argsz, flags, index, count;
};
static_assert(sizeof(struct vfio_user_irq_info) == 16, "vfio-user, VFIO_USER_DEVICE_GET_IRQ_INFO");

/* Kinds of interrupts. */
#define VFIO_USER_INTX	  0u
#define VFIO_USER_MSI	  1u
#define VFIO_USER_MSIX	  2u
#define VFIO_USER_ERROR	  3u
#define VFIO_USER_REQUEST 4u
#define VFIO_USER_IRQS	  5u

#define VFIO_USER_IRQ_NONE    1u
#define VFIO_USER_IRQ_BOOL    2u
#define VFIO_USER_IRQ_FDS     4u
#define VFIO_USER_IRQ_MASK    8u
#define VFIO_USER_IRQ_UNMASK  16u
#define VFIO_USER_IRQ_TRIGGER 32u
struct vfio_user_irq_set {
	uint32_t argsz, flags, index, start, count;
	/* then `count` bytes, when the flags say VFIO_USER_IRQ_BOOL */
};
static_assert(sizeof(struct vfio_user_irq_set) == 20, "vfio-user, VFIO_USER_DEVICE_SET_IRQS");

struct vfio_user_region_access {
	uint64_t offset;
	uint32_t region, count;
	/* then `count` bytes, of a write or of the answer to a read */
};
static_assert(sizeof(struct vfio_user_region_access) == 16, "vfio-user, VFIO_USER_REGION_READ");

/* The server's: it reads or writes the guest's memory. So begins its answer, too. */
struct vfio_user_dma_access {
	uint64_t address, count;
	/* then `count` bytes, of a write or of the answer to a read */
};
static_assert(sizeof(struct vfio_user_dma_access) == 16, "vfio-user, VFIO_USER_DMA_READ");
/* What one such message carries at most: a VMM takes what our VERSION says of max_data_xfer_size. */
#define VFIO_USER_DMA_BYTES_MAX VFIO_USER_DATA_MAX

/* One write of several; `count` of its eight bytes are used. */
struct vfio_user_region_write {
	struct vfio_user_region_access access;
	uint8_t data[8];
};
static_assert(sizeof(struct vfio_user_region_write) == 24, "vfio-user, VFIO_USER_REGION_WRITE_MULTI");
static_assert(VFIO_USER_MESSAGE_MAX >= 16 + sizeof(struct vfio_user_region_access) + VFIO_USER_DATA_MAX,
	      "every message has room");

/*
 * May this header begin a message of a client's? Returns NULL, or the reason why the stream cannot be
 * followed any further: it is neither a command nor an answer to one that a server sends, or too short or too
 * long.
 */
const char *vfio_user_header_check(const struct vfio_user_header *header);

/* What a whole message must be before it is handled. */
struct vfio_user_standing {
	bool versioned;		/* VERSION was answered */
};

/*
 * Is this the answer that such a message must have? `payload`: bytes behind the header, of which there are as
 * many as the header says. Returns NULL, or the reason why not; an answer with an error is one, whatever it
 * carries.
 */
const char *vfio_user_answer_check(const struct vfio_user_header *header, uint16_t command,
				   const struct vfio_user_dma_access *asked, const uint8_t *payload);

static inline bool vfio_user_is_answer(const struct vfio_user_header *header)
{
	return (header->flags & VFIO_USER_FLAG_TYPE) == VFIO_USER_TYPE_REPLY;
}

/*
 * Returns 0, or the error of the answer: -EINVAL (a payload of another size, more descriptors than there may
 * be, VERSION a second time or something else first), -ENOTSUP (no such command here). *ret_reason says
 * what is wrong.
 */
int vfio_user_message_check(const struct vfio_user_header *header, unsigned fd_count,
			    const struct vfio_user_standing *standing, const char **ret_reason);

#endif
