#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A web server that misbehaves on demand.

    bad_server.py [--port N] [--tls CERT KEY] DIR

Serves the files of DIR under /HOW/NAME, where HOW says what goes wrong:

    ok          nothing
    delay-MS    each reply comes MS milliseconds late
    slow-BPS    bodies come at BPS bytes a second
    hang-N      no reply ever comes to requests from byte N on (default 0)
    deny-N      status 403 to requests from byte N on
    gather-N    requests from the second MiB on wait until there are N of them
    stall-N     nothing comes behind the first N bytes of a body
    cut-N       the connection is cut behind the first N bytes of a body
    reset       the connection is cut at once
    status-N    each reply has status N
    flaky-N     the first N replies to a request are 500, then all is well
    fade-N      all is well for the first N requests of a name, then 404
    later-S     the first reply is 503 with Retry-After: S
    partial-N   a reply has at most N bytes of the range asked for
    short       the body is half of what Content-Range says
    long        the body is longer than what Content-Range says
    whole       ranges are ignored: always 200 with everything
    whole-late  ranges are ignored, but for the very first byte
    shift       the range is one byte off
    grow        the size is one more with each request
    etag        the entity tag is another one with each request
    gzip        the body claims to be compressed
    none        206 without Content-Range
    portal      200 with a page of unknown length, but for the very first byte
    behead-N    the first N replies to a request end within their heads
    redirect    302 to /ok/NAME
    away-PORT   302 to /ok/NAME at another port
    loop        302 to itself

Prints the port when it is ready, and then a line per request.
"""
import argparse
import collections
import http.server
import os
import re
import socket
import ssl
import sys
import threading
import time
import urllib.parse

counts = collections.Counter()
gathered = collections.Counter()
lock = threading.Lock()
enough = threading.Condition(lock)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def log_message(self, *args):
        pass

    def cut(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def simple(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"bad\n")

    def do_GET(self):
        _, how, name = urllib.parse.unquote(self.path).split("/", 2)
        how, _, arg = how.partition("-")
        arg = arg if how == "whole" else int(arg or 0)
        asked = self.headers.get("Range", "")
        with lock:
            nth = counts[self.path, asked] = counts[self.path, asked] + 1
            nth_name = counts[self.path] = counts[self.path] + 1
            print("request", self.path, asked, flush=True)
        try:
            with open(os.path.join(self.server.root, name), "rb") as file:
                data = file.read()
        except OSError:
            return self.simple(404)

        match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
        begin = int(match[1]) if match else 0
        if how == "gather" and begin >= 1 << 20:
            with enough:
                gathered[self.path] += 1
                enough.notify_all()
                enough.wait_for(lambda: gathered[self.path] >= arg, 50)
        if how == "hang" and begin >= arg:
            time.sleep(60)
            return self.cut()
        if how == "deny" and begin >= arg:
            return self.simple(403)
        if how == "reset":
            return self.cut()
        if how == "delay":
            time.sleep(arg / 1000)
        if how == "status":
            return self.simple(arg)
        if how == "flaky" and nth <= arg:
            return self.simple(500)
        if how == "fade" and nth_name > arg:
            return self.simple(404)
        if how == "later" and nth == 1:
            return self.simple(503, Retry_After=str(arg))
        if how in ("redirect", "loop", "away"):
            to = self.path if how == "loop" else "/ok/" + name
            if how == "away":
                to = f"http://127.0.0.1:{arg}{to}"
            return self.simple(302, Location=to)
        if how == "behead" and nth <= arg:
            self.wfile.write(b"HTTP/1.1 206 Partial Content\r\nServer: x\r\n")
            return self.cut()
        if how == "portal" and asked != "bytes=0-0":
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"<p>Please log in.</p>" * 1000)
            return self.cut()

        # What follows misbehaves once the first byte, and so the size, is
        # known.
        if not match or how == "whole" and (asked != "bytes=0-0" or not arg):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            return self.body(how, arg, data)
        first, last = int(match[1]), min(int(match[2]), len(data) - 1)
        if first > last:
            return self.simple(416, Content_Range=f"bytes */{len(data)}")
        probe = asked == "bytes=0-0"
        if how == "partial":
            last = min(last, first + arg - 1)
        size = len(data)
        if how == "grow":
            size += nth_name
        part = data[first:last + 1]
        self.send_response(206)
        if how == "shift" and not probe:
            first, last = first + 1, last + 1
        if how != "none" or probe:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        if how == "etag":
            self.send_header("ETag", f'"{nth_name}"')
        if how == "gzip":
            self.send_header("Content-Encoding", "gzip")
        if how == "short" and not probe:
            part = part[:len(part) // 2]
        if how == "long" and not probe:
            part += b"xxxx"
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.body("ok" if probe else how, arg, part)

    def body(self, how, arg, part):
        if how == "cut":
            self.wfile.write(part[:arg])
            return self.cut()
        if how == "stall":
            self.wfile.write(part[:arg])
            time.sleep(60)
            return self.cut()
        if how == "slow":
            step = max(arg // 20, 1)
            for i in range(0, len(part), step):
                self.wfile.write(part[i:i + step])
                time.sleep(0.05)
            return
        self.wfile.write(part)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", nargs=2)
    parser.add_argument("dir")
    args = parser.parse_args()
    server = Server(("127.0.0.1", args.port), Handler)
    server.root = args.dir
    if args.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*args.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


main()
