/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a message asks for, but for loads and stores: each is answered here, in the order they come. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "interfaces/vfio_user/vfio_user_connection.h"

/* 0.1: with DMA access modes and the like left out (vfio-user, VFIO_USER_VERSION). */
#define MAJOR 0u
#define MINOR 1u

static struct vfio_user_header header_of(const struct vfio_user_connection *connection)
{
	struct vfio_user_header header;

	memcpy(&header, connection->in + connection->in_at, sizeof(header));
	return header;
}

/* One that has not agreed on a version is no VMM: it is let go. */
static void refuse(struct vfio_user_connection *connection, int error, const char *reason, uint64_t value)
{
	struct vfio_user_header header = header_of(connection);

	vfio_user_reply(connection, error, NULL, 0);
	if (connection->versioned)
		vfio_user_complain(connection, vfio_user_command_name(header.command), reason, value);
	else
		vfio_user_violate(connection, vfio_user_command_name(header.command), reason, value);
}

/* ---- the version ---- */

/*
 * What the VMM can do is of no use here but for one number; it is an object, or nothing. False: neither.
 * *ret_bytes: what it takes in one message; 0: it does not say.
 */
static bool read_capabilities(const uint8_t *text, size_t bytes, uint64_t *ret_bytes)
{
	json_t *object, *most;
	bool is;

	*ret_bytes = 0;
	if (bytes == 0)
		return true;
	if (text[bytes - 1] != '\0')
		return false;
	object = json_loadb((const char *)text, bytes - 1, JSON_REJECT_DUPLICATES, NULL);
	is = json_is_object(object);
	most = json_object_get(json_object_get(object, "capabilities"), "max_data_xfer_size");
	if (json_integer_value(most) > 0)
		*ret_bytes = (uint64_t)json_integer_value(most);
	json_decref(object);
	return is;
}

static void version(struct vfio_user_connection *connection, const uint8_t *payload, size_t bytes)
{
	struct {
		struct vfio_user_version version;
		char capabilities[256];
	} answer;
	uint64_t bytes_max;
	int length;

	memcpy(&answer.version, payload, sizeof(answer.version));
	if (answer.version.major != MAJOR) {
		refuse(connection, -EINVAL, "no such version", answer.version.major);
		return;
	}
	if (!read_capabilities(payload + sizeof(answer.version), bytes - sizeof(answer.version),
			       &bytes_max)) {
		refuse(connection, -EINVAL, "capabilities are no JSON object with a final NUL", bytes);
		return;
	}
	/* A VMM of an older minor version refuses a newer one. */
	if (answer.version.minor > MINOR)
		answer.version.minor = MINOR;
	length = snprintf(
		answer.capabilities, sizeof(answer.capabilities),
		"{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u,\"max_dma_maps\":%u,"
		"\"pgsizes\":4096,\"write_multiple\":true}}",
		VFIO_USER_FDS_MAX, VFIO_USER_DATA_MAX, VFIO_USER_MAPS_MAX);
	connection->versioned = true;
	vfio_user_errands_agree(connection, bytes_max);
	loop_timer_stop(connection->loop, &connection->timer);
	vfio_user_reply(connection, 0, &answer, sizeof(answer.version) + (size_t)length + 1);
}

/* ---- memory ---- */

static void dma_map(struct vfio_user_connection *connection, const uint8_t *payload)
{
	struct vfio_user_dma_map map;
	int fd = -1, error;

	memcpy(&map, payload, sizeof(map));
	if (map.flags & ~(VFIO_USER_DMA_READABLE | VFIO_USER_DMA_WRITABLE)) {
		refuse(connection, -EINVAL, "no such flag", map.flags);
		return;
	}
	if (connection->fd_count == 1) {
		fd = connection->fds[0];
		connection->fd_count = 0;
	}
	error = vfio_user_dma_map(&connection->dma, &map, &fd);
	if (fd >= 0)
		connection->fds[connection->fd_count++] = fd;
	/* What was there before may be gone, also when this one cannot be had. */
	vfio_user_connection_refresh_memory(connection);
	if (error)
		refuse(connection, error, "cannot be mapped", map.address);
	else
		vfio_user_reply(connection, 0, NULL, 0);
}

/* Requests under way go on in the memory that they began with: it is given up after the last of them. */
static void dma_unmap(struct vfio_user_connection *connection, const uint8_t *payload)
{
	struct vfio_user_dma_unmap unmap;
	int error = 0;

	memcpy(&unmap, payload, sizeof(unmap));
	if (unmap.flags & ~VFIO_USER_UNMAP_ALL)
		error = -EINVAL;
	else if (unmap.flags & VFIO_USER_UNMAP_ALL)
		vfio_user_dma_unmap_all(&connection->dma);
	else
		error = vfio_user_dma_unmap(&connection->dma, unmap.address, unmap.size);
	vfio_user_connection_refresh_memory(connection);
	if (error)
		refuse(connection, error, "cannot be unmapped", unmap.address);
	else
		vfio_user_reply(connection, 0, &unmap, sizeof(unmap));
}

/* ---- what the device is ---- */

static void get_info(struct vfio_user_connection *connection)
{
	const struct vfio_user_device_info info = {
		.argsz = sizeof(info),
		.flags = VFIO_USER_DEVICE_RESETS | VFIO_USER_DEVICE_PCI,
		.regions = VFIO_USER_REGIONS,
		.interrupts = VFIO_USER_IRQS,
	};

	vfio_user_reply(connection, 0, &info, sizeof(info));
}

struct region_answer {
	struct vfio_user_region_info info;
	struct vfio_user_sparse_map map;
};

/* Says which part of the BAR can be mapped. Returns the bytes of the answer, for which the VMM has room. */
static size_t describe_map(struct region_answer *answer, const struct register_bar *bar, uint32_t room)
{
	answer->info.flags |= VFIO_USER_REGION_MAPPABLE;
	if (bar->mapped_bytes == bar->bytes)
		return sizeof(answer->info);
	answer->info.argsz = sizeof(*answer);
	/* The flag says that a capability is in this answer: QEMU refuses one that has none. */
	if (room < sizeof(*answer))
		return sizeof(answer->info);
	answer->info.flags |= VFIO_USER_REGION_CAPABILITIES;
	answer->info.capability_offset = offsetof(struct region_answer, map);
	answer->map = (struct vfio_user_sparse_map){
		.id = VFIO_USER_CAPABILITY_SPARSE_MAP,
		.version = 1,
		.areas = 1,
		.offset = bar->mapped_offset,
		.size = bar->mapped_bytes,
	};
	return sizeof(*answer);
}

/* A VMM that has too little room asks again, and gets the memory then. */
static void answer_mapped(struct vfio_user_connection *connection, struct region_answer *answer,
			  uint32_t room)
{
	const struct register_model_ops *model = vfio_user_model(connection);
	uint32_t index = answer->info.index;
	size_t bytes = describe_map(answer, &model->bars[index], room);
	bool whole = bytes == answer->info.argsz;

	if (whole && connection->fds_given == VFIO_USER_FDS_GIVEN_MAX) {
		refuse(connection, -EBUSY, "the memory was given too often", index);
		return;
	}
	connection->fds_given += whole;
	vfio_user_reply_with(connection, answer, bytes,
			     whole ? model->bar_memory(connection->function, index) : -1);
}

static void get_region_info(struct vfio_user_connection *connection, const uint8_t *payload)
{
	const struct register_model_ops *model = vfio_user_model(connection);
	struct vfio_user_region_info asked;
	struct region_answer answer = { .info.argsz = sizeof(answer.info) };

	memcpy(&asked, payload, sizeof(asked));
	if (asked.index >= VFIO_USER_REGIONS) {
		refuse(connection, -EINVAL, "no such region", asked.index);
		return;
	}
	answer.info.index = asked.index;
	answer.info.size = vfio_user_region_bytes(model, asked.index);
	if (answer.info.size > 0)
		answer.info.flags = VFIO_USER_REGION_READABLE | VFIO_USER_REGION_WRITABLE;
	if (asked.index < REGISTER_BARS && model->bars[asked.index].mapped_bytes > 0)
		answer_mapped(connection, &answer, asked.argsz);
	else
		vfio_user_reply(connection, 0, &answer.info, sizeof(answer.info));
}

static void get_irq_info(struct vfio_user_connection *connection, const uint8_t *payload)
{
	struct vfio_user_irq_info info;

	memcpy(&info, payload, sizeof(info));
	if (info.index >= VFIO_USER_IRQS) {
		refuse(connection, -EINVAL, "no such kind of interrupts", info.index);
		return;
	}
	vfio_user_interrupts_info(&connection->interrupts, info.index, &info);
	vfio_user_reply(connection, 0, &info, sizeof(info));
}

/* ---- interrupts, reset ---- */

static void set_irqs(struct vfio_user_connection *connection, const uint8_t *payload, size_t bytes)
{
	struct vfio_user_irq_set set;
	bool had_vectors = vfio_user_interrupts_has_vectors(&connection->interrupts);
	const uint8_t *data = NULL;
	int error = 0;

	memcpy(&set, payload, sizeof(set));
	if (set.flags & VFIO_USER_IRQ_BOOL) {
		data = payload + sizeof(set);
		if (bytes - sizeof(set) < set.count)
			error = -EINVAL;
	}
	if (!error)
		error = vfio_user_interrupts_set(&connection->interrupts, &set, data, connection->fds,
						 connection->fd_count);
	if (had_vectors != vfio_user_interrupts_has_vectors(&connection->interrupts))
		vfio_user_model(connection)->vectors_changed(connection->function);
	vfio_user_lanes_lend(connection);
	if (error)
		refuse(connection, error, "interrupts cannot be set so", set.index);
	else
		vfio_user_reply(connection, 0, NULL, 0);
}

/* The VMM may answer nothing before it has this answer: errands are given up. */
static void reset(struct vfio_user_connection *connection)
{
	connection->waiting = true;
	vfio_user_connection_quiesce(connection);
}

void vfio_user_handle_quiet(struct vfio_user_connection *connection)
{
	const struct register_model_ops *model = vfio_user_model(connection);

	connection->waiting = false;
	pci_config_init(&connection->config, model);
	connection->is_master = false;
	vfio_user_interrupts_reset(&connection->interrupts);
	vfio_user_interrupts_allow_pin(&connection->interrupts, true);
	vfio_user_lanes_begin(connection);
	model->reset(connection->function);
	vfio_user_connection_refresh_memory(connection);
	vfio_user_reply(connection, 0, NULL, 0);
}

/* ---- all ---- */

/* Bytes that the answer has at least, of commands whose argsz says how many the VMM takes (Message sizes). */
static uint32_t answer_bytes_min(uint16_t command)
{
	switch (command) {
	case VFIO_USER_DMA_UNMAP:
		return sizeof(struct vfio_user_dma_unmap);
	case VFIO_USER_GET_INFO:
		return sizeof(struct vfio_user_device_info);
	case VFIO_USER_GET_REGION_INFO:
		return sizeof(struct vfio_user_region_info);
	case VFIO_USER_GET_IRQ_INFO:
		return sizeof(struct vfio_user_irq_info);
	default:
		return 0;
	}
}

static bool has_room(uint16_t command, const uint8_t *payload)
{
	uint32_t argsz, bytes = answer_bytes_min(command);

	if (bytes == 0)
		return true;
	memcpy(&argsz, payload, sizeof(argsz));
	return argsz >= bytes;
}

void vfio_user_handle(struct vfio_user_connection *connection)
{
	const struct vfio_user_standing standing = { .versioned = connection->versioned };
	struct vfio_user_header header = header_of(connection);
	const uint8_t *payload = connection->in + connection->in_at + sizeof(header);
	size_t bytes = header.size - sizeof(header);
	const char *reason;
	int error;

	if (vfio_user_is_answer(&header)) {
		vfio_user_errands_answer(connection);
		return;
	}
	error = vfio_user_message_check(&header, connection->fd_count, &standing, &reason);

	if (error) {
		refuse(connection, error, reason, header.command);
		return;
	}
	if (!has_room(header.command, payload)) {
		refuse(connection, -EINVAL, "no room for the answer", header.command);
		return;
	}
	if (header.command != VFIO_USER_DMA_MAP && header.command != VFIO_USER_DMA_UNMAP)
		vfio_user_connection_settle_memory(connection);
	switch (header.command) {
	case VFIO_USER_VERSION:
		version(connection, payload, bytes);
		break;
	case VFIO_USER_DMA_MAP:
		dma_map(connection, payload);
		break;
	case VFIO_USER_DMA_UNMAP:
		dma_unmap(connection, payload);
		break;
	case VFIO_USER_GET_INFO:
		get_info(connection);
		break;
	case VFIO_USER_GET_REGION_INFO:
		get_region_info(connection, payload);
		break;
	case VFIO_USER_GET_IRQ_INFO:
		get_irq_info(connection, payload);
		break;
	case VFIO_USER_SET_IRQS:
		set_irqs(connection, payload, bytes);
		break;
	case VFIO_USER_REGION_READ:
		vfio_user_region_read(connection, payload);
		break;
	case VFIO_USER_REGION_WRITE:
		vfio_user_region_write(connection, payload, bytes);
		break;
	case VFIO_USER_REGION_WRITE_MULTI:
		vfio_user_region_write_multi(connection, payload, bytes);
		break;
	case VFIO_USER_RESET:
		reset(connection);
		break;
	}
}
