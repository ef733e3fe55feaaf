/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads and stores: of the configuration space, of the array of pending messages, and of the model's
 * registers, which are asked in pieces of 1, 2, 4 or 8 bytes that are aligned.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/checked.h"
#include "interfaces/vfio_user/vfio_user_connection.h"

/* Bytes of one entry of the table of vectors (PCI 3.0, 6.8.2.6). */
#define MSIX_ENTRY_BYTES 16u

uint64_t vfio_user_region_bytes(const struct register_model_ops *model, uint32_t region)
{
	if (region == VFIO_USER_REGION_CONFIG)
		return PCI_CONFIG_BYTES;
	return region < REGISTER_BARS && model->bars[region].kind != REGISTER_BAR_NONE
		       ? model->bars[region].bytes
		       : 0;
}

/* ---- BARs ---- */

/* The largest aligned piece of [offset, offset + left). */
static unsigned piece(uint64_t offset, size_t left)
{
	unsigned bytes = 8;

	while (bytes > left || offset % bytes != 0)
		bytes /= 2;
	return bytes;
}

/* What the bus answers for: the table of vectors, which the VMM keeps itself, and the pending bits. */
static bool is_msix(const struct vfio_user_connection *connection, uint32_t bar, uint64_t offset,
		    uint64_t *ret_value)
{
	const struct register_model_ops *model = vfio_user_model(connection);
	uint32_t table = model->msix_table_offset, pending = model->msix_pending_offset;

	*ret_value = 0;
	if (bar != model->msix_bar || model->vectors == 0)
		return false;
	if (offset >= table && offset - table < (uint64_t)model->vectors * MSIX_ENTRY_BYTES)
		return true;
	if (offset < pending || offset - pending >= sizeof(uint64_t))
		return false;
	*ret_value = vfio_user_lanes_pending(connection) >> 8 * (offset - pending);
	return true;
}

static void bar_read(struct vfio_user_connection *connection, uint32_t bar, uint64_t offset, uint8_t *to,
		     size_t bytes)
{
	const struct register_model_ops *model = vfio_user_model(connection);

	for (; bytes > 0; connection->work++) {
		unsigned now = piece(offset, bytes);
		uint64_t value;

		if (!is_msix(connection, bar, offset, &value))
			value = model->read(connection->function, bar, (uint32_t)offset, now);
		memcpy(to, &value, now);
		to += now;
		offset += now;
		bytes -= now;
	}
}

static void bar_write(struct vfio_user_connection *connection, uint32_t bar, uint64_t offset,
		      const uint8_t *from, size_t bytes)
{
	const struct register_model_ops *model = vfio_user_model(connection);

	for (; bytes > 0; connection->work++) {
		unsigned now = piece(offset, bytes);
		uint64_t value = 0, ignored;

		memcpy(&value, from, now);
		if (!is_msix(connection, bar, offset, &ignored))
			model->write(connection->function, bar, (uint32_t)offset, now, value);
		from += now;
		offset += now;
		bytes -= now;
	}
}

/* ---- the configuration space ---- */

/* The part of [*offset, *offset + *bytes) that is registers of the model's. False: there is none. */
static bool model_part(const struct pci_config *config, uint64_t *offset, size_t *bytes)
{
	uint64_t from = *offset > config->registers ? *offset : config->registers;
	uint64_t end = *offset + *bytes < config->registers_end ? *offset + *bytes : config->registers_end;

	if (from >= end)
		return false;
	*offset = from;
	*bytes = (size_t)(end - from);
	return true;
}

static void config_read(struct vfio_user_connection *connection, uint64_t offset, uint8_t *to, size_t bytes)
{
	const struct pci_config *config = &connection->config;
	uint64_t from = offset;

	pci_config_set_pin(&connection->config, connection->interrupts.due != 0);
	pci_config_read(config, (uint32_t)offset, to, bytes);
	if (model_part(config, &from, &bytes))
		bar_read(connection, REGISTER_BAR_CAPABILITY, from - config->capability, to + (from - offset),
			 bytes);
}

static void config_write(struct vfio_user_connection *connection, uint64_t offset, const uint8_t *from,
			 size_t bytes)
{
	const struct pci_config *config = &connection->config;
	uint64_t part = offset;
	size_t part_bytes = bytes;

	pci_config_write(&connection->config, (uint32_t)offset, from, bytes);
	if (model_part(config, &part, &part_bytes))
		bar_write(connection, REGISTER_BAR_CAPABILITY, part - config->capability,
			  from + (part - offset), part_bytes);
	vfio_user_interrupts_allow_pin(&connection->interrupts, pci_config_pin_allowed(&connection->config));
	if (pci_config_is_bus_master(&connection->config) != connection->is_master) {
		connection->is_master = !connection->is_master;
		vfio_user_connection_refresh_memory(connection);
		vfio_user_connection_settle_memory(connection);
	}
}

/* ---- messages ---- */

static const char *check(const struct vfio_user_connection *connection,
			 const struct vfio_user_region_access *access)
{
	uint64_t bytes = vfio_user_region_bytes(vfio_user_model(connection), access->region);

	if (access->count == 0 || access->count > VFIO_USER_DATA_MAX)
		return "so many bytes";
	return checked_range(access->offset, access->count, bytes) ? NULL : "outside of the region";
}

static void store(struct vfio_user_connection *connection, const struct vfio_user_region_access *access,
		  const uint8_t *data)
{
	counter_add(&connection->endpoint->accesses, 1);
	if (access->region == VFIO_USER_REGION_CONFIG)
		config_write(connection, access->offset, data, access->count);
	else
		bar_write(connection, access->region, access->offset, data, access->count);
}

static void refuse(struct vfio_user_connection *connection, const char *about, const char *reason,
		   const struct vfio_user_region_access *access)
{
	vfio_user_complain(connection, about, reason,
			   access->count > VFIO_USER_DATA_MAX ? access->count : access->offset);
	vfio_user_reply(connection, -EINVAL, NULL, 0);
}

void vfio_user_region_read(struct vfio_user_connection *connection, const uint8_t *payload)
{
	struct {
		struct vfio_user_region_access access;
		uint8_t data[VFIO_USER_DATA_MAX];
	} answer;
	const char *reason;

	memcpy(&answer.access, payload, sizeof(answer.access));
	reason = check(connection, &answer.access);
	if (reason) {
		refuse(connection, "region-read", reason, &answer.access);
		return;
	}
	counter_add(&connection->endpoint->accesses, 1);
	if (answer.access.region == VFIO_USER_REGION_CONFIG)
		config_read(connection, answer.access.offset, answer.data, answer.access.count);
	else
		bar_read(connection, answer.access.region, answer.access.offset, answer.data,
			 answer.access.count);
	vfio_user_reply(connection, 0, &answer, sizeof(answer.access) + answer.access.count);
}

void vfio_user_region_write(struct vfio_user_connection *connection, const uint8_t *payload, size_t bytes)
{
	struct vfio_user_region_access access;
	const char *reason;

	memcpy(&access, payload, sizeof(access));
	reason = check(connection, &access);
	if (!reason && bytes - sizeof(access) != access.count)
		reason = "so many bytes, and others follow";
	if (reason) {
		refuse(connection, "region-write", reason, &access);
		return;
	}
	store(connection, &access, payload + sizeof(access));
	vfio_user_reply(connection, 0, &access, sizeof(access));
}

void vfio_user_region_write_multi(struct vfio_user_connection *connection, const uint8_t *payload,
				  size_t bytes)
{
	struct vfio_user_region_write one;
	uint64_t count;

	memcpy(&count, payload, sizeof(count));
	if (count > bytes / sizeof(one) || bytes != sizeof(count) + count * sizeof(one)) {
		vfio_user_complain(connection, "region-write-multi", "so many writes", count);
		vfio_user_reply(connection, -EINVAL, NULL, 0);
		return;
	}
	/* Each is a message of its own that happens to come with others. */
	for (uint64_t i = 0; i < count && !connection->closing; i++) {
		const char *reason;

		memcpy(&one, payload + sizeof(count) + i * sizeof(one), sizeof(one));
		reason = check(connection, &one.access);
		if (one.access.count > sizeof(one.data))
			reason = "so many bytes";
		/* Posted writes are those of BARs: what the configuration space changes takes longer. */
		if (one.access.region == VFIO_USER_REGION_CONFIG)
			reason = "not of a BAR";
		if (reason)
			vfio_user_complain(connection, "region-write-multi", reason, one.access.offset);
		else
			store(connection, &one.access, one.data);
	}
	vfio_user_reply(connection, 0, &count, sizeof(count));
}
