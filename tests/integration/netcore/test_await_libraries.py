"""Libraries written for asyncio, in netcore's coroutines: aiohttp, asyncpg, anyio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import anyio
import anyio.lowlevel
import asyncpg
import pytest
from aiohttp import web

from asyncdb.testing.postgres import Postgres
from netcore.defer import Deferred, ensureDeferred
from tests.integration.netcore.driven import both_drivers, check_cancelled, check_result, every_cancel
from tests.integration.netcore.waits import Wait
from tests.integration.netcore.worlds import Run, everywhere, turns

# ------------------------------------------------------------------------------------------------------------- aiohttp


class HttpRequest(Wait):
    """aiohttp's client calls aiohttp's server."""

    async def begin(self) -> None:
        self.arrived = asyncio.Event()
        self.gone = asyncio.Event()
        application = web.Application()
        application.router.add_get("/comes", self.answer)
        application.router.add_get("/never", self.be_slow)
        self.runner = web.AppRunner(application, handler_cancellation=True, access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        host, port = self.runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self.client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))

    async def answer(self, request: web.Request) -> web.Response:
        await asyncio.sleep(0)
        return web.Response(text="result")

    async def be_slow(self, request: web.Request) -> web.Response:
        self.arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.gone.set()
        raise AssertionError("the server waits for ever")

    async def get(self, path: str) -> str:
        async with self.client.get(self.url + path) as response:
            return await response.text()

    async def comes(self) -> object:
        return await self.get("/comes")

    async def never(self) -> object:
        return await self.get("/never")

    async def is_under_way(self) -> None:
        await self.arrived.wait()

    async def is_given_up(self) -> bool:
        return await asyncio.wait_for(self.gone.wait(), 10)  # the client has hung up

    async def end(self) -> None:
        await self.client.close()
        await self.runner.cleanup()


@everywhere
@both_drivers
def test_an_http_request_is_answered(run: Run, start: Any) -> None:
    run(lambda: check_result(HttpRequest(), start))


@everywhere
@both_drivers
@every_cancel
def test_cancelling_hangs_up_on_the_http_server(run: Run, start: Any, how: str) -> None:
    run(lambda: check_cancelled(HttpRequest(), start, how))


@everywhere
def test_aiohttps_own_timeout_ends_the_request(run: Run) -> None:
    async def main() -> None:
        request = HttpRequest()
        await request.begin()
        try:
            with pytest.raises(TimeoutError):
                async with request.client.get(request.url + "/never", timeout=aiohttp.ClientTimeout(total=0.01)):
                    pytest.fail("the server has answered")
            assert await request.get("/comes") == "result"
        finally:
            await request.end()

    run(main)


# ------------------------------------------------------------------------------------------------------------- asyncpg


class SqlQuery(Wait):
    def __init__(self, postgres: Postgres) -> None:
        self.url = postgres.url

    async def begin(self) -> None:
        self.connection = await asyncpg.connect(self.url)

    async def comes(self) -> object:
        async with self.connection.transaction():
            return await self.connection.fetchval("SELECT 're' || $1", "sult")

    async def never(self) -> object:
        return await self.connection.fetchval("SELECT pg_sleep(3600)")

    async def is_given_up(self) -> bool:
        return await self.comes() == "result"  # the server has been told to stop: the connection is free again

    async def end(self) -> None:
        await self.connection.close()


@everywhere
@both_drivers
def test_a_query_is_answered(run: Run, start: Any, postgres: Postgres) -> None:
    run(lambda: check_result(SqlQuery(postgres), start))


@everywhere
@both_drivers
@every_cancel
def test_cancelling_stops_the_query_in_the_server(run: Run, start: Any, how: str, postgres: Postgres) -> None:
    run(lambda: check_cancelled(SqlQuery(postgres), start, how))


@everywhere
def test_a_pool_of_asyncpgs_serves_coroutines_in_turn(run: Run, postgres: Postgres) -> None:
    async def main() -> None:
        async with asyncpg.create_pool(postgres.url, min_size=1, max_size=2) as pool:

            async def query(number: int) -> int:
                async with pool.acquire() as connection, connection.transaction():
                    return await connection.fetchval("SELECT $1::int", number)  # type: ignore[no-any-return]

            asked = [ensureDeferred(query(number)) for number in range(20)]
            assert [await one for one in asked] == list(range(20))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await pool.fetchval("SELECT pg_sleep(3600)")
            assert await query(5) == 5

    run(main)


# --------------------------------------------------------------------------------------------------------------- anyio


class AnyioSleep(Wait):
    async def comes(self) -> object:
        await anyio.sleep(0.001)
        return "result"

    async def never(self) -> object:
        return await anyio.sleep(3600)

    async def is_given_up(self) -> bool:
        return True  # it has nothing that could be seen from outside


class AnyioStream(Wait):
    async def begin(self) -> None:
        self.sending, self.receiving = anyio.create_memory_object_stream[str]()

    async def comes(self) -> object:
        async with anyio.create_task_group() as group:
            group.start_soon(self.sending.send, "result")
            return await self.receiving.receive()

    async def never(self) -> object:
        return await self.receiving.receive()

    async def is_given_up(self) -> bool:
        return self.receiving.statistics().tasks_waiting_receive == 0

    async def end(self) -> None:
        self.sending.close()
        self.receiving.close()


class AnyioScope(Wait):
    async def begin(self) -> None:
        self.deferred: Deferred[str] = Deferred()

    async def comes(self) -> object:
        with anyio.fail_after(10):
            await anyio.sleep(0.001)
            return "result"

    async def never(self) -> object:
        with anyio.fail_after(10):
            await anyio.sleep_forever()

    async def is_given_up(self) -> bool:
        with anyio.move_on_after(0) as scope:  # scopes go on working
            await anyio.sleep_forever()
        return scope.cancelled_caught


class AnyioGroup(Wait):
    async def begin(self) -> None:
        self.deferred: Deferred[str] = Deferred()

    async def comes(self) -> object:
        parts: list[str] = []

        async def child(part: str) -> None:
            await anyio.sleep(0.001)
            parts.append(part)

        async with anyio.create_task_group() as group:
            group.start_soon(child, "re")
            group.start_soon(child, "sult")
        return "".join(parts)

    async def never(self) -> object:
        async def child() -> None:
            await self.deferred

        async with anyio.create_task_group() as group:
            group.start_soon(child)
            await anyio.sleep_forever()

    async def is_given_up(self) -> bool:
        return self.deferred.called


every_anyio = pytest.mark.parametrize("kind", [AnyioSleep, AnyioStream, AnyioScope, AnyioGroup])


@everywhere
@both_drivers
@every_anyio
def test_what_anyio_waits_for_comes(run: Run, start: Any, kind: type[Wait]) -> None:
    run(lambda: check_result(kind(), start))


@everywhere
@both_drivers
@every_anyio
@every_cancel
def test_cancelling_gives_up_what_anyio_waits_for(run: Run, start: Any, kind: type[Wait], how: str) -> None:
    run(lambda: check_cancelled(kind(), start, how))


def a_future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


every_never = pytest.mark.parametrize("never", [Deferred, a_future])
Never = Callable[[], Any]


@everywhere
@every_never
def test_anyios_timeouts_cancel_what_is_waited_for(run: Run, never: Never) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError), anyio.fail_after(0.001):
            await never()
        with anyio.move_on_after(0.001) as scope:
            await never()
        assert scope.cancelled_caught
        with anyio.move_on_after(0.001) as outer, anyio.move_on_after(10) as inner:
            await never()
        assert (outer.cancelled_caught, inner.cancelled_caught) == (True, False)
        await turns()  # not cancelled any more

    run(main)


@everywhere
@every_never
def test_a_scope_can_be_cancelled_by_its_coroutine_and_from_outside(run: Run, never: Never) -> None:
    async def main() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await never()
            pytest.fail("it went on")
        assert scope.cancelled_caught
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel)
            await never()
            pytest.fail("it went on")
        assert scope.cancelled_caught

    run(main)


@everywhere
@every_never
def test_a_shielded_scope_lets_nothing_through(run: Run, never: Never) -> None:
    async def main() -> None:
        done: list[str] = []
        with anyio.move_on_after(0.001):
            try:
                await never()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.001)
                    done.append("tidied up")
        assert done == ["tidied up"]

    run(main)


@everywhere
@every_never
def test_a_child_that_fails_cancels_its_group(run: Run, never: Never) -> None:
    async def main() -> None:
        async def fails() -> None:
            await anyio.lowlevel.checkpoint()
            raise KeyError("child")

        with pytest.raises(ExceptionGroup) as caught:
            async with anyio.create_task_group() as group:
                group.start_soon(fails)
                await never()
        assert [repr(error) for error in caught.value.exceptions] == ["KeyError('child')"]
        await turns()

    run(main)


@everywhere
def test_anyios_threads_work_and_end_with_the_coroutine(run: Run) -> None:
    async def main() -> None:
        assert await anyio.to_thread.run_sync(str, 5) == "5"

        def back() -> str:
            return anyio.from_thread.run(sleep_then, "back")

        async def sleep_then(result: str) -> str:
            await anyio.lowlevel.checkpoint()
            return result

        assert await anyio.to_thread.run_sync(back) == "back"

    run(main)
