/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What root does in directories of an account that has put links there. As anybody else, links are followed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/path.h"

/* An account of the host that needs no name. */
#define OTHER 4711u

static char folder[32];
static char text[4][256];

/* A path in the folder; up to four at a time. */
static const char *in(const char *name)
{
	static unsigned turn;
	char *path = text[turn++ % 4];

	snprintf(path, sizeof(text[0]), "%s/%s", folder, name);
	return path;
}

static int make_folder(void **state)
{
	int fd;

	snprintf(folder, sizeof(folder), "/tmp/viaduct-path-XXXXXX");
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chmod(folder, 0755), 0);
	/* root's: a directory with a secret; theirs: a directory of the other account. */
	assert_int_equal(mkdir(in("root"), 0755), 0);
	assert_int_equal(mkdir(in("theirs"), 0755), 0);
	fd = open(in("root/secret"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	if (geteuid() == 0)
		assert_int_equal(chown(in("theirs"), OTHER, OTHER), 0);
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	return remove(path);
}

static int remove_folder(void **state)
{
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void need_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("only root meets directories of others\n");
	skip();
}

/* A link that the other account made. */
static void plant(const char *target, const char *name)
{
	assert_int_equal(symlink(target, in(name)), 0);
	assert_int_equal(lchown(in(name), OTHER, OTHER), 0);
}

static void expect_open(int result, int expected)
{
	if (expected < 0) {
		assert_int_equal(result, expected);
		return;
	}
	assert_true(result >= 0);
	assert_int_equal(fcntl(result, F_GETFD), FD_CLOEXEC);
	close(result);
}

static void test_ordinary_paths(void **state)
{
	const char *name;
	struct stat status;
	int fd;

	expect_open(path_open(in("root/secret"), O_RDWR, 0), 0);
	expect_open(path_open(in("root//./secret"), O_RDONLY, 0), 0);
	expect_open(path_open(in("theirs/../root/secret"), O_RDONLY, 0), 0);
	expect_open(path_open(in("root/"), O_RDONLY | O_DIRECTORY, 0), 0);
	expect_open(path_open(in("root/none"), O_RDONLY, 0), -ENOENT);
	expect_open(path_open(in("none/secret"), O_RDONLY, 0), -ENOENT);
	expect_open(path_open(in("root/secret/more"), O_RDONLY, 0), -ENOTDIR);
	expect_open(path_open(in("root/secret"), O_RDONLY | O_DIRECTORY, 0), -ENOTDIR);
	expect_open(path_open(in("root/new"), O_RDWR | O_CREAT | O_EXCL, 0600), 0);
	expect_open(path_open(in("root/new"), O_RDWR | O_CREAT | O_EXCL, 0600), -EEXIST);
	expect_open(path_open("", O_RDONLY, 0), -ENOENT);
	expect_open(path_open("/", O_RDONLY | O_DIRECTORY, 0), 0);
	assert_int_equal(path_make_directory(in("root/deep"), 0700), 0);
	assert_int_equal(path_make_directory(in("root/deep"), 0700), 0);
	assert_int_equal(path_make_directory("/", 0700), 0);
	assert_int_equal(path_make_directory(in("none/deep"), 0700), -ENOENT);
	fd = path_open_parent(in("root/secret"), &name);
	assert_true(fd >= 0);
	assert_string_equal(name, "secret");
	assert_int_equal(fstatat(fd, name, &status, 0), 0);
	close(fd);
}

/* /var/run is such a link, and so is what an administrator makes. */
static void test_own_links_are_followed(void **state)
{
	char target[300];

	assert_int_equal(symlink("root", in("relative")), 0);
	assert_int_equal(symlink(in("root/secret"), in("theirs/file")), 0);
	assert_int_equal(symlink("loop", in("loop")), 0);
	assert_int_equal(symlink("root/later", in("dangling")), 0);
	expect_open(path_open(in("relative/secret"), O_RDONLY, 0), 0);
	expect_open(path_open(in("theirs/file"), O_RDONLY, 0), 0);
	expect_open(path_open(in("theirs/file"), O_PATH, 0), 0);
	expect_open(path_open(in("theirs/file"), O_RDONLY | O_NOFOLLOW, 0), -ELOOP);
	expect_open(path_open(in("relative"), O_RDONLY | O_DIRECTORY, 0), 0);
	expect_open(path_open(in("relative"), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0), -ENOTDIR);
	expect_open(path_open(in("loop"), O_RDONLY, 0), -ELOOP);
	expect_open(path_open(in("dangling"), O_RDONLY, 0), -ENOENT);
	expect_open(path_open(in("dangling"), O_RDWR | O_CREAT, 0600), 0);
	expect_open(path_open(in("root/later"), O_RDONLY, 0), 0);
	snprintf(target, sizeof(target), "%s//", folder);
	assert_int_equal(symlink(target, in("slashes")), 0);
	expect_open(path_open(in("slashes/root/secret"), O_RDONLY, 0), 0);
}

/* At the end of the way, in the middle of it, behind a link of root's, and by way of another directory. */
static void test_links_of_others_are_refused(void **state)
{
	const char *name;

	need_root();
	plant(in("root/secret"), "theirs/file");
	plant(in("root"), "theirs/folder");
	plant("../root", "theirs/near");
	assert_int_equal(symlink("theirs/folder", in("ours")), 0);
	expect_open(path_open(in("theirs/file"), O_RDWR, 0), -ELOOP);
	expect_open(path_open(in("theirs/file"), O_PATH, 0), -ELOOP);
	expect_open(path_open(in("theirs/file"), O_RDWR | O_CREAT, 0600), -ELOOP);
	expect_open(path_open(in("theirs/folder"), O_RDONLY | O_DIRECTORY, 0), -ELOOP);
	expect_open(path_open(in("theirs/folder/secret"), O_RDONLY, 0), -ELOOP);
	expect_open(path_open(in("theirs/near/secret"), O_RDONLY, 0), -ELOOP);
	expect_open(path_open(in("ours/secret"), O_RDONLY, 0), -ELOOP);
	expect_open(path_open(in("theirs/folder/../root/secret"), O_RDONLY, 0), -ELOOP);
	assert_int_equal(path_open_parent(in("theirs/folder/secret"), &name), -ELOOP);
	assert_int_equal(path_make_directory(in("theirs/folder/made"), 0700), -ELOOP);
	assert_int_equal(access(in("root/made"), F_OK), -1);
}

static void expect_socket(const char *path, uid_t owner)
{
	struct stat status;

	assert_int_equal(lstat(path, &status), 0);
	assert_true(S_ISSOCK(status.st_mode));
	assert_int_equal(status.st_uid, owner);
}

static void test_sockets(void **state)
{
	int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	fd = path_bind(socket_fd, in("root/socket"));
	assert_true(fd >= 0);
	expect_socket(in("root/socket"), geteuid());
	assert_int_equal(path_set_mode(fd, 0612), 0);
	assert_int_equal(path_give(fd, (uid_t)-1, (gid_t)-1), 0);
	close(fd);
	close(socket_fd);
	socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(path_bind(socket_fd, in("root/socket")), -EADDRINUSE);
	assert_int_equal(path_remove_socket(in("root/socket")), 0);
	assert_int_equal(path_remove_socket(in("root/socket")), 0);
	assert_int_equal(path_remove_socket(in("none/socket")), 0);
	assert_int_equal(path_remove_socket(in("root/secret")), -EEXIST);
	assert_int_equal(access(in("root/secret"), F_OK), 0);
	close(socket_fd);
}

/* In the directory of another account, root makes what that account could make, and nothing else. */
static void test_sockets_in_directories_of_others(void **state)
{
	int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	need_root();
	plant(in("root"), "theirs/folder");
	assert_int_equal(path_bind(socket_fd, in("theirs/folder/socket")), -ELOOP);
	assert_int_equal(path_remove_socket(in("theirs/folder/socket")), -ELOOP);
	assert_int_equal(access(in("root/socket"), F_OK), -1);
	fd = path_bind(socket_fd, in("theirs/socket"));
	assert_true(fd >= 0);
	expect_socket(in("theirs/socket"), 0);
	assert_int_equal(path_give(fd, OTHER, OTHER), 0);
	expect_socket(in("theirs/socket"), OTHER);
	close(fd);
	close(socket_fd);
	/* Root's own directory in theirs: they could put a link in its place at any moment. */
	assert_int_equal(mkdir(in("theirs/roots"), 0755), 0);
	socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(path_bind(socket_fd, in("theirs/roots/socket")), -EACCES);
	assert_int_equal(geteuid(), 0);
	expect_open(path_open(in("theirs/still-root"), O_RDWR | O_CREAT | O_EXCL, 0600), 0);
	close(socket_fd);
}

/* What was put in place of a file after it was opened keeps its owner and permissions. */
static void test_the_file_itself_is_given(void **state)
{
	struct stat status;
	int fd;

	need_root();
	expect_open(path_open(in("theirs/made"), O_RDWR | O_CREAT | O_EXCL, 0600), 0);
	fd = path_open(in("theirs/made"), O_PATH | O_NOFOLLOW, 0);
	assert_int_equal(unlink(in("theirs/made")), 0);
	plant(in("root/secret"), "theirs/made");
	assert_int_equal(path_give(fd, OTHER, OTHER), 0);
	assert_int_equal(path_set_mode(fd, 0666), 0);
	close(fd);
	assert_int_equal(stat(in("root/secret"), &status), 0);
	assert_int_equal(status.st_uid, 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

#define PATH_TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PATH_TEST(test_ordinary_paths),
		PATH_TEST(test_own_links_are_followed),
		PATH_TEST(test_links_of_others_are_refused),
		PATH_TEST(test_sockets),
		PATH_TEST(test_sockets_in_directories_of_others),
		PATH_TEST(test_the_file_itself_is_given),
	};

	return cmocka_run_group_tests_name("path", tests, NULL, NULL);
}
