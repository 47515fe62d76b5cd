"""What asyncio has to wait for, each in three forms: it comes, it never comes, and has it been given up?"""

from __future__ import annotations

import asyncio
import sys
import threading
from asyncio.subprocess import PIPE, Process
from concurrent.futures import ThreadPoolExecutor

from tests.integration.netcore.worlds import turns

TURN = 0.001


class Wait:
    """Something to wait for."""

    async def begin(self) -> None:
        """Make what it takes."""

    async def end(self) -> None:
        """Give it back."""

    async def comes(self) -> object:
        """Wait for "result"."""
        raise NotImplementedError

    async def never(self) -> object:
        """Wait in vain."""
        raise NotImplementedError

    async def is_under_way(self) -> None:
        """Wait until `never` waits in earnest."""
        await turns()

    async def is_given_up(self) -> bool:
        """Whether `never`, which was cancelled, has left nothing waiting."""
        raise NotImplementedError


class AFuture(Wait):
    async def begin(self) -> None:
        self.future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def comes(self) -> object:
        asyncio.get_running_loop().call_soon(self.future.set_result, "result")
        return await self.future

    async def never(self) -> object:
        return await self.future

    async def is_given_up(self) -> bool:
        return self.future.cancelled()


class ATask(Wait):
    async def comes(self) -> object:
        return await asyncio.create_task(asyncio.sleep(0, "result"))

    async def never(self) -> object:
        self.task = asyncio.create_task(asyncio.Event().wait())
        return await self.task

    async def is_given_up(self) -> bool:
        return self.task.cancelled()


class Gather(AFuture):
    async def comes(self) -> object:
        first, second = await asyncio.gather(asyncio.sleep(0, "re"), asyncio.sleep(TURN, "sult"))
        return first + second

    async def never(self) -> object:
        return await asyncio.gather(self.future, asyncio.Event().wait())


class AWait(AFuture):
    async def comes(self) -> object:
        (done,), pending = await asyncio.wait([asyncio.create_task(asyncio.sleep(TURN, "result"))])
        assert not pending
        return done.result()

    async def never(self) -> object:
        return await asyncio.wait([self.future])

    async def is_given_up(self) -> bool:
        return not self.future.cancelled()  # wait() leaves it, in a Task too


class WaitFor(AFuture):
    async def comes(self) -> object:
        return await asyncio.wait_for(asyncio.sleep(TURN, "result"), 10)

    async def never(self) -> object:
        return await asyncio.wait_for(self.future, 10)


class Shield(AFuture):
    async def comes(self) -> object:
        return await asyncio.shield(asyncio.sleep(TURN, "result"))

    async def never(self) -> object:
        return await asyncio.shield(self.future)

    async def is_given_up(self) -> bool:
        return not self.future.cancelled()  # that is what it is for


class ATimeout(AFuture):
    async def comes(self) -> object:
        async with asyncio.timeout(10):
            return await asyncio.sleep(TURN, "result")

    async def never(self) -> object:
        async with asyncio.timeout(10):
            return await self.future


class ATaskGroup(AFuture):
    async def comes(self) -> object:
        async with asyncio.TaskGroup() as group:
            children = [group.create_task(asyncio.sleep(TURN, part)) for part in ("re", "sult")]
        return "".join(child.result() for child in children)

    async def never(self) -> object:
        async def child() -> str:
            return await self.future

        async with asyncio.TaskGroup() as group:
            group.create_task(child())
            group.create_task(asyncio.sleep(10))


class Sleep(Wait):
    async def comes(self) -> object:
        return await asyncio.sleep(TURN, "result")

    async def never(self) -> object:
        return await asyncio.sleep(3600)

    async def is_given_up(self) -> bool:
        return True  # it has nothing that could be seen from outside


class ALock(Wait):
    async def begin(self) -> None:
        self.lock = asyncio.Lock()
        await self.lock.acquire()

    async def comes(self) -> object:
        asyncio.get_running_loop().call_soon(self.lock.release)
        async with self.lock:
            return "result"

    async def never(self) -> object:
        return await self.lock.acquire()

    async def is_given_up(self) -> bool:
        self.lock.release()
        return await self.lock.acquire()  # it would wait behind the other


class ASemaphore(Wait):
    async def begin(self) -> None:
        self.semaphore = asyncio.Semaphore(0)

    async def comes(self) -> object:
        asyncio.get_running_loop().call_soon(self.semaphore.release)
        async with self.semaphore:
            return "result"

    async def never(self) -> object:
        return await self.semaphore.acquire()

    async def is_given_up(self) -> bool:
        self.semaphore.release()
        return not self.semaphore.locked()


class AnEvent(Wait):
    async def begin(self) -> None:
        self.event = asyncio.Event()

    async def comes(self) -> object:
        asyncio.get_running_loop().call_soon(self.event.set)
        await self.event.wait()
        return "result"

    async def never(self) -> object:
        return await self.event.wait()

    async def is_given_up(self) -> bool:
        return not self.event._waiters  # nobody is told by it


class ACondition(Wait):
    async def begin(self) -> None:
        self.condition = asyncio.Condition()

    async def comes(self) -> object:
        async def notify() -> None:
            async with self.condition:
                self.condition.notify()

        async with self.condition, asyncio.TaskGroup() as group:
            group.create_task(notify())
            await self.condition.wait()
        return "result"

    async def never(self) -> object:
        async with self.condition:
            return await self.condition.wait()

    async def is_given_up(self) -> bool:
        return not self.condition.locked()  # it took the lock again, to give it back


class ABarrier(Wait):
    async def begin(self) -> None:
        self.barrier = asyncio.Barrier(2)

    async def comes(self) -> object:
        other = asyncio.create_task(self.barrier.wait())
        await self.barrier.wait()
        await other
        return "result"

    async def never(self) -> object:
        return await self.barrier.wait()

    async def is_given_up(self) -> bool:
        return self.barrier.n_waiting == 0


class AQueue(Wait):
    async def begin(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue()

    async def comes(self) -> object:
        asyncio.get_running_loop().call_soon(self.queue.put_nowait, "result")
        return await self.queue.get()

    async def never(self) -> object:
        return await self.queue.get()

    async def is_given_up(self) -> bool:
        self.queue.put_nowait("mine")
        await asyncio.sleep(0)
        return self.queue.get_nowait() == "mine"


class ToThread(Wait):
    """What runs in a thread cannot be stopped: it is only no longer waited for."""

    async def begin(self) -> None:
        self.ended = threading.Event()
        self.release = threading.Event()

    async def comes(self) -> object:
        return await asyncio.to_thread(str, "result")

    def block(self) -> None:
        self.release.wait(10)
        self.ended.set()

    async def never(self) -> object:
        return await asyncio.to_thread(self.block)

    async def is_given_up(self) -> bool:
        return not self.ended.is_set()

    async def end(self) -> None:
        self.release.set()
        await asyncio.get_running_loop().shutdown_default_executor()


class AnExecutor(Wait):
    """What has not begun in its thread when it is cancelled never does."""

    async def begin(self) -> None:
        self.executor = ThreadPoolExecutor(1)
        self.release = threading.Event()
        self.began = False

    def work(self) -> None:
        self.began = True

    async def comes(self) -> object:
        return await asyncio.get_running_loop().run_in_executor(self.executor, str, "result")

    async def never(self) -> object:
        self.executor.submit(self.release.wait, 10)
        return await asyncio.get_running_loop().run_in_executor(self.executor, self.work)

    async def is_given_up(self) -> bool:
        self.release.set()
        await asyncio.get_running_loop().run_in_executor(self.executor, str)
        return not self.began

    async def end(self) -> None:
        self.executor.shutdown()


class Streams(Wait):
    async def begin(self) -> None:
        self.served: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        self.server = await asyncio.start_server(lambda _, writer: self.served.set_result(writer), "127.0.0.1", 0)
        self.reader, self.writer = await asyncio.open_connection(*self.server.sockets[0].getsockname())
        self.peer = await self.served

    async def comes(self) -> object:
        self.peer.write(b"result\n")
        await self.peer.drain()
        return (await self.reader.readline()).decode().strip()

    async def never(self) -> object:
        return await self.reader.readline()

    async def is_given_up(self) -> bool:
        return await self.comes() == "result"  # a second reader would be refused

    async def end(self) -> None:
        for writer in (self.writer, self.peer):
            writer.close()
            await writer.wait_closed()
        self.server.close()
        await self.server.wait_closed()


class Subprocess(Wait):
    """Its process is not killed by this: asyncio leaves that to who has started it."""

    async def begin(self) -> None:
        self.process: Process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print(input())", stdin=PIPE, stdout=PIPE
        )

    async def comes(self) -> object:
        out, _ = await self.process.communicate(b"result\n")
        assert await self.process.wait() == 0
        return out.decode().strip()

    async def never(self) -> object:
        return await self.process.wait()

    async def is_given_up(self) -> bool:
        return self.process.returncode is None and await self.comes() == "result"

    async def end(self) -> None:
        if self.process.returncode is None:
            await self.process.communicate(b"\n")


ASYNCIOS: dict[str, type[Wait]] = {
    "a Future": AFuture,
    "a Task": ATask,
    "gather": Gather,
    "wait": AWait,
    "wait_for": WaitFor,
    "shield": Shield,
    "timeout": ATimeout,
    "TaskGroup": ATaskGroup,
    "sleep": Sleep,
    "Lock": ALock,
    "Semaphore": ASemaphore,
    "Event": AnEvent,
    "Condition": ACondition,
    "Barrier": ABarrier,
    "Queue": AQueue,
    "to_thread": ToThread,
    "run_in_executor": AnExecutor,
    "streams": Streams,
    "subprocess": Subprocess,
}
