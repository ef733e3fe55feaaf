/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vfio_user/vfio_user_interrupts.h"

#include <assert.h>
#include <errno.h>

#include "core/checked.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/handover.h"
#include "core/loop_rescue.h"
#include "core/reaper.h"
#include "interfaces/endpoint_fd.h"

/* ---- one eventfd ---- */

static void event_write(struct vfio_user_event *event);

static void on_written(struct loop_op *op, int result, unsigned cqe_flags)
{
	struct vfio_user_event *event = container_of(op, struct vfio_user_event, op);
	struct vfio_user_interrupts *interrupts = event->interrupts;

	/* -ECANCELED: the counter is full, so the driver has been told already. Other errors are its own. */
	loop_peer_write_end(interrupts->loop);
	event->writing = false;
	interrupts->writing--;
	if (event->again && result != -EINTR) {
		event->again = false;
		event_write(event);
	}
	if (result == -EINTR)
		interrupts->held(interrupts->context);
	if (interrupts->writing == 0)
		interrupts->written(interrupts->context);
}

static void event_write(struct vfio_user_event *event)
{
	static const uint64_t one = 1;
	struct vfio_user_interrupts *interrupts = event->interrupts;
	struct io_uring_sqe *sqe;

	if (event->writing) {
		event->again = true;
		return;
	}
	counter_add(&interrupts->sent, 1);
	event->writing = true;
	interrupts->writing++;
	loop_peer_write_begin(interrupts->loop);
	sqe = loop_sqe(interrupts->loop);
	io_uring_prep_write(sqe, event->fd, &one, sizeof(one), 0);
	loop_sqe_finish(interrupts->loop, sqe, &event->op);
	loop_peer_write_prepared(interrupts->loop);
}

/*
 * Ends a write that waits for room in the counter: a driver whose counter is full has been told already. One
 * that was prepared is the kernel's, and done if it can be, before that, and before its descriptor goes.
 */
static void event_cancel(struct vfio_user_event *event)
{
	struct loop *loop = event->interrupts->loop;
	struct io_uring_sqe *sqe;

	event->again = false;
	if (!event->writing)
		return;
	loop_submit(loop);
	sqe = loop_sqe(loop);
	io_uring_prep_cancel(sqe, &event->op, 0);
	io_uring_sqe_set_data(sqe, NULL);
}

static void event_close(struct vfio_user_event *event)
{
	struct vfio_user_interrupts *interrupts = event->interrupts;

	if (event->fd < 0)
		return;
	event_cancel(event);
	if (event != &interrupts->pin)
		interrupts->enabled--;
	if (interrupts->borrowed)
		event->fd = -1;
	else if (interrupts->lends && event != &interrupts->pin)
		interrupts->old[interrupts->old_count++] = fd_take(&event->fd);
	else
		reaper_close(&event->fd);
}

static void event_set(struct vfio_user_event *event, int fd)
{
	event_close(event);
	event->fd = fd;
	if (fd < 0)
		return;
	/* What the old one's counter may have had no room for is told by this one. */
	event->again = event->writing;
	if (event != &event->interrupts->pin)
		event->interrupts->enabled++;
}

static void event_init(struct vfio_user_event *event, struct vfio_user_interrupts *interrupts)
{
	*event = (struct vfio_user_event){ .interrupts = interrupts, .op.done = on_written, .fd = -1 };
}

/* ---- life ---- */

void vfio_user_interrupts_init(struct vfio_user_interrupts *interrupts, struct loop *loop, unsigned vectors)
{
	assert(vectors <= REGISTER_VECTORS_MAX);
	interrupts->loop = loop;
	interrupts->vectors = vectors;
	interrupts->enabled = interrupts->old_count = 0;
	interrupts->due = interrupts->pending = 0;
	interrupts->borrowed = interrupts->lends = false;
	interrupts->masked = false;
	interrupts->pin_allowed = true;
	interrupts->writing = 0;
	event_init(&interrupts->pin, interrupts);
	for (unsigned i = 0; i < REGISTER_VECTORS_MAX; i++)
		event_init(&interrupts->vector[i], interrupts);
}

void vfio_user_interrupts_finish(struct vfio_user_interrupts *interrupts)
{
	assert(interrupts->writing == 0 && !interrupts->borrowed);
	vfio_user_interrupts_returned(interrupts);
	reaper_close(&interrupts->pin.fd);
	for (unsigned i = 0; i < REGISTER_VECTORS_MAX; i++)
		reaper_close(&interrupts->vector[i].fd);
}

/* ---- raising ---- */

bool vfio_user_interrupts_has_vectors(const struct vfio_user_interrupts *interrupts)
{
	return interrupts->enabled > 0;
}

static void assert_pin(struct vfio_user_interrupts *interrupts)
{
	if (!interrupts->due || !interrupts->pin_allowed || interrupts->masked || interrupts->pin.fd < 0)
		return;
	interrupts->masked = true;
	event_write(&interrupts->pin);
}

void vfio_user_interrupts_raise(struct vfio_user_interrupts *interrupts, unsigned vector)
{
	assert(vector < interrupts->vectors);
	if (!interrupts->borrowed && !vfio_user_interrupts_has_vectors(interrupts)) {
		interrupts->due |= 1ull << vector;
		assert_pin(interrupts);
	} else if (interrupts->vector[vector].fd >= 0) {
		event_write(&interrupts->vector[vector]);
	} else {
		vfio_user_interrupts_add_pending(interrupts, 1ull << vector);
	}
}

void vfio_user_interrupts_add_pending(struct vfio_user_interrupts *interrupts, uint64_t vectors)
{
	__atomic_fetch_or(&interrupts->pending, vectors, __ATOMIC_RELAXED);
}

void vfio_user_interrupts_lower(struct vfio_user_interrupts *interrupts, unsigned vector)
{
	assert(vector < REGISTER_VECTORS_MAX);
	interrupts->due &= ~(1ull << vector);
}

void vfio_user_interrupts_allow_pin(struct vfio_user_interrupts *interrupts, bool allowed)
{
	interrupts->pin_allowed = allowed;
	assert_pin(interrupts);
}

void vfio_user_interrupts_reset(struct vfio_user_interrupts *interrupts)
{
	interrupts->due = 0;
	__atomic_store_n(&interrupts->pending, 0, __ATOMIC_RELAXED);
	interrupts->masked = false;
}

void vfio_user_interrupts_give_up(struct vfio_user_interrupts *interrupts)
{
	event_cancel(&interrupts->pin);
	for (unsigned i = 0; i < interrupts->vectors; i++)
		event_cancel(&interrupts->vector[i]);
}

/* ---- what a VMM sets ---- */

void vfio_user_interrupts_info(const struct vfio_user_interrupts *interrupts, uint32_t index,
			       struct vfio_user_irq_info *ret_info)
{
	*ret_info = (struct vfio_user_irq_info){ .argsz = sizeof(*ret_info), .index = index };
	if (interrupts->vectors == 0)
		return;
	if (index == VFIO_USER_INTX) {
		ret_info->count = 1;
		ret_info->flags = VFIO_USER_IRQ_EVENTFD | VFIO_USER_IRQ_MASKABLE | VFIO_USER_IRQ_AUTOMASKED;
	} else if (index == VFIO_USER_MSIX) {
		ret_info->count = interrupts->vectors;
		ret_info->flags = VFIO_USER_IRQ_EVENTFD;
	}
}

static struct vfio_user_event *event_at(struct vfio_user_interrupts *interrupts, uint32_t index, uint32_t at)
{
	return index == VFIO_USER_INTX ? &interrupts->pin : &interrupts->vector[at];
}

/* A message that waited is sent now, and a pin with a reason asserted. */
static void catch_up(struct vfio_user_interrupts *interrupts, uint32_t index, uint32_t at)
{
	if (index == VFIO_USER_INTX) {
		interrupts->masked = false;
		assert_pin(interrupts);
	} else if (vfio_user_interrupts_pending(interrupts) >> at & 1) {
		__atomic_fetch_and(&interrupts->pending, ~(1ull << at), __ATOMIC_RELAXED);
		event_write(&interrupts->vector[at]);
	}
}

/* Without descriptors those that were set are taken back. */
static int set_fds(struct vfio_user_interrupts *interrupts, const struct vfio_user_irq_set *set, int *fds,
		   unsigned fd_count)
{
	if (fd_count != 0 && fd_count != set->count)
		return -EINVAL;
	for (unsigned i = 0; i < fd_count; i++)
		if (!endpoint_fd_is_eventfd(fds[i]))
			return -EINVAL;
	for (unsigned i = 0; i < set->count; i++) {
		struct vfio_user_event *event = event_at(interrupts, set->index, set->start + i);

		event_set(event, fd_count > 0 ? fd_take(&fds[i]) : -1);
		if (fd_count > 0)
			catch_up(interrupts, set->index, set->start + i);
	}
	return 0;
}

static void disable(struct vfio_user_interrupts *interrupts, uint32_t index)
{
	unsigned count = index == VFIO_USER_INTX ? 1 : interrupts->vectors;

	for (unsigned i = 0; i < count; i++)
		event_close(event_at(interrupts, index, i));
}

/* The VMM asks for interrupts as if the function had raised them. */
static void trigger(struct vfio_user_interrupts *interrupts, const struct vfio_user_irq_set *set,
		    const uint8_t *data)
{
	for (unsigned i = 0; i < set->count; i++) {
		struct vfio_user_event *event = event_at(interrupts, set->index, set->start + i);

		if ((!data || data[i]) && event->fd >= 0)
			event_write(event);
	}
}

static int mask(struct vfio_user_interrupts *interrupts, const struct vfio_user_irq_set *set,
		const uint8_t *data, bool masked)
{
	if (set->index != VFIO_USER_INTX)
		return -ENOTSUP;
	if (data && !data[0])
		return 0;
	interrupts->masked = masked;
	if (!masked)
		assert_pin(interrupts);
	return 0;
}

static unsigned count_of(const struct vfio_user_interrupts *interrupts, uint32_t index)
{
	if (index == VFIO_USER_INTX)
		return interrupts->vectors > 0;
	return index == VFIO_USER_MSIX ? interrupts->vectors : 0;
}

int vfio_user_interrupts_set(struct vfio_user_interrupts *interrupts, const struct vfio_user_irq_set *set,
			     const uint8_t *data, int *fds, unsigned fd_count)
{
	uint32_t kind = set->flags & (VFIO_USER_IRQ_NONE | VFIO_USER_IRQ_BOOL | VFIO_USER_IRQ_FDS);
	uint32_t action = set->flags & (VFIO_USER_IRQ_MASK | VFIO_USER_IRQ_UNMASK | VFIO_USER_IRQ_TRIGGER);

	if (set->flags != (kind | action) || !is_power_of_two(kind) || !is_power_of_two(action) ||
	    (kind != VFIO_USER_IRQ_FDS && fd_count > 0))
		return -EINVAL;
	if (set->index >= VFIO_USER_IRQS)
		return -EINVAL;
	/* To take back what is not there is no error: VMMs do so when they reset. */
	if (set->count == 0) {
		if (kind != VFIO_USER_IRQ_NONE || action != VFIO_USER_IRQ_TRIGGER || set->start != 0)
			return -EINVAL;
		if (count_of(interrupts, set->index) > 0)
			disable(interrupts, set->index);
		return 0;
	}
	if (!checked_range(set->start, set->count, count_of(interrupts, set->index)))
		return -EINVAL;
	if (action != VFIO_USER_IRQ_TRIGGER)
		return kind == VFIO_USER_IRQ_FDS ? -ENOTSUP
						 : mask(interrupts, set, data, action == VFIO_USER_IRQ_MASK);
	if (kind == VFIO_USER_IRQ_FDS)
		return set_fds(interrupts, set, fds, fd_count);
	trigger(interrupts, set, data);
	return 0;
}

/* ---- lanes ---- */

void vfio_user_interrupts_borrow(struct vfio_user_interrupts *lane, const struct vfio_user_interrupts *home)
{
	lane->borrowed = true;
	for (unsigned i = 0; i < lane->vectors; i++) {
		int fd = home->vector[i].fd;

		/* What was taken back is not closed yet, and so no other has its number. */
		if (lane->vector[i].fd == fd)
			continue;
		event_set(&lane->vector[i], fd);
		if (fd >= 0)
			catch_up(lane, VFIO_USER_MSIX, i);
	}
}

void vfio_user_interrupts_returned(struct vfio_user_interrupts *interrupts)
{
	while (interrupts->old_count > 0)
		reaper_close(&interrupts->old[--interrupts->old_count]);
}

/* ---- takeover ---- */

void vfio_user_interrupts_save(const struct vfio_user_interrupts *interrupts, struct handover *handover)
{
	handover_put_u64(handover, interrupts->due);
	handover_put_u64(handover, vfio_user_interrupts_pending(interrupts));
	handover_put_u64(handover, interrupts->masked);
	handover_put_u64(handover, interrupts->pin_allowed);
	handover_put_fd(handover, interrupts->pin.fd);
	for (unsigned i = 0; i < interrupts->vectors; i++)
		handover_put_fd(handover, interrupts->vector[i].fd);
}

static int get_event(struct handover *handover)
{
	int fd = handover_get_fd(handover);

	handover_fail_if(handover, fd >= 0 && !endpoint_fd_is_eventfd(fd));
	return fd;
}

void vfio_user_interrupts_restore(struct vfio_user_interrupts *interrupts, struct handover *handover)
{
	interrupts->due = handover_get_u64(handover);
	__atomic_store_n(&interrupts->pending, handover_get_u64(handover), __ATOMIC_RELAXED);
	interrupts->masked = handover_get_flag(handover);
	interrupts->pin_allowed = handover_get_flag(handover);
	event_set(&interrupts->pin, get_event(handover));
	for (unsigned i = 0; i < interrupts->vectors; i++)
		event_set(&interrupts->vector[i], get_event(handover));
}
