/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vfio_user/vfio_user_messages.h"

#include <errno.h>
#include <string.h>

/* What must hold before a command is handled. Payload sizes are bytes behind the header. */
struct rule {
	const char *name;
	uint32_t payload_min, payload_max;
	unsigned fds_max;
};

#define EXACTLY(type) sizeof(type), sizeof(type)

static const struct rule rules[] = {
	[VFIO_USER_VERSION] = { "version", sizeof(struct vfio_user_version), VFIO_USER_DATA_MAX, 0 },
	[VFIO_USER_DMA_MAP] = { "dma-map", EXACTLY(struct vfio_user_dma_map), 1 },
	/* A bitmap of written pages may be asked for behind it, which nobody here can give. */
	[VFIO_USER_DMA_UNMAP] = { "dma-unmap", EXACTLY(struct vfio_user_dma_unmap), 0 },
	[VFIO_USER_GET_INFO] = { "get-info", EXACTLY(struct vfio_user_device_info), 0 },
	[VFIO_USER_GET_REGION_INFO] = { "get-region-info", sizeof(struct vfio_user_region_info),
					VFIO_USER_DATA_MAX, 0 },
	[VFIO_USER_GET_IRQ_INFO] = { "get-irq-info", EXACTLY(struct vfio_user_irq_info), 0 },
	[VFIO_USER_SET_IRQS] = { "set-irqs", sizeof(struct vfio_user_irq_set), VFIO_USER_DATA_MAX,
				 VFIO_USER_FDS_MAX },
	[VFIO_USER_REGION_READ] = { "region-read", EXACTLY(struct vfio_user_region_access), 0 },
	[VFIO_USER_REGION_WRITE] = { "region-write", sizeof(struct vfio_user_region_access),
				     sizeof(struct vfio_user_region_access) + VFIO_USER_DATA_MAX, 0 },
	[VFIO_USER_RESET] = { "reset", 0, 0, 0 },
	[VFIO_USER_REGION_WRITE_MULTI] = { "region-write-multi", sizeof(uint64_t),
					   sizeof(uint64_t) + VFIO_USER_WRITES_MAX *
								      sizeof(struct vfio_user_region_write),
					   0 },
};
#define RULES (sizeof(rules) / sizeof(rules[0]))

static const struct rule *rule_find(uint16_t command)
{
	return command < RULES && rules[command].name ? &rules[command] : NULL;
}

const char *vfio_user_command_name(uint16_t command)
{
	const struct rule *rule = rule_find(command);

	return rule ? rule->name : "?";
}

const char *vfio_user_header_check(const struct vfio_user_header *header)
{
	bool is_ours = header->command == VFIO_USER_DMA_READ || header->command == VFIO_USER_DMA_WRITE;

	if ((header->flags & VFIO_USER_FLAG_TYPE) != VFIO_USER_TYPE_COMMAND &&
	    !(is_ours && vfio_user_is_answer(header)))
		return "neither a command nor an answer that was asked for";
	if (header->size < sizeof(*header))
		return "shorter than its header";
	if (header->size > VFIO_USER_MESSAGE_MAX)
		return "too long";
	return NULL;
}

const char *vfio_user_answer_check(const struct vfio_user_header *header, uint16_t command,
				   const struct vfio_user_dma_access *asked, const uint8_t *payload)
{
	struct vfio_user_dma_access said;
	uint64_t bytes = header->size - sizeof(*header);

	if (header->command != command)
		return "an answer to another command";
	if (header->flags & VFIO_USER_FLAG_ERROR)
		return NULL;
	/* QEMU's answer to a write is a header. */
	if (command == VFIO_USER_DMA_WRITE && bytes == 0)
		return NULL;
	if (bytes != sizeof(said) + (command == VFIO_USER_DMA_READ ? asked->count : 0))
		return "an answer of another size";
	memcpy(&said, payload, sizeof(said));
	return said.address == asked->address && said.count == asked->count ? NULL
									    : "an answer about other memory";
}

static int fail(int error, const char *reason, const char **ret_reason)
{
	*ret_reason = reason;
	return error;
}

int vfio_user_message_check(const struct vfio_user_header *header, unsigned fd_count,
			    const struct vfio_user_standing *standing, const char **ret_reason)
{
	const struct rule *rule = rule_find(header->command);
	uint32_t payload = header->size - (uint32_t)sizeof(*header);

	assert(header->size >= sizeof(*header));
	if (!rule)
		return fail(-ENOTSUP, "no such command", ret_reason);
	if (standing->versioned && header->command == VFIO_USER_VERSION)
		return fail(-EINVAL, "the version is agreed on", ret_reason);
	if (!standing->versioned && header->command != VFIO_USER_VERSION)
		return fail(-EINVAL, "before the version is agreed on", ret_reason);
	if (payload < rule->payload_min || payload > rule->payload_max)
		return fail(-EINVAL, "payload of another size", ret_reason);
	if (fd_count > rule->fds_max)
		return fail(-EINVAL, "too many descriptors", ret_reason);
	return 0;
}
