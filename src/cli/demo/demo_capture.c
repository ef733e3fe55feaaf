/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/demo/demo_capture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/demo/demo_card.h"
#include "core/big_endian.h"
#include "core/clock.h"
#include "core/pcapng.h"

#define LOOK_AGAIN_US 20000u
#define BEGIN_NS      (60 * NS_PER_S)

/* Offsets in an Ethernet frame without a VLAN tag. */
#define TYPE	      12u
#define IPV4_PROTOCOL 23u
#define IPV6_NEXT     20u

/* ---- the process ---- */

static bool has_begun(const struct demo_capture *capture)
{
	struct stat status;

	return stat(capture->path, &status) == 0 && status.st_size > 0;
}

static int wait_begun(struct demo_capture *capture)
{
	uint64_t deadline_ns = clock_now_ns() + BEGIN_NS;

	while (!has_begun(capture)) {
		if (waitpid(capture->pid, NULL, WNOHANG) == capture->pid) {
			capture->pid = 0;
			return -ECHILD;
		}
		if (clock_now_ns() > deadline_ns)
			return -ETIMEDOUT;
		usleep(LOOK_AGAIN_US);
	}
	return 0;
}

int demo_capture_start(struct demo_capture *capture, const char *runtime_dir, const char *directory,
		       const char *card)
{
	char snap[16];

	snprintf(capture->path, sizeof(capture->path), "%s/%.*s.pcapng", directory, (int)strcspn(card, "/"),
		 card);
	snprintf(capture->log, sizeof(capture->log), "%s/capture.log", directory);
	snprintf(snap, sizeof(snap), "%u", DEMO_CAPTURE_SNAP);
	fflush(stdout);
	capture->pid = fork();
	if (capture->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(open(capture->log, O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
		execl("/proc/self/exe", "viaduct", "--runtime-dir", runtime_dir, "capture", card, "-s", snap,
		      "-w", capture->path, (char *)NULL);
		_exit(127);
	}
	if (capture->pid > 0)
		return wait_begun(capture);
	capture->pid = 0;
	return -EAGAIN;
}

int demo_capture_stop(struct demo_capture *capture)
{
	int status = 0;

	if (capture->pid == 0)
		return -1;
	kill(capture->pid, SIGTERM);
	while (waitpid(capture->pid, &status, 0) < 0 && errno == EINTR)
		;
	capture->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- the file ---- */

static enum demo_protocol protocol_of(const struct pcapng_frame *frame)
{
	unsigned type = frame->kept_bytes > IPV4_PROTOCOL ? big16_get(frame->bytes + TYPE) : 0, next;

	if (type == 0x0806)
		return DEMO_ARP;
	if (type != 0x0800 && type != 0x86dd)
		return DEMO_OTHER;
	next = frame->bytes[type == 0x0800 ? IPV4_PROTOCOL : IPV6_NEXT];
	if (next == 6)
		return DEMO_TCP;
	if (next == 17)
		return DEMO_UDP;
	if (type == 0x86dd)
		return DEMO_IPV6;
	return next == 1 ? DEMO_ICMP : DEMO_OTHER;
}

static void add_frame(struct demo_capture_summary *summary, const struct pcapng_frame *frame,
		      const char *token)
{
	summary->frames++;
	summary->bytes += frame->frame_bytes;
	summary->lost += frame->lost_before;
	summary->protocol[protocol_of(frame)]++;
	if (!demo_card_marks(frame->bytes, frame->kept_bytes, token))
		return;
	if (frame->comment_bytes > 0)
		summary->refused++;
	else
		summary->passed++;
}

static int read_blocks(const uint8_t *bytes, size_t count, const char *token,
		       struct demo_capture_summary *summary)
{
	struct pcapng_block block;
	long length;

	while ((length = pcapng_read(bytes, count, &block)) > 0) {
		if (block.kind == PCAPNG_FRAME)
			add_frame(summary, &block.frame, token);
		else if (block.kind == PCAPNG_COUNTS && block.counts.lost > summary->lost)
			summary->lost = block.counts.lost;
		bytes += length;
		count -= (size_t)length;
	}
	return (int)length;
}

/* A file that grows. Returns 0 and its bytes, to be freed, or -errno. */
static int load(const char *path, uint8_t **ret_bytes, size_t *ret_count)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error = fd < 0 ? -errno : 0;
	struct stat status = { .st_size = 0 };
	uint8_t *bytes = NULL;
	ssize_t n = 0;

	if (!error && fstat(fd, &status) < 0)
		error = -errno;
	if (!error) {
		bytes = malloc((size_t)status.st_size + 1);
		n = bytes ? read(fd, bytes, (size_t)status.st_size) : -1;
		error = !bytes ? -ENOMEM : n < 0 ? -errno : 0;
	}
	if (fd >= 0)
		close(fd);
	if (error)
		free(bytes);
	if (error)
		return error;
	*ret_bytes = bytes;
	*ret_count = (size_t)n;
	return 0;
}

int demo_capture_read(const struct demo_capture *capture, const char *token,
		      struct demo_capture_summary *ret_summary)
{
	struct demo_capture_summary summary = { .frames = 0 };
	uint8_t *bytes;
	size_t count;
	int error = load(capture->path, &bytes, &count);

	if (error)
		return error;
	error = read_blocks(bytes, count, token, &summary);
	free(bytes);
	if (!error)
		*ret_summary = summary;
	return error;
}

const char *demo_protocol_text(enum demo_protocol protocol)
{
	static const char *const texts[DEMO_PROTOCOLS] = {
		[DEMO_ARP] = "ARP", [DEMO_ICMP] = "ICMP", [DEMO_TCP] = "TCP",
		[DEMO_UDP] = "UDP", [DEMO_IPV6] = "IPv6", [DEMO_OTHER] = "others",
	};

	return texts[protocol];
}
