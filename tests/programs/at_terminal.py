"""Runs a command at a pseudo-terminal, types what at_terminal.c waits for, and prints what appears.

usage: at_terminal.py COMMAND [ARGUMENT...]
"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

PATIENCE = 60


def set_size(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def main():
    ready, tell = os.pipe()
    child, terminal = pty.fork()
    if child == 0:
        # Not before the terminal has its size.
        os.read(ready, 1)
        os.execvp(sys.argv[1], sys.argv[1:])
    set_size(terminal, 30, 100)
    os.write(tell, b"g")
    screen = b""
    steps = [
        (b"type a line\r\n", lambda: os.write(terminal, b"helx\x7flo\n")),
        (b"type a character\r\n", lambda: os.write(terminal, b"\x03")),
        (b"interrupt me\r\n", lambda: os.write(terminal, b"\x03")),
        (b"change the size\r\n", lambda: set_size(terminal, 31, 101)),
    ]
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if steps and steps[0][0] in screen:
            steps.pop(0)[1]()
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            screen += os.read(terminal, 4096)
        except OSError:
            break  # nobody has it open any more
    sys.stdout.buffer.write(screen)
    sys.stdout.flush()
    print("status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "left", len(steps))


main()
