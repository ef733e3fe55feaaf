/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that was moved to this host is not known to the switches of the network as being here until it
 * sends something. The frame that says so for it is a request of RFC 903 that asks for the address of its
 * sender, as other hypervisors send it: no protocol of the guest takes it for something else.
 */
#include <string.h>

#include "arbiter/switch/vswitch_private.h"
#include "core/big_endian.h"

#define RARP_ETHERTYPE	  0x8035u
#define RARP_REQUEST	  3u
#define HARDWARE_ETHERNET 1u
#define ETHERTYPE_IPV4	  0x0800u
#define IPV4_BYTES	  4u

#define ANNOUNCE_BYTES 60u /* the shortest Ethernet frame, without its checksum */

static void put_frame(uint8_t frame[ANNOUNCE_BYTES], const uint8_t address[FRAME_ADDRESS_BYTES])
{
	memset(frame, 0, ANNOUNCE_BYTES);
	memset(frame, 0xff, FRAME_ADDRESS_BYTES);
	memcpy(frame + 6, address, FRAME_ADDRESS_BYTES);
	big16_put(frame + 12, RARP_ETHERTYPE);
	big16_put(frame + 14, HARDWARE_ETHERNET);
	big16_put(frame + 16, ETHERTYPE_IPV4);
	frame[18] = FRAME_ADDRESS_BYTES;
	frame[19] = IPV4_BYTES;
	big16_put(frame + 20, RARP_REQUEST);
	memcpy(frame + 22, address, FRAME_ADDRESS_BYTES);
	memcpy(frame + 32, address, FRAME_ADDRESS_BYTES);
}

int port_announce(struct port *port)
{
	uint8_t bytes[ANNOUNCE_BYTES];
	struct iovec iov = { bytes, sizeof(bytes) };
	const struct frame frame = { .iov = &iov, .iov_count = 1, .bytes = sizeof(bytes) };
	struct port_source *source;
	int error = port_source_open(port, NULL, NULL, &source);

	if (error)
		return error;
	put_frame(bytes, port->address);
	port_send(source, &frame, 1);
	port_source_close(source);
	return 0;
}
