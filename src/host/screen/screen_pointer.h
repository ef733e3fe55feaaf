/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pointer on a monitor: an arrow, black with a white edge, so that it is seen on any picture. */
#ifndef VIADUCT_HOST_SCREEN_SCREEN_POINTER_H
#define VIADUCT_HOST_SCREEN_SCREEN_POINTER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Draws it with its tip at x, y, which may be anywhere, into a buffer of width times height pixels whose
 * lines are `stride_bytes` apart; what is outside of it is left away. The buffer is only written to.
 */
void screen_pointer_draw(uint32_t *pixels, size_t stride_bytes, unsigned width, unsigned height, int x,
			 int y);

#endif
