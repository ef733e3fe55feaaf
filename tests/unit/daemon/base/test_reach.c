/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which files the daemon reaches, each look at it in a process of its own: what was given up stays so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "core/log.h"
#include "core/sanitized.h"
#include "daemon/base/reach.h"
#include "daemon/config/config.h"

/* A folder with one folder for each purpose, and `foreign`, which is for none. */
static char folder[32];
static struct reach *reach;

/* A path in the folder; up to four at a time. */
static const char *in(const char *name)
{
	static char text[4][256];
	static unsigned turn;
	char *path = text[turn++ % 4];

	snprintf(path, sizeof(text[0]), "%s/%s", folder, name);
	return path;
}

static void put(const char *name)
{
	int fd = open(in(name), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "secret", 6), 6);
	close(fd);
}

static int make_folder(void **state)
{
	static const char *const folders[] = { "conf", "run",	  "state",   "pools", "images",
					       "far",  "sockets", "foreign", "roof" };

	snprintf(folder, sizeof(folder), "/tmp/viaduct-reach-XXXXXX");
	assert_non_null(mkdtemp(folder));
	for (unsigned i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		assert_int_equal(mkdir(in(folders[i]), 0700), 0);
	put("foreign/secret");
	put("far/image");
	put("images/there");
	assert_int_equal(symlink("../foreign/secret", in("images/planted")), 0);
	assert_int_equal(symlink("../far/image", in("images/linked")), 0);
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	return remove(path);
}

static int remove_folder(void **state)
{
	return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct config *read_config(void)
{
	struct config_messages messages = { .count = 0 };
	struct config *config = config_create();
	char text[2048];

	snprintf(text, sizeof(text),
		 "[pool main]\npath = %s/pools/main\nsize = 16M\n[guest a]\n"
		 "[disk a/b]\npath = %s/images/linked\nsocket = %s/sockets/b.sock\n"
		 "[disk a/c]\npath = %s/images/missing\nconnect = %s/foreign/c.sock\n"
		 "[disk a/d]\npath = %s/roof/later/on/image\n",
		 folder, folder, folder, folder, folder, folder);
	config_parse(config, in("conf/t.conf"), text, strlen(text), &messages);
	for (unsigned i = 0; i < messages.kept; i++)
		fprintf(stderr, "%s\n", messages.text[i]);
	assert_int_equal(messages.count, 0);
	return config;
}

enum { CHILD_OK, CHILD_FAILED, CHILD_NO_LANDLOCK };

static int restricted(bool (*body)(void))
{
	struct config *config = read_config();
	const struct reach_options options = { config, in("run"), in("state") };
	struct error error;
	int result = CHILD_FAILED;

	log_set_level(LOG_LEVEL_ERROR);
	if (reach_restrict(&options, &reach, &error) < 0)
		fprintf(stderr, "%s\n", error.text);
	else if (!reach)
		result = CHILD_NO_LANDLOCK;
	else if (body())
		result = CHILD_OK;
	reach_destroy(reach);
	config_destroy(config);
	return result;
}

/* Runs `body` with what the daemon reaches; skips the test where the kernel cannot hold it to that. */
static void within_reach(bool (*body)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0)
		_exit(restricted(body));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CHILD_NO_LANDLOCK) {
		fputs("this kernel has no Landlock\n", stderr);
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), CHILD_OK);
}

static bool may_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0600);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* Tells of an attempt that did not end as it must. */
static bool expect(bool as_expected, const char *what)
{
	if (!as_expected)
		fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return as_expected;
}

static bool refused(bool done, const char *what)
{
	return expect(!done && errno == EACCES, what);
}

static bool bind_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool bound;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	bound = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return bound;
}

/* ---- what must not be reached ---- */

static bool no_foreign_file(void)
{
	bool ok = refused(may_open(in("foreign/secret"), O_RDONLY), "reading");

	ok &= refused(may_open(in("foreign/secret"), O_WRONLY), "writing");
	ok &= refused(may_open(in("foreign/secret"), O_WRONLY | O_TRUNC), "truncating");
	ok &= refused(may_open(in("foreign/new"), O_WRONLY | O_CREAT), "making");
	ok &= refused(may_open(in("foreign"), O_RDONLY | O_DIRECTORY), "listing");
	ok &= refused(may_open(in("foreign"), O_RDWR | O_TMPFILE), "making without a name");
	ok &= refused(may_open(in("images/planted"), O_RDONLY), "reading by a link");
	ok &= refused(unlink(in("foreign/secret")) == 0, "removing");
	ok &= refused(mkdir(in("foreign/folder"), 0700) == 0, "a directory");
	ok &= refused(bind_at(in("foreign/c.sock")), "a socket");
	ok &= refused(rename(in("foreign/secret"), in("foreign/other")) == 0, "renaming");
	ok &= expect(link(in("foreign/secret"), in("images/stolen")) < 0 &&
			     (errno == EACCES || errno == EXDEV),
		     "linking");
	ok &= expect(rename(in("images/there"), in("foreign/gone")) < 0 &&
			     (errno == EACCES || errno == EXDEV),
		     "moving out");
	return ok;
}

static bool read_only_host(void)
{
	bool ok = refused(may_open("/etc/passwd", O_WRONLY), "accounts");

	ok &= refused(may_open("/etc/viaduct-no", O_WRONLY | O_CREAT), "a file in /etc");
	ok &= refused(may_open("/dev/viaduct-no", O_WRONLY | O_CREAT), "a file in /dev");
	ok &= refused(may_open(in("conf/t.conf.new"), O_WRONLY | O_CREAT), "the configuration");
	ok &= refused(may_open("/tmp", O_RDONLY), "other directories");
	ok &= refused(symlink("/etc", in("images/link")) == 0, "links");
	ok &= refused(mkfifo(in("images/pipe"), 0600) == 0, "pipes");
	if (!SANITIZED)
		ok &= refused(execl("/bin/true", "true", NULL) >= 0, "programs");
	return ok;
}

static void *open_foreign(void *result)
{
	*(bool *)result = refused(may_open(in("foreign/secret"), O_RDONLY), "by a thread");
	return NULL;
}

static bool no_thread_does(void)
{
	bool result = false;
	pthread_t thread;

	return pthread_create(&thread, NULL, open_foreign, &result) == 0 && pthread_join(thread, NULL) == 0 &&
	       result;
}

/* ---- what the daemon does ---- */

/* As a pool's file is made. */
static bool make_unnamed(const char *directory, const char *name)
{
	char link_path[32];
	int fd = open(directory, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	bool made;

	if (fd < 0 && errno == EOPNOTSUPP)
		return true;
	snprintf(link_path, sizeof(link_path), "/proc/self/fd/%d", fd);
	made = fd >= 0 && linkat(AT_FDCWD, link_path, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0;
	close(fd);
	return made;
}

static bool works_where_configured(void)
{
	bool ok = expect(make_unnamed(in("pools"), in("pools/main")), "a pool");

	ok &= expect(may_open(in("pools/other"), O_RDWR | O_CREAT), "another pool");
	ok &= expect(truncate(in("pools/other"), 4096) == 0, "growing it");
	ok &= expect(may_open(in("images/linked"), O_RDWR), "a disk behind a link");
	ok &= expect(may_open(in("images/there"), O_RDWR), "a disk beside it");
	ok &= expect(bind_at(in("sockets/b.sock")) && unlink(in("sockets/b.sock")) == 0, "its socket");
	ok &= expect(mkdir(in("run/a"), 0700) == 0 && bind_at(in("run/a/b.sock")), "a guest's directory");
	ok &= expect(unlink(in("run/a/b.sock")) == 0 && rmdir(in("run/a")) == 0, "its end");
	ok &= expect(may_open(in("state/s.new"), O_WRONLY | O_CREAT | O_EXCL), "the state");
	ok &= expect(rename(in("state/s.new"), in("state/s")) == 0, "putting it in place");
	ok &= expect(mkdir(in("roof/later"), 0700) == 0 && mkdir(in("roof/later/on"), 0700) == 0 &&
			     may_open(in("roof/later/on/image"), O_RDWR | O_CREAT),
		     "a directory that was missing");
	return ok;
}

static bool reads_the_host(void)
{
	bool ok = expect(may_open("/etc/passwd", O_RDONLY) && getpwnam("root"), "accounts");

	ok &= expect(may_open(in("conf"), O_RDONLY | O_DIRECTORY), "the configuration");
	ok &= expect(may_open("/dev/null", O_RDWR), "devices");
	ok &= expect(may_open("/proc/self/status", O_RDONLY), "the process itself");
	ok &= expect(may_open("/sys", O_RDONLY), "what the kernel tells of devices");
	return ok;
}

static bool knows_what_it_reaches(void)
{
	bool ok = reach_has(reach, in("pools/new")) && reach_has(reach, in("far/image")) &&
		  reach_has(reach, in("run/a/b.sock")) && reach_has(reach, "/dev/null");

	ok &= !reach_has(reach, in("foreign/secret")) && !reach_has(reach, in("foreign/new")) &&
	      !reach_has(reach, in("images/planted")) && !reach_has(reach, "/etc/passwd") &&
	      !reach_has(reach, in("pools-not"));
	/* Nothing is there that could be refused. */
	ok &= reach_has(reach, in("nowhere/at/all")) && reach_has(NULL, in("foreign/secret"));
	return expect(ok, "reach_has");
}

static void test_foreign_files(void **state)
{
	within_reach(no_foreign_file);
}

static void test_the_host_is_read_only(void **state)
{
	within_reach(read_only_host);
}

static void test_threads(void **state)
{
	within_reach(no_thread_does);
}

static void test_what_is_needed(void **state)
{
	within_reach(works_where_configured);
	within_reach(reads_the_host);
}

static void test_what_is_told(void **state)
{
	within_reach(knows_what_it_reaches);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_foreign_files, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_the_host_is_read_only, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_threads, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_what_is_needed, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_what_is_told, make_folder, remove_folder),
	};

	return cmocka_run_group_tests_name("reach", tests, NULL, NULL);
}
