# SPDX-License-Identifier: GPL-2.0-or-later
"""The least of an IPv4 stack on a Card: it answers questions for its address, pings, and exchanges datagrams."""
import socket
import struct
import time
from collections import namedtuple

from nic import BROADCAST
from patience import PATIENCE_S

ARP, IPV4 = 0x0806, 0x0800
ICMP, UDP = 1, 17
Datagram = namedtuple("Datagram", "source source_port port payload")


def checksum(data):
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return 0xffff - total


def ethernet(destination, source, kind, payload):
    return (destination + source + struct.pack(">H", kind) + payload).ljust(60, b"\0")


def arp(operation, source_mac, source, target_mac, target):
    return struct.pack(">HHBBH", 1, IPV4, 6, 4, operation) + source_mac + source + target_mac + target


def ipv4(protocol, source, destination, payload):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0, source, destination)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def udp(source_port, port, payload):
    """Without a checksum, which IPv4 allows."""
    return struct.pack(">HHHH", source_port, port, 8 + len(payload), 0) + payload


def echo_request(identifier, sequence, payload):
    head = struct.pack(">BBHHH", 8, 0, 0, identifier, sequence)
    return head[:2] + struct.pack(">H", checksum(head + payload)) + head[4:] + payload


class IpHost:
    """`card` has posted its receive buffers here; whatever is waited for, questions are answered meanwhile."""

    def __init__(self, card, address):
        self.card, self.address = card, socket.inet_aton(address)
        self.neighbours = {}            # IP address -> Ethernet address
        self.datagrams, self.replies = [], []
        card.post(64, kick=True)

    def _send(self, to, kind, payload):
        self.card.transmit(ethernet(to, self.card.address, kind, payload))

    # ---- what comes ----

    def turn(self):
        """Takes one frame."""
        data = self.card.receive()
        kind, body = struct.unpack(">H", data[12:14])[0], data[14:]
        if kind == ARP:
            self._take_arp(body)
        elif kind == IPV4 and body[16:20] == self.address:
            self._take_packet(body)

    def _take_arp(self, body):
        operation = struct.unpack(">H", body[6:8])[0]
        mac, source, target = body[8:14], body[14:18], body[24:28]
        self.neighbours[source] = mac
        if operation == 1 and target == self.address:
            self._send(mac, ARP, arp(2, self.card.address, self.address, mac, source))

    def _take_packet(self, body):
        header, source = (body[0] & 15) * 4, body[12:16]
        payload = body[header:struct.unpack(">H", body[2:4])[0]]
        if body[9] == UDP:
            source_port, port = struct.unpack(">HH", payload[:4])
            self.datagrams.append(Datagram(socket.inet_ntoa(source), source_port, port, payload[8:]))
        elif body[9] == ICMP and payload[0] == 0:
            self.replies.append(socket.inet_ntoa(source))

    def until(self, holds, ask=None):
        """Takes frames until it holds. `ask` is repeated each second: a frame to a link that has just come up may be lost."""
        asked, deadline = None, time.monotonic() + PATIENCE_S
        while not holds():
            now = time.monotonic()
            assert now < deadline, "no frame came that was waited for"
            if ask and (asked is None or now > asked + 1):
                ask()
                asked = now
            if self.card.is_empty():
                time.sleep(0.001)
            else:
                self.turn()

    # ---- what goes ----

    def mac_of(self, gateway):
        gateway = socket.inet_aton(gateway)
        if gateway not in self.neighbours:
            question = arp(1, self.card.address, self.address, bytes(6), gateway)
            self.until(lambda: gateway in self.neighbours, lambda: self._send(BROADCAST, ARP, question))
        return self.neighbours[gateway]

    def ping(self, address, gateway=None):
        """Returns when the reply is there."""
        before, mac = len(self.replies), self.mac_of(gateway or address)
        request = ipv4(ICMP, self.address, socket.inet_aton(address), echo_request(7, before, b"viaduct" * 8))
        self.until(lambda: address in self.replies[before:], lambda: self._send(mac, IPV4, request))

    def send_datagram(self, address, port, payload, gateway=None, source_port=5000):
        self._send(self.mac_of(gateway or address), IPV4,
                   ipv4(UDP, self.address, socket.inet_aton(address), udp(source_port, port, payload)))

    def next_datagram(self):
        self.until(lambda: self.datagrams)
        return self.datagrams.pop(0)
