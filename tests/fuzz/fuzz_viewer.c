/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process of a viewer, whose client says what the input says and then goes. The first byte chooses what
 * the daemon sends: screens of other sizes, and damage. The client reads nothing until the end, so that what
 * it gets is what fits into its socket.
 *
 * A guarded process is refused its signature, so that a client that begins TLS goes no further than that.
 *
 * All that the process hears is there before it begins, and it is one thread: what it does is a function of
 * the input. The daemon reads beside it, so that it is never waited for.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fd.h"
#include "host/viewer/viewer_message.h"
#include "host/viewer/viewer_serve.h"
#include "input_trace.h"

#define INPUT_MAX   4096u
#define PICTURE_MAX (1u << 20)
#define TURNS	    3u
/* Of the client's side of the socket: the pictures of the script are smaller. */
#define SEND_BYTES (4 << 20)
/* Bits of the first byte. */
#define OTHER_SIZE 0x1u
#define DAMAGE	   0x2u
#define END	   0x4u
#define GUARD	   0x8u /* the client has to prove itself, and cannot */
#define GUARD_MS   20u
/* The server's version, kinds of security, and that TLS may begin. */
#define BEFORE_TLS_BYTES 23u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int daemon_end;

static const char certificate[] = "-----BEGIN CERTIFICATE-----\n"
				  "MIIBdjCCARugAwIBAgIUXbiarRtFvdV2lZC9UohhIegthdQwCgYIKoZIzj0EAwIw\n"
				  "DzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMzAxNjI5MTRaGA8yMTI2MTEwNjE2Mjkx\n"
				  "NFowDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAOs\n"
				  "n9zrGXiWD9UgcZ1ZJyNh/yosUujnB1AMKOdx/2wEQhneYEQTCj0KNPVb09QyAYeJ\n"
				  "6qFQYUo6pxZtb3GI55CjUzBRMB0GA1UdDgQWBBS2OagMZtz1Y3qNuoo2FrpKsS8Q\n"
				  "BzAfBgNVHSMEGDAWgBS2OagMZtz1Y3qNuoo2FrpKsS8QBzAPBgNVHRMBAf8EBTAD\n"
				  "AQH/MAoGCCqGSM49BAMCA0kAMEYCIQCFbfbwN6aWH1lXGGotWMzeSLQbVb6xZ2ny\n"
				  "5WCvfHHLNwIhAMbMgBYnjm6YsyJMrRaRe6jfcD6VFoDD9WlX/qmc1+u/\n"
				  "-----END CERTIFICATE-----\n";

/* ---- the daemon ---- */

static void say(const struct viewer_message *message, int fd)
{
	ssize_t sent = fd_send(daemon_end, message, sizeof(*message), &fd, fd >= 0);

	assert(sent == sizeof(*message));
}

static void show(uint32_t width, uint32_t height)
{
	struct viewer_message message = { .kind = VIEWER_SCREEN,
					  .width = width,
					  .height = height,
					  .stride_bytes = width * 4,
					  .name = "fuzz" };
	size_t bytes = (size_t)width * height * 4;
	int fd = fd_memfd("screen", bytes);
	uint8_t *pixels = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert(fd >= 0 && pixels != MAP_FAILED);
	/* Areas of one colour, and of many. */
	for (size_t i = 0; i < bytes; i++)
		pixels[i] = (uint8_t)(i % (width * 4) < width * 2 ? i / 4096 : i * i / 3);
	munmap(pixels, bytes);
	say(&message, fd);
	close(fd);
}

static void damage(void)
{
	const struct viewer_message message = { .kind = VIEWER_DAMAGE,
						.number = 2,
						.rects = { { 1, 1, 30, 20 }, { 40, 30, 1, 2 } } };

	say(&message, -1);
}

static void guard(void)
{
	const struct viewer_message message = {
		.kind = VIEWER_GUARD, .number = GUARD_MS, .width = GUARD_MS, .name = "$5$rounds=1000$salt$"
	};
	int fd = fd_memfd("certificate", sizeof(certificate) - 1);
	ssize_t written = pwrite(fd, certificate, sizeof(certificate) - 1, 0);

	assert(fd >= 0 && written == sizeof(certificate) - 1);
	say(&message, fd);
	close(fd);
}

static void speak(uint8_t script)
{
	const struct viewer_message end = { .kind = VIEWER_END };

	if (script & GUARD) {
		guard();
		return;
	}
	show(96, 64);
	for (unsigned i = 0; i < TURNS; i++) {
		if (script & DAMAGE)
			damage();
		if (script & OTHER_SIZE)
			show(80 + 16 * (i % 3), 48 + i);
	}
	if (script & END)
		say(&end, -1);
}

static void refuse_to_sign(void)
{
	const struct viewer_message refused = { .kind = VIEWER_SIGNED };

	fd_send(daemon_end, &refused, sizeof(refused), NULL, 0);
}

/*
 * Hears all that is said until the process closes its end. Where the process has not read all, the end is
 * told first, and then what is left.
 */
static void *listen_to_viewer(void *unused)
{
	struct viewer_message message;
	ssize_t received, text;

	while ((received = recv(daemon_end, &message, sizeof(message), MSG_TRUNC)) != 0) {
		if (received < 0 && errno == ECONNRESET)
			continue;
		text = message.kind == VIEWER_CUT ? (ssize_t)message.number : 0;
		assert(text <= (ssize_t)VIEWER_CUT_MAX && received == (ssize_t)sizeof(message) + text);
		assert((message.kind >= VIEWER_READY && message.kind <= VIEWER_SIZE) ||
		       message.kind == VIEWER_SIGN || message.kind == VIEWER_CUT);
		assert(message.kind != VIEWER_POINTER || (message.x < 128 && message.y < 64));
		assert(message.kind != VIEWER_KEY || (message.number > 0 && message.number < 0x300));
		/* What is to be signed has a random number in it. */
		if (message.kind == VIEWER_SIGN)
			refuse_to_sign();
		else
			fuzz_trace(&message, sizeof(message));
	}
	return unused;
}

/* ---- the client ---- */

/* Everything that is said to the client is what a client may be said: the version comes first. */
static void hear(int client, bool guarded)
{
	static uint8_t bytes[PICTURE_MAX];
	size_t got = 0;
	ssize_t received;

	while (got < PICTURE_MAX && (received = recv(client, bytes + got, PICTURE_MAX - got, 0)) > 0)
		got += (size_t)received;
	assert(got < 12 || memcmp(bytes, "RFB 003.008\n", 12) == 0);
	/* And so has what follows in TLS. */
	fuzz_trace(bytes, guarded && got > BEFORE_TLS_BYTES ? BEFORE_TLS_BYTES : got);
}

static void open_pair(int type, int ends[2])
{
	int error = socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), bytes = SEND_BYTES;

	assert(error == 0);
	for (unsigned i = 0; i < 2; i++)
		setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int outside[2], inside[2], error;
	pthread_t listener;
	ssize_t sent;

	if (size == 0)
		return 0;
	if (size > INPUT_MAX)
		size = INPUT_MAX;
	open_pair(SOCK_STREAM, outside);
	open_pair(SOCK_SEQPACKET, inside);
	daemon_end = inside[0];
	speak(data[0]);
	sent = send(outside[0], data + 1, size - 1, MSG_NOSIGNAL);
	assert(sent == (ssize_t)size - 1);
	shutdown(outside[0], SHUT_WR);
	error = pthread_create(&listener, NULL, listen_to_viewer, NULL);
	assert(error == 0);
	viewer_serve(outside[1], inside[1]);
	pthread_join(listener, NULL);
	hear(outside[0], data[0] & GUARD);
	close(outside[0]);
	close(inside[0]);
	return 0;
}
