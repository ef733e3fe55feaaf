/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/viewer/viewer_guard.h"

#include <crypt.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/big_endian.h"
#include "core/clock.h"
#include "core/fd.h"
#include "host/viewer/viewer_input.h"
#include "host/viewer/viewer_tls.h"

#define VERSION	      "RFB 003.008\n"
#define VERSION_BYTES (sizeof(VERSION) - 1)
#define VENCRYPT      19
#define X509_PLAIN    262u
#define REASON_TLS    "this seat asks for TLS and a password: VeNCrypt with X509Plain"
#define REASON_WRONG  "wrong password"
#define REASON_FULL   "the seat has as many viewers as it may have"
#define REASON_MAX    80u

struct guard {
	int inner;
	const struct viewer_message *terms;
	struct viewer_wire *wire;
	uint64_t deadline_ns;
};

/* A message of the daemon's with a signature behind it. */
struct answer {
	struct viewer_message message;
	uint8_t signature[VIEWER_SIGNATURE_MAX];
};

/* ---- waiting ---- */

/* Returns 0 when the client's socket is ready. The daemon says nothing unasked, so what comes is its end. */
static int wait_for_client(const struct guard *guard, short events)
{
	struct pollfd poll_fds[2] = { { .fd = guard->inner, .events = POLLIN },
				      { .fd = guard->wire->fd, .events = events } };
	uint64_t now = clock_now_ns();
	int ready;

	if (now >= guard->deadline_ns)
		return -ETIMEDOUT;
	ready = poll(poll_fds, 2, (int)((guard->deadline_ns - now) / NS_PER_MS) + 1);
	if (ready < 0)
		return errno == EINTR ? 0 : -errno;
	return poll_fds[0].revents ? -EPIPE : 0;
}

static void set_deadline(struct guard *guard, uint32_t ms)
{
	guard->deadline_ns = clock_now_ns() + ms * NS_PER_MS;
}

/* Reads so many bytes and none beyond: what follows may be TLS'. */
static int take(struct guard *guard, void *bytes, size_t count)
{
	uint8_t *at = bytes;

	while (count > 0) {
		ssize_t received = viewer_wire_receive(guard->wire, at, count);
		int error = received == -EAGAIN ? wait_for_client(guard, POLLIN) : 0;

		if (error || received == 0)
			return error ? error : -EPROTO;
		if (received < 0 && received != -EAGAIN)
			return (int)received;
		if (received > 0) {
			at += received;
			count -= (size_t)received;
		}
	}
	return 0;
}

static int give(struct guard *guard, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;

	while (count > 0) {
		ssize_t sent = viewer_wire_send(guard->wire, at, count);
		int error = sent == -EAGAIN ? wait_for_client(guard, POLLOUT) : 0;

		if (error)
			return error;
		if (sent < 0 && sent != -EAGAIN)
			return (int)sent;
		if (sent > 0) {
			at += sent;
			count -= (size_t)sent;
		}
	}
	return 0;
}

/* A number, which says that more than reading ends here, and why. */
static int give_reason(struct guard *guard, const void *number, size_t number_bytes, const char *reason)
{
	uint8_t bytes[sizeof(uint32_t) * 2 + REASON_MAX + 1];
	size_t length = strlen(reason);

	memcpy(bytes, number, number_bytes);
	big32_put(bytes + number_bytes, (uint32_t)length);
	memcpy(bytes + number_bytes + sizeof(uint32_t), reason, length + 1);
	return give(guard, bytes, number_bytes + sizeof(uint32_t) + length);
}

/* ---- the daemon ---- */

/* Waits for the answer. Returns the bytes behind the message, or -errno. */
static ssize_t ask(const struct guard *guard, const struct viewer_message *question,
		   enum viewer_message_kind kind, struct answer *answer)
{
	struct pollfd poll_fd = { .fd = guard->inner, .events = POLLIN };
	int files[1];
	size_t file_count;
	ssize_t received;

	if (!viewer_tell(guard->inner, question))
		return -EPIPE;
	while (poll(&poll_fd, 1, -1) < 0 && errno == EINTR)
		;
	received = fd_receive(guard->inner, answer, sizeof(*answer), files, 0, &file_count);
	if (received < (ssize_t)sizeof(answer->message) || answer->message.kind != (uint32_t)kind)
		return -EPIPE;
	return received - (ssize_t)sizeof(answer->message);
}

static ssize_t sign(void *context, uint32_t algorithm, const uint8_t *digest, size_t digest_bytes,
		    uint8_t *signature, size_t room)
{
	struct viewer_message question = { .kind = VIEWER_SIGN,
					   .number = algorithm,
					   .width = (uint32_t)digest_bytes };
	struct answer answer;
	ssize_t count;

	if (digest_bytes > sizeof(question.name))
		return -EINVAL;
	memcpy(question.name, digest, digest_bytes);
	count = ask(context, &question, VIEWER_SIGNED, &answer);
	if (count <= 0 || (size_t)count > room)
		return count < 0 ? count : -EACCES;
	memcpy(signature, answer.signature, (size_t)count);
	return count;
}

/* ---- before TLS ---- */

/* A client of 3.3 expects a kind of security in four bytes, others how many kinds there are in one. */
static int refuse_version(struct guard *guard, const uint8_t version[VERSION_BYTES])
{
	static const uint8_t none[sizeof(uint32_t)] = { 0 };
	bool counts = memcmp(version, "RFB 003.007\n", VERSION_BYTES) == 0;
	int error =
		memcmp(version, "RFB ", 4) == 0 ? give_reason(guard, none, counts ? 1 : 4, REASON_TLS) : 0;

	return error ? error : -EPROTO;
}

static int agree_on_version(struct guard *guard)
{
	uint8_t version[VERSION_BYTES];
	int error = give(guard, VERSION, VERSION_BYTES);

	if (!error)
		error = take(guard, version, sizeof(version));
	if (!error && memcmp(version, VERSION, VERSION_BYTES) != 0)
		error = refuse_version(guard, version);
	return error;
}

/* Says what there is, and hears what the client chooses: nothing else will do. */
static int agree_on(struct guard *guard, const void *offer, size_t offer_bytes, const void *choice,
		    size_t choice_bytes)
{
	uint8_t chosen[sizeof(uint32_t)];
	int error = give(guard, offer, offer_bytes);

	if (!error)
		error = take(guard, chosen, choice_bytes);
	return !error && memcmp(chosen, choice, choice_bytes) != 0 ? -EPROTO : error;
}

static int agree_on_security(struct guard *guard)
{
	static const uint8_t kinds[] = { 1, VENCRYPT }, version[] = { 0, 2 };
	static const uint8_t subtypes[] = { 0, 1, 0, 0, X509_PLAIN >> 8, X509_PLAIN & 0xff };
	static const uint8_t begin = 1;
	int error = agree_on(guard, kinds, sizeof(kinds), kinds + 1, 1);

	if (!error)
		error = agree_on(guard, version, sizeof(version), version, sizeof(version));
	if (!error)
		error = agree_on(guard, subtypes, sizeof(subtypes), subtypes + 2, sizeof(subtypes) - 2);
	return error ? error : give(guard, &begin, 1);
}

/* ---- TLS ---- */

static int shake_hands(const struct guard *guard, struct viewer_tls *tls)
{
	short events;
	int error;

	while ((error = viewer_tls_shake_hands(tls, &events)) == -EAGAIN) {
		error = wait_for_client(guard, events);
		if (error)
			return error;
	}
	return error;
}

static int create_tls(struct guard *guard, int file, struct viewer_tls **ret_tls)
{
	const struct viewer_signer signer = { sign, guard };
	struct stat info;
	char *text;
	int error;

	if (fstat(file, &info) < 0 || info.st_size <= 0 || info.st_size > (off_t)VIEWER_CERTIFICATE_MAX)
		return -EINVAL;
	text = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, file, 0);
	if (text == MAP_FAILED)
		return -errno;
	error = viewer_tls_create(guard->wire->fd, text, (size_t)info.st_size, &signer, ret_tls);
	munmap(text, (size_t)info.st_size);
	return error;
}

/* ---- the password ---- */

/* Which name the client gives makes no difference. Ends the password with NUL. */
static int take_password(struct guard *guard, char password[VIEWER_SECRET_MAX + 1])
{
	uint8_t lengths[2 * sizeof(uint32_t)];
	char name[VIEWER_SECRET_MAX];
	uint32_t name_bytes, password_bytes;
	int error = take(guard, lengths, sizeof(lengths));

	if (error)
		return error;
	name_bytes = big32_get(lengths);
	password_bytes = big32_get(lengths + sizeof(uint32_t));
	if (name_bytes > VIEWER_SECRET_MAX || password_bytes > VIEWER_SECRET_MAX)
		return -EPROTO;
	error = take(guard, name, name_bytes);
	if (!error)
		error = take(guard, password, password_bytes);
	password[password_bytes] = '\0';
	return !error && strlen(password) != password_bytes ? -EPROTO : error;
}

/* What crypt() makes of it is of no use but to be compared: the daemon is not told the password. */
static int judge(const struct guard *guard, const char *password, uint32_t *ret_verdict)
{
	struct crypt_data *work = calloc(1, sizeof(*work));
	struct viewer_message question = { .kind = VIEWER_PASSWORD };
	struct answer answer;
	const char *made = work ? crypt_r(password, guard->terms->name, work) : NULL;
	ssize_t behind = -ENOMEM;

	if (made && strlen(made) < sizeof(question.name)) {
		memcpy(question.name, made, strlen(made));
		behind = ask(guard, &question, VIEWER_JUDGED, &answer);
	}
	if (work)
		explicit_bzero(work, sizeof(*work));
	free(work);
	if (behind < 0)
		return (int)behind;
	*ret_verdict = answer.message.number;
	return 0;
}

static int prove_password(struct guard *guard)
{
	static const uint8_t welcome[sizeof(uint32_t)] = { 0 }, refused[sizeof(uint32_t)] = { 0, 0, 0, 1 };
	char password[VIEWER_SECRET_MAX + 1];
	uint32_t verdict = VIEWER_WRONG;
	int error = take_password(guard, password);

	if (!error)
		error = judge(guard, password, &verdict);
	explicit_bzero(password, sizeof(password));
	if (error)
		return error;
	if (verdict == VIEWER_RIGHT)
		return give(guard, welcome, sizeof(welcome));
	error = give_reason(guard, refused, sizeof(refused),
			    verdict == VIEWER_FULL ? REASON_FULL : REASON_WRONG);
	return error ? error : -EACCES;
}

/* ---- all of it ---- */

int viewer_guard_pass(int inner, const struct viewer_message *terms, int certificates,
		      struct viewer_wire *wire, struct viewer_tls **ret_tls)
{
	struct guard guard = { .inner = inner, .terms = terms, .wire = wire };
	struct viewer_tls *tls = NULL;
	int error;

	if (!memchr(terms->name, 0, sizeof(terms->name)))
		return -EINVAL;
	set_deadline(&guard, terms->number);
	error = agree_on_version(&guard);
	if (!error)
		error = agree_on_security(&guard);
	if (!error)
		error = create_tls(&guard, certificates, &tls);
	if (!error)
		error = shake_hands(&guard, tls);
	if (!error) {
		wire->session = viewer_tls_session(tls);
		set_deadline(&guard, terms->width);
		error = prove_password(&guard);
	}
	if (error) {
		wire->session = NULL;
		viewer_tls_destroy(tls);
		return error;
	}
	*ret_tls = tls;
	return 0;
}
