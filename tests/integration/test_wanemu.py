#!/usr/bin/python3
"""The WAN emulator keeps its promises: round-trip time, rate, loss, cut, clean-up."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ.get("TOWLINE_BIN", "build/release/bin")).resolve()
WANEMU = str(BIN / "wanemu")
TIMEOUT = 60

SINK = """
import socket
server = socket.create_server(("0.0.0.0", 5201))
while True:
    connection, _ = server.accept()
    while connection.recv(1 << 16):
        pass
    connection.sendall(b"k")
    connection.close()
"""
SOURCE = """
import os, socket, time
start = time.monotonic()
with socket.create_connection((os.environ["WANEMU_PEER"], 5201)) as connection:
    connection.sendall(bytes(SIZE))
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b"k"
print(time.monotonic() - start)
"""
# A closed port answers with a reset: one round trip, without any server.
PROBE = """
import socket, sys, time
probe = socket.socket()
probe.settimeout(1)
start = time.monotonic()
try:
    probe.connect(("10.77.0.2", 9))
except ConnectionRefusedError:
    print(time.monotonic() - start)
except TimeoutError:
    sys.exit(1)
"""
DATAGRAMS = """
import socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(100):
    sender.sendto(b"x", ("10.77.0.2", 9))
"""


def wanemu(*options, command=()):
    """Runs a whole wanemu with `command` in A; returns the finished process."""
    line = [WANEMU, "--quiet", *options]
    if command:
        line += ["--", *command]
    return subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT)


class Link(unittest.TestCase):
    def test_round_trip_time_is_as_asked(self):
        best = 1.0
        for _ in range(3):
            done = wanemu("--rtt-ms", "50", command=["python3", "-c", PROBE])
            self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
            best = min(best, float(done.stdout))
        self.assertGreaterEqual(best, 0.050)
        self.assertLess(best, 0.070)

    def test_rate_is_as_asked_and_counted(self):
        size = 2_500_000
        with tempfile.TemporaryDirectory() as folder:
            stats = pathlib.Path(folder, "stats.json")
            done = wanemu("--rate-mbit", "10", "--rtt-ms", "10", "--cc", "cubic",
                          "--stats-json", str(stats), "--run-b", f"python3 -c '{SINK}'",
                          "--wait-tcp", "5201",
                          command=["python3", "-c", SOURCE.replace("SIZE", str(size))])
            self.assertEqual(done.returncode, 0, done.stderr)
            counters = json.loads(stats.read_text())
        seconds = float(done.stdout)
        self.assertGreater(size * 8 / seconds, 8e6)
        self.assertLess(size * 8 / seconds, 10e6)
        self.assertGreater(counters["a_to_b"]["bytes"], size)
        self.assertLess(counters["a_to_b"]["bytes"], size * 1.06)

    def test_loss_drops_packets(self):
        with tempfile.TemporaryDirectory() as folder:
            stats = pathlib.Path(folder, "stats.json")
            wanemu("--loss", "50", "--stats-json", str(stats),
                   command=["python3", "-c", DATAGRAMS])
            counters = json.loads(stats.read_text())
        lost = counters["a_to_b"]["lost"]
        self.assertGreater(lost, 25)
        self.assertLess(lost, 75)


class Process(unittest.TestCase):
    def test_exit_status_is_the_commands(self):
        self.assertEqual(wanemu(command=["sh", "-c", "exit 7"]).returncode, 7)

    def test_wrong_usage_is_2_and_says_why(self):
        for options in (["--nonsense", "1"], ["--loss"], ["--loss", "200"], ["--offload", "perhaps"]):
            with self.subTest(options=options):
                done = wanemu(*options)
                self.assertEqual(done.returncode, 2)
                self.assertIn(options[0].lstrip("-"), done.stderr.splitlines()[0])

    def test_help_exits_0(self):
        done = wanemu("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("usage: wanemu", done.stdout)

    def test_cut_stops_traffic_and_restores_it(self):
        holder = subprocess.Popen([WANEMU, "--quiet"], stdout=subprocess.PIPE, text=True)
        try:
            _, name_a, name_b = holder.stdout.readline().split()
            line = ["nsenter", f"--net=/run/netns/{name_a}", "python3", "-c", PROBE]
            run = lambda: subprocess.run(line, capture_output=True, timeout=TIMEOUT).returncode
            self.assertEqual(run(), 0)
            holder.send_signal(signal.SIGUSR1)
            deadline = time.monotonic() + 10
            while run() == 0 and time.monotonic() < deadline:
                pass
            self.assertNotEqual(run(), 0)
            holder.send_signal(signal.SIGUSR1)
            while run() != 0 and time.monotonic() < deadline:
                pass
            self.assertEqual(run(), 0)
        finally:
            holder.send_signal(signal.SIGTERM)
            self.assertEqual(holder.wait(TIMEOUT), 0)
            holder.stdout.close()
        self.assertFalse(os.path.exists(f"/run/netns/{name_a}"))
        self.assertFalse(os.path.exists(f"/run/netns/{name_b}"))

    def test_a_name_in_use_is_refused(self):
        name = f"wanemu-test-{os.getpid()}"
        holder = subprocess.Popen([WANEMU, "--quiet", "--ns-a", name], stdout=subprocess.PIPE, text=True)
        try:
            holder.stdout.readline()
            second = wanemu("--ns-a", name, command=["true"])
            self.assertEqual(second.returncode, 1)
            self.assertIn(name, second.stderr)
        finally:
            holder.terminate()
            holder.wait(TIMEOUT)
            holder.stdout.close()


if __name__ == "__main__":
    sys.exit(unittest.main())
