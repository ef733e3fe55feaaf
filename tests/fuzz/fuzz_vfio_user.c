/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sequences of vfio-user messages with descriptors, loads and stores of registers, and NVMe commands, over a
 * socket into an endpoint with the real NVMe model on a disk in memory.
 *
 * The first byte says how far an honest driver comes before the input's steps: 0 not at all, 1 a version,
 * 2 memory and bus mastering, 3 an enabled controller, 4 one pair of I/O queues too. From 128 on the VMM
 *keeps the memory to itself, and answers when it is asked for it.
 *
 * One step of the input is a kind and what the kind needs:
 *
 *	0 a message	command, control, descriptors, payload length, payload
 *	1 a store	BAR offset in steps of 4, size, value: posted
 *	2 a load	BAR offset, size
 *	3 a command	queue, control, 64 bytes: put at the queue's tail, and its doorbell rung
 *	4 turns of the loop, and the replies are read
 *	5 a lie		kind, number: the next answer is another one
 *
 * Control of a message: 0x02 payload repaired for the command, 0x08 turn the loop, 0x10 no reply is wanted,
 * 0x40 hang up. Control of a command: 0x01 its pages lie in the guest's memory, 0x02 its opcode is known.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arbiter/disk/disk.h"
#include "core/fd.h"
#include "devices/disk/nvme.h"
#include "fuzz_endpoint.h"
#include "fuzz_vfio_answers.h"
#include "host/host_disk.h"
#include "interfaces/vfio_user/vfio_user.h"
#include "interfaces/vfio_user/vfio_user_messages.h"

#define DISK_BYTES (1u << 20)
#define STEPS_MAX  48
#define OWN_FDS	   6

/* Where the honest driver's queues lie, and what is in them. */
#define ADMIN_SQ (GUEST_BASE + 0x1000)
#define ADMIN_CQ (GUEST_BASE + 0x2000)
#define IO_SQ	 (GUEST_BASE + 0x3000)
#define IO_CQ	 (GUEST_BASE + 0x4000)
#define ENTRIES	 16u

enum { REPAIR = 0x02, TURN = 0x08, NO_REPLY = 0x10, HANG_UP = 0x40 };
enum { PAGES = 0x01, OPCODE = 0x02 };

struct input {
	const uint8_t *bytes;
	size_t left;
};

static int pipe_fds[2], spare_pair[2];
static struct host_disk *host;
static struct disk *disk;
static struct nvme_device *device;
static uint32_t tails[2];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- input ---- */

static uint8_t next_byte(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->bytes++;
}

static void next_bytes(struct input *input, void *buffer, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((uint8_t *)buffer)[i] = next_byte(input);
}

static uint64_t next_number(struct input *input, size_t bytes)
{
	uint64_t number = 0;

	next_bytes(input, &number, bytes);
	return number;
}

/* ---- the socket ---- */

static void turn(unsigned times)
{
	while (times-- > 0)
		loop_turn(loop, 0);
}

static void send_message(int socket, uint16_t command, uint32_t flags, const void *payload, size_t bytes,
			 const int *fds, size_t fd_count)
{
	struct {
		struct vfio_user_header header;
		uint8_t payload[512];
	} message = { .header = { .command = command, .flags = flags } };

	assert(bytes <= sizeof(message.payload));
	message.header.size = (uint32_t)(sizeof(message.header) + bytes);
	memcpy(message.payload, payload, bytes);
	fd_send(socket, &message, message.header.size, fds, fd_count);
}

static void store(int socket, uint32_t region, uint64_t offset, const void *data, uint32_t bytes)
{
	struct {
		struct vfio_user_region_access access;
		uint8_t data[8];
	} write = { .access = { .offset = offset, .region = region, .count = bytes } };

	memcpy(write.data, data, bytes);
	send_message(socket, VFIO_USER_REGION_WRITE, VFIO_USER_FLAG_NO_REPLY, &write,
		     sizeof(write.access) + bytes, NULL, 0);
}

static void store_number(int socket, uint64_t offset, uint64_t value, uint32_t bytes)
{
	store(socket, 0, offset, &value, bytes);
}

static void load(int socket, uint32_t region, uint64_t offset, uint32_t bytes)
{
	const struct vfio_user_region_access access = { .offset = offset, .region = region, .count = bytes };

	send_message(socket, VFIO_USER_REGION_READ, 0, &access, sizeof(access), NULL, 0);
}

static void settle(int socket)
{
	for (unsigned i = 0; i < 6; i++) {
		turn(2);
		read_replies(socket);
	}
}

/* ---- an honest driver ---- */

static void put_command(int socket, unsigned queue, const uint8_t command[64])
{
	uint64_t ring = queue == 0 ? ADMIN_SQ : IO_SQ;
	off_t at = (off_t)(ring - GUEST_BASE + 64 * tails[queue]);
	ssize_t written = pwrite(memory_fd, command, 64, at);

	assert(written == 64);
	tails[queue] = (tails[queue] + 1) % ENTRIES;
	store_number(socket, 0x1000 + 8 * queue, tails[queue], 4);
}

static void create_queue(int socket, uint8_t opcode, uint64_t address, uint32_t cdw11)
{
	uint8_t command[64] = { opcode };
	const uint32_t cdw10 = 1 | (ENTRIES - 1) << 16;

	memcpy(command + 24, &address, 8);
	memcpy(command + 40, &cdw10, 4);
	memcpy(command + 44, &cdw11, 4);
	put_command(socket, 0, command);
}

static void bring_up(int socket, unsigned how_far, bool shares)
{
	const struct vfio_user_dma_map map = {
		.argsz = sizeof(map),
		.flags = 3,
		.address = GUEST_BASE,
		.size = MEMORY_BYTES,
	};
	const struct vfio_user_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_USER_IRQ_FDS | VFIO_USER_IRQ_TRIGGER,
		.index = VFIO_USER_MSIX,
		.count = 1,
	};
	const uint32_t version = 0;
	const uint16_t master = 6;

	if (how_far >= 1)
		send_message(socket, VFIO_USER_VERSION, 0, &version, sizeof(version), NULL, 0);
	settle(socket);
	if (how_far < 2)
		return;
	send_message(socket, VFIO_USER_DMA_MAP, 0, &map, sizeof(map), &memory_fd, shares);
	send_message(socket, VFIO_USER_SET_IRQS, 0, &set, sizeof(set), &event_fd, 1);
	store(socket, VFIO_USER_REGION_CONFIG, 4, &master, sizeof(master));
	settle(socket);
	if (how_far < 3)
		return;
	store_number(socket, 0x24, (ENTRIES - 1) | (ENTRIES - 1) << 16, 4);
	store_number(socket, 0x28, ADMIN_SQ, 8);
	store_number(socket, 0x30, ADMIN_CQ, 8);
	store_number(socket, 0x14, 0x460001, 4);
	settle(socket);
	if (how_far < 4)
		return;
	create_queue(socket, 0x05, IO_CQ, 3);
	create_queue(socket, 0x01, IO_SQ, 1 | 1 << 16);
	settle(socket);
}

/* ---- steps ---- */

/* Makes numbers plausible and keeps the low bits of what the input said. */
static size_t repair(uint16_t command, uint8_t *payload)
{
	struct vfio_user_dma_map map;
	struct vfio_user_region_access access;
	struct vfio_user_irq_set set;

	memcpy(&map, payload, sizeof(map));
	memcpy(&access, payload, sizeof(access));
	memcpy(&set, payload, sizeof(set));
	switch (command) {
	case VFIO_USER_VERSION:
		memset(payload, 0, 4);
		return 4;
	case VFIO_USER_DMA_MAP:
		map.flags = 3;
		map.address = GUEST_BASE + (map.address & 0x3f000);
		map.size = 0x1000 + (map.size & 0x3f000);
		map.offset &= 0x3f000;
		memcpy(payload, &map, sizeof(map));
		return sizeof(map);
	case VFIO_USER_DMA_UNMAP: {
		struct vfio_user_dma_unmap unmap;

		memcpy(&unmap, payload, sizeof(unmap));
		unmap.flags &= 2;
		unmap.address = GUEST_BASE + (unmap.address & 0x3f000);
		unmap.size = 0x1000 + (unmap.size & 0x3f000);
		memcpy(payload, &unmap, sizeof(unmap));
		return sizeof(unmap);
	}
	case VFIO_USER_GET_INFO:
	case VFIO_USER_GET_IRQ_INFO:
		return 16;
	case VFIO_USER_GET_REGION_INFO:
		return 32;
	case VFIO_USER_SET_IRQS:
		set.flags &= 0x3f;
		set.index &= 3;
		set.start &= 0x3f;
		set.count &= 0x3f;
		memcpy(payload, &set, sizeof(set));
		return sizeof(set) + (set.flags & VFIO_USER_IRQ_BOOL ? set.count : 0);
	case VFIO_USER_REGION_READ:
	case VFIO_USER_REGION_WRITE:
		access.region &= 7;
		access.offset &= 0x3fff;
		access.count &= 0x7f;
		memcpy(payload, &access, sizeof(access));
		return sizeof(access) + (command == VFIO_USER_REGION_WRITE ? access.count : 0);
	case VFIO_USER_REGION_WRITE_MULTI:
		payload[0] &= 7;
		memset(payload + 1, 0, 7);
		return 8 + 24u * payload[0];
	default:
		return 0;
	}
}

static size_t choose_fds(uint8_t choice, int *fds)
{
	static const uint8_t counts[] = { 0, 1, 1, 1, 2, 8, 16, 17 };
	const int kinds[] = { memory_fd,   event_fd,  spare_pair[0], pipe_fds[0],
			      pipe_fds[1], memory_fd, event_fd,	     event_fd };
	size_t count = counts[choice & 7];

	for (size_t i = 0; i < count; i++)
		fds[i] = kinds[choice >> 3 & 7];
	return count;
}

static void message_step(int socket, struct input *input)
{
	uint8_t command = next_byte(input), control = next_byte(input), choice = next_byte(input);
	size_t length = next_byte(input);
	uint8_t payload[512] = { 0 };
	int fds[17];
	size_t fd_count = choose_fds(choice, fds);

	next_bytes(input, payload, length);
	if (control & REPAIR)
		length = repair(command % 18u, payload);
	send_message(socket, command % 18u, control & NO_REPLY ? VFIO_USER_FLAG_NO_REPLY : 0, payload, length,
		     fds, fd_count);
	if (control & TURN)
		settle(socket);
	if (control & HANG_UP)
		shutdown(socket, SHUT_WR);
}

static void command_step(int socket, struct input *input)
{
	static const uint8_t known[2][11] = { { 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 6 },
					      { 0, 1, 2, 8, 9, 2, 1, 0, 8, 9, 2 } };
	unsigned queue = next_byte(input) & 1;
	uint8_t control = next_byte(input), command[64];

	next_bytes(input, command, sizeof(command));
	if (control & OPCODE) {
		command[0] = known[queue][command[0] % 11];
		/* The one namespace, and ranges near the disk's. */
		memset(command + 5, 0, 3);
		command[4] = 1;
		command[42] &= queue ? 0 : 0xff;
		command[43] &= queue ? 0 : 0xff;
		memset(command + 44, 0, queue ? 4 : 0);
		command[49] &= 7;
	}
	if (control & PAGES) {
		for (unsigned i = 24; i < 40; i += 8) {
			uint64_t address;

			memcpy(&address, command + i, 8);
			address = GUEST_BASE + (address & 0x3fffc);
			memcpy(command + i, &address, 8);
		}
	}
	put_command(socket, queue, command);
}

static void step(int socket, struct input *input)
{
	static const uint32_t sizes[] = { 4, 8, 4, 2, 1, 4, 8, 4 };

	switch (next_byte(input) % 6) {
	case 0:
		message_step(socket, input);
		break;
	case 1: {
		uint64_t offset = 4 * next_number(input, 2);
		uint32_t bytes = sizes[next_byte(input) & 7];

		store_number(socket, offset & 0x3fff, next_number(input, bytes), bytes);
		break;
	}
	case 2: {
		uint64_t offset = next_number(input, 2);

		load(socket, offset & 0x8000 ? VFIO_USER_REGION_CONFIG : 0, offset & 0x3fff,
		     sizes[next_byte(input) & 7]);
		break;
	}
	case 3:
		command_step(socket, input);
		break;
	case 5:
		lie.kind = next_byte(input);
		lie.number = (uint16_t)next_number(input, 2);
		break;
	default:
		settle(socket);
	}
}

/* ---- one input ---- */

static struct loop *the_worker(void *context, unsigned queue_index)
{
	return loop;
}

static void make_world(const uint8_t *data, size_t size)
{
	struct disk_memory_options memory = { .size_bytes = DISK_BYTES };
	struct disk_options options = { .guest = "fuzz", .name = "fuzz/disk", .block_bytes = 512 };
	struct nvme_options model = { .queues = 2 };
	static uint8_t guest[MEMORY_BYTES];
	int error;

	fuzz_loop_begin(256);
	memory_fd = fd_memfd("fuzz", MEMORY_BYTES);
	event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	error = pipe(pipe_fds) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, spare_pair);
	assert(memory_fd >= 0 && event_fd >= 0 && error == 0);
	/* Lists and ranges of the guest come from the same input. */
	for (size_t at = 0; at < sizeof(guest); at++)
		guest[at] = size > 0 ? data[at % size] : 0;
	error = pwrite(memory_fd, guest, sizeof(guest), 0) == sizeof(guest) ? 0 : -1;
	assert(error == 0);
	error = disk_memory_open(&memory, &host);
	if (!error)
		error = disk_create_on_host(&options, host, &disk);
	model.disk = disk;
	if (!error)
		error = nvme_create(&model, &device);
	assert(error == 0);
	tails[0] = tails[1] = 0;
}

static void end_world(void)
{
	static uint8_t guest[MEMORY_BYTES];

	nvme_destroy(device);
	disk_destroy(disk);
	fuzz_trace(disk_memory_bytes(host), DISK_BYTES);
	host->ops->close(host);
	fuzz_loop_end(OWN_FDS);
	if (fuzz_trace_on) {
		ssize_t got = pread(memory_fd, guest, sizeof(guest), 0);

		fuzz_trace(guest, got > 0 ? (size_t)got : 0);
	}
	close(memory_fd);
	close(event_fd);
	for (unsigned i = 0; i < 2; i++) {
		close(pipe_fds[i]);
		close(spare_pair[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct vfio_user_options options = {
		.endpoint.name = "fuzz",
		.endpoint.socket = ENDPOINT_CONNECTED_FD,
		.endpoint.worker = the_worker,
		.model = &nvme_model,
	};
	struct endpoint *endpoint;
	int pair[2], error;
	uint8_t first;

	make_world(data, size < 4096 ? size : 4096);
	options.endpoint.control = loop;
	options.device = device;
	error = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
	assert(error == 0);
	options.endpoint.fd = pair[1];
	error = vfio_user_create(&options, &endpoint);
	assert(error == 0);
	lie = (struct lie){ .kind = 0 };
	first = next_byte(&input);
	bring_up(pair[0], first % 5, first < 128);
	for (unsigned i = 0; i < STEPS_MAX && input.left > 0; i++)
		step(pair[0], &input);
	settle(pair[0]);
	close(pair[0]);
	/* Disconnecting always ends: what is in flight is waited for, and all mail arrives. */
	fuzz_endpoint_destroy(endpoint);
	end_world();
	return 0;
}
