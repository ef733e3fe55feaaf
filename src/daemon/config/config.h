/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration: one INI file plus conf.d/<any>.conf beside it, one section per object. What
 * sections and keys there are is one table (config_keys.c), from which parsing, messages and the reference
 * in docs/configuration.md come. A new kind of object is a struct here and rows there.
 *
 * Mistakes do not stop the reading: each becomes one message "file:line: what is wrong; what would be
 * right", and all are reported together.
 */
#ifndef VIADUCT_DAEMON_CONFIG_CONFIG_H
#define VIADUCT_DAEMON_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "arbiter/share/share_settings.h"

/* "guest/disk", as in the pool's catalogue (POOL_NAME_MAX), with the final NUL. */
#define CONFIG_NAME_SIZE 128
/* Guests and pools: leaves room for a disk's name and for the socket's path. */
#define CONFIG_GUEST_MAX 63
/* Keys of one section at most. */
#define CONFIG_KEYS_MAX 32

/* ---- messages ---- */

#define CONFIG_MESSAGE_MAX  512
/* A file of rubbish gives no more lines than a reader wants. */
#define CONFIG_MESSAGES_MAX 50

struct config_messages {
	unsigned count;		/* messages given, also those beyond the maximum */
	unsigned kept;
	char *text[CONFIG_MESSAGES_MAX];
};

/* One sentence without a full stop; `file` may be NULL; line 0 = the file as a whole. */
void config_message(struct config_messages *messages, const char *file, unsigned line, const char *format,
		    ...) __attribute__((format(printf, 4, 5)));
void config_messages_finish(struct config_messages *messages);

/* ---- the table ---- */

enum config_type {
	CONFIG_TEXT,	/* char * */
	CONFIG_PATH,	/* char *: absolute */
	CONFIG_SIZE,	/* uint64_t: bytes */
	CONFIG_NUMBER,	/* uint64_t */
	CONFIG_BOOLEAN,	/* bool */
	CONFIG_CHOICE,	/* unsigned: index into choices */
	CONFIG_MODE,	/* unsigned: permission bits */
	CONFIG_SERIAL,	/* char *: 1 … 20 printable ASCII characters */
};

/* What guests share in time. A guest or group has a share of each, a device has one of its kind's. */
enum share_resource { SHARE_DISKS, SHARE_NICS, SHARE_RESOURCES };

struct config_key {
	const char *name;
	const char *old_name;		/* read too, with a warning, until 1.0; NULL: none */
	enum config_type type;
	size_t offset;			/* of the value in the section's struct */
	uint64_t minimum, maximum;	/* SIZE and NUMBER; maximum 0 = no bound */
	const char *const *choices;	/* CHOICE: NULL-terminated */
	const char *initial;		/* default as text, NULL: none (what that means is in help) */
	const char *help;
	/* A reload applies a change of it under a running guest; others need a device that is served anew. */
	bool live;
	bool reads;			/* PATH: a file that is read at the start, and never written */
	/* It is a setting of a share of this resource: config_share_keys.h */
	bool is_share;
	enum share_resource resource;
	enum share_key share_key;
};

struct config;
struct config_object;

enum config_naming { CONFIG_UNNAMED, CONFIG_NAMED, CONFIG_NAMED_PAIR /* GUEST/NAME */ };

struct config_section {
	const char *name;
	enum config_naming naming;
	const char *example;		/* of its name */
	size_t object_bytes;
	const struct config_key *keys;
	unsigned key_count;
	const char *help;
	bool device;			/* its objects begin with a struct config_device */
	/* Does one object fit to the others? NULL: nothing of its own to check. Pure. */
	void (*check)(const struct config *config, const struct config_object *object,
		      struct config_messages *messages);
};

/*
 * All sections, [daemon] first, ended by NULL. The table stands in daemon/device_kinds.c, because each kind
 * of device brings a section.
 */
extern const struct config_section *const config_sections[];
#define CONFIG_SECTIONS_MAX 16

/* config_keys.c */
extern const struct config_section config_section_daemon, config_section_pool, config_section_group,
	config_section_guest, config_section_disk;

/* The row of a section; NULL: there is none of this name. */
const struct config_section *config_section_find(const char *name);

/* The reference of all sections and keys, in Markdown, on `stream`. */
void config_print_reference(FILE *stream);

/* ---- what was read ---- */

/* First member of every object; objects of a section are a list in order of declaration. */
struct config_object {
	const struct config_section *section;
	struct config_object *next;
	const char *file;			/* owned by the config */
	unsigned line;				/* of the section's header */
	unsigned key_line[CONFIG_KEYS_MAX];	/* where each key was given; 0 = not given */
	const char *key_file[CONFIG_KEYS_MAX];
	char name[CONFIG_NAME_SIZE];
};

/* What the user says of a physical disk, to begin with; 0: not given. Both or none. */
struct config_capacity {
	uint64_t iops, bandwidth;
};

struct config_daemon {
	struct config_object object;
	char *runtime_dir, *state_dir;
	uint64_t workers;	/* 0: one for each two CPUs */
	uint64_t poll_us;
	char *user, *group;
	bool sandbox, core_dumps;
	unsigned log_level;	/* enum log_level */
};

struct config_pool {
	struct config_object object;
	char *path;
	uint64_t size_bytes;	/* 0: not given */
	unsigned cache;		/* enum host_disk_cache */
	struct config_capacity capacity;
};

struct config_group {
	struct config_object object;
	struct share_settings share[SHARE_RESOURCES];
};

struct config_guest {
	struct config_object object;
	char *socket_owner, *socket_group;
	unsigned socket_mode;
	uint64_t memory_bytes;
	char *group;		/* NULL: none */
	bool own_worker;
	struct share_settings share[SHARE_RESOURCES];
};

/* First member of every device's object. */
struct config_device {
	struct config_object object;
	char *socket, *connect;	/* at most one */
	unsigned interface;	/* enum config_interface: of a virtio device */
};

/* How a VMM reaches a virtio device, in the order of the key's choices. */
enum config_interface { CONFIG_INTERFACE_VHOST_USER, CONFIG_INTERFACE_VFIO_USER };
extern const char *const config_interfaces[];

/* The row of the key in a section of devices that may be virtio ones. */
#define CONFIG_INTERFACE_KEY(holder)                                                                         \
	{                                                                                                    \
		.name = "interface", .type = CONFIG_CHOICE,                                                  \
		.offset = offsetof(struct holder, device.interface), .choices = config_interfaces,           \
		.initial = "vhost-user",                                                                     \
		.help = "How a VMM reaches a virtio device: vhost-user, which is the fastest and survives "  \
			"a "                                                                                 \
			"killed daemon; or vfio-user, as a PCI device (virtio-pci), for VMMs without "       \
			"vhost-user, "                                                                       \
			"and for which QEMU 10.1 or newer is needed."                                        \
	}

/* In the order of the key's choices. */
enum config_sector { CONFIG_SECTOR_512, CONFIG_SECTOR_4096 };

enum config_disk_model { CONFIG_DISK_VIRTIO, CONFIG_DISK_NVME };

struct config_disk {
	union {
		struct config_object object;
		struct config_device device;
	};
	char *pool, *path;	/* exactly one */
	uint64_t size_bytes;
	unsigned cache;		/* enum host_disk_cache; path disks */
	bool read_only;
	bool packed;
	uint64_t queues;
	unsigned sector;	/* enum config_sector */
	unsigned model;		/* enum config_disk_model */
	uint64_t boot;		/* 0: not given */
	char *serial;
	struct share_settings share;
	struct config_capacity capacity;	/* path disks */
};

struct config {
	struct config_object *lists[CONFIG_SECTIONS_MAX];	/* in the order of config_sections[] */
	struct config_messages warnings;	/* what is read, but should be written otherwise */
	char **files;
	unsigned file_count;
};

/* Its place in config_sections[]. */
unsigned config_section_index(const struct config_section *section);
/* Is a value of this key a char *? */
bool config_key_is_text(const struct config_key *key);
/* Is the key called so, or was it? */
bool config_key_is(const struct config_key *key, const char *name);
/* The objects of a section, in order of declaration. */
struct config_object *config_list(const struct config *config, const struct config_section *section);

/* The one [daemon]: always there after parsing. */
const struct config_daemon *config_daemon(const struct config *config);

#define config_for_each(list, type, variable)                                                                \
	for (const struct type *variable = (const struct type *)(list); variable;                            \
	     variable = (const struct type *)variable->object.next)

static inline struct config_object *config_pools(const struct config *config)
{
	return config_list(config, &config_section_pool);
}

static inline struct config_object *config_groups(const struct config *config)
{
	return config_list(config, &config_section_group);
}

static inline struct config_object *config_guests(const struct config *config)
{
	return config_list(config, &config_section_guest);
}

static inline struct config_object *config_disks(const struct config *config)
{
	return config_list(config, &config_section_disk);
}

/* An empty configuration (every default set); NULL when out of memory. */
struct config *config_create(void);
void config_destroy(struct config *config);

/* Reads the text of one file into the config. Pure. `file` is copied and only used in messages. */
void config_parse(struct config *config, const char *file, const char *bytes, size_t length,
		  struct config_messages *messages);

/* After all files: do the objects fit together? Pure. */
void config_check(const struct config *config, struct config_messages *messages);

/*
 * Reads `path` and conf.d beside it, parses and checks. Returns 0 and *ret_config (owned by the caller), or
 * -EINVAL with at least one message; -ENOENT (with a message) when the file is missing.
 */
int config_load(const char *path, struct config **ret_config, struct config_messages *messages);

/*
 * After config_load(): is every socket one device's own, also where links lead, and none the daemon's? Looks
 * at directories. runtime_dir is the directory of the sockets. In config_sockets.c.
 */
void config_check_sockets(const struct config *config, const char *runtime_dir,
			  struct config_messages *messages);

/* Where a key of the object was given, or the object's header. */
unsigned config_line_of(const struct config_object *object, const char *key, const char **ret_file);
bool config_given(const struct config_object *object, const char *key);
/* "KEY = VALUE WRONG", where the key was given. */
void config_complain(const struct config_object *object, const char *key, struct config_messages *messages,
		     const char *value, const char *wrong);

/* ---- shares: config_share.c ---- */

/* The row of a setting of a share; NULL when objects of the section have no such setting. */
const struct config_key *config_share_key(const struct config_section *section, enum share_resource resource,
					  enum share_key key);
/* Have objects of the section a share of the resource? Each share has a weight. */
bool config_has_share(const struct config_section *section, enum share_resource resource);
/* The settings of such an object; NULL: the defaults of the section. */
struct share_settings config_share_of(const struct config_section *section, enum share_resource resource,
				      const struct config_object *object);
/* The line at which the object was given a setting; 0: it was not. */
unsigned config_share_line(const struct config_object *object, enum share_resource resource,
			   enum share_key key, const char **ret_file);
/* A limit below its reservation: true, with the limit's and the reservation's keys. */
bool config_share_contradicts(const struct share_settings *share, enum share_key *ret_limit,
			      enum share_key *ret_reservation);

/* ---- checks of single sections: config_check.c ---- */

/*
 * interface, and what goes with it. `other`: what makes the device another one than a virtio device ("model =
 * nvme"); NULL: it is one.
 */
void config_check_interface(const struct config_device *device, const char *other,
			    struct config_messages *messages);

void config_check_pool(const struct config *config, const struct config_object *object,
		       struct config_messages *messages);
void config_check_disk(const struct config *config, const struct config_object *object,
		       struct config_messages *messages);
/* The part of config_check() for shares and capacities. */
void config_check_shares(const struct config *config, struct config_messages *messages);

/* A whole file of at most 4 MiB. Returns 0 and bytes to free, or -errno. */
int config_read_file(const char *path, char **ret_bytes, size_t *ret_length);
/* The same of a descriptor, which stays the caller's. */
int config_read_fd(int fd, char **ret_bytes, size_t *ret_length);

/* An object by its name; NULL. */
struct config_object *config_find(struct config_object *list, const char *name);

/*
 * Have two objects of one section (either may be NULL: not declared) other values in a key that is not live?
 */
bool config_differs(const struct config_object *a, const struct config_object *b);

/* Splits "guest/name"; guest must hold CONFIG_GUEST_MAX + 1 bytes. False when it is no such pair. */
bool config_split_name(const char *name, char guest[CONFIG_GUEST_MAX + 1], const char **ret_rest);

/* "[disk alice/root]" for messages. Returns the buffer. */
#define CONFIG_TITLE_SIZE (CONFIG_NAME_SIZE + 16)
const char *config_title(const struct config_object *object, char buffer[CONFIG_TITLE_SIZE]);

#endif
