"""Linux's side of tests/linux.rs: a TAP device in a network namespace of its own, and a peer that uses Linux's TCP.

Frames travel between the TAP device and the test by datagrams of a local socket; commands and results by lines of standard
input and output.
"""

import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import threading

TUNSETIFF = 0x400454CA
IFF_TAP = 2
IFF_NO_PI = 0x1000

BLOCK = bytes((i * 31 + (i >> 8) * 7) & 0xFF for i in range(65521))


def run(*words):
    subprocess.run(words, check=True)


def open_tap():
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", b"tap0", IFF_TAP | IFF_NO_PI))
    run("ip", "link", "set", "tap0", "address", "02:00:00:00:00:02", "up")
    run("ip", "addr", "add", "10.0.0.2/24", "dev", "tap0")
    run("ip", "-6", "addr", "add", "fd00::2/64", "dev", "tap0", "nodad")
    run("ip", "link", "set", "lo", "up")
    return tap


def pump(tap, frames, other):
    while True:
        ready, _, _ = select.select([tap, frames], [], [])
        if tap in ready:
            frames.sendto(os.read(tap, 65536), other)
        if frames in ready:
            frame = frames.recv(65536)
            try:
                os.write(tap, frame)
            except OSError:
                pass  # what Linux does not take is lost


def send(peer, length):
    done = 0
    while done < length:
        start = done % len(BLOCK)
        done += peer.send(BLOCK[start : start + min(length - done, 60000)])
    peer.shutdown(socket.SHUT_WR)


def receive(peer):
    done = 0
    while True:
        data = peer.recv(65536)
        if not data:
            return done
        start = done % len(BLOCK)
        rest = data
        while rest:
            part = BLOCK[start : start + len(rest)]
            if rest[: len(part)] != part:
                return -1 - done
            rest = rest[len(part) :]
            start = 0
        done += len(data)


def exchange(peer, length):
    # The same rule as on the other side, so that both can be compared.
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    thread = threading.Thread(target=send, args=(peer, length))
    thread.start()
    print("received", receive(peer), flush=True)
    thread.join()
    peer.close()


def main():
    own, other = sys.argv[1:]
    tap = open_tap()
    frames = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    frames.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    frames.bind(own)
    threading.Thread(target=pump, args=(tap, frames, other), daemon=True).start()
    listeners = {}
    for family, address in ((socket.AF_INET, "10.0.0.2"), (socket.AF_INET6, "fd00::2")):
        listener = socket.socket(family)
        listener.bind((address, 80))
        listener.listen(5)
        listeners[address] = listener
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "accept":
            peer, _ = listeners[words[1]].accept()
            exchange(peer, int(words[2]))
        elif words[0] == "connect":
            peer = socket.create_connection((words[1], int(words[2])))
            exchange(peer, int(words[3]))
        elif words[0] == "plain":
            for setting in ("tcp_sack", "tcp_timestamps", "tcp_window_scaling"):
                with open("/proc/sys/net/ipv4/" + setting, "w") as file:
                    file.write("0")
        elif words[0] == "refused":
            try:
                socket.create_connection((words[1], int(words[2])))
                print("connected", flush=True)
            except ConnectionRefusedError:
                print("refused", flush=True)


main()
