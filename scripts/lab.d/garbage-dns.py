"""Answers DNS queries with what no parser should accept: garbage-dns.py ADDRESS PIDFILE

In turn: noise, a bare header, a header that promises records which do not come,
a name that points at itself, an answer cut in the middle of an address. All but the
noise carry the query's id, so that a resolver takes them for its answer.
"""
import asyncio
import itertools
import os
import struct
import sys
import time

RESPONSE = 0x8580  # a response, authoritative, recursion asked for and granted
BIND_SECONDS_MAX = 5


def answers(query):
    ident = query[:2].ljust(2, b"\0")
    question = query[12:]
    return (
        os.urandom(48),
        ident + struct.pack("!H", RESPONSE),
        ident + struct.pack("!HHHHH", RESPONSE, 1, 1000, 0, 0) + question,
        ident + struct.pack("!HHHHH", RESPONSE, 1, 1, 0, 0) + b"\xc0\x0c\x00\x01\x00\x01",
        ident + struct.pack("!HHHHH", RESPONSE, 1, 1, 0, 0) + question
        + b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x0a\x4d",
    )


turn = itertools.count()


def garbage(query):
    kinds = answers(query)
    return kinds[next(turn) % len(kinds)]


class Udp(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, query, sender):
        self.transport.sendto(garbage(query), sender)


async def tcp(reader, writer):
    try:
        length = struct.unpack("!H", await asyncio.wait_for(reader.readexactly(2), 5))[0]
        query = await asyncio.wait_for(reader.readexactly(length), 5)
        answer = garbage(query)
        writer.write(struct.pack("!H", len(answer)) + answer)
        await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(address, pid_file):
    loop = asyncio.get_running_loop()
    deadline = time.monotonic() + BIND_SECONDS_MAX
    while True:  # named may still be on its way off this address
        try:
            await loop.create_datagram_endpoint(Udp, local_addr=(address, 53))
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)
    server = await asyncio.start_server(tcp, address, 53)
    with open(pid_file, "w") as file:
        file.write(f"{os.getpid()}\n")
    await server.serve_forever()


asyncio.run(main(sys.argv[1], sys.argv[2]))
