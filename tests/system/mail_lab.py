"""Another provider, made of Debian's parts: Postfix takes mail over TLS with certificates of all sorts, NSD serves a signed zone and others."""
import datetime
import hashlib
import http.server
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conftest import free_port, need

# Addresses of this run alone; MX hosts listen on port 25 and policies are on 443, as they must.
NET = f"127.77.{os.getpid() % 250 + 1}"
NOW = datetime.datetime.now(datetime.timezone.utc)


def name_of(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Certificate:
    """`issuer` None: self-signed. Without names it is an authority's."""

    def __init__(self, common_name, names=(), issuer=None, days=30):
        self.key = ec.generate_private_key(ec.SECP256R1())
        builder = (x509.CertificateBuilder().subject_name(name_of(common_name)).issuer_name(issuer.x509.subject if issuer else name_of(common_name))
                   .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(NOW - datetime.timedelta(days=60)).not_valid_after(NOW + datetime.timedelta(days=days))
                   .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        self.issuer = issuer
        self.x509 = builder.sign(issuer.key if issuer else self.key, hashes.SHA256())

    def pem(self):
        chain = self.x509.public_bytes(serialization.Encoding.PEM)
        return chain + (self.issuer.pem() if self.issuer else b"")

    def write(self, path):
        """Chain and key in one file, as Postfix and Python both take it."""
        key = self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.write_bytes(key + self.pem())
        path.chmod(0o600)
        return path

    def tlsa(self, usage, selector=1, matching=1):
        if selector:
            data = self.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        else:
            data = self.x509.public_bytes(serialization.Encoding.DER)
        data = data if matching == 0 else hashlib.new({1: "sha256", 2: "sha512"}[matching], data).digest()
        return f"{usage} {selector} {matching} {data.hex()}"


class Names:
    """NSD with zones: `signed`: how it is to be trusted: True (by its key), False (not signed), or "forged" (the anchor has another key)."""

    def __init__(self, folder):
        self.folder, self.port, self.process, self.anchors, self.zones = folder, free_port(), None, [], []

    def key(self, zone, *flags):
        done = subprocess.run([need("ldns-keygen"), *flags, "-a", "ECDSAP256SHA256", zone], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def add(self, zone, lines, signed=True):
        head = f"$ORIGIN {zone}.\n$TTL 1\n@ SOA ns admin 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n"
        path = self.folder / f"{zone}.zone"
        path.write_text(head + "\n".join(lines) + "\n")
        if signed:
            key = self.key(zone, "-k")
            subprocess.run([need("ldns-signzone"), "-n", path, key], cwd=self.folder, check=True)
            path = self.folder / f"{zone}.zone.signed"
            self.anchors.append((self.folder / f"{key if signed is True else self.key(zone, '-k')}.ds").read_text())
        self.zones.append((zone, path))

    def anchor_file(self):
        path = self.folder / "anchors"
        path.write_text("".join(self.anchors))
        return path

    def start(self):
        zones = "".join(f'zone:\n name: "{zone}"\n zonefile: "{path}"\n' for zone, path in self.zones)
        (self.folder / "nsd.conf").write_text(
            f'server:\n ip-address: 127.0.0.1@{self.port}\n zonesdir: "{self.folder}"\n pidfile: "{self.folder}/nsd.pid"\n xfrdfile: ""\n zonelistfile: ""\n'
            f' database: ""\n username: "root"\n server-count: 1\n logfile: "{self.folder}/nsd.log"\nremote-control:\n control-enable: no\n' + zones)
        self.process = subprocess.Popen([need("nsd"), "-d", "-c", self.folder / "nsd.conf"])
        wait_until_listens("127.0.0.1", self.port)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def wait_until_listens(address, port):
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"{address}:{port} does not listen"
            time.sleep(0.05)


POSTFIX = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.lab.example
mydestination =
inet_protocols = ipv4
mynetworks =
maillog_file = {dir}/postfix.log
maillog_file_prefixes = {dir}
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:inbox/
virtual_mailbox_base = {dir}/mail
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_mailbox_limit = 0
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
"""
MASTER = """
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
smtp unix - - n - - smtp
"""


class Postfix:
    """Servers on several addresses of one Postfix, each with a certificate (or none: no STARTTLS); all mail goes to one Maildir."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("config", "queue", "data", "mail"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        shutil.chown(folder / "mail", "nobody")
        self.addresses, self.master = [], MASTER

    def add(self, number, certificate):
        address = f"{NET}.{number}"
        options = "-o smtpd_tls_security_level=none"
        if certificate:
            path = certificate.write(self.folder / f"{number}.pem")
            options = f"-o smtpd_tls_security_level=may -o smtpd_tls_chain_files={path}"
        self.master += f"{address}:25 inet n - n - - smtpd\n  {options}\n"
        self.addresses.append(address)
        return address

    def start(self):
        (self.folder / "config/main.cf").write_text(POSTFIX.format(dir=self.folder))
        (self.folder / "config/master.cf").write_text(self.master)
        subprocess.run([need("postfix"), "-c", self.folder / "config", "start"], check=True, capture_output=True)
        for address in self.addresses:
            wait_until_listens(address, 25)

    def stop(self):
        subprocess.run(["postfix", "-c", self.folder / "config", "stop"], capture_output=True)

    def messages(self):
        """All that has come, as bytes."""
        return [path.read_bytes() for path in (self.folder / "mail/inbox/new").glob("*")]

    def log(self):
        return (self.folder / "postfix.log").read_text(errors="replace")


class Policies:
    """A web server for policies of MTA-STS, and for what is posted: documents by (host, path)."""

    def __init__(self, folder, address, certificate):
        self.documents, self.posted, self.asked = {}, [], []
        policies = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                policies.asked.append(self.headers["Host"])
                text = policies.documents.get(self.headers["Host"])
                self.send_response(200 if text else 404)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.end_headers()
                self.wfile.write((text or "").encode())

            def do_POST(self):
                policies.posted.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(201)
                self.end_headers()

            def log_message(self, *words):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.write(folder / "web.pem"))
        self.server = http.server.ThreadingHTTPServer((address, 443), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Lab:
    """A folder that Postfix's users may enter, and the parts; `build(lab)` adds hosts and zones before they start."""

    def __init__(self):
        if os.geteuid() != 0:
            pytest.skip("MX hosts listen on port 25 and Postfix starts as root: needs root")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tayori-lab-"))
        self.folder.chmod(0o755)
        for name in ("names", "postfix"):
            (self.folder / name).mkdir()
        self.names, self.postfix = Names(self.folder / "names"), Postfix(self.folder / "postfix")
        self.authority = Certificate("Lab Authority")
        self.authority_file = self.folder / "authority.pem"
        self.authority_file.write_bytes(self.authority.pem())

    def start(self):
        self.names.start()
        self.postfix.start()

    def stop(self):
        if self.names.process:
            self.names.stop()
        self.postfix.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
