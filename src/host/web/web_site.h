/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a seat's console in a browser is made of: our own page, which is part of the program, and the VNC
 * client noVNC as it is installed. All of it is read once, before the processes that serve it give up their
 * files.
 */
#ifndef VIADUCT_HOST_WEB_WEB_SITE_H
#define VIADUCT_HOST_WEB_WEB_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the package novnc puts its files. */
#define WEB_NOVNC "/usr/share/novnc"

/* noVNC 1.3 has 45 files of 0.5 MiB; what is more than these is left out. */
#define WEB_FILES_MAX 256u
#define WEB_BYTES_MAX (8u << 20)
#define WEB_PATH_MAX  128u
#define WEB_ETAG_MAX  32u

struct web_file {
	char path[WEB_PATH_MAX]; /* of the address: "/console.js" */
	const char *type;	 /* of its content */
	const uint8_t *bytes;
	size_t count;
	uint8_t *memory;	 /* of the bytes; NULL: the program's */
	char etag[WEB_ETAG_MAX]; /* names the content, with quotation marks */
};

struct web_site {
	struct web_file files[WEB_FILES_MAX];
	unsigned file_count;
	size_t read_bytes; /* of noVNC */
	bool has_viewer;   /* noVNC is there */
};

/* novnc: the folder of noVNC. What cannot be read is not there. */
void web_site_read(struct web_site *site, const char *novnc);
void web_site_free(struct web_site *site);

/* NULL: there is no such file. "/" is the page. */
const struct web_file *web_site_find(const struct web_site *site, const char *path);

#endif
