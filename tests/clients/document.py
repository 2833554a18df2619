"""Asks fobd what document.json asks, by a library that nobody here wrote: jsonrpcclient, from PyPI.

usage: document.py BASE_URL NAME PASSWORD_FILE. Prints one line for each step whose answer is the expected one, and
stops at the first that is not. In document.json a text "$name" stands for an id: in an answer that is expected, the
first "$name" takes the id that is there, which no other name has; from then on it means that id. A call that expects
neither result nor error is a notification.
"""

import base64
import json
import pathlib
import sys
import urllib.request

from jsonrpcclient import Error, Ok, notification, parse, request

base, name, password_file = sys.argv[1:]
password = pathlib.Path(password_file).read_text().splitlines()[0]
credentials = base64.b64encode(f"{name}:{password}".encode()).decode()
ids = {}


def post(body):
    """Sends what the library made; returns the JSON of the answer, or None where there is none."""
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {credentials}"}
    call = urllib.request.Request(f"{base}/rpc", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(call, timeout=30) as answer:
        return None if answer.status == 204 else json.load(answer)


def filled(value):
    """The value with the ids that its names stand for."""
    match value:
        case dict():
            return {key: filled(member) for key, member in value.items()}
        case list():
            return [filled(element) for element in value]
        case str() if value.startswith("$"):
            return ids[value]
    return value


def fits(expected, actual):
    """Whether an answer is the expected one, type by type."""
    match expected:
        case str() if expected.startswith("$"):
            if expected not in ids and isinstance(actual, str) and actual and actual not in ids.values():
                ids[expected] = actual
            return ids.get(expected) == actual
        case dict():
            return (
                isinstance(actual, dict)
                and expected.keys() == actual.keys()
                and all(fits(member, actual[key]) for key, member in expected.items())
            )
        case list():
            return (
                isinstance(actual, list)
                and len(expected) == len(actual)
                and all(map(fits, expected, actual))
            )
    return type(expected) is type(actual) and expected == actual


def made(call):
    """The request, or the notification, as the library makes it."""
    answered = "result" in call or "error" in call
    return (request if answered else notification)(call["method"], filled(call["params"]))


def check(step, call, answer, others):
    match answer:
        case Ok(result):
            outcome = {"result": result}
        case Error(code, message, data) if message:
            outcome = {"error": {"code": code, "data": data}}
        case _:
            outcome = {}
    expected = {key: call[key] for key in ("result", "error") if key in call}
    if not fits(expected, outcome):
        names = {key: value for key, value in ids.items() if key in json.dumps(expected)}
        sys.exit(f"{step['what']}: {call['method']}: expected {expected} with {names}, got {answer or others}")


for step in json.loads(pathlib.Path(__file__).with_name("document.json").read_text()):
    calls = step.get("batch", [step])
    requests = [made(call) for call in calls]
    answer = post(requests if "batch" in step else requests[0])
    parsed = [] if answer is None else parse(answer)
    answers = {each.id: each for each in (parsed if "batch" in step else [parsed] if parsed else [])}
    for call, sent in zip(calls, requests, strict=True):
        check(step, call, answers.pop(sent.get("id"), None), answers)
    if answers:
        sys.exit(f"{step['what']}: nobody asked for {list(answers.values())}")
    print(step["what"])
