/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk made of registers: a driver of ours brings an NVMe controller up, writes, reads, asks for what is
 * not its own, and counts what it took, beside the same reads on a ring. Debian 12's QEMU has no client for
 * such devices.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/demo/demo.h"
#include "cli/demo/demo_driver.h"
#include "cli/demo/demo_scan.h"
#include "cli/text.h"
#include "core/clock.h"
#include "frontend/nvme_driver.h"

#define GUEST	    "nina"
#define REGISTERS   "/v1/disks/" GUEST "/registers"
#define RING	    "/v1/disks/" GUEST "/ring"
#define BLOCK_BYTES 4096u
/* Written by registers, and read at random. */
#define BLOCKS	  256u
#define READS	  501u
#define ANSWER_MS 20000
/* NVMe 1.4, 4.6.1.2.1: LBA Out of Range. */
#define OUT_OF_RANGE 0x80u
#define RING_US	     200000

struct registers {
	struct demo *demo;
	struct nvme_driver *driver;
	char *data;
	char line[SCAN_PATTERN_BYTES];
	double latency_us[READS];
};

void demo_registers_config(FILE *config)
{
	fputs("\n[guest " GUEST "]\n"
	      "[disk " GUEST "/registers]\npool = main\nsize = 64M\nmodel = nvme\n"
	      "[disk " GUEST "/ring]\npool = main\nsize = 64M\n",
	      config);
}

/* Where its guest's disk of this name is served. */
static void socket_of(const struct demo *demo, const char *path, char socket[CLI_PATH_MAX])
{
	json_t *disk = demo_daemon_get(&demo->daemon, path);

	snprintf(socket, CLI_PATH_MAX, "%s", api_text(disk, "socket"));
	json_decref(disk);
}

/* ---- one command ---- */

/* 0, or -errno; *ret_status is the controller's. */
static int command(struct registers *registers, enum nvme_driver_op op, uint64_t offset_bytes,
		   uint16_t *ret_status)
{
	const struct nvme_driver_request request = {
		.op = op,
		.offset_bytes = offset_bytes,
		.bytes = BLOCK_BYTES,
		.data = registers->data,
	};
	int error = nvme_driver_add(registers->driver, &request), ready;
	void *token;

	if (!error)
		error = nvme_driver_kick(registers->driver);
	if (error)
		return error;
	ready = nvme_driver_wait(registers->driver, ANSWER_MS);
	if (ready <= 0)
		return ready ? ready : -ETIMEDOUT;
	return nvme_driver_take(registers->driver, &token, ret_status) ? 0 : -EPROTO;
}

static void put_pattern(struct registers *registers)
{
	for (size_t at = 0; at < BLOCK_BYTES; at += SCAN_PATTERN_BYTES)
		memcpy(registers->data + at, registers->line, SCAN_PATTERN_BYTES);
}

static bool has_pattern(const struct registers *registers)
{
	for (size_t at = 0; at < BLOCK_BYTES; at += SCAN_PATTERN_BYTES)
		if (memcmp(registers->data + at, registers->line, SCAN_PATTERN_BYTES) != 0)
			return false;
	return true;
}

/* ---- what is shown ---- */

static void show_identity(const struct registers *registers)
{
	const struct nvme_driver_identity *identity = nvme_driver_identity(registers->driver);
	struct nvme_driver_counts counts = nvme_driver_counts(registers->driver);
	char size[TEXT_NUMBER_MAX];

	demo_check(&registers->demo->checks,
		   strcmp(identity->serial, GUEST "/registers") == 0 && identity->block_bytes == 512,
		   "a controller of registers says: %s, serial number %s, %s in blocks of %u; that took %llu "
		   "loads, "
		   "%llu stores and %llu doorbells",
		   identity->model, identity->serial, text_size(size, identity->size_bytes),
		   identity->block_bytes, (unsigned long long)counts.loads, (unsigned long long)counts.stores,
		   (unsigned long long)counts.posted);
}

static int write_and_read(struct registers *registers)
{
	struct nvme_driver_counts before = nvme_driver_counts(registers->driver), after;
	unsigned good = 0, written = 0;
	uint16_t status;
	int error = 0;

	for (unsigned i = 0; i < BLOCKS && !error; i++) {
		put_pattern(registers);
		error = command(registers, NVME_DRIVER_WRITE, (uint64_t)i * BLOCK_BYTES, &status);
		written += !error && status == 0;
	}
	if (!error)
		error = command(registers, NVME_DRIVER_FLUSH, 0, &status);
	for (unsigned i = 0; i < READS && !error; i++) {
		uint64_t start_ns = clock_now_ns();

		memset(registers->data, 0, BLOCK_BYTES);
		error = command(registers, NVME_DRIVER_READ, (uint64_t)(i * 97 % BLOCKS) * BLOCK_BYTES,
				&status);
		registers->latency_us[i] = (double)(clock_now_ns() - start_ns) / 1000;
		good += !error && status == 0 && has_pattern(registers);
	}
	if (error)
		return error;
	after = nvme_driver_counts(registers->driver);
	demo_check(&registers->demo->checks, written == BLOCKS && good == READS,
		   "%u blocks written by it and %u reads came back as written: %llu commands took %llu "
		   "doorbells, which "
		   "nobody waits for, %llu interrupts and %llu loads",
		   written, good, (unsigned long long)(BLOCKS + READS + 1),
		   (unsigned long long)(after.posted - before.posted),
		   (unsigned long long)(after.interrupts - before.interrupts),
		   (unsigned long long)(after.loads - before.loads));
	return 0;
}

static uint64_t refused_by(const struct demo *demo)
{
	json_t *disk = demo_daemon_get(&demo->daemon, REGISTERS);
	uint64_t refused = api_number(disk, "refused");

	json_decref(disk);
	return refused;
}

static int reach_outside(struct registers *registers)
{
	static const enum nvme_driver_op ops[] = { NVME_DRIVER_READ, NVME_DRIVER_WRITE,
						   NVME_DRIVER_WRITE_ZEROES };
	const uint64_t size = nvme_driver_identity(registers->driver)->size_bytes;
	/* At the end, across it, far away, and where the number of bytes has 65 bits. */
	const uint64_t places[] = { size, size - 512, size * 1000, UINT64_MAX - 511 };
	const unsigned kinds = sizeof(ops) / sizeof(ops[0]), count = sizeof(places) / sizeof(places[0]);
	uint64_t before = refused_by(registers->demo);
	unsigned refused = 0;

	for (unsigned i = 0; i < kinds * count; i++) {
		uint16_t status = 0;
		int error;

		put_pattern(registers);
		error = command(registers, ops[i % kinds], places[i / kinds], &status);
		if (error)
			return error;
		refused += status == OUT_OF_RANGE && has_pattern(registers);
	}
	demo_check(&registers->demo->checks,
		   refused == kinds * count && refused_by(registers->demo) - before == refused,
		   "%u commands reached outside its disk: %u were refused as out of range and changed "
		   "nothing, and the "
		   "daemon counted %llu",
		   kinds * count, refused, (unsigned long long)(refused_by(registers->demo) - before));
	return 0;
}

/* ---- the same on a ring ---- */

static int read_by_ring(struct registers *registers, double *ret_us)
{
	char socket[CLI_PATH_MAX];
	const struct demo_driver_options options = {
		.socket = socket,
		.guest = GUEST,
		.token = registers->demo->token,
		.depth = 1,
		.block_bytes = BLOCK_BYTES,
	};
	struct demo_driver *driver;
	const char *reason = "";
	int error;

	socket_of(registers->demo, RING, socket);
	error = demo_driver_open(&options, &driver, &reason);
	if (error)
		return error;
	error = demo_driver_start(driver);
	if (!error) {
		usleep(RING_US);
		error = demo_driver_stop(driver);
	}
	*ret_us = (double)histogram_quantile_ns(demo_driver_latency(driver), 0.5) / 1000;
	demo_driver_close(driver);
	return error;
}

static int compare(struct registers *registers)
{
	double by_ring_us = 0, by_registers_us = demo_median(registers->latency_us, READS);
	int error = read_by_ring(registers, &by_ring_us);

	if (!error)
		demo_say(registers->demo,
			 "a read of 4 KiB took %.0f us by registers, and by a ring about %.0f us (medians)",
			 by_registers_us, by_ring_us);
	return error;
}

int demo_registers(struct demo *demo)
{
	struct registers registers = { .demo = demo };
	const char *reason = "its commands";
	char socket[CLI_PATH_MAX];
	int error;

	socket_of(demo, REGISTERS, socket);
	error = nvme_driver_connect(socket, BLOCK_BYTES, &registers.driver, &reason);
	if (!error) {
		registers.data = nvme_driver_memory(registers.driver);
		scan_pattern_line(registers.line, demo->token, GUEST, 0);
		show_identity(&registers);
		reason = "its commands";
		error = write_and_read(&registers);
	}
	if (!error)
		error = reach_outside(&registers);
	nvme_driver_close(registers.driver);
	if (!error)
		error = compare(&registers);
	return error ? cli_fail(demo->command, GUEST "'s disks: %s: %s", reason, strerror(-error)) : CLI_OK;
}
