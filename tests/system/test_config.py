"""The configuration file: every error with file, line and what was expected; reload."""
import signal
import socket
import ssl
import subprocess

import pytest
from conftest import PROGRAM, free_port_base
from mail import wait_for

pytestmark = pytest.mark.local

GOOD = """
server {{ name = "mx.example.test" }}
log {{ format = "json" }}
smtp {{ message = "1M" }}
listener "smtp" {{ protocol = "smtp" address = "127.0.0.1" port = {smtp} tls = "starttls" }}
listener "imaps" {{ protocol = "imap" address = "127.0.0.1" port = {imaps} tls = "implicit" }}
listener "metrics" {{ protocol = "http" address = "127.0.0.1" port = {http} }}
"""


def check(path):
    return subprocess.run([str(PROGRAM), "config", "check", "--config", str(path)], capture_output=True, text=True)


def test_all_errors_are_told_with_their_lines(tmp_path):
    path = tmp_path / "tayori.conf"
    path.write_text('server { loops = "many" }\nsmtp {\n  message = "1"\n  hops = "7x"\n}\nlog { level = "loud" }\n'
                    'listener "a" { protocol = "gopher" address = "nowhere" port = 99999 }\n')
    done = check(path)
    assert done.returncode == 1
    for line, text in ((1, "server.loops"), (3, "smtp.message"), (4, "smtp.hops"), (6, "log.level"), (7, "protocol"), (7, "address"), (7, "port")):
        assert any(error.startswith(f"{path}:{line}:") and text in error and "expected" in error for error in done.stderr.splitlines()), (line, text, done.stderr)


def test_unknown_key_and_unreadable_file(tmp_path):
    path = tmp_path / "tayori.conf"
    path.write_text('server { nmae = "x" }\n')
    assert "nmae" in check(path).stderr and ":1:" in check(path).stderr
    assert check(tmp_path / "absent").returncode == 1


def test_a_section_that_does_not_end_is_an_error(tmp_path):
    path = tmp_path / "tayori.conf"
    whole = 'listener "a" { protocol = "imap" address = "127.0.0.1" port = 2043 }\nserver {\n  name = "mx.example.test" # }\n'
    for text, line in ((whole, 3), (whole.rstrip("\n"), 3), ('server { }\nlistener "a" { protocol = "imap" address = "127.0.0.1" port = 2043\n', 2)):
        path.write_text(text)
        done = check(path)
        assert done.returncode == 1 and done.stderr.startswith(f"{path}:{line}: ") and "expected }" in done.stderr, (text, done)
    for text in (whole + "}", whole + "}\n# {\n", whole + "  node = \"{\" }"):
        path.write_text(text.replace("{\"", "x\"") if "node" in text else text)
        assert check(path).returncode == 0, (text, check(path).stderr)


def test_two_listeners_at_one_place_are_an_error(tmp_path):
    path = tmp_path / "tayori.conf"
    one = 'listener "%s" { protocol = "imap" address = "%s" port = %d }\n'
    path.write_text(one % ("a", "::1", 2043) + one % ("b", "127.0.0.1", 2043) + one % ("c", "::1", 2044))
    assert check(path).returncode == 0
    path.write_text(one % ("a", "::1", 2043) + one % ("b", "127.0.0.1", 2043) + one % ("c", "0:0::1", 2043))
    done = check(path)
    assert done.returncode == 1 and done.stderr.startswith(f"{path}:3: ") and '"c"' in done.stderr and '"a"' in done.stderr, done


def test_shown_configuration_can_be_read_back(tmp_path):
    path = tmp_path / "tayori.conf"
    shown = subprocess.run([str(PROGRAM), "config", "show", "--dir", str(tmp_path / "var")], capture_output=True, text=True, check=True).stdout
    path.write_text(shown)
    assert check(path).returncode == 0
    again = subprocess.run([str(PROGRAM), "config", "show", "--dir", str(tmp_path / "var"), "--config", str(path)], capture_output=True, text=True, check=True).stdout
    assert again == shown


def serve(new_server, tmp_path, text):
    base = free_port_base()
    path = tmp_path / "tayori.conf"
    path.write_text(text.format(smtp=base + 25, imaps=base + 93, http=base + 80))
    server = new_server(config=path)
    server.base = base
    return server.start()


def certificate_of(server):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port("imaps"))) as plain, context.wrap_socket(plain) as tls:
        return tls.getpeercert(binary_form=True)


def test_reload_takes_new_certificates_for_new_connections(new_server, tmp_path):
    server = serve(new_server, tmp_path, GOOD)
    before = certificate_of(server)
    for name in ("certificate.pem", "key.pem"):
        (server.folder / name).unlink()
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: certificate_of(server) != before)
    assert '"config_reloaded"' in server.log_text()


def test_reload_with_errors_changes_nothing(new_server, tmp_path):
    server = serve(new_server, tmp_path, GOOD)
    server.config.write_text("nonsense")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "config_refused" in server.log_text())
    certificate_of(server)


def test_reload_is_done_any_number_of_times(new_server, tmp_path):
    """What was read before is forgotten: a log that is rotated every hour ends no server after some months."""
    many = " ".join(f"d{i}.example.test=127.0.0.1:2525" for i in range(2900))
    server = serve(new_server, tmp_path, GOOD + f'outbound {{{{ routes = "{many}" }}}}\n')
    for round in range(170):
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.log_text().count('"config_reloaded"') == round + 1)
    certificate_of(server)


def test_message_limit_of_the_file_is_announced(new_server, tmp_path):
    server = serve(new_server, tmp_path, GOOD)
    with socket.create_connection(("127.0.0.1", server.port("smtp"))) as s:
        s.recv(1000)
        s.sendall(b"EHLO a\r\n")
        assert b"SIZE 1048576" in s.recv(4000)


def check_text(tmp_path, text):
    path = tmp_path / "tayori.conf"
    path.write_text(text + '\nlistener "smtp" { protocol = "smtp" address = "127.0.0.1" port = 2525 }\n')
    return check(path), path


def test_keys_of_the_other_engine_are_refused(tmp_path):
    done, path = check_text(tmp_path, 'store {\n  pool = "journals"\n}')
    assert done.returncode == 1 and f"{path}:2: store.pool is for engine = \"rados\"" in done.stderr, done.stderr
    done, path = check_text(tmp_path, 'store {\n  engine = "rados"\n  cache = "1G"\n  pool = "a"\n  object_pool = "b"\n}')
    assert done.returncode == 1 and f"{path}:3: store.cache is for engine = \"local\"" in done.stderr, done.stderr


def test_a_cluster_needs_its_pools(tmp_path):
    done, path = check_text(tmp_path, 'store {\n  engine = "rados"\n  ceph_user = "client.tayori"\n}')
    assert done.returncode == 1
    for text in ("store.pool: expected", "store.object_pool: expected", "without client."):
        assert text in done.stderr, done.stderr
    done, _ = check_text(tmp_path, 'store {\n  engine = "rados"\n  pool = "tayori"\n  object_pool = "tayori-objects"\n  namespace = "a"\n}')
    assert done.returncode == 0, done.stderr


def test_roles_are_named(tmp_path):
    done, path = check_text(tmp_path, 'server {\n  roles = "smtp, cook"\n}')
    assert done.returncode == 1 and f"{path}:2:" in done.stderr and "\"cook\"" in done.stderr and "maintenance" in done.stderr, done.stderr
    done, _ = check_text(tmp_path, 'server {\n  roles = ""\n}')
    assert done.returncode == 1 and "at least one role" in done.stderr


def test_a_start_without_ceph_says_what_is_missing(tmp_path):
    path = tmp_path / "tayori.conf"
    path.write_text(f'store {{ engine = "rados" pool = "a" object_pool = "b" ceph_config = "{tmp_path}/ceph.conf" }}\n'
                    'listener "smtp" { protocol = "smtp" address = "127.0.0.1" port = 2525 }\n')
    done = subprocess.run([str(PROGRAM), "serve", "--config", str(path), "--dir", str(tmp_path / "var")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and f"{tmp_path}/ceph.conf: No such file" in done.stderr, done.stderr


def test_listeners_of_roles_that_a_node_does_not_hold_do_not_listen(new_server):
    server = new_server(options=["--roles", "http,smtp"]).start()
    for name, listens in (("smtp", True), ("lmtp", True), ("http", True), ("imap", False), ("pop3s", False)):
        with socket.socket() as s:
            assert (s.connect_ex(("127.0.0.1", server.port(name))) == 0) == listens, name


def test_check_looks_at_the_certificate(tmp_path):
    done, path = check_text(tmp_path, 'tls { certificate = "/nonexistent/chain.pem" key = "/nonexistent/key.pem" }')
    assert done.returncode == 1 and str(path) in done.stderr and "/nonexistent/chain.pem: No such file or directory" in done.stderr


def test_a_socket_that_cannot_be_asked_is_not_a_server_that_does_not_run(tmp_path):
    (tmp_path / "control.sock").symlink_to("control.sock")
    done = subprocess.run([str(PROGRAM), "account", "list", "--dir", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1 and "control.sock: connect: ELOOP" in done.stderr, done
    assert [p.name for p in tmp_path.iterdir()] == ["control.sock"], "the store was opened"


def test_nothing_is_a_duration_without_a_unit(tmp_path):
    """As the manual writes it where 0 has a meaning of its own."""
    path = tmp_path / "tayori.conf"
    path.write_text('maintenance { every = "0" scrub_every = "0" reclaim_rate = "0" }\n')
    assert "maintenance" not in check(path).stderr
    path.write_text('maintenance { every = "5" }\n')
    assert "a duration such as" in check(path).stderr
