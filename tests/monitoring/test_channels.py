"""Channels against real receivers on this machine: an HTTP server, a mail server."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import TypeAdapter

from monitoring.channels import Channel
from monitoring.posting import DeliveryError
from tests.monitoring.test_alerts import ALERT
from tests.monitoring.test_posting import answers, serving


def channel(**values: Any) -> Any:
    return TypeAdapter(Channel).validate_python(values, strict=True)


def posting(kind: str, **values: Any) -> Any:
    return channel(
        **{"type": kind, "url": "env:HOOK", "allow_private": True, "timeout_seconds": 5.0, **values}
    )


class MailServer(socketserver.StreamRequestHandler):
    """Takes one mail as RFC 5321 has it; `mails` is what it was handed."""

    mails: list[str]

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            word = line.split()[0].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.mails.append(b"".join(lines).decode())
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")


@contextmanager
def mail_server() -> Iterator[tuple[int, list[str]]]:
    """Its port, and the mails that come."""
    mails: list[str] = []
    handler = type("Handler", (MailServer,), {"mails": mails})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1], mails
        server.shutdown()


def test_a_webhook_gets_the_alert_and_the_key_of_its_delivery(monkeypatch):
    with serving(answers("200 OK")) as (url, received):
        monkeypatch.setenv("HOOK", f"{url}/secret")
        posting("webhook").send(ALERT, "d1")
    head, _, body = received[0].partition(b"\r\n\r\n")
    assert b"Idempotency-Key: d1" in head and b"POST /secret " in head
    document = json.loads(body)
    assert (document["delivery_id"], document["title"]) == ("d1", ALERT.title)
    assert document["facts"] == ALERT.facts


def test_slack_gets_a_message(monkeypatch):
    with serving(answers("200 OK")) as (url, received):
        monkeypatch.setenv("HOOK", url)
        posting("slack").send(ALERT, "d1")
    assert json.loads(received[0].partition(b"\r\n\r\n")[2])["text"] == "[FIRING] " + ALERT.title


def test_mail_is_sent(monkeypatch):
    with mail_server() as (port, mails):
        monkeypatch.setenv("MAIL", f"mailto://127.0.0.1:{port}?from=a@example.org&to=b@example.org")
        channel(type="mail", url="env:MAIL").send(ALERT, "d1")
    assert len(mails) == 1
    assert "b@example.org" in mails[0] and "darker images" in mails[0]


def test_a_closed_mail_server_is_told(monkeypatch):
    with mail_server() as (port, _):
        pass
    monkeypatch.setenv("MAIL", f"mailto://127.0.0.1:{port}?from=a@example.org&to=b@example.org")
    with pytest.raises(DeliveryError, match="the mail was not taken"):
        channel(type="mail", url="env:MAIL").send(ALERT, "d1")


@pytest.mark.parametrize("address", ["json://127.0.0.1", "syslog://", "file:///tmp", "mailto:"])
def test_mail_goes_to_mail_addresses_alone(monkeypatch, address):
    monkeypatch.setenv("MAIL", address)
    with pytest.raises(DeliveryError, match=r"expected|mailto://") as caught:
        channel(type="mail", url="env:MAIL").send(ALERT, "d1")
    assert caught.value.is_final


def test_this_machine_is_no_address_unless_it_is_allowed(monkeypatch):
    with serving(answers("200 OK")) as (url, received):
        monkeypatch.setenv("HOOK", url.replace("http://", "https://"))
        with pytest.raises(DeliveryError, match="private network"):
            posting("webhook", allow_private=False).send(ALERT, "d1")
    assert received == []


@pytest.mark.parametrize("url", ["https://example.org/secret", "env:", "NAME", "env:UNSET"])
def test_an_address_stands_elsewhere_and_is_told_to_nobody(url):
    with pytest.raises(DeliveryError) as caught:
        posting("slack", url=url).send(ALERT, "d1")
    assert "example.org" not in str(caught.value)


def test_an_answer_that_refuses_is_told_without_the_address(monkeypatch):
    with serving(answers("500 Internal Server Error")) as (url, _):
        monkeypatch.setenv("HOOK", f"{url}/secret")
        with pytest.raises(DeliveryError, match=r"^answered 500$"):
            posting("slack").send(ALERT, "d1")
