/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts of a function: eventfds that the VMM gives (VFIO_USER_DEVICE_SET_IRQS), one for the pin and one
 * for each vector of MSI-X.
 *
 * The pin is level-triggered and masks itself: one write asserts it, and nothing more is written until the
 * VMM unmasks it; if there is a reason for it then, it is asserted again. A vector's message is an event of
 * its own; one that comes while the vector has no eventfd is pending, and sent when there is one.
 *
 * Lanes (register_model.h) send messages by themselves: each has such a struct of its own for that, whose
 * descriptors it borrows from home's.
 */
#ifndef VIADUCT_INTERFACES_VFIO_USER_VFIO_USER_INTERRUPTS_H
#define VIADUCT_INTERFACES_VFIO_USER_VFIO_USER_INTERRUPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/loop.h"
#include "core/stats.h"
#include "devices/register_model.h"
#include "interfaces/vfio_user/vfio_user_messages.h"

struct handover;
struct vfio_user_interrupts;

/* An eventfd that is written through the ring: a VMM that fills its counter blocks nothing. */
struct vfio_user_event {
	struct vfio_user_interrupts *interrupts;
	struct loop_op op;		/* the write under way */
	int fd;				/* -1: none; its own */
	bool writing, again;
};

struct vfio_user_interrupts {
	struct loop *loop;
	struct vfio_user_event pin, vector[REGISTER_VECTORS_MAX];
	unsigned vectors, enabled;	/* so many there are; so many of them have an eventfd */
	uint64_t due;			/* vectors for which there is a reason, while the pin tells of them */
	uint64_t pending;		/* vectors whose message waits for an eventfd; atomic */
	bool masked;			/* the pin has been asserted, and not yet unmasked */
	bool pin_allowed;
	unsigned writing;		/* writes under way */
	bool borrowed;			/* a lane's */
	/* Home's, while lanes borrow: what was taken back is closed when they have let go of it. */
	bool lends;
	int old[REGISTER_VECTORS_MAX];
	unsigned old_count;
	/* Set by the owner: a write made the worker wait. */
	void (*held)(void *context);
	/* Set by the owner: the last write that was under way has ended. */
	void (*written)(void *context);
	void *context;
	struct counter sent;
};

void vfio_user_interrupts_init(struct vfio_user_interrupts *interrupts, struct loop *loop, unsigned vectors);
/* No write is under way. Closes all. Idempotent. */
void vfio_user_interrupts_finish(struct vfio_user_interrupts *interrupts);

/* What a VMM is told of one kind of interrupts. */
void vfio_user_interrupts_info(const struct vfio_user_interrupts *interrupts, uint32_t index,
			       struct vfio_user_irq_info *ret_info);
/*
 * Carries out VFIO_USER_DEVICE_SET_IRQS. `data`: set->count bytes when the flags say VFIO_USER_IRQ_BOOL.
 * Descriptors that are taken become -1. Returns 0, -EINVAL, or -ENOTSUP (a kind that the function does not
 * have, or eventfds that unmask).
 */
int vfio_user_interrupts_set(struct vfio_user_interrupts *interrupts, const struct vfio_user_irq_set *set,
			     const uint8_t *data, int *fds, unsigned fd_count);

/*
 * A lane's, which was initialised: from now on it has the descriptors that home has now. On the lane's
 * thread, or before it begins, while home's stay as they are.
 */
void vfio_user_interrupts_borrow(struct vfio_user_interrupts *lane, const struct vfio_user_interrupts *home);
/* Home's: all lanes have borrowed anew. */
void vfio_user_interrupts_returned(struct vfio_user_interrupts *interrupts);

/* Does the driver use messages? */
bool vfio_user_interrupts_has_vectors(const struct vfio_user_interrupts *interrupts);
/* As register_bus_ops has them. */
void vfio_user_interrupts_raise(struct vfio_user_interrupts *interrupts, unsigned vector);
void vfio_user_interrupts_lower(struct vfio_user_interrupts *interrupts, unsigned vector);
/* The driver has allowed the pin, or forbidden it. */
void vfio_user_interrupts_allow_pin(struct vfio_user_interrupts *interrupts, bool allowed);
/* Home's: these are pending, too. */
void vfio_user_interrupts_add_pending(struct vfio_user_interrupts *interrupts, uint64_t vectors);
/* Nothing is due or pending any more. */
void vfio_user_interrupts_reset(struct vfio_user_interrupts *interrupts);
/* Writes that wait for the reader of a full counter end; written() is called after the last one. */
void vfio_user_interrupts_give_up(struct vfio_user_interrupts *interrupts);
/* The bits of the pending-bit array (PCI 3.0, 6.8.2.9). */
static inline uint64_t vfio_user_interrupts_pending(const struct vfio_user_interrupts *interrupts)
{
	return __atomic_load_n(&interrupts->pending, __ATOMIC_RELAXED);
}

void vfio_user_interrupts_save(const struct vfio_user_interrupts *interrupts, struct handover *handover);
/* Into one that was initialised. */
void vfio_user_interrupts_restore(struct vfio_user_interrupts *interrupts, struct handover *handover);

#endif
