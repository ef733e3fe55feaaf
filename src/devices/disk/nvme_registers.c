/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers (3.1), and the life of the controller that they steer: enabled, ready, shut down, reset, failed.
 * A controller that is switched off is ready no longer when nothing is under way, which its driver sees in
 * CSTS.
 */
#include <errno.h>
#include <string.h>

#include "core/checked.h"
#include "core/container.h"
#include "devices/disk/nvme_private.h"

/* So long may enabling and disabling take (CAP.TO): a slow disk has commands under way. */
#define TIMEOUT_HALF_SECONDS 0xffu

#define QUEUE_ENTRIES(zero_based) (((zero_based)&0xfff) + 1)

/* ---- reading ---- */

static uint64_t capabilities(void)
{
	return (NVME_ENTRIES_MAX - 1) | NVME_CAP_CONTIGUOUS | NVME_CAP_TIMEOUT(TIMEOUT_HALF_SECONDS) |
	       NVME_CAP_NVM_COMMANDS;
}

/* Registers below 0x40, as bytes; what is not named is zero. */
static void image(const struct nvme_function *function, uint8_t bytes[0x40])
{
	const struct {
		uint32_t offset;
		size_t bytes;
		uint64_t value;
	} registers[] = {
		{ NVME_REG_CAP, 8, capabilities() },	 { NVME_REG_VS, 4, NVME_VERSION },
		{ NVME_REG_INTMS, 4, function->masked }, { NVME_REG_INTMC, 4, function->masked },
		{ NVME_REG_CC, 4, function->cc },	 { NVME_REG_CSTS, 4, function->csts },
		{ NVME_REG_AQA, 4, function->aqa },	 { NVME_REG_ASQ, 8, function->asq },
		{ NVME_REG_ACQ, 8, function->acq },
	};

	memset(bytes, 0, 0x40);
	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		memcpy(bytes + registers[i].offset, &registers[i].value, registers[i].bytes);
}

uint64_t nvme_read(void *opaque, unsigned bar, uint32_t offset, unsigned bytes)
{
	uint8_t registers[0x40];
	uint64_t value = 0;

	if (bar != 0 || !checked_range(offset, bytes, sizeof(registers)))
		return 0;
	image(opaque, registers);
	memcpy(&value, registers + offset, bytes);
	return value;
}

/* ---- the controller's life ---- */

void nvme_registers_reset(struct nvme_function *function)
{
	nvme_lanes_drop_kept(function);
	nvme_queues_forget(function);
	nvme_features_reset(function);
	function->cc = function->csts = function->aqa = function->masked = 0;
	function->asq = function->acq = 0;
	function->disabling = function->shutting_down = function->flushed = false;
	nvme_remote_rest(function, true);
}

void nvme_fail(struct nvme_function *function, enum nvme_violation kind, uint64_t value)
{
	nvme_violate(function, kind, value);
	function->csts |= NVME_CSTS_FATAL;
	nvme_lanes_steer(function);
}

/* Are these settings possible? (3.1.5, 3.1.8 to 3.1.10) */
static bool can_enable(const struct nvme_function *function)
{
	uint32_t cc = function->cc;
	unsigned sq_entries = QUEUE_ENTRIES(function->aqa), cq_entries = QUEUE_ENTRIES(function->aqa >> 16);

	return NVME_CC_COMMAND_SET(cc) == 0 && NVME_CC_PAGE_SIZE(cc) == 0 && NVME_CC_ARBITRATION(cc) == 0 &&
	       sq_entries >= 2 && cq_entries >= 2 && function->asq % NVME_PAGE_BYTES == 0 &&
	       function->acq % NVME_PAGE_BYTES == 0;
}

static void enable(struct nvme_function *function)
{
	struct nvme_sq *sq = &function->sq[NVME_ADMIN_QUEUE];
	struct nvme_cq *cq = &function->cq[NVME_ADMIN_QUEUE];

	function->csts &= ~NVME_CSTS_SHUTDOWN_MASK;
	nvme_channel_renew(function);
	if (!can_enable(function)) {
		nvme_fail(function, NVME_VIOLATION_ENABLE, function->cc);
		return;
	}
	*sq = (struct nvme_sq){
		.exists = true,
		.entries = QUEUE_ENTRIES(function->aqa),
		.address = function->asq,
	};
	*cq = (struct nvme_cq){
		.exists = true,
		.entries = QUEUE_ENTRIES(function->aqa >> 16),
		.address = function->acq,
		.phase = true,
		.interrupts = true,
		.sq_count = 1,
	};
	nvme_queues_map(function);
	if (!sq->ring || !cq->ring) {
		nvme_queues_forget(function);
		nvme_fail(function, NVME_VIOLATION_QUEUE_MEMORY, sq->ring ? function->acq : function->asq);
		return;
	}
	function->csts |= NVME_CSTS_READY;
}

/* A controller reset keeps AQA, ASQ and ACQ (7.3.2). */
static void disabled(struct nvme_function *function)
{
	uint32_t aqa = function->aqa;
	uint64_t asq = function->asq, acq = function->acq;

	nvme_registers_reset(function);
	function->aqa = aqa;
	function->asq = asq;
	function->acq = acq;
}

static void flushed(struct disk_request *flush, int error)
{
	struct nvme_function *function = container_of(flush, struct nvme_function, flush);

	/*
	 * What was not flushed is in the disk's log of errors; the driver waits for the end all the same. One
	 * that is frozen flushes again when it goes on.
	 */
	function->flushed = error != -ECANCELED || !function->frozen;
	function->home.under_way--;
	nvme_check_quiet(function);
}

/* What was written is durable when a driver that shuts down is told of the end (7.6.2). */
static void shut_down(struct nvme_function *function)
{
	if (function->flushed) {
		function->csts = (function->csts & ~NVME_CSTS_SHUTDOWN_MASK) | NVME_CSTS_SHUT_DOWN;
		function->shutting_down = function->flushed = false;
		nvme_queues_wake(function);
		nvme_lanes_steer(function);
		return;
	}
	function->flush.op = DISK_FLUSH;
	function->flush.done = flushed;
	function->home.under_way++;
	disk_submit(function->home.channel, &function->flush);
}

void nvme_controller_rested(struct nvme_function *function)
{
	if (function->disabling)
		disabled(function);
	else if (function->shutting_down)
		shut_down(function);
	nvme_drain(function);
}

static void write_cc(struct nvme_function *function, uint32_t value)
{
	uint32_t before = function->cc;

	if (function->disabling)
		return;
	function->cc = value;
	if (before & NVME_CC_ENABLE && !(value & NVME_CC_ENABLE)) {
		function->disabling = true;
		nvme_drain(function);
		nvme_lanes_steer(function);
		nvme_check_quiet(function);
		return;
	}
	if (!(before & NVME_CC_ENABLE) && value & NVME_CC_ENABLE)
		enable(function);
	if (NVME_CC_SHUTDOWN(value) && !NVME_CC_SHUTDOWN(before)) {
		function->csts = (function->csts & ~NVME_CSTS_SHUTDOWN_MASK) | NVME_CSTS_SHUTTING_DOWN;
		function->shutting_down = true;
		nvme_drain(function);
		nvme_lanes_steer(function);
		nvme_check_quiet(function);
	}
}

/* ---- writing ---- */

static void set_half(uint64_t *value, bool upper, uint32_t half)
{
	if (upper)
		*value = (*value & 0xffffffffu) | (uint64_t)half << 32;
	else
		*value = (*value & ~0xffffffffull) | half;
}

static bool is_enabled(const struct nvme_function *function)
{
	return function->cc & NVME_CC_ENABLE;
}

static void write_32(struct nvme_function *function, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case NVME_REG_INTMS:
		function->masked |= value;
		nvme_interrupts_refresh(function);
		break;
	case NVME_REG_INTMC:
		function->masked &= ~value;
		nvme_interrupts_refresh(function);
		break;
	case NVME_REG_CC:
		write_cc(function, value);
		break;
	case NVME_REG_AQA:
		if (!is_enabled(function))
			function->aqa = value & 0x0fff0fffu;
		break;
	case NVME_REG_ASQ:
	case NVME_REG_ASQ + 4:
		if (!is_enabled(function))
			set_half(&function->asq, offset > NVME_REG_ASQ, value);
		break;
	case NVME_REG_ACQ:
	case NVME_REG_ACQ + 4:
		if (!is_enabled(function))
			set_half(&function->acq, offset > NVME_REG_ACQ, value);
		break;
	default:
		if (offset >= NVME_DOORBELLS && offset < nvme_model.msix_table_offset)
			nvme_doorbell(function, offset, value);
	}
}

/* Registers are written in their own size, or one of 64 bits in halves (3.1). Anything else goes nowhere. */
void nvme_write(void *opaque, unsigned bar, uint32_t offset, unsigned bytes, uint64_t value)
{
	struct nvme_function *function = opaque;

	if (bar != 0 || bytes < 4 || offset % bytes != 0)
		return;
	write_32(function, offset, (uint32_t)value);
	if (bytes == 8)
		write_32(function, offset + 4, (uint32_t)(value >> 32));
}
