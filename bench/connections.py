#!/usr/bin/env python3
"""What idle connections take: connections.py HOST:PORT PID [N]

Opens N (4000) connections to the server with that process id, asks each for ApiVersions and Metadata, and prints how far the process's own memory
(RssAnon) has grown for each, three seconds later. Needs a limit of open files above N here and at the server."""
import re
import socket
import struct
import sys
import time

host, port = sys.argv[1].rsplit(":", 1)
pid = sys.argv[2]
count = int(sys.argv[3]) if len(sys.argv) > 3 else 4000
client = b"bench"


def own_memory():
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read()).group(1)) * 1024


def ask(s, key, version, body):
    head = struct.pack(">hhih", key, version, 1, len(client)) + client
    s.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
    left, size = 4, b""
    while left > 0:
        part = s.recv(left)
        if not part:
            sys.exit("the server has closed a connection")
        size += part
        left -= len(part)
    left = struct.unpack(">i", size)[0]
    while left > 0:
        left -= len(s.recv(left))


before = own_memory()
connections = []
for _ in range(count):
    c = socket.create_connection((host, int(port)))
    connections.append(c)
    ask(c, 18, 0, b"")
    ask(c, 3, 1, struct.pack(">i", 0))
time.sleep(3)
after = own_memory()
print(f"{count} connections: {before / 2**20:.1f} MiB before, {after / 2**20:.1f} after, {(after - before) / count / 1024:.1f} KiB each")
