/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Formats of NVMe 1.4, little-endian; the sections are those of the base specification. */
#ifndef VIADUCT_DEVICES_DISK_NVME_FORMAT_H
#define VIADUCT_DEVICES_DISK_NVME_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* ---- registers (3.1): offsets into BAR 0 ---- */

#define NVME_REG_CAP   0x00u	/* 64 bits */
#define NVME_REG_VS    0x08u
#define NVME_REG_INTMS 0x0cu
#define NVME_REG_INTMC 0x10u
#define NVME_REG_CC    0x14u
#define NVME_REG_CSTS  0x1cu
#define NVME_REG_AQA   0x24u
#define NVME_REG_ASQ   0x28u	/* 64 bits */
#define NVME_REG_ACQ   0x30u	/* 64 bits */
#define NVME_DOORBELLS 0x1000u	/* 3.1.24: submission tail, completion head, in turns */

#define NVME_VERSION   0x00010400u

/* CAP (3.1.1) */
#define NVME_CAP_CONTIGUOUS (1ull << 16)
#define NVME_CAP_TIMEOUT(half_seconds) ((uint64_t)(half_seconds) << 24)
#define NVME_CAP_NVM_COMMANDS (1ull << 37)

/* CC (3.1.5) */
#define NVME_CC_ENABLE		1u
#define NVME_CC_COMMAND_SET(cc) ((cc) >> 4 & 7)
#define NVME_CC_PAGE_SIZE(cc)	((cc) >> 7 & 0xf)
#define NVME_CC_ARBITRATION(cc) ((cc) >> 11 & 7)
#define NVME_CC_SHUTDOWN(cc)	((cc) >> 14 & 3)
#define NVME_CC_SQ_ENTRY(cc)	((cc) >> 16 & 0xf)
#define NVME_CC_CQ_ENTRY(cc)	((cc) >> 20 & 0xf)

/* CSTS (3.1.6) */
#define NVME_CSTS_READY		 1u
#define NVME_CSTS_FATAL		 2u
#define NVME_CSTS_SHUTTING_DOWN (1u << 2)
#define NVME_CSTS_SHUT_DOWN	(2u << 2)
#define NVME_CSTS_SHUTDOWN_MASK (3u << 2)

/* ---- commands and completions (4.2, 4.6) ---- */

struct nvme_command {
	uint8_t opcode;
	uint8_t flags;		/* bits 0–1 fused, bits 6–7 PSDT */
	uint16_t id;
	uint32_t namespace_id;
	uint32_t cdw2, cdw3;
	uint64_t metadata;
	uint64_t prp1, prp2;	/* or the first SGL descriptor */
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
static_assert(sizeof(struct nvme_command) == 64, "4.2: submission queue entry");
static_assert(offsetof(struct nvme_command, prp1) == 24, "4.2: data pointer");

#define NVME_COMMAND_FUSED(flags) ((flags) & 3)
#define NVME_COMMAND_PSDT(flags)  ((flags) >> 6)
#define NVME_PSDT_PRP		  0u
#define NVME_PSDT_SGL		  1u	/* metadata contiguous */
#define NVME_PSDT_SGL_METADATA	  2u	/* metadata by an SGL, too */

struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t command_id;
	uint16_t status;	/* bit 0: phase; above it NVME_STATUS() and NVME_DO_NOT_RETRY */
};
static_assert(sizeof(struct nvme_completion) == 16, "4.6: completion queue entry");

/* SGL descriptor (4.4). */
struct nvme_sgl {
	uint64_t address;
	uint32_t bytes;
	uint8_t reserved[3];
	uint8_t type;		/* bits 4–7 type, bits 0–3 subtype */
};
static_assert(sizeof(struct nvme_sgl) == 16, "4.4: SGL descriptor");
#define NVME_SGL_TYPE(type)   ((type) >> 4)
#define NVME_SGL_DATA	      0u
#define NVME_SGL_SEGMENT      2u
#define NVME_SGL_LAST_SEGMENT 3u

/* One range of a Dataset Management command (6.7). */
struct nvme_range {
	uint32_t attributes;
	uint32_t blocks;
	uint64_t first_block;
};
static_assert(sizeof(struct nvme_range) == 16, "6.7: range");

/* ---- status (4.6.1): type, code, "do not retry" ---- */

#define NVME_STATUS(type, code) ((uint16_t)((type) << 8 | (code)))
#define NVME_DO_NOT_RETRY	((uint16_t)(1u << 14))

#define NVME_SUCCESS			  NVME_STATUS(0, 0x00)
#define NVME_INVALID_OPCODE		  NVME_STATUS(0, 0x01)
#define NVME_INVALID_FIELD		  NVME_STATUS(0, 0x02)
#define NVME_DATA_TRANSFER_ERROR	  NVME_STATUS(0, 0x04)
#define NVME_ABORTED			  NVME_STATUS(0, 0x07)
#define NVME_INVALID_NAMESPACE		  NVME_STATUS(0, 0x0b)
#define NVME_COMMAND_SEQUENCE		  NVME_STATUS(0, 0x0c)
#define NVME_INVALID_SGL_SEGMENT	  NVME_STATUS(0, 0x0d)
#define NVME_INVALID_SGL_COUNT		  NVME_STATUS(0, 0x0e)
#define NVME_SGL_LENGTH_INVALID		  NVME_STATUS(0, 0x0f)
#define NVME_SGL_TYPE_INVALID		  NVME_STATUS(0, 0x11)
#define NVME_PRP_OFFSET_INVALID		  NVME_STATUS(0, 0x13)
#define NVME_WRITE_PROTECTED		  NVME_STATUS(0, 0x20)
#define NVME_LBA_OUT_OF_RANGE		  NVME_STATUS(0, 0x80)
#define NVME_CAPACITY_EXCEEDED		  NVME_STATUS(0, 0x81)
#define NVME_CQ_INVALID			  NVME_STATUS(1, 0x00)
#define NVME_INVALID_QUEUE_ID		  NVME_STATUS(1, 0x01)
#define NVME_INVALID_QUEUE_SIZE		  NVME_STATUS(1, 0x02)
#define NVME_TOO_MANY_ASYNC_EVENTS	  NVME_STATUS(1, 0x05)
#define NVME_INVALID_VECTOR		  NVME_STATUS(1, 0x08)
#define NVME_INVALID_LOG_PAGE		  NVME_STATUS(1, 0x09)
#define NVME_INVALID_QUEUE_DELETION	  NVME_STATUS(1, 0x0c)
#define NVME_FEATURE_NOT_SAVEABLE	  NVME_STATUS(1, 0x0d)
#define NVME_WRITE_FAULT		  NVME_STATUS(2, 0x80)
#define NVME_UNRECOVERED_READ		  NVME_STATUS(2, 0x81)

/* ---- opcodes ---- */

enum nvme_admin_opcode {			/* 5 */
	NVME_ADMIN_DELETE_SQ = 0x00,
	NVME_ADMIN_CREATE_SQ = 0x01,
	NVME_ADMIN_GET_LOG_PAGE = 0x02,
	NVME_ADMIN_DELETE_CQ = 0x04,
	NVME_ADMIN_CREATE_CQ = 0x05,
	NVME_ADMIN_IDENTIFY = 0x06,
	NVME_ADMIN_ABORT = 0x08,
	NVME_ADMIN_SET_FEATURES = 0x09,
	NVME_ADMIN_GET_FEATURES = 0x0a,
	NVME_ADMIN_ASYNC_EVENT = 0x0c,
	NVME_ADMIN_DOORBELL_BUFFER_CONFIG = 0x7c,
};

enum nvme_io_opcode {				/* 6 */
	NVME_IO_FLUSH = 0x00,
	NVME_IO_WRITE = 0x01,
	NVME_IO_READ = 0x02,
	NVME_IO_WRITE_ZEROES = 0x08,
	NVME_IO_DATASET_MANAGEMENT = 0x09,
};
#define NVME_IO_FORCE_UNIT_ACCESS (1u << 30)	/* of cdw12 (6.9, 6.15) */
#define NVME_DEALLOCATE		  (1u << 2)	/* of cdw11 (6.7) */

/* Features (5.21.1). */
enum nvme_feature {
	NVME_FEATURE_ARBITRATION = 0x01,
	NVME_FEATURE_POWER = 0x02,
	NVME_FEATURE_TEMPERATURE = 0x04,
	NVME_FEATURE_ERROR_RECOVERY = 0x05,
	NVME_FEATURE_WRITE_CACHE = 0x06,
	NVME_FEATURE_QUEUES = 0x07,
	NVME_FEATURE_COALESCING = 0x08,
	NVME_FEATURE_VECTOR = 0x09,
	NVME_FEATURE_ATOMICITY = 0x0a,
	NVME_FEATURE_ASYNC_EVENTS = 0x0b,
};

/* Log pages (5.14.1). */
enum nvme_log {
	NVME_LOG_ERRORS = 0x01,
	NVME_LOG_HEALTH = 0x02,
	NVME_LOG_FIRMWARE = 0x03,
	NVME_LOG_NAMESPACES = 0x04,
};

/* Identify (5.15): what is asked for. */
enum nvme_identify {
	NVME_IDENTIFY_NAMESPACE = 0x00,
	NVME_IDENTIFY_CONTROLLER = 0x01,
	NVME_IDENTIFY_NAMESPACES = 0x02,
	NVME_IDENTIFY_DESCRIPTORS = 0x03,
};
#define NVME_IDENTIFY_BYTES 4096u

/* Asynchronous events (5.2.1): type, information, log page. */
#define NVME_EVENT(type, information, log) ((uint32_t)(log) << 16 | (information) << 8 | (type))
#define NVME_EVENT_DOORBELL_REGISTER NVME_EVENT(0u, 0x00u, NVME_LOG_ERRORS)
#define NVME_EVENT_DOORBELL_VALUE    NVME_EVENT(0u, 0x01u, NVME_LOG_ERRORS)
#define NVME_EVENT_NAMESPACE	     NVME_EVENT(2u, 0x00u, NVME_LOG_NAMESPACES)
#define NVME_NOTICE_NAMESPACE	     (1u << 8)	/* of feature 0x0b, and of OAES */

struct nvme_lba_format {
	uint16_t metadata_bytes;
	uint8_t block_shift, performance;
};

/* Identify Namespace (5.15.2.1); what is not named is zero. */
struct nvme_identify_namespace {
	uint64_t size_blocks, capacity_blocks, used_blocks;
	uint8_t features, formats, format, metadata, protection, protection_settings, sharing, reservations;
	uint8_t format_progress, deallocate;
	uint16_t atomic_write, atomic_write_power_fail, atomic_compare, boundary, boundary_offset,
		boundary_power_fail, optimal_boundary;
	uint8_t nvm_capacity[16];
	uint16_t write_granularity, write_alignment, deallocate_granularity, deallocate_alignment,
		optimal_write;
	uint8_t reserved[18];
	uint32_t group;
	uint8_t reserved2[3];
	uint8_t attributes;
	uint16_t set, endurance_group;
	uint8_t guid[16], eui64[8];
	struct nvme_lba_format formats_list[16];
	uint8_t rest[3904];
};
static_assert(sizeof(struct nvme_identify_namespace) == NVME_IDENTIFY_BYTES, "5.15.2.1");
static_assert(offsetof(struct nvme_identify_namespace, formats_list) == 128, "5.15.2.1: LBAF0");
static_assert(offsetof(struct nvme_identify_namespace, guid) == 104, "5.15.2.1: NGUID");
static_assert(offsetof(struct nvme_identify_namespace, nvm_capacity) == 48, "5.15.2.1: NVMCAP");

/* Identify Controller (5.15.2.2); what is not named is zero. */
struct nvme_identify_controller {
	uint16_t vendor, subsystem_vendor;
	char serial[20], model[40], firmware[8];
	uint8_t arbitration_burst, ieee[3], multipath, data_bytes_max;
	uint16_t controller_id;
	uint32_t version, resume_latency, entry_latency, async_events, attributes;
	uint8_t reserved[11];
	uint8_t type;			/* 111: 1 is one that does I/O */
	uint8_t reserved2[144];
	uint16_t admin_commands;	/* 256 */
	uint8_t abort_limit, async_limit, firmware_updates, log_attributes, error_entries, power_states;
	uint8_t vendor_commands, autonomous;
	uint16_t warning_temperature, critical_temperature;	/* 266, 268 */
	uint8_t reserved3[242];
	uint8_t sq_entry, cq_entry;	/* 512 */
	uint16_t commands_max;
	uint32_t namespaces;
	uint16_t io_commands, fused;
	uint8_t format, write_cache;
	uint16_t atomic_write, atomic_write_power_fail;
	uint8_t vendor_io_commands, write_protection;
	uint16_t atomic_compare, reserved4;
	uint32_t sgl_support, namespaces_max;
	uint8_t reserved5[224];
	char subsystem[256];		/* 768 */
	uint8_t reserved6[1024];
	struct {
		uint16_t power_centiwatts;
		uint8_t rest[30];
	} power[32];			/* 2048 */
	uint8_t vendor_specific[1024];
};
static_assert(sizeof(struct nvme_identify_controller) == NVME_IDENTIFY_BYTES, "5.15.2.2");
static_assert(offsetof(struct nvme_identify_controller, type) == 111, "5.15.2.2: CNTRLTYPE");
static_assert(offsetof(struct nvme_identify_controller, admin_commands) == 256, "5.15.2.2: OACS");
static_assert(offsetof(struct nvme_identify_controller, warning_temperature) == 266, "5.15.2.2: WCTEMP");
static_assert(offsetof(struct nvme_identify_controller, sq_entry) == 512, "5.15.2.2: SQES");
static_assert(offsetof(struct nvme_identify_controller, write_cache) == 525, "5.15.2.2: VWC");
static_assert(offsetof(struct nvme_identify_controller, sgl_support) == 536, "5.15.2.2: SGLS");
static_assert(offsetof(struct nvme_identify_controller, subsystem) == 768, "5.15.2.2: SUBNQN");
static_assert(offsetof(struct nvme_identify_controller, power) == 2048, "5.15.2.2: PSD0");

#define NVME_FLUSH_ALL	       0xffffffffu	/* a namespace's number: of all of them */
#define NVME_DOORBELL_BUFFERS  (1u << 8)	/* of OACS */
#define NVME_DEALLOCATES       (1u << 2)	/* of ONCS */
#define NVME_WRITES_ZEROES     (1u << 3)
#define NVME_HAS_WRITE_CACHE   1u		/* of VWC; bits 1–2: flushes with 0xffffffff are taken */
#define NVME_FLUSHES_ALL       (3u << 1)
#define NVME_SGL_BYTES	       1u		/* of SGLS: data at any address */

/* SMART / health information (5.14.1.2), as far as it is told; the rest is zero. */
struct nvme_health {
	uint8_t warning;
	uint8_t temperature[2];
	uint8_t spare, spare_threshold, used, reserved[26];
	/* 128-bit numbers, of which the lower half is told */
	uint64_t units_read, units_read_high, units_written, units_written_high;
	uint64_t reads, reads_high, writes, writes_high;
	uint8_t rest[416];
};
static_assert(sizeof(struct nvme_health) == 512, "5.14.1.2");
static_assert(offsetof(struct nvme_health, units_read) == 32, "5.14.1.2: data units read");

#endif
