/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of virtio over PCI; no other folder includes this.
 *
 *   virtio_pci.c            the device: what the bus is told of it
 *   virtio_pci_function.c   a function: power, rest, resets
 *   virtio_pci_registers.c  loads and stores
 *   virtio_pci_queue.c      queues: their rings start and stop, in turns of the guest
 *   virtio_pci_lane.c       rings that run on other workers than home
 *   virtio_pci_handover.c   takeover
 */
#ifndef VIADUCT_INTERFACES_VIRTIO_PCI_VIRTIO_PCI_PRIVATE_H
#define VIADUCT_INTERFACES_VIRTIO_PCI_VIRTIO_PCI_PRIVATE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/log.h"
#include "core/loop.h"
#include "interfaces/virtio/virtqueue.h"
#include "interfaces/virtio_pci/virtio_pci.h"
#include "interfaces/virtio_pci/virtio_pci_format.h"

#define PCI_QUEUE_SIZE_DEFAULT 256u

/* Before those of rings, which follow as virtqueue.h has them. */
enum pci_violation {
	PCI_VIOLATION_REGISTER, /* no such register, not in this size, or not to be written */
	PCI_VIOLATION_STATUS,	/* a step before the one that leads to it */
	PCI_VIOLATION_FEATURES, /* features that were not offered, or without VERSION_1 */
	PCI_VIOLATION_QUEUE,	/* no such queue, no such size, or it is enabled already */
	PCI_VIOLATIONS,
};

/* With those of rings that can happen here, and NULL. */
#define PCI_VIOLATIONS_MAX 17u

struct virtio_pci {
	struct virtio_pci_options options;
	struct register_model_ops ops;
	const char *violations[PCI_VIOLATIONS_MAX];
	uint8_t ring_violation[VIOLATIONS]; /* the kind of each, for the bus */
	unsigned queue_count;
};

struct pci_function;

enum pci_order {
	PCI_ORDER_NOTHING, /* what the lane does from now on it does knowing what home has changed */
	PCI_ORDER_START,
	PCI_ORDER_STOP,
	PCI_ORDER_ABANDON,
	PCI_ORDER_MEMORY, /* and whether it is enabled */
};

/* What a ring's lane tells home; bits. */
enum pci_news { PCI_NEWS_CALL = 1u << 0, PCI_NEWS_BROKEN = 1u << 1 };

/* Of a queue whose ring runs on another worker: what home and that one have to say to each other. */
struct pci_elsewhere {
	/* home's */
	bool up;	     /* a ring runs there, or starts */
	bool ordering;	     /* an order is on its way */
	bool stops;	     /* it was told to stop, or could not start */
	bool abandon_wanted, abandons;
	bool nudged;	     /* its interrupts are others now */
	/* of the order */
	enum pci_order order;
	struct guest_memory *memory; /* a reference */
	bool enabled;
	int error; /* of the start */
	struct loop_message message, obeyed, gone, kick, news_message;
	bool kick_posted; /* atomic */
	/* the lane's */
	struct loop_poller poller;
	bool start_due;
	struct guest_memory *memory_now; /* as it was ordered last: a reference */
	bool enabled_now;
	uint32_t news;	  /* atomic */
	bool news_posted; /* atomic */
	enum virtqueue_violation violation;
	uint64_t offending_value;
};

struct pci_queue {
	struct pci_function *function;
	unsigned index;
	uint8_t lane; /* of the bus: 0, home */

	/* What the driver said. The vector is atomic, because lanes read it. */
	uint16_t size, vector;
	bool enabled;
	uint64_t descriptors, driver, device;

	/* The ring, while it runs; its worker's. */
	struct virtqueue *ring;
	bool stopping, stopped; /* stopped: it is to be freed */
	struct virtqueue_setup setup;
	struct guest_memory *memory; /* the ring's newest; the ring's reference */
	bool changing;		     /* it has chains in the memory before */

	/* Where it goes on. */
	struct virtqueue_position position;
	bool has_stopped; /* it goes on there; otherwise it begins */
	bool has_served;
	/* See virtqueue_setup.record; only of models whose requests may be repeated */
	void *record;
	bool abandoned; /* the record says what to do again */
	struct log_subject subject;

	struct pci_elsewhere elsewhere;
};

struct pci_function {
	struct virtio_pci *pci;
	struct register_bus *bus;
	struct loop_poller poller; /* does what queues need */
	bool woken;		   /* and has not been asked since */

	/* Registers. */
	uint32_t device_feature_select, driver_feature_select;
	uint64_t driver_features;
	uint16_t config_vector, queue_select;
	uint8_t status, isr;
	struct {
		uint8_t bar;
		uint32_t offset, length;
	} window;
	/* The configuration space as it was when its generation was asked. */
	uint8_t generation;
	uint8_t config_seen[VIRTIO_CONFIG_BYTES_MAX];

	bool resetting; /* the driver wants a reset, and rings still run */
	bool broken;	/* a ring broke a rule: it waits for a reset */
	bool broken_told;
	bool quiescing;
	bool has_vectors;	/* atomic: as the bus says */
	unsigned answers_later; /* answers of the bus that wait for lanes */
	void (*quiet)(void *context);
	void *quiet_context;

	unsigned queue_count;
	struct pci_queue queue[];
};

/* ---- virtio_pci.c ---- */

uint64_t pci_offered_features(const struct virtio_pci *pci);

/* ---- virtio_pci_function.c ---- */

int pci_power_on(void *device, struct register_bus *bus, void **ret_function);
void pci_power_off(void *function);
int pci_arrive(void *function);
void pci_leave(void *function);
void pci_memory_changed(void *function);
void pci_vectors_changed(void *function);
void pci_quiesce(void *function, void (*quiet)(void *context), void *context);
void pci_resume(void *function);
void pci_freeze(void *function);
void pci_reset(void *function);
void pci_config_changed(void *function);

/* The driver has written 0 to the status. */
void pci_begin_reset(struct pci_function *function);
/* A ring has ended: do all? Then what waits for that goes on. */
void pci_settle(struct pci_function *function);
/* The interrupt of the configuration. */
void pci_tell_config(struct pci_function *function);
/* Interrupts of a queue's vector. */
void pci_tell_queue(struct pci_function *function, const struct pci_queue *queue);

/* ---- virtio_pci_registers.c ---- */

uint64_t pci_read(void *function, unsigned bar, uint32_t offset, unsigned bytes);
void pci_write(void *function, unsigned bar, uint32_t offset, unsigned bytes, uint64_t value);
void pci_violated(struct pci_function *function, enum pci_violation kind, uint64_t value);

/* ---- virtio_pci_queue.c ---- */

/* Registers as after power-on. No ring runs. */
void pci_queue_reset(struct pci_queue *queue);
/* Its ring ends: at once, if nothing is in flight. */
void pci_queue_stop(struct pci_queue *queue);
/* The ring goes on in the memory of now, as soon as nothing is in flight in the one before the last. */
void pci_queue_refresh_memory(struct pci_queue *queue);
/* A queue may have something to do: a ring to start or to free, memory to change. */
void pci_queues_wake(struct pci_function *function);
bool pci_queues_poll(struct loop_poller *poller);
bool pci_queues_park(struct loop_poller *poller);
/* May it run, as far as its registers say? */
bool pci_queue_is_ready(const struct pci_queue *queue);
size_t pci_queue_record_bytes(const struct pci_queue *queue);

/* Does its ring run, or start? */
bool pci_queue_is_up(const struct pci_queue *queue);
/* It could not start; or its ring broke a rule. */
void pci_queue_failed(struct pci_queue *queue, int error);
void pci_queue_broken(struct pci_queue *queue, enum virtqueue_violation violation, uint64_t value);
/* On the ring's worker: it has stopped. */
void pci_queue_free_ring(struct pci_queue *queue);

/* ---- virtio_pci_lane.c: of queues that are not home's; all but pci_lane_freeze() at home ---- */

void pci_elsewhere_init(struct pci_queue *queue);
/* queue->setup says how, but for the worker. */
void pci_elsewhere_start(struct pci_queue *queue);
/* Has the ring do what the function's state asks for. */
void pci_elsewhere_steer(struct pci_queue *queue);
/* Does the ring reach into no other memory than that of now, as far as home has to say? */
bool pci_elsewhere_is_settled(const struct pci_queue *queue);
void pci_elsewhere_kick(struct pci_queue *queue);
void pci_lane_freeze(void *function, unsigned lane);

/* ---- virtio_pci_handover.c ---- */

void pci_save(const void *function, struct handover *handover);
void pci_restore(void *function, struct handover *handover);

#endif
