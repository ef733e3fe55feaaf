/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration space of a PCI function (PCI 3.0, 6.1 and 6.8.2): who it is, how large its BARs are, the
 * capability for message-signalled interrupts, and those of the model. Pure: bytes in, bytes out.
 */
#ifndef VIADUCT_INTERFACES_VFIO_USER_PCI_CONFIG_H
#define VIADUCT_INTERFACES_VFIO_USER_PCI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/register_model.h"

#define PCI_CONFIG_BYTES 256u

struct pci_config {
	uint8_t bytes[PCI_CONFIG_BYTES];
	uint8_t writable[PCI_CONFIG_BYTES];	/* a bit for each */
	/* [registers, registers_end) are the model's; its capability begins at `capability`. */
	uint32_t capability, registers, registers_end;
};

/* As after power-on. */
void pci_config_init(struct pci_config *config, const struct register_model_ops *model);

/* The range lies inside the space. */
void pci_config_read(const struct pci_config *config, uint32_t offset, void *to, size_t bytes);
void pci_config_write(struct pci_config *config, uint32_t offset, const void *from, size_t bytes);

/* May the function reach memory? May it use the pin? (6.2.2) */
bool pci_config_is_bus_master(const struct pci_config *config);
bool pci_config_pin_allowed(const struct pci_config *config);
/* Is an interrupt of the pin pending? (6.2.3) */
void pci_config_set_pin(struct pci_config *config, bool pending);

#endif
