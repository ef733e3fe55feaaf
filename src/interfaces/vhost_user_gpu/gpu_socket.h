/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMM's own picture of a virtio display: what the guest shows is sent over the socket that the VMM gave
 * for it (vhost-user-gpu protocol), so that its screenshots and its own console show the same. On the seats'
 * thread; nothing waits for the VMM, which is told as much as it reads.
 */
#ifndef VIADUCT_INTERFACES_VHOST_USER_GPU_GPU_SOCKET_H
#define VIADUCT_INTERFACES_VHOST_USER_GPU_GPU_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter/seat/seat.h"
#include "core/loop.h"

#define GPU_SOCKET_SCANOUTS_MAX 16u

/* What a takeover hands over of a message that is on its way: a predecessor's has pixels of 256 KiB. */
#define GPU_SOCKET_MESSAGE_MAX ((size_t)32 + ((size_t)256 << 10))

/* What the front end is not told yet of one scanout. */
struct gpu_socket_scanout {
	bool announce;			   /* the size is to be told, and then all of the picture */
	struct seat_rect sending, waiting; /* rows of one are told before the other's turn; empty: nothing */
};

struct gpu_socket {
	struct loop *loop;
	struct loop_account *account; /* pays */
	/* What a scanout shows: a width of 0 when it is dark. Valid until the return to the loop. */
	struct seat_pixels (*pixels)(void *context, unsigned scanout);
	void *context;
	unsigned scanouts; /* 1 to GPU_SOCKET_SCANOUTS_MAX */

	/* private */
	int fd; /* -1: there is none */
	struct loop_watch watch;
	struct loop_task more;
	struct gpu_socket_scanout scanout[GPU_SOCKET_SCANOUTS_MAX];
	unsigned next; /* the scanout whose turn it is */
	uint8_t *message;
	size_t sent, bytes; /* of the message */
	bool suspended;
};

/* All but what is private is as it stays. */
void gpu_socket_init(struct gpu_socket *socket);
/*
 * A stream socket, which is the gpu_socket's from now on; one before it is closed. unsent: what the
 * predecessor had not sent of a message (none: 0), at most GPU_SOCKET_MESSAGE_MAX. Returns 0 or -ENOMEM, and
 * then the socket is closed.
 */
int gpu_socket_start(struct gpu_socket *socket, int fd, const void *unsent, size_t unsent_bytes);
/* Closes it. Idempotent. */
void gpu_socket_stop(struct gpu_socket *socket);
/* Nothing is sent any more, until it goes on: in a successor, or here after all. */
void gpu_socket_suspend(struct gpu_socket *socket);
void gpu_socket_resume(struct gpu_socket *socket);
/* Of a suspended one: what is unsent of the message under way. */
const void *gpu_socket_unsent(const struct gpu_socket *socket, size_t *ret_bytes);

/* The scanout shows a picture of another size, or none; or all of it is new. */
void gpu_socket_picture(struct gpu_socket *socket, unsigned scanout);
/* This part of it is new. */
void gpu_socket_damage(struct gpu_socket *socket, unsigned scanout, const struct seat_rect *rect);

#endif
