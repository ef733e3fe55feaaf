/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of virtio over PCI; no other folder includes this.
 *
 *   virtio_pci.c            the device: what the bus is told of it
 *   virtio_pci_function.c   a function: power, rest, resets
 *   virtio_pci_registers.c  loads and stores
 *   virtio_pci_queue.c      queues: their rings start and stop, in turns of the guest
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

struct pci_queue {
	struct pci_function *function;
	unsigned index;

	/* What the driver said. */
	uint16_t size, vector;
	bool enabled;
	uint64_t descriptors, driver, device;

	/* The ring, while it runs. */
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

/* ---- virtio_pci_handover.c ---- */

void pci_save(const void *function, struct handover *handover);
void pci_restore(void *function, struct handover *handover);

#endif
