#!/usr/bin/python3
"""usage: director.py URL KEY lookup|move=HOST [BATCH] <USERS

Nothing but requests to a director's HTTP API, BATCH users (4096) in each: the limit for any
program that has to ask for all of them. Exit status 1 unless each got an answer."""

import http.client
import json
import sys
import urllib.parse
from base64 import b64encode

url, key, what = sys.argv[1:4]
batch = int(sys.argv[4]) if len(sys.argv) > 4 else 4096
users = sys.stdin.read().split()
connection = http.client.HTTPConnection(urllib.parse.urlparse(url).netloc)
headers = {"Authorization": "X-Dovecot-API " + b64encode(key.encode()).decode()}


def command(user):
    if what == "lookup":
        return ["directorStatus", {"user": user}, "t"]
    return ["directorMove", {"user": user, "host": what.partition("=")[2]}, "t"]


answers = 0
for at in range(0, len(users), batch):
    body = json.dumps([command(user) for user in users[at : at + batch]])
    connection.request("POST", "/doveadm/v1", body, headers)
    response = connection.getresponse().read()
    answers += response.count(b'["doveadmResponse"')
if answers != len(users):
    sys.exit(f"director.py: {answers} answers for {len(users)} users: {response[:300]}")
