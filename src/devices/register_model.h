/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Border between a bus that carries register accesses (interfaces/vfio_user) and a device made of registers
 * (devices/…): for implementers of models.
 *
 * A model is pure: it is told of loads and stores, reaches the guest's memory through a view that the bus
 * gives it, and says when an interrupt is due. It knows neither sockets nor PCI configuration, so that a unit
 * test drives it with plain calls.
 *
 * A function is a device while a VMM is connected: registers, queues and what is in flight, from power_on()
 * to power_off(). It lives on one worker at a time, its home. Everything here but the functions that say
 * "control thread" runs there and must not block.
 *
 * A model may serve queues on other workers besides: each worker that can do so is a lane, and home is lane
 * 0. What a lane does is the model's own matter, by messages between the loops; it owes the bus that no lane
 * touches anything of the bus or of the guest's memory when the function is quiet.
 */
#ifndef VIADUCT_DEVICES_REGISTER_MODEL_H
#define VIADUCT_DEVICES_REGISTER_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guest_memory;
struct handover;
struct iovec;
struct loop;
struct loop_account;

/* Windows fails to start an NVMe controller with 512 of them; 64 are known to be safe. */
#define REGISTER_VECTORS_MAX 64u
#define REGISTER_BARS	     6u
/* Workers that serve queues of one function at most, and queues for which the bus says which one does. */
#define REGISTER_LANES_MAX  64u
#define REGISTER_QUEUES_MAX 64u

/* Of a model's own: so many, of so many bytes with the two that every one begins with. */
#define REGISTER_CAPABILITIES_MAX     5u
#define REGISTER_CAPABILITY_BYTES_MAX 20u
/* What read() and write() are told in place of a BAR for registers in a capability. */
#define REGISTER_BAR_CAPABILITY REGISTER_BARS

struct register_bus_ops;

/*
 * Memory that a VMM keeps to itself is part of the set, as a private copy of the bus's (guest_memory.h: a
 * remote region). Before a function that runs errands reads there, it has the bus fetch what the guest has;
 * what it has written there reaches the guest when the bus has pushed it. What was fetched serves the one
 * step that asked for it: the next one fetches anew. Pieces that are not remote are passed over, and cost
 * nothing.
 *
 * Embedded in what waits for it, and untouched from fetch() or push() until done(), which comes from the
 * worker later, never from inside of the call. Errands that are begun earlier reach the guest earlier.
 */
struct register_errand {
	/*
	 * 0: all was carried; -EFAULT: the VMM refused some of it; -ECANCELED: the bus gave it up, since the
	 * function is to come to rest. A push that failed may have reached the guest in part, or may still do
	 * so.
	 */
	void (*done)(struct register_errand *errand, int error);
	struct guest_memory *memory;	/* the set that the pieces lie in; the bus keeps it meanwhile */
	const struct iovec *iov;	/* as guest_memory_iov() gives them; `count` of them */
	unsigned count;

	/* The bus's. */
	struct register_errand *next;
	bool pushes, queued;
	unsigned piece, flying;
	size_t offset;
	int error;
};

struct register_lane {
	struct loop *loop;
	struct loop_account *account;
};

/* The bus as the function sees it. Owned by the bus, from power_on() to power_off(). */
struct register_bus {
	const struct register_bus_ops *ops;
	/*
	 * The memory that the function may reach now: empty while its driver has not made it a bus master. A
	 * BAR is never part of it. Another set follows with memory_changed(); what is in flight keeps a
	 * reference to the one that it began with. Never NULL.
	 */
	struct guest_memory *memory;
	/*
	 * The VMM is changing the memory, range by range: what is missing may be back with the next one, and
	 * is not the driver's fault. Whatever the VMM says behind its last change ends this.
	 */
	bool memory_moves;		/* atomic: lanes read it */
	struct loop *loop;		/* home */
	struct loop_account *account;	/* pays for the function's pollers and tasks there */
	/*
	 * The lanes; 0 or 1 of them: there is home alone. They change only while the function is at no
	 * worker. The memory and all else here is home's: lanes get from the model what they need.
	 */
	unsigned lane_count;
	struct register_lane lane[REGISTER_LANES_MAX];
	uint8_t queue_lane[REGISTER_QUEUES_MAX]; /* which lane serves a queue; that of queue 0 is home */
};

/* Filled in by the bus, called by the function. */
struct register_bus_ops {
	/*
	 * An interrupt of the vector is due, and stays so until lower(). With message-signalled interrupts
	 * each call is one message; otherwise all vectors share the pin, which is level-triggered (PCI 3.0,
	 * 2.2.6).
	 */
	void (*raise)(struct register_bus *bus, unsigned vector);
	/* There is no reason for it any more. Idempotent. */
	void (*lower)(struct register_bus *bus, unsigned vector);
	/* Does the driver use message-signalled interrupts? */
	bool (*has_vectors)(const struct register_bus *bus);
	/*
	 * The driver broke a rule of the device: counted under `kind` (an index into ops->violations), and
	 * logged with the value.
	 */
	void (*violated)(struct register_bus *bus, unsigned kind, uint64_t value);
	/* Only functions that run errands call these. */
	void (*fetch)(struct register_bus *bus, struct register_errand *errand);
	void (*push)(struct register_bus *bus, struct register_errand *errand);
	/*
	 * The same as raise(), on the thread of another lane than home, and always a message: while the
	 * vector has none to go to, it is pending.
	 */
	void (*raise_from)(struct register_bus *bus, unsigned lane, unsigned vector);
	/*
	 * What the VMM has just asked for is not answered before answer() was called as often: lanes have yet
	 * to hear of it. Both at home.
	 */
	void (*answer_later)(struct register_bus *bus);
	void (*answer)(struct register_bus *bus);
};

enum register_bar_kind { REGISTER_BAR_NONE, REGISTER_BAR_MEMORY_64, REGISTER_BAR_MEMORY_32, REGISTER_BAR_IO };

struct register_bar {
	enum register_bar_kind kind;	/* one of 64 bits takes the place of the next one, too */
	uint32_t bytes;			/* a power of two, at least 16 */
	/*
	 * Of a BAR in memory: the part that is plain memory, whole pages, which a VMM maps into its guest;
	 * 0 bytes: none. Of a BAR that is all memory, loads have no effects (it is prefetchable: 6.2.5.1).
	 */
	uint32_t mapped_offset, mapped_bytes;
};

/* A capability in the configuration space that is not the bus's own (PCI 3.0, 6.7). */
struct register_capability {
	uint8_t id;
	uint8_t bytes; /* all of it; 0: there is none */
	/*
	 * Not 0: what begins here are registers, for which read() and write() are asked with
	 * REGISTER_BAR_CAPABILITY and the offset in the capability. One capability at most has such.
	 */
	uint8_t registers_from;
	uint8_t contents[REGISTER_CAPABILITY_BYTES_MAX - 2]; /* behind its number and the next one's place */
};

/* What a driver recognises a device by (PCI 3.0, 6.2.1 and 6.2.4). */
struct register_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t revision;
	uint32_t class_code;		/* 24 bits: class, subclass, programming interface */
};

/* Filled in statically by each model. `device` is what the model's own create function returned. */
struct register_model_ops {
	const char *name;		/* "nvme" */
	struct register_identity identity;
	struct register_bar bars[REGISTER_BARS];
	/*
	 * MSI-X: the table and the pending bits lie in a BAR where read() and write() are not asked. Without
	 * vectors there are no interrupts at all.
	 */
	unsigned vectors;		/* 0 to REGISTER_VECTORS_MAX */
	unsigned msix_bar;
	uint32_t msix_table_offset, msix_pending_offset;
	struct register_capability capabilities[REGISTER_CAPABILITIES_MAX];
	/* It reaches memory that a VMM keeps to itself (struct register_errand): that is in the set, too. */
	bool runs_errands;
	/* Kinds of violations, for logs and the labels of counters; ended by NULL. */
	const char *const *violations;

	/*
	 * A VMM has connected; registers are as after power-on. `bus` stays. The function is quiet, and at no
	 * worker: arrive() and resume() follow. Returns 0 and the function, or -errno. Any thread; may
	 * allocate.
	 */
	int (*power_on)(void *device, struct register_bus *bus, void **ret_function);
	/* It is quiet. */
	void (*power_off)(void *function);
	/*
	 * It is quiet, and goes to a worker, or leaves one so that it can go to another, with other values in
	 * bus->loop and bus->account. arrive() may allocate; it returns 0 or -errno: power_off() follows.
	 */
	int (*arrive)(void *function);
	void (*leave)(void *function);

	/*
	 * One load or store; the range lies inside the BAR, or the capability with registers. `bytes` is 1,
	 * 2, 4 or 8, and `offset` a multiple of it. What is not a register reads as zero, and writes to it go
	 * nowhere.
	 */
	uint64_t (*read)(void *function, unsigned bar, uint32_t offset, unsigned bytes);
	void (*write)(void *function, unsigned bar, uint32_t offset, unsigned bytes, uint64_t value);
	/*
	 * The memory file of which a VMM maps the BAR's mapped part: what it has at an offset, the BAR has
	 * there. It ends behind that part or later, is sealed against becoming smaller or larger, and stays
	 * the function's, until power_off() or restore(). The guest reads and writes it at any time, and
	 * nobody is told; before it is mapped, and where an access lies across its edge, read() and write()
	 * are asked as they are for registers. May be NULL when no BAR has such a part.
	 */
	int (*bar_memory)(void *function, unsigned bar);

	/*
	 * Queues that may be served on other workers than home (bus->queue_lane). NULL: none. Control thread.
	 */
	unsigned (*queues)(void *device);
	/*
	 * The guest's memory has made this lane's worker wait: the lane touches it no more. freeze() follows
	 * at home. On the lane's thread, at any time between resume() and quiet(). NULL without lanes.
	 */
	void (*lane_freeze)(void *function, unsigned lane);

	/*
	 * bus->memory is another one; the one before is still there, until this returns. Lanes that hear of
	 * it later have the answer wait: answer_later().
	 */
	void (*memory_changed)(void *function);
	/* The driver's interrupts are message-signalled from now on, or no longer. */
	void (*vectors_changed)(void *function);

	/*
	 * Starts nothing more, and calls quiet() when nothing is in flight, errands neither, possibly before
	 * it returns. Reads and writes of registers may come meanwhile. Then resume(), reset() or power_off()
	 * follows.
	 */
	void (*quiesce)(void *function, void (*quiet)(void *context), void *context);
	void (*resume)(void *function);
	/*
	 * The guest's memory has made the worker wait: it is not touched any more, and answers are kept,
	 * until resume(), which may be on another worker. quiesce() follows, and is quiet although answers
	 * are kept. Errands under way are given up.
	 */
	void (*freeze)(void *function);
	/* Quiet: registers are as after power-on, and it goes on. */
	void (*reset)(void *function);
	/* Something of the device (its size, say) is not what it was. */
	void (*config_changed)(void *function);

	/*
	 * Takeover: all that the function is, while it is quiet. restore: into one that was just powered on;
	 * what contradicts itself makes handover->error. Control thread, while the worker keeps away.
	 */
	void (*save)(const void *function, struct handover *handover);
	void (*restore)(void *function, struct handover *handover);
};

#endif
