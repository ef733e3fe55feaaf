/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/device/virtio_endpoint.h"

#include "daemon/config/config.h"
#include "interfaces/vfio_user/vfio_user.h"
#include "interfaces/vhost_user/vhost_user.h"
#include "interfaces/virtio_pci/virtio_pci.h"

static int create_rings(const struct virtio_offer *offer, const struct endpoint_options *endpoint,
			struct handover *handed, struct endpoint **ret_endpoint)
{
	const struct vhost_user_options options = {
		.endpoint = *endpoint,
		.model = offer->model,
		.device = offer->device,
		.features_off = offer->features_off,
	};

	return handed ? vhost_user_restore(&options, handed, ret_endpoint)
		      : vhost_user_create(&options, ret_endpoint);
}

static int create_function(const struct virtio_offer *offer, const struct endpoint_options *endpoint,
			   struct handover *handed, struct virtio_pci **pci, struct endpoint **ret_endpoint)
{
	const struct virtio_pci_options options = {
		.model = offer->model,
		.device = offer->device,
		.class_code = offer->class_code,
		.features_off = offer->features_off | offer->registers_off,
		.queue_size_max = offer->queue_size_max,
	};
	struct vfio_user_options function = { .endpoint = *endpoint };
	int code = *pci ? 0 : virtio_pci_create(&options, pci);

	if (code)
		return code;
	function.model = virtio_pci_model(*pci);
	function.device = *pci;
	return handed ? vfio_user_restore(&function, handed, ret_endpoint)
		      : vfio_user_create(&function, ret_endpoint);
}

int virtio_endpoint_create(const struct virtio_offer *offer, const struct endpoint_options *endpoint,
			   struct handover *handed, struct virtio_pci **pci, struct endpoint **ret_endpoint)
{
	return offer->interface == CONFIG_INTERFACE_VFIO_USER
		       ? create_function(offer, endpoint, handed, pci, ret_endpoint)
		       : create_rings(offer, endpoint, handed, ret_endpoint);
}

void virtio_endpoint_free_pci(struct virtio_pci **pci)
{
	virtio_pci_destroy(*pci);
	*pci = NULL;
}

const char *device_interface_text(bool is_virtio, unsigned interface)
{
	return config_interfaces[is_virtio ? interface : CONFIG_INTERFACE_VFIO_USER];
}
