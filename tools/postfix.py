"""How does a real mail server take what the relay sends, on this machine and nowhere else?

Debian's Postfix with a configuration, queue and spool of its own in a folder that goes away, on a free port of
loopback. It asks for STARTTLS, takes mail for every domain into one Maildir, and delivers nothing anywhere else.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from relay.embedded import free_port

_OWNER = "nobody"
"""Whose the delivered mails are: Postfix never delivers as root."""
_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.check.example
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = reject_unauth_destination
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:inbox/
virtual_mailbox_base = {folder}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
virtual_mailbox_limit = 0
default_transport = error:nothing leaves this machine
relay_transport = error:nothing leaves this machine
alias_maps =
alias_database =
smtputf8_enable = yes
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {folder}/tls.pem
smtpd_tls_key_file = {folder}/tls.key
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class PostfixError(Exception):
    """Postfix is not there, or does not start."""


@dataclass(frozen=True)
class Postfix:
    """The running server. `authority` is the certificate to trust."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        """Where mail is handed to it."""
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def authority(self) -> Path:
        """Its certificate, which is its own authority, as Debian's is."""
        return self.folder / "tls.pem"

    def delivered(self) -> dict[str, bytes]:
        """What it delivered, by file name."""
        new = self.folder / "mail" / "inbox" / "new"
        return {path.name: path.read_bytes() for path in new.iterdir()} if new.exists() else {}

    def log(self) -> str:
        """What it logged."""
        return (self.folder / "postfix.log").read_text("utf-8", "replace")


@contextmanager
def postfix() -> Iterator[Postfix]:
    """Starts it, and ends it with all that it had. PostfixError, with what to do."""
    program = shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise PostfixError("Postfix is needed: on Debian, as root, apt-get install postfix")
    if os.geteuid() != 0:
        raise PostfixError("Postfix's master process needs root: run this as root, or in a container")
    owner = pwd.getpwnam(_OWNER)
    with TemporaryDirectory(prefix="relay-postfix-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # its processes are not root
        for part, uid in (("queue", 0), ("data", pwd.getpwnam("postfix").pw_uid), ("mail", owner.pw_uid)):
            (folder / part).mkdir()
            os.chown(folder / part, uid, -1)
        _certify(folder)
        made = Postfix(free_port(), folder)
        etc = folder / "etc"
        etc.mkdir()
        values = {"folder": folder, "uid": owner.pw_uid, "gid": owner.pw_gid, "port": made.port}
        (etc / "main.cf").write_text(_MAIN.format_map(values))
        (etc / "master.cf").write_text(_MASTER.format_map(values))
        _run(program, etc, "start")
        try:
            yield made
        finally:
            _run(program, etc, "stop")


def _run(program: str, etc: Path, command: str) -> None:
    done = subprocess.run(
        [program, "-c", str(etc), command], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        log = etc.parent / "postfix.log"
        said = log.read_text("utf-8", "replace") if log.exists() else ""
        raise PostfixError(f"postfix {command}: {done.stdout}{done.stderr}{said}")


def _certify(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.check.example")])
    begun = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begun)
        .not_valid_after(begun + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "tls.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
