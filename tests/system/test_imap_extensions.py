"""IMAP extensions that need more than a transcript: compression, with a client that packs and unpacks."""
import imaplib
import ssl
import zlib

from conftest import PASSWORD
from mail import imap, message


class Packed:
    """A socket under COMPRESS=DEFLATE, as imaplib reads and writes it."""

    def __init__(self, socket):
        self.socket, self.buffer = socket, b""
        self.packer, self.unpacker = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15)
        self.received = 0

    def sendall(self, data):
        self.socket.sendall(self.packer.compress(data) + self.packer.flush(zlib.Z_SYNC_FLUSH))

    def fill(self):
        data = self.socket.recv(65536)
        assert data, "the server closed"
        self.received += len(data)
        self.buffer += self.unpacker.decompress(data)

    def read(self, size):
        while len(self.buffer) < size:
            self.fill()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def readline(self):
        while b"\n" not in self.buffer:
            self.fill()
        end = self.buffer.index(b"\n") + 1
        return self.read(end)


def compress(client):
    imaplib.Commands["COMPRESS"] = ("AUTH", "SELECTED")
    assert client._simple_command("COMPRESS", "DEFLATE")[0] == "OK"
    packed = Packed(client.sock)
    client.send, client.read, client.readline = packed.sendall, packed.read, packed.readline
    return packed


def converse(client):
    packed = compress(client)
    big = message("big", "All work and no play makes Jack a dull boy.\r\n" * 40000)
    for data in (message("one"), big, message("two")):
        assert client.append("INBOX", None, None, data)[0] == "OK"
    client.select("INBOX")
    before = packed.received
    assert client.fetch("2", "(BODY.PEEK[])")[1][0][1] == big
    assert packed.received - before < len(big) / 10
    for number in range(1, 40):                  # one by one: the server rests in between
        assert client.search(None, "SUBJECT", "two")[1] == [b"3"]
    assert client._simple_command("COMPRESS", "DEFLATE")[0] == "NO"
    client.send(b"i IDLE\r\n")
    assert client.readline() == b"+ idling\r\n"
    client.send(b"DONE\r\n")
    assert b"i OK" in client.readline()
    client.logout()


def test_compressed_conversation(server):
    converse(imap(server))


def test_compression_inside_tls(server):
    context = ssl.create_default_context(cafile=server.folder / "certificate.pem")
    client = imaplib.IMAP4_SSL("localhost", server.port("imaps"), ssl_context=context)
    client.authenticate("PLAIN", lambda _: f"\0hanako@example.test\0{PASSWORD}".encode())
    converse(client)


def test_what_is_not_packed_ends_the_connection(server):
    client = imap(server)
    compress(client)
    client.sock.sendall(b"\xff" * 100)
    client.sock.settimeout(20)
    while client.sock.recv(1000):
        pass
    assert imap(server).noop()[0] == "OK"
