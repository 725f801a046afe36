"""A mail server for tests: as much of SMTP as it takes to be sent a mail, and its faults."""

import re
import socketserver
import threading
import time
from contextlib import contextmanager

import pytest


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        self.server.sessions += 1
        if self.hangs("connection"):
            return
        self.say("220 here")
        for line in self.rfile:
            if self.answer(line.decode().strip()) is False:
                return

    def answer(self, line):
        verb = line[:4].upper()
        if verb == "DATA":
            return self.take()
        if verb == "RCPT":
            self.recipient = re.search("<(.*)>", line)[1]
            return self.say(self.server.answers.get(self.recipient, "250 fine"))
        self.say("221 bye" if verb == "QUIT" else "250 fine")
        return verb != "QUIT"

    def take(self):
        self.say("354 go on")
        content = b"".join(iter(self.rfile.readline, b".\r\n")).decode()
        if self.hangs("content"):
            return False
        self.server.received.append((self.recipient, content))
        time.sleep(self.server.delay)
        if self.server.fault == "dies":  # it has taken the mail, and does not say so
            return False
        return self.say("250 taken")

    def hangs(self, where):
        if self.server.fault != f"hangs at {where}":
            return False
        self.server.mended.wait()
        return True

    def say(self, words):
        self.wfile.write(f"{words}\r\n".encode())


class MailServer(socketserver.ThreadingTCPServer):
    """`received` are recipients and contents. `answers` are what it says to a recipient.

    `fault` is "", "hangs at connection", "hangs at content" or "dies". `delay` is how many seconds
    it waits between taking a mail and saying so.
    """

    allow_reuse_address = daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Session)
        self.received, self.answers, self.sessions = [], {}, 0
        self.fault, self.delay = "", 0
        self.mended = threading.Event()

    def mend(self):
        self.fault = ""
        self.mended.set()

    def handle_error(self, request, client_address):
        """A client that is killed hangs up."""

    @contextmanager
    def running(self):
        thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.mend()
            self.shutdown()
            self.server_close()
            thread.join()


@pytest.fixture
def mail_server(settings):
    """A mail server, and settings that name it."""
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    with MailServer().running() as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address
        yield server
