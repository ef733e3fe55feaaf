/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What accesses to registers cost a plain client, and requests through them:
 *
 *	viaduct-registers --nvme SOCKET --virtio SOCKET --seconds N [--file FILE] [--peer-cpu N] [--watch PID]
 *	viaduct-registers --flood-from SECOND --nvme SOCKET --seconds N		(or --virtio)
 *	viaduct-registers --card SOCKET --seconds N
 *
 * One sample each of: a ping-pong between two processes over a UNIX socket, as the floor; a load of a
 * register, answered; a store, posted; a 4 KiB read at depth 1 and at depth 32, by NVMe and by virtio-blk, on
 * two disks of one daemon, with random places; by NVMe also with every doorbell rung, and with --file by
 *system calls. With --watch each read is told with what it takes of that process. A flood is a read at depth
 *32 alone, on one disk, of which what is answered from that second of CLOCK_MONOTONIC on counts. Prints a
 *JSON object. With --card, frames are sent all the time, and nothing is printed.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "registers.h"

#define REG_VS	  0x08u
#define REG_INTMC 0x10u
/* As large as a message of an access with its answer. */
#define MESSAGE_BYTES 36u
#define POSTED_BATCH  64u

static struct registers_options options = { .seconds = 1, .peer_cpu = -1 };
static bool is_first = true;

uint64_t registers_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void registers_fail(const char *what, int error)
{
	fprintf(stderr, "viaduct-registers: %s: %s\n", what, strerror(error));
	exit(1);
}

void registers_report(const char *name, struct load_histogram *latency, uint64_t count, uint64_t ns,
		      const struct registers_cost *cost)
{
	printf("%s\"%s\": {\"p50_us\": %.3f, \"p99_us\": %.3f, \"per_second\": %.1f", is_first ? "{" : ", ",
	       name, latency ? load_histogram_ns(latency, 0.5) / 1000 : 0,
	       latency ? load_histogram_ns(latency, 0.99) / 1000 : 0, (double)count * 1e9 / (double)ns);
	if (cost)
		printf(", \"daemon_us\": %.3f, \"client_us\": %.3f, \"wakes\": %.4f, \"notices\": %.4f, "
		       "\"interrupts\": %.4f",
		       cost->daemon_us, cost->client_us, cost->wakes, cost->notices, cost->interrupts);
	if (cost && cost->instructions >= 0)
		printf(", \"instructions\": %.1f", cost->instructions);
	fputs("}", stdout);
	is_first = false;
	if (latency)
		memset(latency, 0, sizeof(*latency));
}

/* ---- the floor ---- */

static void echo(int socket)
{
	char message[MESSAGE_BYTES];
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	if (options.peer_cpu >= 0) {
		CPU_SET(options.peer_cpu, &cpus);
		sched_setaffinity(0, sizeof(cpus), &cpus);
	}
	while (recv(socket, message, sizeof(message), MSG_WAITALL) == sizeof(message))
		if (send(socket, message, sizeof(message), MSG_NOSIGNAL) != sizeof(message))
			break;
	_exit(0);
}

static void ping_pong(void)
{
	static struct load_histogram latency;
	char message[MESSAGE_BYTES] = { 0 };
	uint64_t begin, count = 0, end;
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		registers_fail("socketpair", errno);
	child = fork();
	if (child < 0)
		registers_fail("fork", errno);
	if (child == 0) {
		close(pair[0]);
		echo(pair[1]);
	}
	close(pair[1]);
	begin = registers_now_ns();
	end = begin + (uint64_t)(options.seconds * 1e9);
	for (uint64_t at = begin, next; at < end; at = next, count++) {
		if (send(pair[0], message, sizeof(message), MSG_NOSIGNAL) != sizeof(message) ||
		    recv(pair[0], message, sizeof(message), MSG_WAITALL) != sizeof(message))
			registers_fail("ping-pong", EIO);
		next = registers_now_ns();
		load_histogram_add(&latency, next - at);
	}
	registers_report("ping-pong", &latency, count, registers_now_ns() - begin, NULL);
	close(pair[0]);
	waitpid(child, NULL, 0);
}

/* ---- registers ---- */

static struct nvme_driver *connect_nvme(bool rings)
{
	struct nvme_driver *driver;
	const char *reason = "";
	int error = nvme_driver_connect_as(options.nvme, REGISTERS_DEPTH_MAX * REGISTERS_BLOCK_BYTES,
					   rings ? NVME_DRIVER_RINGS : 0, &driver, &reason);

	if (error)
		registers_fail(reason, -error);
	return driver;
}

static void loads(struct nvme_driver *driver)
{
	static struct load_histogram latency;
	uint64_t begin = registers_now_ns(), end = begin + (uint64_t)(options.seconds * 1e9), count = 0,
		 value;

	for (uint64_t at = begin, next; at < end; at = next, count++) {
		int error = nvme_driver_load(driver, REG_VS, 4, &value);

		if (error)
			registers_fail("a load", -error);
		next = registers_now_ns();
		load_histogram_add(&latency, next - at);
	}
	registers_report("load", &latency, count, registers_now_ns() - begin, NULL);
}

/* A load behind each batch: it is answered when all of the batch is done. */
static void posted(struct nvme_driver *driver)
{
	uint64_t begin = registers_now_ns(), end = begin + (uint64_t)(options.seconds * 1e9), count = 0,
		 value;

	while (registers_now_ns() < end) {
		int error = 0;

		for (unsigned i = 0; i < POSTED_BATCH && !error; i++, count++)
			error = nvme_driver_post(driver, REG_INTMC, 4, 0);
		if (!error)
			error = nvme_driver_load(driver, REG_VS, 4, &value);
		if (error)
			registers_fail("posted stores", -error);
	}
	registers_report("posted store", NULL, count, registers_now_ns() - begin, NULL);
}

/* ---- requests ---- */

static void read_virtio(void)
{
	const struct frontend_options front = {
		.path = options.virtio,
		.queues = 1,
		.queue_size = 128,
		.features = FRONTEND_F_EVENT_IDX | FRONTEND_F_INDIRECT,
		.memory_bytes = 4 << 20,
	};
	struct frontend *frontend;
	const char *reason = "";
	int error = frontend_connect(&front, &frontend, &reason);

	if (error)
		registers_fail(reason, -error);
	if (!options.flood_from_ns)
		registers_read_virtio(&options, frontend, 1, "virtio 4K QD1");
	registers_read_virtio(&options, frontend, REGISTERS_DEPTH_MAX, "virtio 4K QD32");
	frontend_close(frontend);
}

static void read_nvme(void)
{
	struct nvme_driver *driver = connect_nvme(false);

	if (!options.flood_from_ns) {
		loads(driver);
		posted(driver);
		registers_read_nvme(&options, driver, 1, "nvme 4K QD1");
	}
	registers_read_nvme(&options, driver, REGISTERS_DEPTH_MAX, "nvme 4K QD32");
	nvme_driver_close(driver);
}

/* As drivers do that know of no doorbells in memory. */
static void read_nvme_ringing(void)
{
	struct nvme_driver *driver = connect_nvme(true);

	registers_read_nvme(&options, driver, 1, "nvme rung 4K QD1");
	registers_read_nvme(&options, driver, REGISTERS_DEPTH_MAX, "nvme rung 4K QD32");
	nvme_driver_close(driver);
}

/* ---- program ---- */

static void parse(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--nvme") == 0)
			options.nvme = argv[i + 1];
		else if (strcmp(argv[i], "--virtio") == 0)
			options.virtio = argv[i + 1];
		else if (strcmp(argv[i], "--card") == 0)
			options.card = argv[i + 1];
		else if (strcmp(argv[i], "--file") == 0)
			options.file = argv[i + 1];
		else if (strcmp(argv[i], "--flood-from") == 0)
			options.flood_from_ns = (uint64_t)(strtod(argv[i + 1], NULL) * 1e9);
		else if (strcmp(argv[i], "--seconds") == 0)
			options.seconds = strtod(argv[i + 1], NULL);
		else if (strcmp(argv[i], "--peer-cpu") == 0)
			options.peer_cpu = (int)strtol(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--watch") == 0)
			options.watch_pid = (int)strtol(argv[i + 1], NULL, 10);
	}
}

static bool is_complete(void)
{
	if (options.flood_from_ns)
		return options.nvme || options.virtio;
	return options.card || (options.nvme && options.virtio);
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	if (!is_complete()) {
		fputs("usage: viaduct-registers --nvme SOCKET --virtio SOCKET [--file FILE] [--seconds N]\n"
		      "                         [--peer-cpu N] [--watch PID]\n"
		      "       viaduct-registers --flood-from SECOND --nvme|--virtio SOCKET [--seconds N]\n"
		      "       viaduct-registers --card SOCKET [--seconds N]\n",
		      stderr);
		return 2;
	}
	if (options.card) {
		registers_flood_card(&options);
		return 0;
	}
	if (!options.flood_from_ns)
		ping_pong();
	if (options.file)
		registers_read_file(&options, "pread 4K QD1");
	if (options.nvme)
		read_nvme();
	if (options.nvme && !options.flood_from_ns)
		read_nvme_ringing();
	if (options.virtio)
		read_virtio();
	puts("}");
	return 0;
}
