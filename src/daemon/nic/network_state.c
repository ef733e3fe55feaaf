/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/nic/network_state.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "daemon/base/daemon.h"
#include "daemon/base/state.h"

#define STATE_FILE "network.json"

/* ---- the file ---- */

static void keep_bad_file(const struct daemon *daemon, const char *why)
{
	char path[PATH_MAX], bad[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" STATE_FILE, daemon->state_dir);
	snprintf(bad, sizeof(bad), "%s/" STATE_FILE ".bad", daemon->state_dir);
	if (rename(path, bad) == 0)
		log_error(NULL, "%s: %s; it is not used, and kept as %s", path, why, bad);
	else
		log_error(NULL, "%s: %s; it is not used", path, why);
}

/* Is each of its members what the file's description says? */
static bool is_ours(const json_t *root)
{
	const json_t *forwards = json_object_get(root, "forwards"), *links = json_object_get(root, "links"),
		     *leases = json_object_get(root, "leases"), *value;
	const char *name;

	if (!json_is_object(root) || (forwards && !json_is_object(forwards)) ||
	    (links && !json_is_object(links)) || (leases && !json_is_object(leases)))
		return false;
	json_object_foreach((json_t *)forwards, name, value) if (!json_is_array(value)) return false;
	return true;
}

void network_state_load(struct daemon *daemon)
{
	char *bytes = NULL;
	json_error_t wrong;
	size_t length;
	int error = state_read(daemon->state_dir, STATE_FILE, &bytes, &length);

	if (error) {
		if (error != -ENOENT)
			log_error(NULL, "%s/" STATE_FILE " cannot be read: %s", daemon->state_dir,
				  strerror(-error));
	} else {
		daemon->network_state = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &wrong);
		free(bytes);
		if (!daemon->network_state || !is_ours(daemon->network_state)) {
			keep_bad_file(daemon, daemon->network_state ? "it holds something else" : wrong.text);
			json_decref(daemon->network_state);
			daemon->network_state = NULL;
		}
	}
	if (!daemon->network_state)
		daemon->network_state = json_object();
}

void network_state_free(struct daemon *daemon)
{
	json_decref(daemon->network_state);
	daemon->network_state = NULL;
}

static void save(struct daemon *daemon)
{
	char *text = json_dumps(daemon->network_state, JSON_INDENT(1) | JSON_SORT_KEYS);
	int error = -ENOMEM;

	if (text && daemon->state_dir)
		error = state_write(daemon->state_dir, STATE_FILE, text, strlen(text), true);
	else if (text)
		error = 0;
	free(text);
	if (error)
		log_warning(NULL, "%s/" STATE_FILE " cannot be written: %s; the change is lost at a restart",
			    daemon->state_dir, strerror(-error));
}

/* The member of that name, made when it is missing. */
static json_t *member(json_t *object, const char *name, json_t *(*make)(void))
{
	json_t *found = json_object_get(object, name);

	if (!found) {
		found = make();
		json_object_set_new(object, name, found);
	}
	return found;
}

/* ---- forwards ---- */

const json_t *network_state_forwards(const struct daemon *daemon, const char *switch_name)
{
	return json_object_get(json_object_get(daemon->network_state, "forwards"), switch_name);
}

void network_state_set_forward(struct daemon *daemon, const char *switch_name, const char *text, bool present)
{
	json_t *list =
		member(member(daemon->network_state, "forwards", json_object), switch_name, json_array);
	size_t at = 0;

	while (at < json_array_size(list)) {
		const char *known = json_string_value(json_array_get(list, at));

		if (!known || strcmp(known, text) == 0)
			json_array_remove(list, at);
		else
			at++;
	}
	if (present)
		json_array_append_new(list, json_string(text));
	save(daemon);
}

/* ---- leases ---- */

int network_state_lease(const struct daemon *daemon, const char *switch_name, const char *nic_name)
{
	const json_t *leases = json_object_get(json_object_get(daemon->network_state, "leases"), switch_name);
	const json_t *index = json_object_get(leases, nic_name);

	if (!json_is_integer(index) || json_integer_value(index) < 0 || json_integer_value(index) > INT_MAX)
		return -ENOENT;
	return (int)json_integer_value(index);
}

void network_state_set_leases(struct daemon *daemon, const char *switch_name, json_t *leases)
{
	json_t *all = member(daemon->network_state, "leases", json_object);

	if (json_equal(json_object_get(all, switch_name), leases)) {
		json_decref(leases);
		return;
	}
	json_object_set_new(all, switch_name, leases);
	save(daemon);
}

/* ---- links ---- */

enum link_choice network_state_link(const struct daemon *daemon, const char *nic_name)
{
	const json_t *link = json_object_get(json_object_get(daemon->network_state, "links"), nic_name);

	if (!json_is_boolean(link))
		return LINK_AS_CONFIGURED;
	return json_is_true(link) ? LINK_UP : LINK_DOWN;
}

void network_state_set_link(struct daemon *daemon, const char *nic_name, enum link_choice choice)
{
	json_t *links = member(daemon->network_state, "links", json_object);

	if (choice == LINK_AS_CONFIGURED)
		json_object_del(links, nic_name);
	else
		json_object_set_new(links, nic_name, json_boolean(choice == LINK_UP));
	save(daemon);
}
