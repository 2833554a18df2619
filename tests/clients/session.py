"""Logs in to the session API as its published Python client does: V1 in the path, JSON, a bare text as the answer,
`Authorization: FCF` from then on.

usage: session.py BASE_URL NAME PASSWORD
"""

import datetime
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

base, name, password = sys.argv[1:]


def send(path, body=None, headers=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, {"Content-Type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def login(secret):
    return send("/Authentication/V1/Tokens", {"Username": name, "Password": secret, "AgentId": ""})


token = login(password)
print(f"token of {len(token)} characters")
details = send("/Authentication/V1/Tokens/" + urllib.parse.quote(token, safe=""))
until = datetime.datetime.fromtimestamp(details["ExpiresTimestamp"] / 1000, datetime.timezone.utc)
print(f"{details['Username']}, agent \"{details['AgentId']}\", until {until:%Y-%m-%dT%H:%M:%S}")
used = send("/das5/rest/device/list", {}, {"Authorization": f"FCF {token}"})
print(f"devices: {used['result']['total']}")
try:
    login("wrong")
except urllib.error.HTTPError as error:
    print(f"wrong: {error.code}")
