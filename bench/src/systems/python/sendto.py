"""A loop of sendto over the addresses behind a name: the plain way to tell every pod.

It is one side of a trial: the only argument is the task, as JSON; it prints {"ready": []}, waits for a line `start`,
sends, prints what it did as one JSON value, and ends when its input does.
"""

import json
import os
import socket
import struct
import sys
import time

STAMP = struct.Struct("<4sIQQ")
PATIENCE_NS = 1_000_000_000  # so far behind its schedule it gives up


def addresses(task):
    """Those behind the name if they are all and only the receivers, else the receivers' own."""
    peers = [(host, int(port)) for host, _, port in (peer.rpartition(":") for peer in task["peers"])]
    name = task["options"].get("name")
    if name:
        try:
            found = socket.getaddrinfo(name, peers[0][1], socket.AF_INET, socket.SOCK_DGRAM)
        except OSError:
            found = []
        behind = sorted({address for *_, address in found})
        if behind == sorted(peers):
            return behind, True
    return peers, False


def play(task, sock, to):
    pace = task["pace"]
    rate, messages, warm_up, run = pace["rate"], pace["messages"], pace["warm_up"], pace["run"]
    payload = bytearray(b"\x5a" * pace["size"])
    spin_ns = int(task["options"].get("spin_ns", 0))  # a sleep ends late: what is left is spun away
    now_ns = time.monotonic_ns
    lags, calls, own_lags = [], [], []
    abandoned = 0
    start_ns = now_ns() + 2_000_000
    free_ns = now_ns()
    for seq in range(messages):
        due_ns = start_ns + round(seq * 1e9 / rate)
        now = now_ns()
        while now < due_ns:
            if due_ns - now > spin_ns:
                time.sleep((due_ns - now - spin_ns) / 1e9)
            now = now_ns()
        if now - due_ns > PATIENCE_NS:
            abandoned = messages - max(seq, warm_up)
            break
        STAMP.pack_into(payload, 0, b"HCB1", run, seq, due_ns)
        for address in to:
            sock.sendto(payload, address)
        end = now_ns()
        if seq >= warm_up:
            lags.append(now - due_ns)
            calls.append(end - now)
            own_lags.append(now - min(max(due_ns, free_ns), now))
        free_ns = end
    first_ns = start_ns + round(warm_up * 1e9 / rate)
    return {
        "start_ns": first_ns,
        "took_ns": max(now_ns() - first_ns, 0),
        "sent": len(lags),
        "abandoned": abandoned,
        "lag_ns": lags,
        "call_ns": calls,
        "own_lag_ns": own_lags,
    }


def main():
    task = json.loads(sys.argv[1])
    if task["core"] is not None:
        os.sched_setaffinity(0, {task["core"]})
    to, by_name = addresses(task)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    print(json.dumps({"ready": []}), flush=True)
    if sys.stdin.readline().strip() != "start":
        return
    before_s = time.process_time()
    report = play(task, sock, to)
    report["cpu_s"] = time.process_time() - before_s
    report["by_name"] = by_name
    print(json.dumps(report), flush=True)
    sys.stdin.read()


main()
