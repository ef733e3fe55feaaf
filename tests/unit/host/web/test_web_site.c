/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a console is made of: our page, and as much of a folder as there may be. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/web/web_site.h"

#define OURS 4u /* files of the page */

static struct web_site site;
static char folder[64];

static void make_folder(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_return_code(mkdir(path, 0700), 0);
}

static void make_file(const char *name, const void *bytes, size_t count)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, count, file), count);
	assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
	strcpy(folder, "/tmp/viaduct-site-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	make_folder("core");
	make_folder("core/util");
	make_folder("vendor");
	make_folder("app");
	return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
	return remove(path);
}

static int teardown(void **state)
{
	web_site_free(&site);
	return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void has_a_page(void **state)
{
	const struct web_file *page, *style;

	web_site_read(&site, "/nonexistent");
	assert_int_equal(site.file_count, OURS);
	assert_false(site.has_viewer);
	page = web_site_find(&site, "/");
	assert_non_null(page);
	assert_ptr_equal(page, web_site_find(&site, "/index.html"));
	assert_memory_equal(page->bytes, "<!DOCTYPE html>", 15);
	assert_string_equal(page->type, "text/html; charset=utf-8");
	style = web_site_find(&site, "/style.css");
	assert_non_null(style);
	assert_string_not_equal(style->etag, page->etag);
	assert_null(web_site_find(&site, ""));
	assert_null(web_site_find(&site, "index.html"));
	assert_null(web_site_find(&site, "/index.html/"));
}

static void reads_scripts(void **state)
{
	const struct web_file *file;

	make_file("core/rfb.js", "viewer", 6);
	make_file("core/util/a.js", "one", 3);
	make_file("vendor/b.js", "two", 3);
	make_file("core/notes.txt", "three", 5);
	make_file("app/ui.js", "four", 4);
	make_file("core/.hidden.js", "five", 4);
	web_site_read(&site, folder);
	assert_true(site.has_viewer);
	assert_int_equal(site.file_count, OURS + 3);
	file = web_site_find(&site, "/novnc/core/util/a.js");
	assert_non_null(file);
	assert_int_equal(file->count, 3);
	assert_memory_equal(file->bytes, "one", 3);
	assert_string_equal(file->type, "text/javascript; charset=utf-8");
	assert_non_null(web_site_find(&site, "/novnc/vendor/b.js"));
}

/* Another content has another name. */
static void names_contents(void **state)
{
	char etag[WEB_ETAG_MAX];

	make_file("core/rfb.js", "viewer", 6);
	web_site_read(&site, folder);
	strcpy(etag, web_site_find(&site, "/novnc/core/rfb.js")->etag);
	web_site_free(&site);
	make_file("core/rfb.js", "viewes", 6);
	web_site_read(&site, folder);
	assert_string_not_equal(web_site_find(&site, "/novnc/core/rfb.js")->etag, etag);
}

/* A pipe would wait for ever, a link may lead in a circle. */
static void reads_nothing_else(void **state)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/core/pipe.js", folder);
	assert_return_code(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/core/circle", folder);
	assert_return_code(symlink(".", path), 0);
	snprintf(path, sizeof(path), "%s/core/nowhere.js", folder);
	assert_return_code(symlink("/nonexistent", path), 0);
	make_file("core/empty.js", "", 0);
	make_file("core/rfb.js", "viewer", 6);
	web_site_read(&site, folder);
	assert_null(web_site_find(&site, "/novnc/core/pipe.js"));
	assert_null(web_site_find(&site, "/novnc/core/empty.js"));
	assert_true(site.has_viewer);
	assert_true(site.file_count < OURS + 16);
}

static void keeps_within_bounds(void **state)
{
	uint8_t *large = calloc(1, WEB_BYTES_MAX / 4 + 1);
	char name[64];

	assert_non_null(large);
	for (unsigned i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "vendor/large-%u.js", i);
		make_file(name, large, WEB_BYTES_MAX / 4 + 1);
	}
	free(large);
	for (unsigned i = 0; i < WEB_FILES_MAX; i++) {
		snprintf(name, sizeof(name), "core/%u.js", i);
		make_file(name, "a", 1);
	}
	web_site_read(&site, folder);
	assert_int_equal(site.file_count, WEB_FILES_MAX);
	assert_true(site.read_bytes <= WEB_BYTES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(has_a_page, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_scripts, setup, teardown),
		cmocka_unit_test_setup_teardown(names_contents, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_nothing_else, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_within_bounds, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
