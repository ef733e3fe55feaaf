/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/seat_guard.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "core/fd.h"
#include "core/path.h"
#include "daemon/seat/seat_config.h"
#include "host/viewer/viewer_message.h"

/* Hashes are shorter; a file of a key is larger than a certificate's only if it is none. */
#define FILE_MAX VIEWER_CERTIFICATE_MAX
/* For the version, what is chosen, and TLS; and for a person who types a name and a password. */
#define TLS_MS	    10000u
#define PASSWORD_MS 60000u

struct seat_guard {
	int file; /* of the certificates, as text */
	gnutls_privkey_t key;
	char hash[VIEWER_NAME_BYTES]; /* as crypt() prints it; the rest is 0 */
	char setting[VIEWER_NAME_BYTES];
};

/* ---- files ---- */

/* Of a secret: nobody but the owner and a group of readers may be able to read it, nor others to change it.
 */
static const char *wrong_rights(const struct stat *info)
{
	if (!S_ISREG(info->st_mode))
		return "is not a file";
	if (info->st_uid != 0 && info->st_uid != geteuid())
		return "belongs to another user: give it to root";
	if (info->st_mode & (S_IROTH | S_IWOTH))
		return "is open to every user: chmod 600";
	if (info->st_mode & S_IWGRP)
		return "can be changed by its group: chmod 600";
	return NULL;
}

/* The bytes are to be freed, and end with a NUL that does not count. */
static ssize_t read_all(int fd, char **ret_text)
{
	char *text = calloc(1, FILE_MAX + 2);
	ssize_t count = text ? pread(fd, text, FILE_MAX + 1, 0) : -1;

	if (count >= 0 && count <= (ssize_t)FILE_MAX) {
		*ret_text = text;
		return count;
	}
	count = !text ? -ENOMEM : count < 0 ? -EIO : -EFBIG;
	free(text);
	return count;
}

static ssize_t read_file(const char *key, const char *path, bool secret, char **ret_text, struct error *error)
{
	int fd = path_open(path, O_RDONLY | O_NONBLOCK, 0);
	struct stat info;
	const char *wrong = NULL;
	ssize_t count;

	if (fd < 0)
		return error_set(error, fd, "%s = %s: %s", key, path, strerror(-fd));
	count = fstat(fd, &info) < 0 ? -EIO : 0;
	if (count == 0 && secret)
		wrong = wrong_rights(&info);
	if (count == 0 && !wrong)
		count = read_all(fd, ret_text);
	fd_close(&fd);
	if (wrong)
		return error_set(error, -EACCES, "%s = %s %s", key, path, wrong);
	return count < 0 ? error_set(error, (int)count, "%s = %s: %s", key, path, strerror((int)-count))
			 : count;
}

static void forget_text(char *text)
{
	if (text)
		explicit_bzero(text, FILE_MAX);
	free(text);
}

/* ---- the certificate and its key ---- */

static int share_certificates(struct seat_guard *guard, const char *text, size_t bytes)
{
	guard->file = fd_memfd("viaduct-certificate", bytes);
	if (guard->file < 0)
		return guard->file;
	if (pwrite(guard->file, text, bytes, 0) != (ssize_t)bytes)
		return -EIO;
	return fcntl(guard->file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) < 0 ? -errno : 0;
}

/* Of the first certificate. */
static int read_public_key(const char *text, size_t bytes, gnutls_pubkey_t public_key)
{
	const gnutls_datum_t datum = { (unsigned char *)text, (unsigned)bytes };
	gnutls_x509_crt_t certificate;
	int code = gnutls_x509_crt_init(&certificate);

	if (code)
		return code;
	code = gnutls_x509_crt_import(certificate, &datum, GNUTLS_X509_FMT_PEM);
	if (!code)
		code = gnutls_pubkey_import_x509(public_key, certificate, 0);
	gnutls_x509_crt_deinit(certificate);
	return code;
}

static bool same_key(gnutls_pubkey_t one, gnutls_privkey_t other)
{
	uint8_t ids[2][64];
	size_t sizes[2] = { sizeof(ids[0]), sizeof(ids[1]) };
	gnutls_pubkey_t public_key;
	bool same = false;

	if (gnutls_pubkey_init(&public_key))
		return false;
	if (!gnutls_pubkey_import_privkey(public_key, other, 0, 0) &&
	    !gnutls_pubkey_get_key_id(one, GNUTLS_KEYID_USE_SHA256, ids[0], &sizes[0]) &&
	    !gnutls_pubkey_get_key_id(public_key, GNUTLS_KEYID_USE_SHA256, ids[1], &sizes[1]))
		same = sizes[0] == sizes[1] && memcmp(ids[0], ids[1], sizes[0]) == 0;
	gnutls_pubkey_deinit(public_key);
	return same;
}

/* Those that sign a hash. */
static bool is_served(gnutls_privkey_t key)
{
	int kind = gnutls_privkey_get_pk_algorithm(key, NULL);

	return kind == GNUTLS_PK_RSA || kind == GNUTLS_PK_RSA_PSS || kind == GNUTLS_PK_ECDSA;
}

static int load_certificate(struct seat_guard *guard, const struct config_seat *settings,
			    gnutls_pubkey_t public_key, struct error *error)
{
	char *text = NULL;
	ssize_t count = read_file("vnc_certificate", settings->vnc_certificate, false, &text, error);
	int code = count < 0 ? (int)count : read_public_key(text, (size_t)count, public_key);

	if (count >= 0 && code)
		code = error_set(error, -EINVAL, "vnc_certificate = %s: no certificate as text (PEM): %s",
				 settings->vnc_certificate, gnutls_strerror(code));
	else if (!code && (code = share_certificates(guard, text, (size_t)count)))
		error_set(error, code, "cannot make a memory file: %s", strerror(-code));
	free(text);
	return code;
}

static int load_key(struct seat_guard *guard, const struct config_seat *settings, gnutls_pubkey_t public_key,
		    struct error *error)
{
	char *text = NULL;
	ssize_t count = read_file("vnc_key", settings->vnc_key, true, &text, error);
	gnutls_datum_t datum = { (unsigned char *)text, count < 0 ? 0 : (unsigned)count };
	int code;

	if (count < 0)
		return (int)count;
	code = gnutls_privkey_import_x509_raw(guard->key, &datum, GNUTLS_X509_FMT_PEM, NULL, 0);
	forget_text(text);
	if (code)
		return error_set(error, -EINVAL, "vnc_key = %s: no key as text (PEM) without a password: %s",
				 settings->vnc_key, gnutls_strerror(code));
	if (!is_served(guard->key))
		return error_set(error, -EINVAL, "vnc_key = %s is neither an RSA nor an ECDSA key",
				 settings->vnc_key);
	if (!same_key(public_key, guard->key))
		return error_set(error, -EINVAL, "vnc_key = %s is not the key of the certificate %s",
				 settings->vnc_key, settings->vnc_certificate);
	return 0;
}

/* ---- the password ---- */

/* A way to hash whose salt stands before the last '$': yescrypt, scrypt and SHA-2. */
static bool take_hash(struct seat_guard *guard, char *text)
{
	static const char *const ways[] = { "$y$", "$gy$", "$7$", "$6$", "$5$" };
	size_t length = strcspn(text, "\n");
	const char *end;
	bool known = false;

	if (length >= sizeof(guard->hash) || text[length + (text[length] == '\n')] != '\0')
		return false;
	memcpy(guard->hash, text, length);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		known |= strncmp(guard->hash, ways[i], strlen(ways[i])) == 0;
	end = strrchr(guard->hash, '$');
	if (!known || !end || end == guard->hash || end[1] == '\0' ||
	    crypt_checksalt(guard->hash) == CRYPT_SALT_INVALID)
		return false;
	memcpy(guard->setting, guard->hash, (size_t)(end - guard->hash) + 1);
	return true;
}

static int load_password(struct seat_guard *guard, const struct config_seat *settings, struct error *error)
{
	char *text = NULL;
	ssize_t count = read_file("vnc_password_file", settings->vnc_password_file, true, &text, error);
	bool taken;

	if (!text)
		return (int)count;
	taken = take_hash(guard, text);
	forget_text(text);
	return taken ? 0
		     : error_set(error, -EINVAL,
				 "vnc_password_file = %s: not one line with the hash of a password, as "
				 "openssl passwd -6 or mkpasswd prints it",
				 settings->vnc_password_file);
}

/* ---- life ---- */

static int load(struct seat_guard *guard, const struct config_seat *settings, struct error *error)
{
	gnutls_pubkey_t public_key;
	int code;

	if (gnutls_privkey_init(&guard->key) || gnutls_pubkey_init(&public_key))
		return error_set(error, -ENOMEM, "out of memory");
	code = load_certificate(guard, settings, public_key, error);
	if (!code)
		code = load_key(guard, settings, public_key, error);
	gnutls_pubkey_deinit(public_key);
	return code ? code : load_password(guard, settings, error);
}

int seat_guard_load(const struct config_seat *settings, struct seat_guard **ret_guard, struct error *error)
{
	struct seat_guard *guard = calloc(1, sizeof(*guard));
	int code;

	if (!guard)
		return error_set(error, -ENOMEM, "out of memory");
	guard->file = -1;
	code = load(guard, settings, error);
	if (code) {
		seat_guard_destroy(guard);
		return code;
	}
	*ret_guard = guard;
	return 0;
}

void seat_guard_destroy(struct seat_guard *guard)
{
	if (!guard)
		return;
	if (guard->key)
		gnutls_privkey_deinit(guard->key);
	fd_close(&guard->file);
	explicit_bzero(guard, sizeof(*guard));
	free(guard);
}

/* ---- for a viewer's process ---- */

void seat_guard_terms(const struct seat_guard *guard, struct viewer_message *ret_message, int *ret_file)
{
	*ret_message =
		(struct viewer_message){ .kind = VIEWER_GUARD, .number = TLS_MS, .width = PASSWORD_MS };
	memcpy(ret_message->name, guard->setting, sizeof(guard->setting));
	*ret_file = guard->file;
}

size_t seat_guard_sign(const struct seat_guard *guard, const struct viewer_message *message,
		       uint8_t *signature, size_t room)
{
	gnutls_sign_algorithm_t algorithm = (gnutls_sign_algorithm_t)message->number;
	unsigned wanted = gnutls_hash_get_len(gnutls_sign_get_hash_algorithm(algorithm));
	uint8_t digest[VIEWER_DIGEST_MAX];
	gnutls_datum_t data = { digest, message->width }, made = { NULL, 0 };
	size_t count = 0;

	if (message->width == 0 || message->width > sizeof(digest) || message->width != wanted ||
	    !gnutls_sign_is_secure2(algorithm, 0))
		return 0;
	memcpy(digest, message->name, message->width);
	if (gnutls_privkey_sign_hash2(guard->key, algorithm, 0, &data, &made))
		return 0;
	if (made.size <= room) {
		memcpy(signature, made.data, made.size);
		count = made.size;
	}
	gnutls_free(made.data);
	return count;
}

bool seat_guard_judge(const struct seat_guard *guard, const struct viewer_message *message)
{
	return gnutls_memcmp(guard->hash, message->name, sizeof(guard->hash)) == 0;
}
