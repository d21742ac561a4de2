"""SMTP connections of a worker, kept for the next message; and how far a message came."""

import asyncio
import socket
import time
from dataclasses import dataclass
from typing import Any

import aiosmtplib
from aiosmtplib import (
    SMTPAuthenticationError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
)

from jobs.steps import guard
from jobs.steps.clients import MaybeSent, NotSent

IDLE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Account:
    """A mail server and who signs in. `is_portal`: from the settings, so any address is fine."""

    host: str
    port: int
    security: str = "starttls"  # starttls, tls, none
    username: str = ""
    password: str = ""
    is_portal: bool = False


class SmtpClient:
    def __init__(self) -> None:
        self._idle: dict[Account, list[tuple[float, aiosmtplib.SMTP]]] = {}

    async def close(self) -> None:
        for kept in self._idle.values():
            for _, connection in kept:
                connection.close()
        self._idle.clear()

    async def send(
        self, account: Account, sender: str, recipients: list[str], message: bytes,
        timeout: float,  # noqa: ASYNC109  # handed to the library, which bounds each command
    ) -> str:  # fmt: skip
        """The server's answer to the message; raises NotSent or MaybeSent."""
        # Half the time for what comes before the message, so that running out of it is definite.
        connection: aiosmtplib.SMTP | None = None
        try:
            async with asyncio.timeout(timeout / 2):
                connection = await self._ready(account, timeout)
                await self._envelope(connection, sender, recipients)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, TimeoutError):
                raise NotSent(f"{account.host} took too long to take a message") from None
            raise
        try:
            async with asyncio.timeout(timeout / 2):
                answer = await self._data(connection, message, account.host)
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                said = f"{account.host} did not confirm the message in time"
                raise MaybeSent(said, is_timeout=True) from None
            raise
        self._idle.setdefault(account, []).append((time.monotonic(), connection))
        return answer

    async def _ready(self, account: Account, seconds: float) -> aiosmtplib.SMTP:
        """A kept connection that still answers, else a new one."""
        connection = self._take(account)
        if connection is not None:
            try:
                await connection.rset(timeout=min(seconds / 4, 5.0))
            except (SMTPException, OSError):  # it went away while idle
                connection.close()
            else:
                return connection
        return await self._connect(account, seconds)

    def _take(self, account: Account) -> aiosmtplib.SMTP | None:
        kept = self._idle.get(account, [])
        while kept:
            since, connection = kept.pop()
            if time.monotonic() - since < IDLE_SECONDS and connection.is_connected:
                return connection
            connection.close()
        return None

    async def _connect(self, account: Account, seconds: float) -> aiosmtplib.SMTP:
        try:
            async with asyncio.timeout(min(seconds, 15.0)):
                opened = await _open(account)
            connection = aiosmtplib.SMTP(
                hostname=account.host if account.security == "tls" else None,
                sock=opened, timeout=seconds, use_tls=account.security == "tls",
                start_tls=False, local_hostname="spindle.local",
            )  # fmt: skip
            await connection.connect()
            if account.security == "starttls":
                await connection.starttls(server_hostname=account.host)
            if account.username:
                await connection.login(account.username, account.password)
        except guard.Blocked as error:
            raise NotSent(str(error), "configuration", is_final=True) from None
        except SMTPAuthenticationError as error:
            said = f"{account.host} refused the sign-in ({error.code})"
            raise NotSent(said, "configuration", is_final=error.code >= 500) from None
        except (SMTPException, OSError) as error:
            said = f"no connection to {account.host}:{account.port}"
            raise NotSent(f"{said} ({error or type(error).__name__})") from None
        return connection

    async def _envelope(
        self, connection: aiosmtplib.SMTP, sender: str, recipients: list[str]
    ) -> None:
        """Sender and recipients; whatever goes wrong here, no message has left."""
        try:
            await connection.mail(sender)
            for recipient in recipients:
                await connection.rcpt(recipient)
        except SMTPRecipientRefused as error:
            said = f"{error.recipient} was refused: {error.code} {error.message}"
            raise NotSent(said, is_final=error.code >= 500) from None
        except SMTPResponseException as error:
            said = f"the mail server answered {error.code} {error.message}"
            raise NotSent(said, is_final=error.code >= 500) from None
        except (SMTPException, OSError) as error:
            said = f"the mail server went away ({error or type(error).__name__})"
            raise NotSent(said) from None

    async def _data(self, connection: aiosmtplib.SMTP, message: bytes, host: str) -> str:
        try:
            answer = await connection.data(message)
        except SMTPResponseException as error:
            said = f"the mail server answered {error.code} {error.message}"
            raise NotSent(said, is_final=error.code >= 500) from None
        except (SMTPException, OSError) as error:
            raise MaybeSent(
                f"{host} did not confirm the message ({error or type(error).__name__})",
                is_timeout=isinstance(error, TimeoutError),
            ) from None
        return f"{answer.code} {answer.message}"[:300]


async def _open(account: Account) -> socket.socket:
    """A connected socket, checked by the address it connects to."""
    loop = asyncio.get_running_loop()
    is_internal = account.is_portal or guard.is_exempt(account.host, account.port)
    found: list[Any] = await loop.getaddrinfo(account.host, account.port, type=socket.SOCK_STREAM)
    last: OSError = OSError("the name has no address")
    for address_info in found:
        opened = None
        try:
            opened = guard.open_socket(address_info, is_internal=is_internal)
            opened.settimeout(0)
            await loop.sock_connect(opened, address_info[4])
        except OSError as error:
            last = error
            if opened is not None:
                opened.close()
        except BaseException:
            if opened is not None:
                opened.close()
            raise
        else:
            return opened
    raise last
