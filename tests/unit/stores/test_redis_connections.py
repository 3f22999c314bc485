"""How a Redis server is reached, what it costs when it is not, and that nothing gives it away."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest
import trustme

from keeping import at_home
from portvakt.stores.base import StoreError
from portvakt.stores.redis import MARGIN
from portvakt.testing.clock import FrozenClock
from redis_servers import free_port, redis_server
from redis_stores import (
    ASKING,
    SECRET,
    START,
    everything,
    handle,
    opened,
    refused,
    revocation,
    store,
    used,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis_servers import Server


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(START)


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with redis_server() as one:
        yield one


@pytest.fixture
def server(running: Server) -> Server:
    running.command("FLUSHALL")
    return running


@pytest.mark.parametrize("name", list(ASKING))
@at_home
async def test_a_server_that_hangs_costs_the_deadline(
    server: Server, clock: FrozenClock, name: str
) -> None:
    async with opened(server.url, clock) as warm:
        assert await used(warm, "w", clock) is True
        # What is connected already, and what is not yet.
        one, two = store(server.url, clock, timeout=0.5), store(server.url, clock, timeout=0.5)
        await one.since(None)
        server.pause()
        try:
            assert await refused(one, name) == "the store did not answer in time"
            assert await refused(two, name) == "the store did not answer in time"
        finally:
            server.resume()
        assert await used(warm, "w", clock) is False, "it goes on where it was"
        assert await used(warm, "v", clock) is True


@at_home
async def test_a_hundred_who_wait_for_a_server_that_hangs_all_get_their_answer(
    server: Server, clock: FrozenClock
) -> None:
    async with opened(server.url, clock) as _:
        one = store(server.url, clock, timeout=1.0)
        server.pause()
        try:
            begun = time.monotonic()
            answers = await asyncio.gather(*(used(one, str(n), clock) for n in range(100)))
            assert time.monotonic() - begun < 4
            assert set(answers) <= {
                "the store did not answer in time", "the store cannot be reached"
            }  # fmt: skip
        finally:
            server.resume()
        answers = await asyncio.gather(*(used(one, f"{n} again", clock) for n in range(40)))
        assert answers == [True] * 40
        await one.close()


@pytest.mark.parametrize("name", list(ASKING))
@at_home
async def test_nobody_there_is_told_at_once(clock: FrozenClock, name: str) -> None:
    for scheme in ("redis", "redis+cluster"):
        one = store(f"{scheme}://user:{SECRET}@127.0.0.1:{free_port()}", clock)
        assert await refused(one, name) == "the store cannot be reached"


@pytest.mark.parametrize("password", [None, "wrong", SECRET + "x"])
@at_home
async def test_a_wrong_password_opens_nothing(clock: FrozenClock, password: str | None) -> None:
    with redis_server("--requirepass", SECRET) as server:
        for name in ASKING:
            one = store(server.url, clock, password=password)
            assert await refused(one, name) == "the store does not accept these credentials"


@at_home
async def test_the_right_password_opens_it(clock: FrozenClock) -> None:
    with redis_server("--requirepass", SECRET) as server:
        server.password = SECRET
        server.command("ACL", "SETUSER", "guard", "on", ">" + SECRET, "~portvakt:*", "&*", "+@all")
        host = f"127.0.0.1:{server.port}"
        for url, password in (
            (f"redis://{host}", SECRET),
            (f"redis://:{SECRET}@{host}", None),
            (f"redis://:another@{host}", SECRET),
            (f"redis://guard@{host}/", SECRET),
            (f"redis://gu%61rd:x@{host}/3", SECRET),
        ):
            one = store(url, clock, password=password)
            await one.revoke((revocation(1),))
            assert await used(one, url, clock, ago=-MARGIN) is True
            await one.close()
        assert "db3:keys=" in server.command("INFO", "keyspace")


@at_home
async def test_a_user_who_may_do_little_does_what_it_has_to(clock: FrozenClock) -> None:
    # What redis_scripts says that it needs, and no more.
    allowed = (
        "+eval", "+evalsha", "+info", "+time", "+publish", "+subscribe", "+ping", "+hset",
        "+hmget", "+hget", "+hdel", "+hincrby", "+hsetnx", "+zadd", "+zrem", "+zscore", "+zcount",
        "+zrange", "+zrangebyscore", "+zremrangebyscore",
    )  # fmt: skip
    with redis_server() as server:
        server.command("ACL", "SETUSER", "guard", "on", ">" + SECRET, "~portvakt:*",
                       "&portvakt:*", "-@all", *allowed)  # fmt: skip
        one = store(f"redis://guard@127.0.0.1:{server.port}", clock, password=SECRET)
        await one.revoke((revocation(1), revocation(2, until=START + 1)))
        assert len((await everything(one))[0]) == 2
        assert await used(one, "a", clock, ago=-MARGIN) is True
        assert await one.prune(START + 100) == 2
        await anext(one.changes())
        await one.close()
        server.command("ACL", "SETUSER", "guard", "-info")
        assert await refused(one, "since") in {
            "the store does not accept these credentials", "the store refused a command"
        }  # fmt: skip


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def over_tls(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(str(folder / "ca"))
    shown = authority.issue_cert("127.0.0.1")
    shown.cert_chain_pems[0].write_to_path(str(folder / "cert"))
    shown.private_key_pem.write_to_path(str(folder / "key"))
    port = free_port()
    settings = (
        "--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no",
        "--tls-ca-cert-file", str(folder / "ca"), "--tls-cert-file", str(folder / "cert"),
        "--tls-key-file", str(folder / "key"),
    )  # fmt: skip
    with redis_server(*settings, port=port) as server:
        yield server, folder


@at_home
async def test_a_server_shows_who_it_is(over_tls: tuple[Server, Path], clock: FrozenClock) -> None:
    server, folder = over_tls
    host = f"127.0.0.1:{server.port}"
    one = store(f"rediss://{host}?ca_file={folder / 'ca'}", clock)
    await one.revoke((revocation(1),))
    assert await used(one, "a", clock, ago=-MARGIN) is True
    await one.close()


@pytest.mark.parametrize("name", list(ASKING))
@at_home
async def test_a_server_that_cannot_show_who_it_is_is_told_nothing(
    over_tls: tuple[Server, Path], clock: FrozenClock, name: str, tmp_path: Path
) -> None:
    server, folder = over_tls
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other"))
    for url in (
        f"rediss://127.0.0.1:{server.port}",  # the system does not know the authority
        f"rediss://127.0.0.1:{server.port}?ca_file={tmp_path / 'other'}",
        f"rediss://localhost:{server.port}?ca_file={folder / 'ca'}",  # another name
        f"rediss://127.0.0.1:{server.port}?ca_file={tmp_path / 'absent'}",
        f"redis://127.0.0.1:{server.port}",  # not encrypted
    ):
        one = store(url, clock, password=SECRET)
        assert await refused(one, name) == "the store cannot be reached"


@at_home
async def test_replicas_have_what_counts(clock: FrozenClock) -> None:
    with (
        redis_server() as master,
        redis_server(
            "--replicaof", f"127.0.0.1 {master.port}", "--repl-diskless-sync-delay", "0"
        ) as replica,
    ):
        replica.wait_for(lambda: replica.info("master_link_status") == "up")
        async with opened(master.url + "?replicas=1", clock) as one:
            assert await used(one, "a", clock) is True
            await one.revoke((revocation(1),))
            assert replica.command("HGET", "portvakt:{revocations}:head", "counter") == "1"
            copy = store(replica.url, clock)
            for name in ("use", "revoke", "since", "prune"):
                assert await refused(copy, name) == "the store is a replica"
            replica.pause()
            impatient = store(master.url + "?replicas=1", clock, timeout=0.4)
            words = "it is written, but too few replicas of the store have it"
            assert await used(impatient, "b", clock) == words
            # Without the option too, where there is a replica.
            plain = store(master.url, clock, timeout=0.4)
            with pytest.raises(StoreError, match="too few replicas"):
                await plain.revoke((revocation(2),))
            assert await used(plain, "c", clock) is True
            replica.resume()
            await impatient.close()
            await plain.close()
            replica.kill()
            master.wait_for(lambda: master.info("connected_slaves") == "0")
            with pytest.raises(StoreError, match="has too few replicas"):
                await one.since(None)


@at_home
async def test_a_replica_that_became_the_master_begins_anew(clock: FrozenClock) -> None:
    on_disk = ("--appendfsync", "always", "--no-appendfsync-on-rewrite", "no")
    with (
        redis_server(*on_disk) as master,
        redis_server("--replicaof", f"127.0.0.1 {master.port}", *on_disk) as replica,
    ):
        replica.wait_for(lambda: replica.info("master_link_status") == "up")
        async with opened(master.url, clock) as one:
            assert await used(one, "a", clock) is True
            await one.revoke((revocation(1),))
            _, cursor = await everything(one)
        master.kill()
        replica.command("REPLICAOF", "NO", "ONE")
        two = store(replica.url, clock)
        assert await used(two, "a", clock) in {
            False, "the store's memory does not reach back that far"
        }  # fmt: skip
        assert await used(two, "b", clock) == "the store's memory does not reach back that far"
        page = await two.since(cursor)
        assert page.afresh
        assert page.entries[0].handle == handle(1)
        await two.close()


def test_another_loop_and_another_process_have_connections_of_their_own(
    server: Server, clock: FrozenClock
) -> None:
    program = textwrap.dedent(f"""
        import asyncio, os, sys
        from portvakt.testing.clock import FrozenClock
        from redis_stores import store, used

        clock = FrozenClock({START!r})
        one = store({server.url!r}, clock)

        def fds():
            return {{name: os.readlink(f"/proc/self/fd/{{name}}")
                    for name in os.listdir("/proc/self/fd")
                    if os.path.exists(f"/proc/self/fd/{{name}}")}}

        async def first():
            assert await used(one, "a", clock, ago=-5) is True
            child = os.fork()
            if child == 0:
                # The parent's loop cannot run here; another can.
                asyncio._set_running_loop(None)
                code = 1
                try:
                    asyncio.run(other("child"))
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            # The connection of before is still the parent's.
            assert await used(one, "a", clock, ago=-5) is False
            assert await used(one, "b", clock, ago=-5) is True
            assert await used(one, "child", clock, ago=-5) is False
            await one.close()

        async def other(name):
            before = {{end for end in fds().values() if end.startswith("socket:")}}
            await one.close()  # of this process: nothing yet
            assert await used(one, name, clock, ago=-5) is True
            after = {{end for end in fds().values() if end.startswith("socket:")}}
            assert before <= after and len(after) > len(before)
            await one.close()

        asyncio.run(first())
        asyncio.run(other("another loop"))
        asyncio.run(other("and another"))
    """)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", program],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_loop_that_ended_leaves_its_connections_and_the_next_has_its_own(
    server: Server, clock: FrozenClock
) -> None:
    one = store(server.url, clock)

    async def ask(name: str) -> bool | str:
        return await used(one, name, clock, ago=-MARGIN)

    async def end() -> None:
        assert await ask("a") is False
        await one.close()
        await one.close()

    assert asyncio.run(ask("a")) is True
    assert asyncio.run(ask("b")) is True
    asyncio.run(end())
