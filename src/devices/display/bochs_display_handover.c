/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takeover: the registers, and the memory, which the VMM has mapped. The successor makes its picture of that.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "core/handover.h"
#include "devices/display/bochs_display_private.h"

#define FORMAT_VERSION 1u

void bochs_save(const void *opaque, struct handover *handover)
{
	const struct bochs_function *function = opaque;

	handover_put_u64(handover, FORMAT_VERSION);
	handover_put_u64(handover, function->memory->size);
	handover_put_fd(handover, function->memory->fd);
	handover_put_bytes(handover, function->registers, sizeof(function->registers));
}

/* A memory file that stays as large as it is. */
static bool is_memory(int fd, size_t bytes)
{
	const int wanted = F_SEAL_SHRINK | F_SEAL_GROW;
	struct stat status;
	int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & wanted) == wanted && fstat(fd, &status) == 0 &&
	       status.st_size == (off_t)bytes;
}

static void restore_memory(struct bochs_function *function, struct handover *handover)
{
	size_t bytes = bochs_memory_bytes(function->display);
	struct bochs_memory *memory;
	int fd;

	/* The VMM has mapped so much: the size is a part of what it was told the device is. */
	handover_fail_if(handover, handover_get_u64(handover) != bytes);
	fd = handover_get_fd(handover);
	handover_fail_if(handover, !is_memory(fd, bytes));
	if (handover->error) {
		reaper_close(&fd);
		return;
	}
	memory = bochs_memory_create(fd, bytes);
	if (!memory) {
		handover->error = -ENOMEM;
		return;
	}
	bochs_memory_drop(function->memory);
	function->memory = memory;
}

void bochs_restore(void *opaque, struct handover *handover)
{
	struct bochs_function *function = opaque;

	handover_fail_if(handover, handover_get_u64(handover) != FORMAT_VERSION);
	restore_memory(function, handover);
	handover_get_exactly(handover, function->registers, sizeof(function->registers));
	if (!handover->error)
		bochs_picture_restore(function);
}
