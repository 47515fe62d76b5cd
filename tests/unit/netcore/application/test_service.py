"""Services and collections of them: who belongs to whom, and the order of starting and stopping."""

from __future__ import annotations

from typing import Any

import pytest

from netcore.application.service import (
    Application,
    IProcess,
    IService,
    IServiceCollection,
    MultiService,
    Process,
    Service,
)
from netcore.defer import Deferred, succeed
from netcore.interfaces import adapt, provides


class Noting(Service):
    """Writes what happens to it into a list that several share."""

    def __init__(self, name: str, notes: list[str], stopping: Any = None) -> None:
        self.setName(name)
        self.notes = notes
        self.stopping = stopping

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        self.notes.append(f"privileged {self.name}")

    def startService(self) -> None:
        super().startService()
        self.notes.append(f"start {self.name}")

    def stopService(self) -> Any:
        super().stopService()
        self.notes.append(f"stop {self.name}")
        if isinstance(self.stopping, Exception):
            raise self.stopping
        return self.stopping


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def collection(notes: list[str]) -> MultiService:
    collection = MultiService()
    for name in "abc":
        Noting(name, notes).setServiceParent(collection)
    return collection


def test_a_service_runs_between_start_and_stop() -> None:
    service = Service()
    assert not service.running
    service.privilegedStartService()
    assert not service.running
    service.startService()
    assert service.running
    assert service.stopService() is None
    assert not service.running
    service.startService()
    assert service.running


def test_a_service_belongs_to_its_parent(collection: MultiService) -> None:
    service = Service()
    service.setServiceParent(collection)
    assert service.parent is collection
    assert list(collection)[-1] is service
    assert [each.name for each in collection] == ["a", "b", "c", None]
    service.disownServiceParent()
    assert service.parent is None
    assert service not in collection


def test_a_second_parent_takes_a_service_from_the_first(collection: MultiService, notes: list[str]) -> None:
    service = collection.getServiceNamed("a")
    collection.startService()
    other = MultiService()
    notes.clear()
    service.setServiceParent(other)
    assert service.parent is other
    assert service not in collection
    assert notes == ["stop a"]


def test_a_service_without_parent_cannot_leave() -> None:
    with pytest.raises(RuntimeError, match="has no parent"):
        Service().disownServiceParent()


@pytest.mark.parametrize("parent", [5, Service()])
def test_only_a_collection_is_a_parent(parent: Any) -> None:
    service = Service()
    with pytest.raises(TypeError):
        service.setServiceParent(parent)
    assert service.parent is None


def test_services_are_found_by_name(collection: MultiService) -> None:
    assert collection.getServiceNamed("b").name == "b"
    with pytest.raises(KeyError):
        collection.getServiceNamed("z")
    collection.getServiceNamed("b").disownServiceParent()
    with pytest.raises(KeyError):
        collection.getServiceNamed("b")


def test_a_name_is_taken_once(collection: MultiService, notes: list[str]) -> None:
    again = Noting("a", notes)
    with pytest.raises(RuntimeError, match="called 'a' already"):
        again.setServiceParent(collection)
    assert again.parent is None
    assert len(list(collection)) == 3


def test_a_service_with_a_parent_keeps_its_name(collection: MultiService) -> None:
    with pytest.raises(RuntimeError, match="before adding it"):
        collection.getServiceNamed("a").setName("z")


def test_removing_a_stranger_is_an_error(collection: MultiService) -> None:
    with pytest.raises(ValueError):
        collection.removeService(Service())


def test_services_start_in_order_and_stop_in_reverse(collection: MultiService, notes: list[str]) -> None:
    collection.privilegedStartService()
    collection.startService()
    assert notes == ["privileged a", "privileged b", "privileged c", "start a", "start b", "start c"]
    notes.clear()
    collection.stopService()
    assert notes == ["stop c", "stop b", "stop a"]
    assert not collection.running


def test_stopping_waits_for_all(notes: list[str]) -> None:
    collection = MultiService()
    slow: list[Deferred[Any]] = [Deferred(), Deferred()]
    for name, stopping in (("a", slow[0]), ("b", slow[1]), ("c", succeed("now")), ("d", None)):
        Noting(name, notes, stopping).setServiceParent(collection)
    collection.startService()
    results: list[Any] = []
    collection.stopService().addCallback(results.append)
    slow[0].callback("first")
    assert results == []
    slow[1].callback("second")
    assert results == [[(True, None), (True, "now"), (True, "second"), (True, "first")]]


def test_a_service_that_fails_to_stop_is_logged_and_keeps_no_other_from_it(notes: list[str], logged: Any) -> None:
    collection = MultiService()
    for name, stopping in (("a", None), ("b", KeyError("b")), ("c", None)):
        Noting(name, notes, stopping).setServiceParent(collection)
    collection.startService()
    notes.clear()
    results: list[Any] = []
    collection.stopService().addCallback(results.append)
    assert notes == ["stop c", "stop b", "stop a"]
    assert [success for success, _ in results[0]] == [True, False, True]
    (record,) = logged.take(KeyError)
    assert "failed to stop" in record.getMessage()


def test_a_service_added_to_a_running_collection_starts_at_once(collection: MultiService, notes: list[str]) -> None:
    collection.startService()
    notes.clear()
    late = Noting("late", notes)
    late.setServiceParent(collection)
    assert notes == ["privileged late", "start late"]
    late.disownServiceParent()
    assert notes[2:] == ["stop late"]


def test_leaving_a_running_collection_returns_what_stopping_returned(collection: MultiService) -> None:
    stopping: Deferred[Any] = Deferred()
    service = Noting("d", [], stopping)
    service.setServiceParent(collection)
    assert service.disownServiceParent() is None
    service.setServiceParent(collection)
    collection.startService()
    assert service.disownServiceParent() is stopping


def test_a_service_added_by_another_ones_start_starts_once(notes: list[str]) -> None:
    class Parent(Noting):
        def startService(self) -> None:
            super().startService()
            Noting("child", notes).setServiceParent(collection)

    collection = MultiService()
    Parent("parent", notes).setServiceParent(collection)
    collection.startService()
    assert notes == ["start parent", "privileged child", "start child"]


def test_collections_nest(notes: list[str], collection: MultiService) -> None:
    outer = MultiService()
    collection.setServiceParent(outer)
    outer.startService()
    outer.stopService()
    assert notes == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]


def test_an_application_is_its_own_service_collection_and_process() -> None:
    application = Application("finger", uid=1, gid=2)
    for interface in (IService, IServiceCollection, IProcess):
        assert provides(application, interface)
        assert adapt(application, interface) is application
        assert interface(application) is application
    assert (application.name, application.uid, application.gid, application.processName) == ("finger", 1, 2, None)
    assert repr(application) == "<Application 'finger'>"


def test_an_application_asks_for_no_user_by_default() -> None:
    application = Application("finger")
    assert (application.uid, application.gid) == (None, None)


def test_services_are_added_to_an_application(notes: list[str]) -> None:
    application = Application("finger")
    Noting("a", notes).setServiceParent(IServiceCollection(application))
    application.startService()
    assert notes == ["start a"]


@pytest.mark.parametrize("kind", [Process, lambda **options: Application("x", **options)])
@pytest.mark.parametrize("options", [{"uid": -1}, {"gid": -1}])
def test_a_negative_id_is_refused(kind: Any, options: Any) -> None:
    with pytest.raises(ValueError, match="not negative"):
        kind(**options)


@pytest.mark.parametrize("when", ["startService", "stopService"])
def test_a_service_removed_by_another_one_meanwhile_is_stopped_once_and_not_started(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, first, second, third = MultiService(), Service(), Service(), Service()
    calls: list[str] = []

    def note(service: Service, name: str, victim: Service | None = None) -> None:
        for method in ("startService", "stopService"):
            original = getattr(service, method)

            def noting(method: str = method, original: Any = original) -> Any:
                calls.append(f"{method[:-7]} {name}")
                if victim is not None and method == when and victim.parent is not None:
                    victim.disownServiceParent()
                return original()

            monkeypatch.setattr(service, method, noting)

    for service in (first, second, third):
        service.setServiceParent(whole)
    remover, victim = (first, third) if when == "startService" else (third, first)
    note(first, "first", victim if remover is first else None)
    note(second, "second")
    note(third, "third", victim if remover is third else None)
    whole.startService()
    whole.stopService()
    assert not victim.running
    name = "third" if victim is third else "first"
    assert calls.count(f"stop {name}") == 1
    if when == "startService":
        assert f"start {name}" not in calls
    assert calls.count("stop second") == 1
