/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A console in the browser, as the daemon has it: its token, and what its pages ask for. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/path.h"
#include "daemon/seat/display_device.h"
#include "daemon/seat/seat_room.h"
#include "host/web/web_site.h"

#define TOKEN_BYTES 32u
/* With its newline. */
#define FILE_BYTES WEB_TOKEN_SIZE
#define FILE_MODE  0600

/* ---- the token ---- */

/* Base64url without padding (RFC 4648, 5): 6 bits a character, the last of which holds 4. */
static void write_token(const uint8_t bytes[TOKEN_BYTES], char token[WEB_TOKEN_SIZE])
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	for (unsigned i = 0; i < WEB_TOKEN_SIZE - 1; i++) {
		unsigned at = i * 6 / 8, shift = i * 6 % 8;
		unsigned pair = (unsigned)bytes[at] << 8 | (at + 1 < TOKEN_BYTES ? bytes[at + 1] : 0);

		token[i] = letters[pair >> (10 - shift) & 63];
	}
	token[WEB_TOKEN_SIZE - 1] = '\0';
}

/* Only a file that nobody but its owner can read counts. */
static bool read_token(int fd, char token[WEB_TOKEN_SIZE])
{
	char text[FILE_BYTES + 1] = "";
	struct stat info;

	return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 07777) == FILE_MODE &&
	       pread(fd, text, sizeof(text), 0) == FILE_BYTES && text[FILE_BYTES - 1] == '\n' &&
	       web_token_take(text, FILE_BYTES - 1, token);
}

/* The token of the daemon before this one, so that pages which are open can come back. */
static bool find_token(const char *path, char token[WEB_TOKEN_SIZE])
{
	int fd = path_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	bool found = fd >= 0 && read_token(fd, token);

	fd_close(&fd);
	return found;
}

static int remove_file(const char *path)
{
	const char *name;
	int folder = path_open_parent(path, &name), error;

	if (folder < 0)
		return folder;
	error = unlinkat(folder, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	fd_close(&folder);
	return error;
}

static int make_token(const struct config *config, const char *path, char token[WEB_TOKEN_SIZE])
{
	uint8_t bytes[TOKEN_BYTES];
	int error = remove_file(path), fd;

	if (error)
		return error;
	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -errno;
	write_token(bytes, token);
	fd = path_open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, FILE_MODE);
	if (fd < 0)
		return fd;
	daemon_give(config, fd, path);
	/* Whatever the umask is. */
	if (fchmod(fd, FILE_MODE) < 0 || write(fd, token, WEB_TOKEN_SIZE - 1) != WEB_TOKEN_SIZE - 1 ||
	    write(fd, "\n", 1) != 1)
		error = errno ? -errno : -EIO;
	fd_close(&fd);
	return error;
}

int seat_web_open(struct daemon_seat *owner, const struct config_seat *settings, struct error *error)
{
	const struct daemon *daemon = owner->daemon;
	char path[SOCKET_PATH_SIZE];
	int length = snprintf(path, sizeof(path), "%s/seat-%s.token", daemon->runtime_dir, owner->name);
	int code = 0;

	if (strcmp(settings->web, "none") == 0)
		return 0;
	if (length < 0 || (size_t)length >= sizeof(path))
		return error_set(error, -ENAMETOOLONG, "the path of its token is longer than %d bytes",
				 SOCKET_PATH_SIZE - 1);
	if (!find_token(path, owner->token))
		code = make_token(daemon->config, path, owner->token);
	if (code) {
		owner->token[0] = '\0';
		return error_set(error, code, "cannot make %s: %s", path, strerror(-code));
	}
	snprintf(owner->web_address, sizeof(owner->web_address), "http://%s/", settings->web);
	if (access(WEB_NOVNC "/core/rfb.js", R_OK) < 0)
		log_warning(&owner->subject, "there is no console at %s: install novnc, and restart",
			    owner->web_address);
	return 0;
}

/* ---- what a browser asks for ---- */

/* An answer of viewer_message.h, with text behind it. */
struct told_state {
	struct viewer_message message;
	char text[VIEWER_STATE_MAX];
};

/* Displays that are too many to be told are left out, the last first. */
static size_t print_state(const struct daemon_seat *owner, char *text, size_t room)
{
	json_t *state = seat_state_json(owner), *displays = json_object_get(state, "displays");
	size_t count;

	while ((count = json_dumpb(state, text, room, JSON_COMPACT)) > room)
		json_array_remove(displays, json_array_size(displays) - 1);
	json_decref(state);
	return count;
}

/* A process that does not take what it asked for gets nothing. */
static void tell_state(struct daemon_seat *owner, struct seat_client *client)
{
	struct told_state told = { .message = { .kind = VIEWER_JUDGED, .number = VIEWER_RIGHT } };
	size_t count = print_state(owner, told.text, sizeof(told.text));

	__atomic_store_n(&client->viewer.asks_state, false, __ATOMIC_RELEASE);
	fd_send_now(client->fd, &told, sizeof(told.message) + count, NULL, 0);
}

static void give_focus(struct daemon_seat *owner, struct seat_client *client)
{
	const struct display_window *window = display_window_find(owner->daemon, client->viewer.focus);

	if (window && window->display->seat == owner)
		seat_focus_display(owner, window);
	__atomic_store_n(&client->viewer.asks_focus, false, __ATOMIC_RELEASE);
}

void seat_web_serve(struct daemon_seat *owner, struct seat_client *client)
{
	if (__atomic_load_n(&client->viewer.asks_state, __ATOMIC_ACQUIRE))
		tell_state(owner, client);
	if (__atomic_load_n(&client->viewer.asks_focus, __ATOMIC_ACQUIRE))
		give_focus(owner, client);
}
