/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In unit tests that are not among thread_tests: the build with TSAN leaves them out. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*body)(void *), void *data);

/* Stands in for pthread_create(), by the linker's --wrap. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*body)(void *), void *data)
{
	fprintf(stderr,
		"%s starts a thread: name it in thread_tests in tests/unit/meson.build, so that it is tested "
		"with TSAN, too\n",
		program_invocation_short_name);
	abort();
}
