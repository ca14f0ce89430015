#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Downloads from servers of every kind, on this machine.   download_test.py DOWNLOAD_FILE PROGRAM

A server's behaviour is the first part of its URL: /ranges/NAME, /whole/NAME (knows no ranges), /cut/NAME (breaks off after 100,000 bytes, every time),
/stuck/NAME (breaks off before the first byte), /busy/NAME (503, then 429, then well), /moved/NAME (to /ranges/),
/slow/NAME (10,000 bytes in 20 ms).
"""
import functools
import hashlib
import http.server
import os
import pty
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

DOWNLOAD_FILE, PROGRAM = (os.path.abspath(path) for path in sys.argv[1:3]) if len(sys.argv) > 2 else (None, None)
CONTENT = random.Random(1).randbytes(350_001)
CUT = 100_000


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        kind, name = self.path.strip("/").split("/", 1)
        self.server.requests.append((kind, self.headers.get("Range")))
        if name == "absent":
            return self.refuse(404)
        if kind == "busy" and len(self.server.requests) < 3:
            return self.refuse(503 if len(self.server.requests) == 1 else 429)
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", "/ranges/" + name)
            self.send_header("Content-Length", "3")
            self.end_headers()
            return self.wfile.write(b"no!")
        content = b"not it" if kind == "ranges" and name == "cifar-10-binary.tar.gz" else CONTENT
        begin = 0
        ranged = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if ranged and kind != "whole":
            begin = int(ranged.group(1))
            if begin >= len(content):
                return self.refuse(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        if kind == "slow":
            for at in range(begin, len(content), 10_000):
                self.wfile.write(content[at : at + 10_000])
                time.sleep(0.02)
            return None
        end = begin + CUT if kind == "cut" else begin if kind == "stuck" else len(content)
        self.wfile.write(content[begin:end])
        self.close_connection = self.close_connection or end < len(content)
        return None

    def refuse(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"sorry")


class DownloadTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="isda_test_")
        self.addCleanup(holder.cleanup)
        self.folder = os.path.join(holder.name, "data")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        self.server.requests = []
        self.server.handle_error = lambda *_: None  # a client that was killed
        threading.Thread(target=functools.partial(self.server.serve_forever, poll_interval=0.02), daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.md5 = hashlib.md5(CONTENT).hexdigest()
        self.sha256 = hashlib.sha256(CONTENT).hexdigest()

    def url(self, kind, name="some.bin"):
        return f"http://127.0.0.1:{self.server.server_address[1]}/{kind}/{name}"

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def write(self, name, content):
        os.makedirs(self.folder, exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(content)

    def run_download(self, kind, *sums, name="some.bin"):
        words = [DOWNLOAD_FILE, self.url(kind, name), self.folder, *(sums or [self.md5, self.sha256])]
        # NOTE: as in a workplace where programs are to use a proxy.
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "no_proxy": "127.0.0.1"})

    def comes(self, kind):
        done = self.run_download(kind)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.read("some.bin"), CONTENT)
        self.assertEqual(sorted(os.listdir(self.folder)), ["some.bin", "some.bin.sha256"])
        return done.stdout

    def fails(self, done, *texts):
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        for text in texts:
            self.assertIn(text, done.stderr)
        self.assertFalse(os.path.exists(self.path("some.bin")))

    def test_a_file_comes_whole(self):
        printed = self.comes("ranges")
        self.assertEqual(printed, f"{self.path('some.bin')} 350001 came 350001 350001\n")
        self.assertEqual(self.read("some.bin.sha256").decode(), f"{self.sha256}  some.bin\n")
        self.assertEqual(self.server.requests, [("ranges", None)])

    def test_what_is_there_is_checked_and_not_fetched(self):
        self.comes("ranges")
        self.assertIn(" was there ", self.comes("ranges"))
        self.assertEqual(len(self.server.requests), 1)
        self.write("some.bin", CONTENT[:-1])
        done = self.run_download("ranges")
        self.assertEqual(done.returncode, 1)
        for text in [self.path("some.bin") + " is there and has the MD5 ", hashlib.md5(CONTENT[:-1]).hexdigest(), "expected " + self.md5, "remove it"]:
            self.assertIn(text, done.stderr)
        self.assertEqual(len(self.server.requests), 1)

    def test_goes_on_where_it_was_broken_off(self):
        self.write("some.bin.part", CONTENT[:123_456])
        self.assertIn(" came 350001 350001", self.comes("ranges"))
        self.assertEqual(self.server.requests, [("ranges", "bytes=123456-")])

    def test_goes_on_by_itself_when_the_connection_breaks(self):
        self.comes("cut")
        self.assertEqual([ranged for _, ranged in self.server.requests], [None, "bytes=100000-", "bytes=200000-", "bytes=300000-"])

    def test_begins_anew_where_the_server_knows_no_ranges(self):
        self.write("some.bin.part", b"x" * 123_456)
        self.comes("whole")
        self.assertEqual(self.server.requests, [("whole", "bytes=123456-")])

    def test_a_whole_part_is_taken(self):
        self.write("some.bin.part", CONTENT)
        self.comes("ranges")
        self.assertEqual(self.server.requests, [("ranges", "bytes=350001-")])

    def test_gives_up_when_nothing_comes(self):
        self.write("some.bin.part", CONTENT[:1000])
        self.fails(self.run_download("stuck"), self.url("stuck"), "1000 bytes of it are here, run this again to go on from there")
        self.assertEqual(len(self.server.requests), 3)
        self.assertEqual(self.read("some.bin.part"), CONTENT[:1000])

    def test_waits_for_a_busy_server_and_follows_another_address(self):
        self.comes("busy")
        self.assertEqual(len(self.server.requests), 3)
        for name in os.listdir(self.folder):
            os.remove(self.path(name))
        self.comes("moved")

    def test_a_file_that_does_not_exist(self):
        self.fails(self.run_download("ranges", name="absent"), "the server says 404: there is no such file")
        self.assertEqual(len(self.server.requests), 1)
        self.assertEqual(self.read("absent.part"), b"")
        self.server.shutdown()
        self.server.server_close()
        self.fails(self.run_download("ranges"), "[download] ", "onnect")

    def test_a_wrong_file_is_put_aside(self):
        wrong = "0" * 32
        self.fails(self.run_download("ranges", wrong), f"has the MD5 {self.md5}, expected {wrong}", "some.bin.wrong", "another --mirror")
        self.assertEqual(os.listdir(self.folder), ["some.bin.wrong"])
        self.assertEqual(self.read("some.bin.wrong"), CONTENT)
        self.fails(self.run_download("ranges", self.md5, "1" * 64), f"has the SHA-256 {self.sha256}, expected {'1' * 64}")
        # A part of another file: what comes of it is wrong, and the next time it is right.
        self.write("some.bin.part", b"x" * 10)
        self.fails(self.run_download("ranges"), "expected " + self.md5)
        self.comes_after_wrong()

    def comes_after_wrong(self):
        os.remove(self.path("some.bin.wrong"))
        self.comes("ranges")

    def test_killed_and_run_again(self):
        process = subprocess.Popen([DOWNLOAD_FILE, self.url("slow"), self.folder, self.md5], env={**os.environ, "no_proxy": "127.0.0.1"})
        part = self.path("some.bin.part")
        while not (os.path.exists(part) and os.path.getsize(part) > 20_000):
            time.sleep(0.01)
        # Nobody else may write to it meanwhile.
        self.fails(self.run_download("ranges"), "is being downloaded by another process")
        process.send_signal(signal.SIGKILL)
        process.wait()
        there = os.path.getsize(part)
        self.comes("ranges")
        self.assertEqual(self.server.requests[-1], ("ranges", f"bytes={there}-"))

    def test_a_full_disk_is_named(self):
        os.makedirs(self.folder)
        os.symlink("/dev/full", self.path("some.bin.part"))
        self.fails(self.run_download("ranges"), "No space left on device")
        self.assertEqual(len(self.server.requests), 1)

    def test_the_program(self):
        def run(*words):
            return subprocess.run([PROGRAM, "data", "download", *words], capture_output=True, text=True, check=False, timeout=60, cwd=os.path.dirname(self.folder),
                                  env={**os.environ, "no_proxy": "127.0.0.1"})

        mirror = self.url("ranges", "")
        done = run("cifar10", "--mirror", mirror)
        self.assertEqual(done.returncode, 1)
        self.assertIn("isda data download: [download] what came from " + mirror + "cifar-10-binary.tar.gz has the MD5 " + hashlib.md5(b"not it").hexdigest(), done.stderr)
        self.assertIn("expected c32a1d4ab5d03f1284b67883e8d87530", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertEqual(sorted(os.listdir(self.folder)), ["cifar-10-binary.tar.gz.wrong"])
        self.assertEqual(run("cifar11").returncode, 2)
        self.assertIn("did you mean cifar10?", run("cifar11").stderr)
        done = run("svhn", "--mirror", self.url("ranges", "").rstrip("/"), "--data-dir", "elsewhere")
        self.assertIn("train_32x32.mat has the MD5", done.stderr)
        self.assertEqual(run("cifar10", "--mirror", "ftp://127.0.0.1/").returncode, 1)

    def test_a_bar_on_a_terminal(self):
        main, terminal = pty.openpty()
        process = subprocess.Popen([PROGRAM, "data", "download", "cifar10", "--mirror", self.url("slow", ""), "--data-dir", self.folder], stdout=terminal,
                                   stderr=subprocess.DEVNULL, env={**os.environ, "no_proxy": "127.0.0.1"})
        os.close(terminal)
        seen = b""
        try:
            while chunk := os.read(main, 4096):
                seen += chunk
        except OSError:  # Linux ends a closed terminal with EIO
            pass
        os.close(main)
        self.assertEqual(process.wait(timeout=60), 1)
        self.assertRegex(seen, rb"\r\x1b\[K\[#+\.+\] 0\.[123] of 0\.4 MB 0\.\d MB/s 0:0\d left")
        self.assertTrue(seen.endswith(b"\r\x1b[K"), seen[-60:])


if __name__ == "__main__":
    if PROGRAM is None:
        sys.exit(f"usage: {sys.argv[0]} DOWNLOAD_FILE PROGRAM")
    del sys.argv[1:3]
    unittest.main()
