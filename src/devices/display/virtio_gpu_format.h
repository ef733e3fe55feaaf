/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lies in the configuration space and on the queues of a virtio display (virtio 1.2, 5.7). All fields
 * are little-endian, as the host is. A command is device-readable and begins with a header; its answer is
 * device-writable and begins with a header, too. Only the commands in two dimensions are here, and blobs of
 * guest memory: those of VIRGL (0x200 and above) and of blobs in host memory (0x208, 0x209) would be rows of
 * the same tables.
 */
#ifndef VIADUCT_DEVICES_DISPLAY_VIRTIO_GPU_FORMAT_H
#define VIADUCT_DEVICES_DISPLAY_VIRTIO_GPU_FORMAT_H

#include <assert.h>
#include <stdint.h>

#include "devices/display/virtio_gpu.h"

/* 5.7.3; bit 0 is VIRGL, 2 RESOURCE_UUID, 4 CONTEXT_INIT */
#define VIRTIO_GPU_F_EDID	   1
#define VIRTIO_GPU_F_RESOURCE_BLOB 3

/*
 * 5.7.4, the configuration space
 *
 *    0  events_read    what happened; the driver's to read
 *    4  events_clear   the driver writes which events it has seen; reads as 0
 *    8  num_scanouts
 *   12  num_capsets    of VIRGL
 */
struct virtio_gpu_config {
	uint32_t events_read, events_clear, num_scanouts, num_capsets;
};
#define VIRTIO_GPU_EVENT_DISPLAY 1u

/* 5.7.6.7 */
enum virtio_gpu_type {
	VIRTIO_GPU_CMD_GET_DISPLAY_INFO = 0x0100,
	VIRTIO_GPU_CMD_RESOURCE_CREATE_2D = 0x0101,
	VIRTIO_GPU_CMD_RESOURCE_UNREF = 0x0102,
	VIRTIO_GPU_CMD_SET_SCANOUT = 0x0103,
	VIRTIO_GPU_CMD_RESOURCE_FLUSH = 0x0104,
	VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D = 0x0105,
	VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING = 0x0106,
	VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING = 0x0107,
	VIRTIO_GPU_CMD_GET_EDID = 0x010a,
	VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB = 0x010c,
	VIRTIO_GPU_CMD_SET_SCANOUT_BLOB = 0x010d,

	VIRTIO_GPU_CMD_UPDATE_CURSOR = 0x0300,
	VIRTIO_GPU_CMD_MOVE_CURSOR = 0x0301,

	VIRTIO_GPU_RESP_OK_NODATA = 0x1100,
	VIRTIO_GPU_RESP_OK_DISPLAY_INFO = 0x1101,
	VIRTIO_GPU_RESP_OK_EDID = 0x1104,

	VIRTIO_GPU_RESP_ERR_UNSPEC = 0x1200,
	VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY = 0x1201,
	VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID = 0x1202,
	VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID = 0x1203,
	VIRTIO_GPU_RESP_ERR_INVALID_CONTEXT_ID = 0x1204,
	VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER = 0x1205,
};

/*
 * The header
 *
 *    0  type
 *    4  flags      bit 0: fenced, the answer has the next three fields of the command
 *    8  fence_id
 *   16  ctx_id
 *   20  ring_idx   valid with bit 1 of the flags
 *   21  3 bytes unused
 */
struct virtio_gpu_header {
	uint32_t type, flags;
	uint64_t fence_id;
	uint32_t ctx_id;
	uint8_t ring_idx, padding[3];
};
#define VIRTIO_GPU_FLAG_FENCE	      (1u << 0)
#define VIRTIO_GPU_FLAG_INFO_RING_IDX (1u << 1)

/* 5.7.6.8. Each begins with a header, of 24 bytes. */
struct virtio_gpu_get_edid {
	struct virtio_gpu_header header;
	uint32_t scanout_id, padding;
};

struct virtio_gpu_create_2d {
	struct virtio_gpu_header header;
	uint32_t resource_id, format, width, height;
};

/* RESOURCE_UNREF and RESOURCE_DETACH_BACKING */
struct virtio_gpu_name_resource {
	struct virtio_gpu_header header;
	uint32_t resource_id, padding;
};

struct virtio_gpu_set_scanout {
	struct virtio_gpu_header header;
	struct virtio_gpu_rect rect; /* of the resource */
	uint32_t scanout_id, resource_id;
};

struct virtio_gpu_flush {
	struct virtio_gpu_header header;
	struct virtio_gpu_rect rect;
	uint32_t resource_id, padding;
};

struct virtio_gpu_transfer {
	struct virtio_gpu_header header;
	struct virtio_gpu_rect rect;
	uint64_t offset_bytes; /* of the rectangle's first pixel in the backing */
	uint32_t resource_id, padding;
};

/* Behind it lie so many entries. */
struct virtio_gpu_attach {
	struct virtio_gpu_header header;
	uint32_t resource_id, entry_count;
};

struct virtio_gpu_entry {
	uint64_t gpa;
	uint32_t length_bytes, padding;
};

/* Behind it lie so many entries. */
struct virtio_gpu_create_blob {
	struct virtio_gpu_header header;
	uint32_t resource_id, memory, flags, entry_count;
	uint64_t blob_id, size_bytes;
};
#define VIRTIO_GPU_BLOB_MEM_GUEST 1u /* 2 is HOST3D, 3 HOST3D_GUEST */
#define VIRTIO_GPU_BLOB_FLAGS	  7u /* mappable, shareable, across devices: all the same here */

/* Of a blob: one picture of width to height, and the part of it that is shown. */
struct virtio_gpu_set_scanout_blob {
	struct virtio_gpu_header header;
	struct virtio_gpu_rect rect; /* of the picture */
	uint32_t scanout_id, resource_id, width, height, format, padding;
	uint32_t stride_bytes[4], offset_bytes[4]; /* of planes: the formats have one */
};

/* 5.7.6.10; UPDATE_CURSOR and MOVE_CURSOR. Coordinates may be negative, which the specification does not say.
 */
struct virtio_gpu_update_cursor {
	struct virtio_gpu_header header;
	uint32_t scanout_id;
	int32_t x, y;
	uint32_t padding;
	uint32_t resource_id, hot_x, hot_y, more_padding;
};

/* Answers with more than a header. */
struct virtio_gpu_display_info {
	struct virtio_gpu_header header;
	struct {
		struct virtio_gpu_rect rect;
		uint32_t enabled, flags;
	} mode[VIRTIO_GPU_SCANOUTS_MAX];
};

#define VIRTIO_GPU_EDID_ROOM_BYTES 1024u
struct virtio_gpu_edid {
	struct virtio_gpu_header header;
	uint32_t size_bytes, padding;
	uint8_t edid[VIRTIO_GPU_EDID_ROOM_BYTES];
};

static_assert(sizeof(struct virtio_gpu_config) == 16, "5.7.4");
static_assert(sizeof(struct virtio_gpu_header) == 24, "5.7.6.7");
static_assert(sizeof(struct virtio_gpu_rect) == 16, "5.7.6.8");
static_assert(sizeof(struct virtio_gpu_get_edid) == 32, "5.7.6.8");
static_assert(sizeof(struct virtio_gpu_create_2d) == 40, "5.7.6.8");
static_assert(sizeof(struct virtio_gpu_name_resource) == 32, "5.7.6.8");
static_assert(sizeof(struct virtio_gpu_set_scanout) == 48, "5.7.6.8");
static_assert(sizeof(struct virtio_gpu_flush) == 48, "5.7.6.8");
static_assert(sizeof(struct virtio_gpu_transfer) == 56, "5.7.6.8");
static_assert(sizeof(struct virtio_gpu_attach) == 32, "5.7.6.8");
static_assert(sizeof(struct virtio_gpu_entry) == 16, "5.7.6.8");
static_assert(sizeof(struct virtio_gpu_create_blob) == 56, "5.7.6.8");
static_assert(sizeof(struct virtio_gpu_set_scanout_blob) == 96, "5.7.6.8");
static_assert(sizeof(struct virtio_gpu_update_cursor) == 56, "5.7.6.10");
static_assert(sizeof(struct virtio_gpu_display_info) == 408, "5.7.6.8");
static_assert(sizeof(struct virtio_gpu_edid) == 1056, "5.7.6.8");

/* 5.7.6.8: the bytes of a pixel in the order of their addresses. */
enum virtio_gpu_format {
	VIRTIO_GPU_FORMAT_B8G8R8A8 = 1,
	VIRTIO_GPU_FORMAT_B8G8R8X8 = 2,
	VIRTIO_GPU_FORMAT_A8R8G8B8 = 3,
	VIRTIO_GPU_FORMAT_X8R8G8B8 = 4,
	VIRTIO_GPU_FORMAT_R8G8B8A8 = 67,
	VIRTIO_GPU_FORMAT_X8B8G8R8 = 68,
	VIRTIO_GPU_FORMAT_A8B8G8R8 = 121,
	VIRTIO_GPU_FORMAT_R8G8B8X8 = 134,
};

#endif
