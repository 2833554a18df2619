"""Nitrokey's own SDK at work on the secrets app of a Nitrokey 3.

usage: nitrokey_sdk.py ctaphid           (the Nitrokey 3 that hidraw shows)
       nitrokey_sdk.py ctaphid SOCKET    (a Unix socket that carries packets of 64 bytes)
       nitrokey_sdk.py ccid              (the Nitrokey 3 that PC/SC shows)

Reads calls of nitrokey.nk3.secrets_app.SecretsApp, one JSON list a line: method and named arguments. Bytes are
written as {"hex": "..."}. Prints one JSON value for each: what came back, or {"error": status}.
"""

import dataclasses
import enum
import json
import socket
import sys
import time
from datetime import datetime, timedelta

from fido2.hid import CtapHidDevice
from fido2.hid.base import CtapHidConnection as PacketConnection
from fido2.hid.base import HidDescriptor
from nitrokey.nk3 import NK3
from nitrokey.nk3.secrets_app import Algorithm, Kind, SecretsApp, SecretsAppException
from nitrokey.trussed._connection.ctaphid import CtapHidConnection


class SocketConnection(PacketConnection):
    """The packets of a HID interface over a socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)

    def read_packet(self):
        packet = b""
        while len(packet) < 64:
            part = self.socket.recv(64 - len(packet))
            if not part:
                raise OSError("the device is gone")
            packet += part
        return packet

    def write_packet(self, data):
        assert len(data) == 64, len(data)
        self.socket.sendall(data)

    def close(self):
        self.socket.close()


def open_key(transport, *path):
    if transport == "ccid":
        # pcscd tells of a card up to half a second after it was inserted, and the SDK passes over a reader whose card it
        # does not get to talk to at once.
        deadline = time.monotonic() + 20
        while not (keys := NK3.list_ccid(exclusive=False)) and time.monotonic() < deadline:
            time.sleep(0.2)
        (key,) = keys
        return key
    if not path:
        (key,) = NK3.list_ctaphid()
        return key
    descriptor = HidDescriptor(path[0], 0x20A0, 0x42B2, 64, 64, "Nitrokey 3", None)
    device = CtapHidDevice(descriptor, SocketConnection(path[0]))
    return NK3.from_connection(CtapHidConnection(device))


def read(value):
    """Arguments as the SDK wants them."""
    match value:
        case {"hex": digits}:
            return bytes.fromhex(digits)
        case {"kind": name}:
            return Kind[name]
        case {"algorithm": name}:
            return Algorithm[name]
        case _:
            return value


def shown(value):
    """Results as JSON."""
    if isinstance(value, (bytes, bytearray)):
        return {"hex": bytes(value).hex()}
    if isinstance(value, enum.Enum):
        return value.name
    if dataclasses.is_dataclass(value):
        return {field.name: shown(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    return value


def call(key, method, arguments):
    if method in ("uuid", "version"):
        return str(getattr(key.admin, method)())
    if hasattr(key.connection, "_secrets_pin_cache"):
        # Over CCID a SELECT would take back what VERIFY PIN opened, so the SDK leaves it out for 100 ms after that. On
        # a busy machine that is too short to rely on: selected once, the app stays selected here.
        later = datetime.now() + timedelta(minutes=1)
        key.connection._secrets_pin_cache = key.connection._secrets_pin_cache and later
    try:
        return shown(getattr(SecretsApp(key), method)(**{name: read(value) for name, value in arguments.items()}))
    except SecretsAppException as error:
        return {"error": error.code}


with open_key(*sys.argv[1:]) as key:
    for line in sys.stdin:
        print(json.dumps(call(key, *json.loads(line))), flush=True)
