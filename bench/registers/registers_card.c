/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver of Intel's 82574L (datasheet 317694) that does nothing but send: one frame, which every descriptor
 * of its ring means. Legacy descriptors (7.2.10) are made once; those that the card is done with are offered
 * again by one store to the ring's tail.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/big_endian.h"
#include "core/fd.h"
#include "core/frame.h"
#include "frontend/vfio_master.h"
#include "registers.h"

#define MEMORY_ADDRESS 0x100000u
#define PAGE_BYTES     4096u
/* Some ten milliseconds of the rates that are shared, in which the client may have to do without its core. */
#define ENTRIES	    1024u
#define PAUSE_US    1000u
#define FRAME_BYTES 1500u
#define FLOOD_TYPE  0x88b6

#define REG_CTRL   0x0000u
#define REG_TCTL   0x0400u
#define REG_TDBAL  0x3800u
#define REG_TDBAH  0x3804u
#define REG_TDLEN  0x3808u
#define REG_TDT	   0x3818u
#define REG_RAL	   0x5400u
#define REG_RAH	   0x5404u
#define CTRL_RESET (1u << 26)
#define TCTL_ON	   (1u << 1 | 1u << 3)

#define COMMAND_WHOLE_FRAME 0x01u
#define COMMAND_ADD_FCS	    0x02u
#define COMMAND_TELL	    0x08u
#define STATUS_DONE	    0x01u

struct descriptor {
	uint64_t address;
	uint16_t bytes;
	uint8_t checksum_offset, command, status, checksum_start;
	uint16_t special;
};
static_assert(sizeof(struct descriptor) == 16, "7.2.10: a legacy transmit descriptor");

struct card {
	struct vfio_master master;
	int memory_fd;
	struct descriptor *ring;
	uint8_t *frame;
	unsigned tail, done; /* modulo ENTRIES; equal: the card has nothing */
};

#define MEMORY_BYTES (ENTRIES * sizeof(struct descriptor) + PAGE_BYTES)

static void check(int error, const char *what)
{
	if (error)
		registers_fail(what, -error);
}

static void set(struct card *card, uint32_t offset, uint32_t value)
{
	check(vfio_master_write(&card->master, 0, offset, &value, sizeof(value)), "a register of the card");
}

static uint32_t get(struct card *card, uint32_t offset)
{
	uint32_t value = 0;

	check(vfio_master_read(&card->master, 0, offset, &value, sizeof(value)), "a register of the card");
	return value;
}

static void attach(struct card *card, const char *path)
{
	/* Memory and bus mastering (PCI 3.0, 6.2.2). */
	const uint16_t command = 0x6;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	uint8_t *memory;

	if (strlen(path) >= sizeof(address.sun_path))
		registers_fail(path, ENAMETOOLONG);
	memcpy(address.sun_path, path, strlen(path));
	card->master.socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (card->master.socket < 0 ||
	    connect(card->master.socket, (struct sockaddr *)&address, sizeof(address)) < 0)
		registers_fail(path, errno);
	check(fd_set_nonblocking(card->master.socket, true), path);
	card->memory_fd = fd_memfd("viaduct-card", MEMORY_BYTES);
	check(card->memory_fd < 0 ? card->memory_fd : 0, "memory for the card");
	memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, card->memory_fd, 0);
	if (memory == MAP_FAILED)
		registers_fail("memory for the card", errno);
	card->ring = (struct descriptor *)(void *)memory;
	card->frame = memory + ENTRIES * sizeof(struct descriptor);
	check(vfio_master_version(&card->master), "the card's version");
	check(vfio_master_map(&card->master, MEMORY_ADDRESS, MEMORY_BYTES, card->memory_fd),
	      "memory for the card");
	check(vfio_master_write(&card->master, VFIO_MASTER_CONFIG, 4, &command, sizeof(command)),
	      "the card's configuration");
}

/* To a station that is nowhere but beyond the uplink, from the card's own address. */
static void write_frame(struct card *card)
{
	static const uint8_t world[FRAME_ADDRESS_BYTES] = { 0x02, 0, 0, 0, 0, 0x77 };
	uint32_t low = get(card, REG_RAL), high = get(card, REG_RAH);

	memcpy(card->frame, world, sizeof(world));
	memcpy(card->frame + FRAME_ADDRESS_BYTES, &low, sizeof(low));
	memcpy(card->frame + FRAME_ADDRESS_BYTES + sizeof(low), &high, FRAME_ADDRESS_BYTES - sizeof(low));
	big16_put(card->frame + (size_t)2 * FRAME_ADDRESS_BYTES, FLOOD_TYPE);
}

static void start(struct card *card)
{
	set(card, REG_CTRL, CTRL_RESET);
	write_frame(card);
	for (unsigned i = 0; i < ENTRIES; i++)
		card->ring[i] = (struct descriptor){
			.address = MEMORY_ADDRESS + ENTRIES * sizeof(struct descriptor),
			.bytes = FRAME_BYTES,
			.command = COMMAND_WHOLE_FRAME | COMMAND_ADD_FCS | COMMAND_TELL,
		};
	set(card, REG_TDBAL, MEMORY_ADDRESS);
	set(card, REG_TDBAH, 0);
	set(card, REG_TDLEN, ENTRIES * sizeof(struct descriptor));
	set(card, REG_TCTL, TCTL_ON);
}

static void offer(struct card *card)
{
	/* Pairs with the card's store of the status, its last to the descriptor. */
	while (card->done != card->tail &&
	       __atomic_load_n(&card->ring[card->done].status, __ATOMIC_ACQUIRE) & STATUS_DONE) {
		card->ring[card->done].status = 0;
		card->done = (card->done + 1) % ENTRIES;
	}
	/* All but one: a full ring and an empty one look different. */
	card->tail = (card->done + ENTRIES - 1) % ENTRIES;
	check(vfio_master_post(&card->master, 0, REG_TDT, &card->tail, sizeof(card->tail)),
	      "the ring's tail");
}

void registers_flood_card(const struct registers_options *options)
{
	struct card card = { .master.socket = -1, .memory_fd = -1 };
	uint64_t end;

	attach(&card, options->card);
	start(&card);
	end = registers_now_ns() + (uint64_t)(options->seconds * 1e9);
	while (registers_now_ns() < end) {
		offer(&card);
		usleep(PAUSE_US);
	}
	munmap(card.ring, MEMORY_BYTES);
	fd_close(&card.memory_fd);
	fd_close(&card.master.socket);
}
