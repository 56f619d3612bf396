#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""test_peer_cli.py VFAKE [GOOD_WORLDS]: `vfake peer` from outside, over real sockets, memfds and eventfds."""

import array
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

VFAKE = os.environ.get("VFAKE_TEST_LAUNCHER", "").split() + [sys.argv[1]] if len(sys.argv) > 1 else []
ERROR, REPLY = 32, 1
PAGE = 4096
RING, SOURCE, DEST = 0x10000, 0x20000, 0x30000
# Registers of the copy engine (include/vfake/models.h).
CONTROL, RING_BASE, RING_SIZE, PRODUCER, DOORBELL, IRQ_MASK = 0x08, 0x10, 0x18, 0x1c, 0x24, 0x2c
CAPS = b'{"capabilities":{"max_msg_fds":8%s}}\0'


def run(*arguments):
    return subprocess.run(VFAKE + ["peer", *arguments], capture_output=True, text=True, timeout=60, check=False)


class Client:
    """One connection. Sockets block, with a limit."""

    def __init__(self, path, extra=b"", version=True):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(path)
        self.id = 0
        self.fds = []
        if version:
            self.caps = self.call(1, struct.pack("=HH", 0, 1) + CAPS % extra)

    def send(self, command, payload=b"", fds=(), flags=0):
        self.id += 1
        message = struct.pack("=HHIII", self.id, command, 16 + len(payload), flags, 0) + payload
        socket.send_fds(self.sock, [message[:1]], list(fds))
        self.sock.sendall(message[1:])

    def read(self, count, sock=None):
        data = b""
        while len(data) < count:
            got, ancillary, _, _ = (sock or self.sock).recvmsg(count - len(data), socket.CMSG_SPACE(253 * 4))
            if not got:
                raise EOFError
            for _, _, bytes_ in ancillary:
                fds = array.array("i")
                fds.frombytes(bytes_[:len(bytes_) - len(bytes_) % 4])
                self.fds += fds
            data += got
        return data

    def receive(self, sock=None):
        header = self.read(16, sock)
        ident, command, size, flags, error = struct.unpack("=HHIII", header)
        return ident, command, flags, error, self.read(size - 16, sock)

    def call(self, command, payload=b"", fds=()):
        """The reply's payload; an error raises OSError."""
        self.send(command, payload, fds)
        ident, answered, flags, error, data = self.receive()
        assert (ident, answered, flags & 15) == (self.id, command, REPLY), (ident, answered, flags)
        if flags & ERROR:
            raise OSError(error, os.strerror(error))
        return data

    def refused(self, command, payload=b"", fds=()):
        try:
            self.call(command, payload, fds)
        except OSError as error:
            return error.errno
        return 0

    def read_region(self, region, offset, count):
        return self.call(9, struct.pack("=QII", offset, region, count))[16:]

    def write_region(self, region, offset, data):
        self.call(10, struct.pack("=QII", offset, region, len(data)) + data)

    def map(self, iova, size, fd=None, offset=0):
        payload = struct.pack("=IIQQQ", 32, 3, offset, iova, size)
        return self.refused(2, payload, [] if fd is None else [fd])

    def irqs(self, index, fds, action=32):
        payload = struct.pack("=IIIII", 20, 4 | action, index, 0, len(fds))
        return self.refused(8, payload, fds)

    def copy(self, length):
        """Registers of a ring with one descriptor, and go."""
        self.write_region(7, 4, b"\x06\x00")
        self.write_region(0, RING_BASE, struct.pack("<Q", RING))
        self.write_region(0, RING_SIZE, struct.pack("<I", 8))
        self.write_region(0, IRQ_MASK, struct.pack("<I", 0))
        self.write_region(0, CONTROL, struct.pack("<I", 1))
        self.write_region(0, DOORBELL, struct.pack("<I", 1))

    def close(self):
        self.sock.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []


def descriptor(length):
    """One of a copy from SOURCE to DEST, with an interrupt."""
    return struct.pack("<QQIIII", SOURCE, DEST, length, 2, 0, 0)


def wait_readable(fd, seconds=60):
    return bool(select.select([fd], [], [], seconds)[0])


class Peer(unittest.TestCase):
    """A server in a directory of its own."""

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.directory.name, "socket")
        self.server = None

    def tearDown(self):
        if self.server:
            self.server.kill()
            self.server.communicate()
        self.directory.cleanup()

    def serve(self, *arguments):
        if os.environ.get("VFAKE_TEST_LAUNCHER"):
            self.skipTest("messages are in the byte order of the machine, and this client is from another one")
        self.server = subprocess.Popen(VFAKE + ["peer", "--listen", self.path, *arguments],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.assertIn(self.path, self.server.stdout.readline())

    def stop(self, number=signal.SIGTERM):
        self.server.send_signal(number)
        out, err = self.server.communicate(timeout=60)
        self.assertEqual((self.server.returncode, err), (0, ""))
        self.assertFalse(os.path.exists(self.path))
        self.server = None
        return out

    def test_bad_use_is_one_line(self):
        for arguments, word in (([], "--listen"), (["--listen", "x", "y"], "`y'"),
                                (["--listen", self.path, "--device", "nonesuch"], "nonesuch"),
                                (["--listen", self.path, "--hostile", "rude"], "rude"),
                                (["--listen", self.path, "--hostile", "late:99"], "99"),
                                (["--listen", self.path, "--hostile", "late:3:x"], "`x'"),
                                (["--listen", self.path, "--max-msg-fds", "0"], "--max-msg-fds"),
                                (["--listen", self.path, "--max-data-xfer", "1048577"], "--max-data-xfer"),
                                (["--listen", self.path, "--max-dma-maps", "-1"], "--max-dma-maps"),
                                (["--listen", self.path, "--delay", "99999999999"], "--delay"),
                                (["--listen", self.path, "--messages-below", "x"], "--messages-below"),
                                (["--listen", self.path, "--io-event", "0:1:2"], "not `0:1:2'"),
                                (["--listen", self.path, "--io-event", "0:1:2:-1"], "not `0:1:2:-1'"),
                                (["--listen", self.path, "--io-event", "0:1:2:3x"], "not `0:1:2:3x'"),
                                (["--listen", self.path] + ["--io-event", "0:0:4:1"] * 17, "16 writes"),
                                (["--nonesuch"], "nonesuch")):
            done = run(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(word, done.stderr)
            self.assertLessEqual(len(done.stderr.splitlines()), 2)
            self.assertFalse(os.path.exists(self.path))

    def test_what_cannot_be_had_is_one_line(self):
        missing = os.path.join(self.directory.name, "no", "socket")
        world = os.path.join(self.directory.name, "world")
        with open(world, "w", encoding="utf-8") as file:
            file.write("{")
        for arguments in (["--listen", missing], ["--listen", "x" * 200],
                          ["--listen", self.path, "--io-event", "0:0:3:1"]):
            done = run(*arguments)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertEqual(len(done.stderr.splitlines()), 1)
        for bad in (world, world + "x"):
            done = run("--listen", self.path, "--world", bad)
            self.assertEqual(done.returncode, 2, bad)
            self.assertEqual(len(done.stderr.splitlines()), 2)
            self.assertTrue(done.stderr.startswith(bad + ":"), done.stderr)
        with open(world, "w", encoding="utf-8") as file:
            file.write("{}")
        done = run("--listen", self.path, "--world", world, "--device", "d7")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "vfake peer: d7: there is no such device\n")

    def test_help(self):
        done = run("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("--listen", done.stdout)
        kinds = run("--hostile", "help")
        self.assertEqual(kinds.returncode, 0)
        self.assertIn("cap-loop", kinds.stdout.splitlines())

    def test_clients_come_and_go(self):
        self.serve("--device", "edu")
        for _ in range(3):
            client = Client(self.path)
            self.assertIn(b"max_msg_fds", client.caps)
            self.assertEqual(client.read_region(7, 0, 4), b"\x34\x12\xe8\x11")
            client.close()
        # one that says nothing, one that talks nonsense
        Client(self.path, version=False).close()
        client = Client(self.path, version=False)
        client.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.assertRaises((EOFError, ConnectionResetError), lambda: [client.receive() for _ in range(2)])
        client.close()
        client = Client(self.path)
        client.close()
        self.assertIn("6 clients", self.stop())

    def test_sockets(self):
        self.serve("--device", "plain")
        done = run("--listen", self.path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("in use", done.stderr)
        self.server.kill()
        self.server.communicate()
        self.assertTrue(os.path.exists(self.path))
        self.serve("--device", "plain")
        self.stop(signal.SIGINT)
        with open(self.path, "w", encoding="utf-8"):
            pass
        self.assertEqual(run("--listen", self.path).returncode, 1)
        self.assertTrue(os.path.exists(self.path))

    def test_once(self):
        self.serve("--once")
        Client(self.path).close()
        out, err = self.server.communicate(timeout=60)
        self.assertEqual((self.server.returncode, err), (0, ""))
        self.assertIn("1 clients", out)
        self.server = None

    def test_dma_by_descriptor_and_interrupt(self):
        self.serve("--device", "copy")
        client = Client(self.path)
        memory = os.memfd_create("guest")
        os.ftruncate(memory, 64 * PAGE)
        event = os.eventfd(0, os.EFD_NONBLOCK)
        self.assertEqual(client.map(0, 64 * PAGE, memory), 0)
        self.assertEqual(client.irqs(2, [event] * 4), 0)
        with mmap.mmap(memory, 64 * PAGE) as guest:
            data = os.urandom(3 * PAGE + 7)
            guest[SOURCE:SOURCE + len(data)] = data
            guest[RING:RING + 32] = descriptor(len(data))
            client.copy(len(data))
            self.assertTrue(wait_readable(event))
            self.assertEqual(guest[DEST:DEST + len(data)], data)
            # the file becomes shorter: the server lives, and serves the next client
            os.ftruncate(memory, 0)
            client.write_region(0, DOORBELL, struct.pack("<I", 2))
            client.read_region(0, 0, 4)
        client.close()
        client = Client(self.path)
        self.assertEqual(client.read_region(0, 0, 4), b"copy")
        client.close()
        os.close(memory)
        os.close(event)
        self.stop()

    def test_bad_descriptors(self):
        self.serve("--device", "copy")
        client = Client(self.path)
        short = os.memfd_create("short")
        os.ftruncate(short, PAGE)
        pipe = os.pipe()
        self.assertEqual(client.map(0, 2 * PAGE, short), 22)
        self.assertEqual(client.map(0, PAGE, short, 8 * PAGE), 22)
        self.assertEqual(client.map(0, PAGE, short, 1), 22)
        self.assertNotEqual(client.map(0, PAGE, pipe[0]), 0)
        self.assertEqual(client.irqs(2, [pipe[1]]), 22)
        self.assertEqual(client.irqs(2, [short]), 22)
        self.assertEqual(client.map(0, PAGE, short), 0)
        client.close()
        self.stop()
        for fd in (short, *pipe):
            os.close(fd)

    def answer(self, client, memory, sock=None):
        """Does what DMA_READ or DMA_WRITE asks for."""
        ident, command, flags, _, payload = client.receive(sock)
        self.assertEqual(flags, 0)
        address, count = struct.unpack_from("=QQ", payload)
        data = b""
        if command == 11:
            data = bytes(memory[address:address + count])
        else:
            self.assertEqual(command, 12)
            memory[address:address + count] = payload[16:]
        reply = payload[:16] + data
        (sock or client.sock).sendall(struct.pack("=HHIII", ident, command, 16 + len(reply), REPLY, 0) + reply)

    def test_dma_by_messages(self):
        self.serve("--device", "copy")
        for twin in (False, True):
            client = Client(self.path, b',"twin_socket":{"supported":true}' if twin else b"")
            other = socket.socket(fileno=client.fds.pop()) if twin else None
            if other:
                other.settimeout(60)
            memory = bytearray(64 * PAGE)
            data = os.urandom(PAGE)
            memory[SOURCE:SOURCE + PAGE] = data
            memory[RING:RING + 32] = descriptor(PAGE)
            self.assertEqual(client.map(0, 64 * PAGE), 0)
            client.copy(PAGE)
            for _ in range(4):
                self.answer(client, memory, other)
            self.assertEqual(memory[DEST:DEST + PAGE], data)
            self.assertEqual(memory[RING + 24], 1)
            client.call(13)
            client.close()
            if other:
                other.close()
        self.stop()

    def test_region_memory(self):
        self.serve("--device", "copy")
        client = Client(self.path)
        info = client.call(5, struct.pack("=IIIIQQ", 32, 0, 1, 0, 0, 0))
        _, flags, _, _, size, offset = struct.unpack("=IIIIQQ", info)
        self.assertTrue(flags & 4)
        with mmap.mmap(client.fds[0], size, offset=offset) as bar:
            bar[100:104] = b"bar1"
            self.assertEqual(client.read_region(1, 100, 4), b"bar1")
            client.write_region(1, 8, b"mmap")
            self.assertEqual(bar[8:12], b"mmap")
        client.close()
        self.stop()

    def test_writes_by_event(self):
        self.serve("--device", "copy", "--io-event", "0:0x24:4:1", "--io-event", "0:0x24:4:3")
        for _ in range(2):
            client = Client(self.path)
            client.write_region(7, 4, b"\x06\x00")
            client.write_region(0, RING_SIZE, struct.pack("<I", 8))
            for which, value in ((1, 3), (0, 1), (3, 3)):  # asked again, it is the same event
                answer = client.call(6, struct.pack("=IIII", 4096, 0, 0, 0))
                self.assertEqual(struct.unpack_from("=QQIIIIQ", answer, 16 + 40 * (which % 2)),
                                 (0x24, 4, which % 2, 0, 1, 0, value))
                os.eventfd_write(client.fds[which], 1)
                until = time.monotonic() + 60
                while client.read_region(0, PRODUCER, 4) != struct.pack("<I", value):
                    self.assertLess(time.monotonic(), until)
            client.close()
        self.stop()

    def test_unmask_by_event(self):
        self.serve("--device", "edu")
        client = Client(self.path)
        trigger, unmask = os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0, os.EFD_NONBLOCK)
        self.assertEqual(client.irqs(0, [trigger]), 0)
        self.assertEqual(client.irqs(0, [unmask], 16), 0)
        for _ in range(3):
            os.eventfd_write(unmask, 1)
            client.read_region(7, 0, 4)
        # heard, and not said again
        self.assertRaises(BlockingIOError, os.eventfd_read, unmask)
        # a counter that is full is no reason to wait
        os.eventfd_write(trigger, 2 ** 64 - 2)
        client.call(8, struct.pack("=IIIII", 20, 1 | 32, 0, 0, 1))
        client.close()
        os.close(trigger)
        os.close(unmask)
        self.stop()

    def test_messages_run_into_each_other(self):
        """Whole ones, parts, and one with a descriptor, to a server that waits and to one that does not."""
        self.serve("--device", "copy")
        client = Client(self.path)
        memory = os.memfd_create("guest")
        os.ftruncate(memory, 400 * PAGE)
        info = struct.pack("=IIII", 16, 0, 0, 0)
        for i in range(200):
            first = client.id + 1
            if i % 20 == 0:
                time.sleep(0.02)
            client.send(4, info)
            client.send(4, info)
            client.send(2, struct.pack("=IIQQQ", 32, 3, i * PAGE, i * PAGE, PAGE), [memory])
            # longer than what is read at once, and refused because it is beyond the region
            client.send(10, struct.pack("=QII", 1 << 20, 1, 20000) + bytes(20000))
            got = [client.receive() for _ in range(4)]
            self.assertEqual([answer[0] for answer in got], list(range(first, first + 4)))
            self.assertEqual([answer[3] for answer in got], [0, 0, 0, 22])
        # a message whose parts are far apart
        message = struct.pack("=HHIII", 7, 10, 16 + 16 + 20000, 0, 0) + struct.pack("=QII", 1 << 20, 1, 20000) + \
            bytes(20000)
        for part in (message[:5], message[5:17], message[17:40], message[40:10000], message[10000:]):
            client.sock.sendall(part)
            time.sleep(0.02)
        self.assertEqual(client.receive()[:4], (7, 10, REPLY | ERROR, 22))
        client.close()
        os.close(memory)
        self.assertIn("     200 VFIO_USER_DMA_MAP", self.stop())

    def test_descriptors_keep_their_order(self):
        self.serve("--device", "copy")
        client = Client(self.path)
        events = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(4)]
        for pause in (0, 0.02):
            time.sleep(pause)
            self.assertEqual(client.irqs(2, events), 0)
            for i, event in enumerate(events):
                client.call(8, struct.pack("=IIIII", 20, 1 | 32, 2, i, 1))
                signalled = [other for other in events if wait_readable(other, 0)]
                self.assertEqual(signalled, [event])
                os.eventfd_read(event)
        client.close()
        for event in events:
            os.close(event)
        self.stop()

    def test_a_client_that_stays_does_not_keep_the_server(self):
        for talks in (False, True):
            self.serve("--device", "plain")
            client = Client(self.path)
            client.read_region(7, 0, 4)
            begin = time.monotonic()
            self.server.send_signal(signal.SIGTERM)
            try:
                while talks:
                    client.read_region(7, 0, 4)
            except (EOFError, OSError):
                pass
            self.stop()
            self.assertLess(time.monotonic() - begin, 10)
            client.close()

    def test_hostile(self):
        self.serve("--hostile", "many-fds:4:1", "--max-data-xfer", "4096", "--max-msg-fds", "4",
                   "--max-dma-maps", "2", "--delay", "2")
        client = Client(self.path, b',"max_data_xfer_size":1,"max_dma_maps":1')
        self.assertIn(b'"max_msg_fds":4,"max_data_xfer_size":4096,"max_dma_maps":2', client.caps)
        info = struct.pack("=IIII", 16, 0, 0, 0)
        client.call(4, info)
        self.assertEqual(client.fds, [])
        client.send(4, info)
        total = 0
        data = b""
        while len(data) < 32:
            data += client.read(1 if len(data) < 8 else 32 - len(data))
            total += len(client.fds)
            for fd in client.fds:
                os.close(fd)
            client.fds = []
        self.assertEqual(total, 1000)
        client.close()
        self.stop()

    def test_a_client_that_does_not_read(self):
        self.serve("--device", "copy")
        client = Client(self.path)
        client.sock.setblocking(False)
        message = struct.pack("=HHIII", 1, 9, 32, 0, 0) + struct.pack("=QII", 0, 7, 4096)
        for _ in range(3000):
            try:
                client.sock.send(message)
            except BlockingIOError:
                break
        client.close()
        Client(self.path).close()
        self.stop()

    def test_alarm_by_the_clock_outside(self):
        self.serve("--device", "alarm", "--like-libvfio-user", "--messages-below", "4096")
        client = Client(self.path)
        info = client.call(5, struct.pack("=IIIIQQ", 4096, 0, 1, 0, 0, 0))
        self.assertEqual(len(info), 32 + 16 + 16)
        memory = os.memfd_create("guest")
        os.ftruncate(memory, 2 * PAGE)
        event = os.eventfd(0, os.EFD_NONBLOCK)
        self.assertEqual(client.map(0, PAGE, memory), 0)
        self.assertEqual(client.map(PAGE, PAGE, memory, PAGE), 0)
        self.assertEqual(client.irqs(0, [event]), 0)
        client.write_region(0, 0, struct.pack("<Q", int(time.time()) + 1))
        self.assertTrue(wait_readable(event))
        first = bytearray(PAGE)
        for _ in range(8):
            self.answer(client, first)
        self.assertEqual(first, b"".join(letter * 1024 for letter in (b"A", b"B", b"C", b"D")))
        self.assertEqual(os.pread(memory, PAGE, PAGE), bytes(first))
        client.close()
        os.close(memory)
        os.close(event)
        self.assertIn("VFIO_USER_DMA_MAP", self.stop())

    def test_world(self):
        if len(sys.argv) < 3:
            self.skipTest("no worlds")
        world = os.path.join(sys.argv[2], "recorded.json")
        if not os.path.exists(world):
            self.skipTest("no such world")
        self.serve("--world", world, "--device", "d0")
        Client(self.path).close()
        self.stop()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
