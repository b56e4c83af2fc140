"""Stand in for a booted server by an sshd with the host key of its user data."""

import io
import json
import socket
import threading
from dataclasses import dataclass, field
from typing import Any

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from infisical_iac.agent import PROTOCOL
from infisical_iac.core import archive
from infisical_iac.hetzner.remote import generate_host_key

_SECONDS = 20


@dataclass
class Booted:
    """A server that has booted.

    Attributes:
        lets_in: the public key that the server accepts.
        commands: the ends of the commands that were run, in order.
        failing: the end of a command that fails.
        answers: the output of commands, by their ends.
        values: the values of the agent's answers, by the names of the calls.
        is_shut: whether a firewall blocks new connections.
    """

    address: str
    port: int
    key: paramiko.PKey
    lets_in: paramiko.PKey
    commands: list[str] = field(default_factory=list)
    failing: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    is_shut: bool = False
    next_key: paramiko.PKey | None = None

    def __post_init__(self) -> None:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self._listener = socket.create_server((self.address, self.port), family=family)
        threading.Thread(target=self._serve, daemon=True).start()

    def off(self) -> None:
        """Stop answering."""
        # close() only would leave it listening until the thread in accept() has a connection.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def public(self) -> str:
        """Return the server's current host key, as OpenSSH writes it."""
        return f"{self.key.get_name()} {self.key.get_base64()}"

    def run(self, command: str, stdin: str = "") -> tuple[int, str]:
        """Return the exit status and output of a command."""
        if archive.path() in command:
            return 0, self._call(json.loads(stdin))
        words = " ".join(command.split()[-2:])
        self.commands.append(words)
        if self.failing and words.endswith(self.failing):
            return 1, ""
        return 0, self.answers.get(words, "")

    def _call(self, request: dict[str, Any]) -> str:
        """Answer a call of the agent, whose name is its command, as it does."""
        (call,) = request["calls"]
        self.commands.append(call["name"])
        answer: dict[str, Any] = {"value": self.values.get(call["name"])}
        if call["name"] == "host_key.make":
            self.next_key = self.next_key or generate_key()
            answer["value"] = f"{self.next_key.get_name()} {self.next_key.get_base64()}"
        if call["name"] == "host_key.use" and self.next_key and self.failing != call["name"]:
            self.key = self.next_key
        if self.failing == call["name"]:
            answer = {"error": {"code": "command", "message": "it fails", "remedy": ""}}
        return json.dumps({"protocol": PROTOCOL, "answers": [answer]})

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._speak, args=(connection,), daemon=True).start()

    def _speak(self, connection: socket.socket) -> None:
        if self.is_shut:
            connection.close()
            return
        with paramiko.Transport(connection) as transport:
            transport.add_server_key(self.key)
            try:
                transport.start_server(server=_Server(self))
            except (paramiko.SSHException, EOFError, OSError):
                return
            transport.join(_SECONDS)


class _Server(paramiko.ServerInterface):
    def __init__(self, booted: Booted) -> None:
        self._booted = booted

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = username == "root" and key.asbytes() == self._booted.lets_in.asbytes()
        return AUTH_SUCCESSFUL if known else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        def answer() -> None:
            # To its end, which comes once the client may listen.
            stdin = channel.makefile("rb").read()
            status, text = self._booted.run(command.decode(), stdin.decode())
            channel.sendall(text.encode())
            channel.send_exit_status(status)
            channel.close()

        threading.Thread(target=answer, daemon=True).start()
        return True


def generate_key() -> paramiko.PKey:
    """Return a new host key."""
    return _read_key(generate_host_key().private)


def key_in(user_data: str) -> paramiko.PKey:
    """Return the host key in a server's user data."""
    output = json.loads(user_data.removeprefix("#cloud-config\n"))
    return _read_key(output["ssh_keys"]["ed25519_private"])


def _read_key(private: str) -> paramiko.PKey:
    return paramiko.Ed25519Key.from_private_key(io.StringIO(private))
