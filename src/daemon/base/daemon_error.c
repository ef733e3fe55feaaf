/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/daemon_error.h"

#include <stdarg.h>
#include <stdio.h>

int daemon_fail(struct daemon_error *error, int code, const char *format, ...)
{
	va_list arguments;

	error->code = code;
	va_start(arguments, format);
	vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
	return code;
}
