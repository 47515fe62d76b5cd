"""What Dockerfile and docker-compose.yml take from the rest of the project is still there, and they agree."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import tomllib
from typing import Any

import yaml

from asyncdb.testing.postgres._container import IMAGE
from examples.finger.cli import ask, parser, serve
from examples.finger.client import Target
from examples.finger.limits import Limits
from tests.support.process import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
DATABASE, FINGER = COMPOSE["services"]["database"], COMPOSE["services"]["finger"]


def lines_of(name: str) -> list[str]:
    """The lines of a file that are neither blank nor comments."""
    lines = (line.strip() for line in (ROOT / name).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def instructions(name: str) -> list[str]:
    """What follows *name* in the Dockerfile, wherever it stands there."""
    whole = "\n".join(lines_of("Dockerfile")).replace("\\\n", " ")
    return re.findall(rf"(?m)^{name}\s+(.*)$", whole)


def copied() -> set[str]:
    """What the image takes from the project's folder."""
    words = [line.split() for line in instructions("COPY") if not line.startswith("--from")]
    return {source for *sources, _ in words for source in sources}


def finger_command(words: list[str]) -> argparse.Namespace:
    """What the example's command line makes of a command; ends the test if it cannot read it."""
    assert words[:3] == ["python", "-m", "examples.finger"]
    return parser().parse_args(words[3:])


def served() -> argparse.Namespace:
    [command] = instructions("CMD")
    return finger_command(json.loads(command))


def asked() -> argparse.Namespace:
    [check] = instructions("HEALTHCHECK")
    return finger_command(json.loads(check.partition(" CMD ")[2]))


def variables(value: Any) -> set[str]:
    """The variables that *value*, some part of docker-compose.yml, is filled in with."""
    return set(re.findall(r"\$\{(\w+)", json.dumps(value)))


def test_what_the_image_copies_is_there() -> None:
    assert copied()
    assert not {source for source in copied() if not (ROOT / source).exists()}


def test_nothing_but_what_is_copied_is_sent_to_the_engine() -> None:
    everything, *rest = lines_of(".dockerignore")
    assert everything == "*"
    assert {line[1:] for line in rest if line.startswith("!")} == {*copied(), "examples"}
    assert rest[-2:] == ["!examples/finger", "**/__pycache__"]  # later rules win: of examples/ only this


def test_the_image_has_all_that_the_wheel_is_built_from() -> None:
    metadata = PROJECT["project"]
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {"pyproject.toml", metadata["readme"], *metadata["license-files"], *packages} <= copied()
    [extras] = re.findall(r"'/src\[(.*)\]'", " ".join(instructions("RUN")))
    assert set(extras.split(",")) <= set(metadata["optional-dependencies"])


def test_the_environment_is_made_by_the_python_that_runs_it() -> None:
    build, final = (line.split()[0] for line in instructions("FROM"))
    assert build == final


def test_the_image_serves_the_port_that_it_exposes_and_the_host_publishes() -> None:
    arguments = served()
    assert arguments.command is serve
    assert arguments.interface == "0.0.0.0"  # a published port does not arrive on loopback
    assert [str(arguments.port)] == instructions("EXPOSE")
    [published] = FINGER["ports"]
    assert published.endswith(f":{arguments.port}:{arguments.port}")


def test_the_image_asks_its_own_server_about_a_name() -> None:
    arguments = asked()
    assert arguments.command is ask
    target = Target.parse(arguments.target)
    assert (target.host, target.port) == ("127.0.0.1", served().port)
    assert target.user, "the list of who is on grows with the people"


def test_the_image_waits_for_the_answer_of_an_outage() -> None:
    [check] = instructions("HEALTHCHECK")
    [seconds] = re.findall(r"--timeout=(\d+)s", check)
    assert int(seconds) > 1.5 * Limits().answer_within  # and Python has to start first


def test_the_service_asks_the_database_that_is_started_with_it() -> None:
    assert served().db == "postgresql://", "and the rest is in libpq's variables"
    there, here = DATABASE["environment"], FINGER["environment"]
    assert COMPOSE["services"][here["PGHOST"]] is DATABASE
    assert here["PGUSER"] == there["POSTGRES_USER"]
    assert here["PGDATABASE"] == there["POSTGRES_DB"]
    assert here["PGPASSWORD"] == there["POSTGRES_PASSWORD"]
    assert DATABASE["image"] == IMAGE, "the tests run on the same"


def test_the_database_counts_as_ready_when_it_answers_over_tcp() -> None:
    _, command, *options = DATABASE["healthcheck"]["test"]
    assert command == "pg_isready"
    assert "--host=127.0.0.1" in options
    assert f"--username={DATABASE['environment']['POSTGRES_USER']}" in options
    assert FINGER["depends_on"] == {"database": {"condition": "service_healthy"}}


def test_the_people_outlive_the_database_s_container() -> None:
    [mount] = DATABASE["volumes"]
    name, _, folder = mount.partition(":")
    assert name in COMPOSE["volumes"]
    assert folder == "/var/lib/postgresql"  # below it, by version, is what PostgreSQL 18 writes


def test_there_is_no_password_but_the_user_s() -> None:
    assert re.fullmatch(r"\$\{POSTGRES_PASSWORD:\?[^}]+\}", DATABASE["environment"]["POSTGRES_PASSWORD"])
    assert not re.search("(?i)password|secret", " ".join(instructions("ENV") + instructions("ARG")))
    assert lines_of(".env.example") == ["POSTGRES_PASSWORD="]
    assert "/.env" in lines_of(".gitignore")


def test_what_can_be_set_is_explained() -> None:
    explained = re.findall(r"(?m)^#?(\w+)=", (ROOT / ".env.example").read_text())
    assert variables(COMPOSE) == set(explained)


def test_both_come_back_after_a_failure() -> None:
    assert {service["restart"] for service in (DATABASE, FINGER)} <= {"unless-stopped", "always", "on-failure"}


def test_the_service_may_do_nothing_but_serve() -> None:
    [user] = instructions("USER")
    assert all(int(number) > 0 for number in user.split(":"))
    assert FINGER["read_only"] is True
    assert FINGER["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in FINGER["security_opt"]
    assert "ports" not in DATABASE


def test_the_commands_of_the_readme_are_understood() -> None:
    readme = (ROOT / "README.md").read_text()
    section = readme.partition("\n## In containers\n")[2].partition("\n## ")[0]
    commands = re.findall(r"docker compose exec (\w+) (.*)", section)
    assert commands
    for service, command in commands:
        assert service in COMPOSE["services"]
        finger_command(shlex.split(command))
