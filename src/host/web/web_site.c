/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/web/web_site.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/crc32c.h"
#include "host/web/web_page.h"

/* Folders within folders. */
#define DEPTH_MAX 8u
/* What the page needs of noVNC first. */
#define VIEWER "/novnc/core/rfb.js"

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static const char *type_of(const char *path)
{
	if (ends_with(path, ".js"))
		return "text/javascript; charset=utf-8";
	return ends_with(path, ".css") ? "text/css; charset=utf-8" : "text/html; charset=utf-8";
}

/* False: there is no room, or the path is too long; the memory is still the caller's. */
static bool add(struct web_site *site, const char *path, const uint8_t *bytes, size_t count, uint8_t *memory)
{
	struct web_file *file = &site->files[site->file_count];

	if (site->file_count == WEB_FILES_MAX || strlen(path) >= sizeof(file->path))
		return false;
	*file = (struct web_file){ .type = type_of(path), .bytes = bytes, .count = count, .memory = memory };
	memcpy(file->path, path, strlen(path) + 1);
	snprintf(file->etag, sizeof(file->etag), "\"%08x-%zx\"", crc32c(0, bytes, count), count);
	site->file_count++;
	return true;
}

/* ---- noVNC ---- */

/* Returns memory that holds all of the file, or NULL. */
static uint8_t *read_bytes(int fd, size_t count)
{
	uint8_t *bytes = malloc(count);
	size_t done = 0;
	ssize_t got = 1;

	while (bytes && done < count && (got = read(fd, bytes + done, count - done)) > 0)
		done += (size_t)got;
	if (bytes && done == count)
		return bytes;
	free(bytes);
	return NULL;
}

static void read_file(struct web_site *site, int fd, const char *path)
{
	struct stat info;
	size_t count;
	uint8_t *bytes;

	if (!ends_with(path, ".js") || fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || info.st_size <= 0 ||
	    info.st_size > WEB_BYTES_MAX)
		return;
	count = (size_t)info.st_size;
	if (count > WEB_BYTES_MAX - site->read_bytes)
		return;
	bytes = read_bytes(fd, count);
	if (!bytes || !add(site, path, bytes, count, bytes))
		free(bytes);
	else
		site->read_bytes += count;
}

static void read_folder(struct web_site *site, int fd, const char *path, unsigned depth);

static void read_entry(struct web_site *site, int folder, const char *name, const char *path, unsigned depth)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat info;

	if (fd < 0)
		return;
	if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
		read_folder(site, fd, path, depth);
		return;
	}
	read_file(site, fd, path);
	close(fd);
}

/* Takes the descriptor. */
static void read_folder(struct web_site *site, int fd, const char *path, unsigned depth)
{
	DIR *folder = depth < DEPTH_MAX ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	if (!folder) {
		close(fd);
		return;
	}
	while ((entry = readdir(folder))) {
		char below[WEB_PATH_MAX];
		int length = snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);

		if (entry->d_name[0] != '.' && length > 0 && (size_t)length < sizeof(below))
			read_entry(site, dirfd(folder), entry->d_name, below, depth + 1);
	}
	closedir(folder);
}

static void read_novnc(struct web_site *site, const char *novnc)
{
	static const char *const parts[] = { "core", "vendor" };
	int folder = open(novnc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (unsigned i = 0; folder >= 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
		int fd = openat(folder, parts[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		char path[WEB_PATH_MAX];

		snprintf(path, sizeof(path), "/novnc/%s", parts[i]);
		if (fd >= 0)
			read_folder(site, fd, path, 0);
	}
	if (folder >= 0)
		close(folder);
}

/* ---- all of it ---- */

void web_site_read(struct web_site *site, const char *novnc)
{
	*site = (struct web_site){ .file_count = 0 };
	for (unsigned i = 0; i < web_page_file_count; i++) {
		const struct web_page_file *file = &web_page_files[i];
		char path[WEB_PATH_MAX];

		snprintf(path, sizeof(path), "/%s", file->name);
		add(site, path, file->bytes, file->count, NULL);
	}
	read_novnc(site, novnc);
	site->has_viewer = web_site_find(site, VIEWER);
}

void web_site_free(struct web_site *site)
{
	for (unsigned i = 0; i < site->file_count; i++)
		free(site->files[i].memory);
	site->file_count = 0;
}

const struct web_file *web_site_find(const struct web_site *site, const char *path)
{
	if (strcmp(path, "/") == 0)
		path = "/index.html";
	for (unsigned i = 0; i < site->file_count; i++) {
		if (strcmp(site->files[i].path, path) == 0)
			return &site->files[i];
	}
	return NULL;
}
