"""Several things that a runtime does, one after the other; what is printed depends on nothing but the program."""

import asyncio
import hashlib
import os
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy

from parts import greeting

print(greeting("Python"), open("data.txt").read().strip())

# On all processors: hashing and products of matrices let others run meanwhile.
results = [None] * 4


def work(index):
    digest = hashlib.sha256()
    for turn in range(40):
        digest.update(bytes([index, turn]) * 20000)
    matrix = numpy.arange(3600.0).reshape(60, 60) % 7 + index
    results[index] = (digest.hexdigest()[:16], int((matrix @ matrix).trace()))


threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(results, len(os.sched_getaffinity(0)) == os.cpu_count())

begin = time.monotonic()
fired = threading.Event()
threading.Timer(0.05, fired.set).start()


async def ticks():
    return await asyncio.gather(*(asyncio.sleep(0.01 * turn, turn) for turn in (3, 1, 2)))


print(asyncio.run(ticks()), fired.wait(20), time.monotonic() - begin >= 0.05)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"you asked for {self.path}\n".encode()
        self.send_response(200 if self.path == "/page" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/page") as answer:
    print(answer.status, answer.read())
try:
    urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/other")
except urllib.error.HTTPError as error:
    print(error.code)
server.shutdown()
try:
    None.value
except AttributeError as error:
    print(error)
