/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files of the folder page/, which become part of the program when it is built (embed.py). */
#ifndef VIADUCT_HOST_WEB_WEB_PAGE_H
#define VIADUCT_HOST_WEB_WEB_PAGE_H

#include <stddef.h>
#include <stdint.h>

struct web_page_file {
	const char *name; /* "index.html" */
	const uint8_t *bytes;
	size_t count;
};

extern const struct web_page_file web_page_files[];
extern const unsigned web_page_file_count;

#endif
