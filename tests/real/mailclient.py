"""What `imap` and `seed` share: an IMAP and LMTP client that stops at the first refusal.

Folder names are given and returned as plain text; modified UTF-7 stays in here.
"""

import base64
import hashlib
import imaplib
import re
import select
import smtplib
import sys
import time

HOST = "127.0.0.1"
TIMEOUT_SECS = 60
EPOCH = 1700000000  # of all dates made here, so that nothing depends on the clock


class Refused(Exception):
    """The server answered NO or BAD."""


def utf7_encode(name):
    def encode(match):
        text = base64.b64encode(match.group().encode("utf-16-be")).decode()
        return "&" + text.rstrip("=").replace("/", ",") + "-"

    return re.sub(r"[^\x20-\x7e]+", encode, name.replace("&", "&-"))


def utf7_decode(name):
    def decode(match):
        text = match.group(1).replace(",", "/")
        return base64.b64decode(text + "=" * (-len(text) % 4)).decode("utf-16-be") if text else "&"

    return re.sub(r"&([^-]*)-", decode, name)


def quoted(name):
    return '"' + utf7_encode(name).replace("\\", "\\\\").replace('"', '\\"') + '"'


def message(user, tag, size=0):
    """A mail that depends on its arguments only; size is the least number of bytes of its body."""
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(EPOCH))
    digest = hashlib.sha256(f"{user} {tag}".encode()).hexdigest()
    body = f"This is {tag}.\r\n"
    body += (digest + "\r\n") * max(0, -(-(size - len(body)) // (len(digest) + 2)))
    return (
        f"From: Sender <sender@example.com>\r\nTo: <{user}>\r\nSubject: {tag}\r\nDate: {date}\r\n"
        f"Message-ID: <{digest[:16]}@example.com>\r\n\r\n{body}"
    ).encode()


class Client:
    """One IMAP session; usable in `with`."""

    def __init__(self, port, user):
        self.user = user
        self.imap = imaplib.IMAP4(HOST, port, timeout=TIMEOUT_SECS)
        try:
            self.ok(self.imap.login(user, "any"))
        except imaplib.IMAP4.error as error:
            self.imap.shutdown()
            raise Refused(f"login as {user}: {error}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.imap.logout()
        except (imaplib.IMAP4.error, OSError):
            pass

    @staticmethod
    def ok(answer):
        status, data = answer
        if status != "OK":
            raise Refused(" ".join(str(line) for line in data))
        return data

    def command(self, name, *args):
        return self.ok(self.imap.xatom(name, *args))

    def select(self, folder, readonly=False):
        """Selects and returns (UIDVALIDITY, UIDNEXT)."""
        self.ok(self.imap.select(quoted(folder), readonly))
        return tuple(int(self.imap.response(key)[1][0]) for key in ("UIDVALIDITY", "UIDNEXT"))

    def append(self, folder, flags, data, date_secs):
        date = imaplib.Time2Internaldate(time.gmtime(date_secs))
        self.ok(self.imap.append(quoted(folder), f"({flags.strip('()')})", date, data))

    def store(self, uids, item, flags):
        return self.ok(self.imap.uid("STORE", uids, item, f"({flags.strip('()')})"))

    def simple(self, method, *folders):
        """create, delete, rename, subscribe, unsubscribe"""
        self.ok(getattr(self.imap, method)(*(quoted(folder) for folder in folders)))

    def copy(self, uids, folder, move=False):
        self.ok(self.imap.uid("MOVE" if move else "COPY", uids, quoted(folder)))

    def folders(self, method="list"):
        """{name: sorted attributes}, without those that tell whether there is new mail."""
        found = {}
        for line in self.ok(getattr(self.imap, method)()):
            if line is None:
                continue
            # A name that needs a literal comes as a pair.
            head, literal = line if isinstance(line, tuple) else (line, None)
            attributes, rest = re.match(rb'\(([^)]*)\) (?:"(?:\\.|[^"])*"|NIL) (.*)', head).groups()
            name = literal if literal is not None else rest
            if literal is None and name.startswith(b'"'):
                name = re.sub(rb"\\(.)", rb"\1", name[1:-1])
            kept = set(attributes.decode().split()) - {"\\Marked", "\\UnMarked"}
            found[utf7_decode(name.decode())] = sorted(kept)
        return found

    def mails(self):
        """Of the selected folder, by UID: (uid, sorted flags without \\Recent, internal date, digest)."""
        found = []
        for item in self.ok(self.imap.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE BODY.PEEK[])")):
            if item is None or item == b")":
                continue
            if not isinstance(item, tuple):
                # Flags told unasked, as after another session's change.
                continue
            head = item[0].decode()
            flags = set(re.search(r"FLAGS \(([^)]*)\)", head).group(1).split()) - {"\\Recent"}
            found.append(
                (
                    int(re.search(r"UID (\d+)", head).group(1)),
                    sorted(flags),
                    re.search(r'INTERNALDATE "([^"]*)"', head).group(1).strip(),
                    hashlib.sha256(item[1]).hexdigest()[:24],
                )
            )
        return sorted(found)

    def hold(self, until_secs, on_ready):
        """IDLEs in the selected folder until stdin ends or the time is over."""
        tag = self.imap._new_tag()
        self.imap.send(tag + b" IDLE\r\n")
        while not (line := self.imap.readline()).startswith(b"+ "):
            if not line:
                raise Refused("the server ended the connection")
        on_ready()
        end = None if until_secs is None else time.monotonic() + until_secs
        inputs = [self.imap.sock] + ([sys.stdin] if until_secs is None else [])
        while end is None or time.monotonic() < end:
            left = None if end is None else max(0, end - time.monotonic())
            ready = select.select(inputs, [], [], left)[0]
            if sys.stdin in ready and not sys.stdin.buffer.read1(4096):
                break
            if self.imap.sock in ready and not self.imap.readline():
                raise Refused("the server ended the connection")
        self.imap.send(b"DONE\r\n")
        while not (line := self.imap.readline()).startswith(tag):
            if not line:
                raise Refused("the server ended the connection")


def deliver(port, user, mails):
    """Hands mails over by LMTP."""
    try:
        with smtplib.LMTP(HOST, port, local_hostname="localhost", timeout=TIMEOUT_SECS) as lmtp:
            for data in mails:
                lmtp.sendmail("sender@example.com", [user], data)
    except smtplib.SMTPException as error:
        raise Refused(f"delivery to {user}: {error}") from error
