"""Checks an export of the audit log after docs/audit.md alone: hashes, and the newest head against a public key."""

import hashlib
import json
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def number(value):
    return value.to_bytes(8, "big", signed=True)


def text(value):
    data = value.encode()
    return len(data).to_bytes(4, "big") + data


def optional(value):
    return b"\0" if value is None else b"\1" + number(int(value[1:]))


def row_hash(previous, node, row):
    data = b"fobd audit row 1\0" + previous + node + number(row["sequence"]) + number(row["at_ms"])
    data += optional(row["token"]) + optional(row["user"])
    for name in ("operator", "action", "outcome", "detail"):
        data += text(row[name])
    return hashlib.sha256(data).digest()


def main(export, key):
    lines = [json.loads(line) for line in open(export, encoding="utf-8")]
    log, rows = lines[0], 0
    node = log["nodes"][0]
    name, public = bytes.fromhex(node["node"]), bytes.fromhex(node["key"])
    assert public.hex() == key and log["cut"] is None and log["after"] is None
    previous = hashlib.sha256(
        b"fobd audit node 1\0" + name + number(node["first"]) + public + bytes(32)
    ).digest()
    heads = 0
    for line in lines[1:-1]:
        if line["type"] == "row":
            previous = row_hash(previous, name, line)
            assert previous.hex() == line["hash"], line
            rows += 1
        else:
            assert line["hash"] == previous.hex(), line
            signed = b"fobd audit head 1\0" + name + number(line["sequence"]) + previous + number(line["at_ms"])
            Ed25519PublicKey.from_public_bytes(public).verify(bytes.fromhex(line["signature"]), signed)
            heads += 1
    assert lines[-1] == {"type": "end", "sequence": rows, "hash": previous.hex()}
    print(f"{rows} rows, {heads > 0 and 'signed'}")


main(*sys.argv[1:])
