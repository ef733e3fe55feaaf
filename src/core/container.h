/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From an embedded struct to the one that holds it. Callbacks get the part that they were given (a timer, a
 * watch, a message) and find their object with it.
 */
#ifndef VIADUCT_CORE_CONTAINER_H
#define VIADUCT_CORE_CONTAINER_H

#include <stddef.h>

/*
 * `pointer` points to `member` of a `type`; the result points to the whole. Does not compile when the pointer
 * has another type than the member. `pointer` is not NULL, and is evaluated once.
 */
#define container_of(pointer, type, member) \
	((type *)((char *)(1 ? (pointer) : &((type *)0)->member) - offsetof(type, member)))

#endif
