"""Talks JSON-RPC 2.0 to fobd with a library that nobody here wrote (jsonrpcclient).

usage: jsonrpc_client.py URL NAME PASSWORD. Prints one line for each thing that went as it should.
"""

import base64
import json
import sys
import urllib.request

from jsonrpcclient import Error, Ok, notification, parse, request

url, name, password = sys.argv[1:]
credentials = base64.b64encode(f"{name}:{password}".encode()).decode()


def post(body):
    """Sends a body, or what json makes of one; returns status and the text of the answer."""
    text = body if isinstance(body, str) else json.dumps(body)
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {credentials}"}
    call = urllib.request.Request(url, text.encode(), headers)
    with urllib.request.urlopen(call) as answer:
        return answer.status, answer.read().decode()


def ask(body):
    status, text = post(body)
    assert status == 200, status
    return parse(json.loads(text))


def went(what, as_it_should):
    assert as_it_should, what
    print(what)


made = ask(request("domain/create", {"attrs": {"name": "acme"}}))
went("request", isinstance(made, Ok) and made.result == {"id": "d1"})

found = request("domain/search", {"match": [["name", "=", "acme"]], "return": ["name"]}, id="text")
match ask(found):
    case Ok({"total": 1, "rows": [{"name": "acme"}]}, "text"):
        print("id of text")

taken = ask(request("domain/create", {"attrs": {"name": "ACME"}}, id=7))
went("application error", isinstance(taken, Error) and (taken.code, taken.id) == (1030, 7))
went("data of an error", taken.data == {"kind": "object.exists", "severity": "ERROR"})

status, text = post(notification("domain/create", {"attrs": {"name": "silent"}}))
went("notification", (status, text) == (204, ""))
went("notification was served", ask(request("domain/search")).result["total"] == 2)
went("notification that fails", post(notification("no/such", [1])) == (204, ""))

batch = [
    request("domain/search", {"match": [["name", "=", "silent"]]}, id=1),
    notification("domain/create", {"attrs": {"name": "third"}}),
    request("no/such", id=2),
    request("domain/search", id=3),
]
answers = {answer.id: answer for answer in ask(batch)}
went("batch", sorted(answers) == [1, 2, 3])
went("batch in order", answers[1].result["total"] == 1 and answers[3].result["total"] == 3)
went("batch goes on after an error", answers[2].code == -32601)
went("batch of notifications", post([notification("domain/search")] * 2) == (204, ""))

for what, body, code in [
    ("parse error", '{"jsonrpc": "2.0", "method": ', -32700),
    ("unparsable batch", '[{"jsonrpc": "2.0", "method": "domain/search", "id": 1}, {', -32700),
    ("invalid request", {"jsonrpc": "2.0", "method": 1, "id": None}, -32600),
    ("empty batch", [], -32600),
    ("unknown method", request("foobar"), -32601),
    ("invalid params", request("domain/create", {"attrs": {"nam": "x"}}), -32602),
    ("positional params", request("domain/create", ["x"]), -32602),
]:
    answer = ask(body)
    went(what, isinstance(answer, Error) and answer.code == code)
