/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What accesses to registers cost a plain client, and requests through them:
 *
 *	viaduct-registers --nvme SOCKET --virtio SOCKET --seconds N --peer-cpu N
 *	viaduct-registers --flood-from SECOND --nvme SOCKET --seconds N		(or --virtio)
 *
 * One sample each of: a ping-pong between two processes over a UNIX socket, as the floor; a load of a
 * register, answered; a store, posted; a 4 KiB read at depth 1 and at depth 32, by NVMe and by virtio-blk, on
 * two disks of one daemon, with random places. A flood is the last of these alone, on one disk, of which what
 * is answered from that second of CLOCK_MONOTONIC on counts; it goes on a little longer, so that of two that
 * count at the same time none is ever alone. Prints a JSON object.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "frontend/frontend.h"
#include "frontend/nvme_driver.h"
#include "load.h"

#define BLOCK_BYTES 4096u
#define DEPTH_MAX   32u
#define REG_VS	    0x08u
#define REG_INTMC   0x10u
/* As large as a message of an access with its answer. */
#define MESSAGE_BYTES 36u
#define POSTED_BATCH  64u
#define FLOOD_AFTER_NS 300000000u

static const char *nvme_socket, *virtio_socket;
static double seconds = 1;
static uint64_t flood_from_ns; /* 0: no flood */
/* Where the other end of the ping-pong runs, like the daemon; -1: anywhere. */
static int peer_cpu = -1;
static bool is_first = true;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what, int error)
{
	fprintf(stderr, "viaduct-registers: %s: %s\n", what, strerror(error));
	exit(1);
}

/* And forgets the latencies. */
static void report(const char *name, struct load_histogram *latency, uint64_t count, uint64_t ns)
{
	printf("%s\"%s\": {\"p50_us\": %.3f, \"p99_us\": %.3f, \"per_second\": %.1f}", is_first ? "{" : ", ",
	       name, latency ? load_histogram_ns(latency, 0.5) / 1000 : 0,
	       latency ? load_histogram_ns(latency, 0.99) / 1000 : 0, (double)count * 1e9 / (double)ns);
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
	if (peer_cpu >= 0) {
		CPU_SET(peer_cpu, &cpus);
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
		fail("socketpair", errno);
	child = fork();
	if (child < 0)
		fail("fork", errno);
	if (child == 0) {
		close(pair[0]);
		echo(pair[1]);
	}
	close(pair[1]);
	begin = now_ns();
	end = begin + (uint64_t)(seconds * 1e9);
	for (uint64_t at = begin, next; at < end; at = next, count++) {
		if (send(pair[0], message, sizeof(message), MSG_NOSIGNAL) != sizeof(message) ||
		    recv(pair[0], message, sizeof(message), MSG_WAITALL) != sizeof(message))
			fail("ping-pong", EIO);
		next = now_ns();
		load_histogram_add(&latency, next - at);
	}
	report("ping-pong", &latency, count, now_ns() - begin);
	close(pair[0]);
	waitpid(child, NULL, 0);
}

/* ---- registers ---- */

static struct nvme_driver *connect_nvme(void)
{
	struct nvme_driver *driver;
	const char *reason = "";
	int error = nvme_driver_connect(nvme_socket, DEPTH_MAX * BLOCK_BYTES, &driver, &reason);

	if (error)
		fail(reason, -error);
	return driver;
}

static void loads(struct nvme_driver *driver)
{
	static struct load_histogram latency;
	uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9), count = 0, value;

	for (uint64_t at = begin, next; at < end; at = next, count++) {
		int error = nvme_driver_load(driver, REG_VS, 4, &value);

		if (error)
			fail("a load", -error);
		next = now_ns();
		load_histogram_add(&latency, next - at);
	}
	report("load", &latency, count, now_ns() - begin);
}

/* A load behind each batch: it is answered when all of the batch is done. */
static void posted(struct nvme_driver *driver)
{
	uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9), count = 0, value;

	while (now_ns() < end) {
		int error = 0;

		for (unsigned i = 0; i < POSTED_BATCH && !error; i++, count++)
			error = nvme_driver_post(driver, REG_INTMC, 4, 0);
		if (!error)
			error = nvme_driver_load(driver, REG_VS, 4, &value);
		if (error)
			fail("posted stores", -error);
	}
	report("posted store", NULL, count, now_ns() - begin);
}

/* ---- requests ---- */

struct place {
	void *data;
	uint64_t since_ns;
};

/* What is answered in it counts. */
struct window {
	uint64_t begin_ns, end_ns, stop_ns;
};

static struct window open_window(void)
{
	uint64_t begin_ns = flood_from_ns ? flood_from_ns : now_ns();
	uint64_t end_ns = begin_ns + (uint64_t)(seconds * 1e9);

	return (struct window){ begin_ns, end_ns, flood_from_ns ? end_ns + FLOOD_AFTER_NS : end_ns };
}

static uint64_t random_block(uint64_t blocks)
{
	static uint64_t state = 88172645463325252ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % blocks;
}

static void read_nvme(struct nvme_driver *driver, unsigned depth, const char *name)
{
	uint64_t blocks = nvme_driver_identity(driver)->size_bytes / BLOCK_BYTES;
	struct window window = open_window();
	uint64_t now = now_ns(), count = 0;
	static struct load_histogram latency;
	struct place places[DEPTH_MAX];
	char *memory = nvme_driver_memory(driver);
	unsigned in_flight = 0;
	uint16_t status;
	void *token;

	for (unsigned i = 0; i < depth; i++)
		places[i].data = memory + i * BLOCK_BYTES;
	for (unsigned i = 0; i < depth || in_flight > 0;) {
		if (i < depth) {
			token = &places[i++];
		} else if (nvme_driver_take(driver, &token, &status)) {
			if (status)
				fail("a read by NVMe", EIO);
			in_flight--;
			now = now_ns();
			count += now >= window.begin_ns && now < window.end_ns;
			load_histogram_add(&latency, now - ((struct place *)token)->since_ns);
			if (now >= window.stop_ns)
				continue;
		} else {
			if (nvme_driver_wait(driver, 10000) != 1)
				fail("waiting for NVMe", ETIMEDOUT);
			continue;
		}
		((struct place *)token)->since_ns = now;
		if (nvme_driver_add(driver,
				    &(struct nvme_driver_request){
					    .op = NVME_DRIVER_READ,
					    .offset_bytes = random_block(blocks) * BLOCK_BYTES,
					    .bytes = BLOCK_BYTES,
					    .data = ((struct place *)token)->data,
					    .token = token,
				    }) ||
		    nvme_driver_kick(driver))
			fail("a command", EIO);
		in_flight++;
	}
	report(name, &latency, count, window.end_ns - window.begin_ns);
}

static void read_virtio(struct frontend *frontend, unsigned depth, const char *name)
{
	struct frontend_queue *queue = frontend_queue(frontend, 0);
	struct window window = open_window();
	uint64_t now = now_ns(), count = 0, size_bytes;
	static struct load_histogram latency;
	struct place places[DEPTH_MAX];
	unsigned in_flight = 0;
	uint8_t status;
	size_t bytes;
	char *memory = frontend_memory(frontend, &bytes);
	void *token;

	if (frontend_block_size(frontend, &size_bytes) || bytes < DEPTH_MAX * BLOCK_BYTES)
		fail("the virtio disk", EPROTO);
	for (unsigned i = 0; i < depth; i++)
		places[i].data = memory + i * BLOCK_BYTES;
	for (unsigned i = 0; i < depth || in_flight > 0;) {
		if (i < depth) {
			token = &places[i++];
		} else if (frontend_block_take(queue, &token, &status)) {
			if (status)
				fail("a read by virtio", EIO);
			in_flight--;
			now = now_ns();
			count += now >= window.begin_ns && now < window.end_ns;
			load_histogram_add(&latency, now - ((struct place *)token)->since_ns);
			if (now >= window.stop_ns)
				continue;
		} else {
			if (frontend_wait(queue, 10000) != 1)
				fail("waiting for virtio", ETIMEDOUT);
			continue;
		}
		((struct place *)token)->since_ns = now;
		if (frontend_block_add(queue, &(struct frontend_block_request){
						      .type = FRONTEND_BLOCK_IN,
						      .sector = random_block(size_bytes / BLOCK_BYTES) * 8,
						      .data = ((struct place *)token)->data,
						      .data_bytes = BLOCK_BYTES,
						      .token = token,
					      }))
			fail("a request", EIO);
		frontend_kick(queue);
		in_flight++;
	}
	report(name, &latency, count, window.end_ns - window.begin_ns);
}

static void virtio(void)
{
	const struct frontend_options options = {
		.path = virtio_socket,
		.queues = 1,
		.queue_size = 128,
		.features = FRONTEND_F_EVENT_IDX | FRONTEND_F_INDIRECT,
		.memory_bytes = 4 << 20,
	};
	struct frontend *frontend;
	const char *reason = "";
	int error = frontend_connect(&options, &frontend, &reason);

	if (error)
		fail(reason, -error);
	if (!flood_from_ns)
		read_virtio(frontend, 1, "virtio 4K QD1");
	read_virtio(frontend, DEPTH_MAX, "virtio 4K QD32");
	frontend_close(frontend);
}

static void nvme(void)
{
	struct nvme_driver *driver = connect_nvme();

	if (!flood_from_ns) {
		loads(driver);
		posted(driver);
		read_nvme(driver, 1, "nvme 4K QD1");
	}
	read_nvme(driver, DEPTH_MAX, "nvme 4K QD32");
	nvme_driver_close(driver);
}

int main(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--nvme") == 0)
			nvme_socket = argv[i + 1];
		else if (strcmp(argv[i], "--virtio") == 0)
			virtio_socket = argv[i + 1];
		else if (strcmp(argv[i], "--flood-from") == 0)
			flood_from_ns = (uint64_t)(strtod(argv[i + 1], NULL) * 1e9);
		else if (strcmp(argv[i], "--seconds") == 0)
			seconds = strtod(argv[i + 1], NULL);
		else if (strcmp(argv[i], "--peer-cpu") == 0)
			peer_cpu = (int)strtol(argv[i + 1], NULL, 10);
	}
	if ((!nvme_socket || !virtio_socket) && (!flood_from_ns || (!nvme_socket && !virtio_socket))) {
		fputs("usage: viaduct-registers [--flood-from SECOND] --nvme SOCKET --virtio SOCKET "
		      "[--seconds N]\n",
		      stderr);
		return 2;
	}
	if (!flood_from_ns)
		ping_pong();
	if (nvme_socket)
		nvme();
	if (virtio_socket)
		virtio();
	puts("}");
	return 0;
}
