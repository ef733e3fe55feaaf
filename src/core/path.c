/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/fd.h"

/* As the kernel has it. */
#define LINKS_MAX 40u
/* Of open_last(): what is there is a link, which is to be followed. open(2) has no such answer. */
#define IS_LINK (-EREMCHG)

/* On the way: the directory reached, and what is left to go. */
struct walk {
	int fd;
	unsigned links;
	uid_t weakest; /* the first owner of a directory on the way that is not root */
	size_t begin;  /* of the rest; what is before it was gone */
	char rest[2 * PATH_MAX];
};

static bool is_root(void)
{
	return geteuid() == 0;
}

/* Takes the descriptor of a directory (or of anything: then the next step fails). */
static void arrive(struct walk *walk, int fd, const struct stat *status)
{
	fd_close(&walk->fd);
	walk->fd = fd;
	if (S_ISDIR(status->st_mode) && walk->weakest == 0)
		walk->weakest = status->st_uid;
}

/* Root's or the current directory. */
static int begin_at(struct walk *walk, const char *rest)
{
	struct stat status;
	int fd = open(rest[0] == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0) {
		close(fd);
		return -EIO;
	}
	arrive(walk, fd, &status);
	return 0;
}

static int begin(struct walk *walk, const char *path)
{
	*walk = (struct walk){ .fd = -1 };
	if (path[0] == '\0')
		return -ENOENT;
	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(walk->rest, path, strlen(path) + 1);
	return begin_at(walk, path);
}

/* The next part of the way, or NULL; *ret_last: nothing but slashes follows. */
static const char *next_part(struct walk *walk, bool *ret_last)
{
	char *part = walk->rest + walk->begin, *end;

	part += strspn(part, "/");
	if (*part == '\0')
		return NULL;
	end = part + strcspn(part, "/");
	*ret_last = end[strspn(end, "/")] == '\0';
	if (*end != '\0')
		*end++ = '\0';
	walk->begin = (size_t)(end - walk->rest);
	return part;
}

/* Takes the descriptor of a link, whose target becomes the beginning of the rest. */
static int follow(struct walk *walk, int fd, const struct stat *status)
{
	char target[PATH_MAX], rest[PATH_MAX];
	ssize_t length = readlinkat(fd, "", target, sizeof(target) - 1);
	int error = length < 0 ? -errno : 0;

	close(fd);
	if (error)
		return error;
	if (length == 0)
		return -ENOENT;
	if ((is_root() && status->st_uid != 0) || ++walk->links > LINKS_MAX)
		return -ELOOP;
	target[length] = '\0';
	if ((size_t)snprintf(rest, sizeof(rest), "%s", walk->rest + walk->begin) >= sizeof(rest) ||
	    (size_t)snprintf(walk->rest, sizeof(walk->rest), "%s/%s", target, rest) >= sizeof(walk->rest))
		return -ENAMETOOLONG;
	walk->begin = 0;
	return target[0] == '/' ? begin_at(walk, target) : 0;
}

/* Goes on by one part. Returns 0, or -errno. */
static int step(struct walk *walk, const char *part)
{
	int fd = openat(walk->fd, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0) {
		close(fd);
		return -EIO;
	}
	if (S_ISLNK(status.st_mode))
		return follow(walk, fd, &status);
	arrive(walk, fd, &status);
	return 0;
}

static bool is_link(int directory, const char *name)
{
	struct stat status;

	return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
}

/* The last part, as asked for: a descriptor, -errno, or IS_LINK. */
static int open_last(const struct walk *walk, const char *part, int flags, mode_t mode)
{
	int fd = openat(walk->fd, part, flags | O_NOFOLLOW | O_CLOEXEC, mode), error;

	/* O_PATH opens the link itself. */
	if (fd >= 0 && (flags & O_PATH) && !(flags & O_NOFOLLOW) && is_link(walk->fd, part)) {
		close(fd);
		return IS_LINK;
	}
	if (fd >= 0)
		return fd;
	error = -errno;
	if ((error == -ELOOP || error == -ENOTDIR) && !(flags & O_NOFOLLOW) && is_link(walk->fd, part))
		return IS_LINK;
	return error;
}

int path_open(const char *path, int flags, mode_t mode)
{
	struct walk walk;
	int result = begin(&walk, path);
	bool last = false;
	const char *part;

	while (!result) {
		part = next_part(&walk, &last);
		if (!part) /* "/", or a link to it */
			part = ".", last = true;
		if (last) {
			result = open_last(&walk, part, flags, mode);
			if (result != IS_LINK)
				break;
		}
		result = step(&walk, part);
	}
	fd_close(&walk.fd);
	return result;
}

static int walk_to_parent(struct walk *walk, const char *path, const char **ret_name)
{
	int error = begin(walk, path);
	bool last = false;

	while (!error) {
		const char *part = next_part(walk, &last);

		if (!part)
			error = -EISDIR;
		else if (last)
			*ret_name = part;
		if (error || last)
			break;
		error = step(walk, part);
	}
	if (error)
		fd_close(&walk->fd);
	return error;
}

/* The last part as the caller wrote it. */
static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int path_open_parent(const char *path, const char **ret_name)
{
	struct walk walk;
	const char *name = "";
	int error = *last_part(path) ? walk_to_parent(&walk, path, &name) : -EISDIR;

	if (error)
		return error;
	*ret_name = last_part(path);
	return walk.fd;
}

int path_make_directory(const char *path, mode_t mode)
{
	struct walk walk;
	const char *name = "";
	int error = walk_to_parent(&walk, path, &name);

	if (error == -EISDIR)
		return 0;
	if (error)
		return error;
	error = mkdirat(walk.fd, name, mode) < 0 && errno != EEXIST ? -errno : 0;
	fd_close(&walk.fd);
	return error;
}

int path_remove_socket(const char *path)
{
	struct stat status;
	const char *name = "";
	int fd = path_open_parent(path, &name), error = 0;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		error = errno == ENOENT ? 0 : -errno;
	else if (!S_ISSOCK(status.st_mode))
		error = -EEXIST;
	else if (unlinkat(fd, name, 0) < 0 && errno != ENOENT)
		error = -errno;
	fd_close(&fd);
	return error;
}

/* ---- sockets ---- */

static int bind_as(int socket_fd, const char *path, uid_t account)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	uid_t before;
	int error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	before = (uid_t)setfsuid(account);
	/* It tells of no failure; an account that cannot be changed to stays the same. */
	if ((uid_t)setfsuid((uid_t)-1) != account)
		return -EPERM;
	error = bind(socket_fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	setfsuid(before);
	return error;
}

/* What was made is in the directory that the walk came to, and is of the account that made it. */
static int open_bound(int directory, const char *name, uid_t account)
{
	int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) && status.st_uid == account)
		return fd;
	close(fd);
	return -ESTALE;
}

int path_bind(int socket_fd, const char *path)
{
	uid_t self = geteuid(), account;
	struct walk walk;
	const char *name = "";
	int error = walk_to_parent(&walk, path, &name), fd;

	if (error)
		return error;
	account = is_root() ? walk.weakest : self;
	error = bind_as(socket_fd, path, account);
	fd = error ? error : open_bound(walk.fd, name, account);
	if (fd >= 0 && account != self) {
		error = path_give(fd, self, (gid_t)-1);
		if (error)
			fd_close(&fd);
	}
	fd_close(&walk.fd);
	return error ? error : fd;
}

int path_give(int fd, uid_t owner, gid_t group)
{
	return fchownat(fd, "", owner, group, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int path_set_mode(int fd, mode_t mode)
{
	char path[32];

	/* fchmod() refuses O_PATH descriptors. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, mode) < 0 ? -errno : 0;
}
