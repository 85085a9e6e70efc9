"""A small name server whose records a test changes while it runs: TXT and MX, over UDP and TCP."""
import errno
import socketserver
import struct
import threading

TXT, ANY_CLASS = 16, 1


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


class Names:
    """`txt`: text by name, of any length. Other names do not exist. `asked` counts questions by name. `fails`: every answer is SERVFAIL."""

    def __init__(self):
        self.txt, self.asked, self.fails = {}, {}, False
        names = self

        class Datagram(socketserver.BaseRequestHandler):
            def handle(self):
                self.request[1].sendto(names.answer(self.request[0], 1200), self.client_address)

        class Stream(socketserver.StreamRequestHandler):
            def handle(self):
                while head := self.rfile.read(2):
                    answer = names.answer(self.rfile.read(struct.unpack(">H", head)[0]), 65535)
                    self.wfile.write(struct.pack(">H", len(answer)) + answer)

        class StreamServer(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        while True:                                  # a port that is free for datagrams may be a connection's
            self.datagrams = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Datagram)
            self.port = self.datagrams.server_address[1]
            try:
                self.streams = StreamServer(("127.0.0.1", self.port), Stream)
                break
            except OSError as refused:
                self.datagrams.server_close()
                if refused.errno != errno.EADDRINUSE:
                    raise
        for server in (self.datagrams, self.streams):
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def question(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += query[at] + 1
        return ".".join(labels).lower(), struct.unpack(">H", query[at + 1:at + 3])[0], query[12:at + 5]

    def answer(self, query, most):
        name, kind, question = self.question(query)
        self.asked[name] = self.asked.get(name, 0) + 1
        records = b""
        if kind == TXT and name in self.txt:
            text = self.txt[name].encode()
            data = b"".join(bytes([len(text[i:i + 255])]) + text[i:i + 255] for i in range(0, len(text), 255)) or b"\0"
            records = b"\xc0\x0c" + struct.pack(">HHIH", TXT, ANY_CLASS, 1, len(data)) + data
        known = name in self.txt or any(other.endswith("." + name) for other in self.txt)
        code = 2 if self.fails else 0 if known else 3
        flags = 0x8480 | (query[2] & 1) << 8 | code
        whole = query[:2] + struct.pack(">HHHHH", flags, 1, bool(records), 0, 0) + question + records
        if len(whole) > most:
            return query[:2] + struct.pack(">HHHHH", flags | 0x0200, 1, 0, 0, 0) + question
        return whole

    def close(self):
        for server in (self.datagrams, self.streams):
            server.shutdown()
            server.server_close()
