"""Ways to tell people: Slack, a webhook of one's own, e-mail. Addresses are secrets, and stand
elsewhere: settings name where (`monitoring/references.py`)."""

import json
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from monitoring.alerts import Alert, as_json, as_slack, as_text, headline
from monitoring.posting import DeliveryError, Policy, post
from monitoring.references import read_reference
from tasks.core.errors import ParamsError
from tasks.core.params import Section

Send = Callable[[Alert, str], None]


class Webhook(Section):
    """A POST of JSON with the header Idempotency-Key. `allow_private`: whether the address may lie
    in a private network, or be without encryption."""

    type: Literal["webhook"]
    url: str
    allow_private: bool
    timeout_seconds: PositiveFloat

    def send(self, alert: Alert, delivery_id: str) -> None:
        """Raises DeliveryError."""
        _post_json(self, as_json(alert, delivery_id), delivery_id)


class Slack(Section):
    """An incoming webhook of Slack, or of what understands the same (Mattermost, Discord)."""

    type: Literal["slack"]
    url: str
    allow_private: bool
    timeout_seconds: PositiveFloat

    def send(self, alert: Alert, delivery_id: str) -> None:
        """Raises DeliveryError."""
        _post_json(self, as_slack(alert), delivery_id)


class Mail(Section):
    """By Apprise, whose address (`mailtos://user:password@host?to=…`) `url` refers to."""

    type: Literal["mail"]
    url: str

    def send(self, alert: Alert, delivery_id: str) -> None:
        """Raises DeliveryError."""
        address = _address(self.url)
        # It would take addresses of a hundred other services, some of which run commands.
        if not address.startswith(("mailto://", "mailtos://")):
            raise DeliveryError("its address is not mailto:// or mailtos://", is_final=True)
        import apprise  # takes a second

        mailer = apprise.Apprise()
        if not mailer.add(address):
            raise DeliveryError("its address is no address of e-mail", is_final=True)
        if not mailer.notify(title=headline(alert), body=as_text(alert), body_format="text"):
            raise DeliveryError("the mail was not taken")


Channel = Annotated[Webhook | Slack | Mail, Field(discriminator="type")]


def _post_json(channel: Webhook | Slack, document: object, delivery_id: str) -> None:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Idempotency-Key": delivery_id,
        "User-Agent": "tilth",
    }
    policy = Policy(channel.allow_private, channel.timeout_seconds)
    post(_address(channel.url), json.dumps(document).encode(), headers, policy)


def _address(reference: str) -> str:
    try:
        return read_reference(reference, "url")
    except ParamsError as error:
        # Somebody may set it meanwhile.
        raise DeliveryError(str(error)) from None
