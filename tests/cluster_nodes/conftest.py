"""Several Ray nodes on this machine: each is the processes of one `ray start`, and can be killed like a machine.

Programs run against the cluster as a user runs them, in processes of their own. What a test shows is summarised at the
end of `make test-cluster`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import psutil

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
NODE_CPUS = 2
OBJECT_STORE_BYTES = 200 * 2**20
# Nothing takes nearly as long, but a machine that does other work as well may be slow.
PATIENCE_SECONDS = 900
LOOK_SECONDS = 0.02
SHOWN: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what the tests showed: nodes, what was killed when, what happened."""
    if SHOWN:
        terminalreporter.section("shown on a cluster of several nodes")
        for line in SHOWN:
            terminalreporter.write_line(line)


@dataclass
class Node:
    """One node of the cluster.

    Attributes:
        name: for the summary.
        root: the `ray start` process; all others of the node descend from it.
    """

    name: str
    root: psutil.Process

    def processes(self, title: str) -> list[psutil.Process]:
        """Its processes whose title holds a text, such as the class of an actor."""
        import psutil

        found = []
        for process in self.root.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended meanwhile
                if title in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def kill(self) -> None:
        """Kills all its processes at once, as when a machine loses its power."""
        import psutil

        family = [self.root]
        with contextlib.suppress(psutil.NoSuchProcess):
            family += self.root.children(recursive=True)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=30)


@dataclass
class Cluster:
    """A head that takes no work, and nodes that do.

    Attributes:
        folder: for Ray's files and for logs of nodes and programs.
        environment: of programs that use the cluster.
        dashboard: URL of the head's dashboard and job server.
        nodes: those that live, without the head.
    """

    folder: Path
    environment: dict[str, str]
    dashboard: str
    head: Node
    nodes: list[Node] = field(default_factory=list)
    started: int = 0
    programs: list[subprocess.Popen] = field(default_factory=list)

    def add_node(self) -> Node:
        """Starts one more node."""
        self.started += 1
        options = [f"--address={self.environment['RAY_ADDRESS']}", f"--num-cpus={NODE_CPUS}"]
        node = start_node(f"node {self.started}", options, self.folder, self.environment)
        self.nodes.append(node)
        return node

    def kill(self, node: Node) -> None:
        """Kills a node."""
        self.nodes.remove(node)
        node.kill()

    def announce_end(self, node: Node) -> None:
        """Says that a node will be taken away in a minute, as a cloud does of its spot machines."""
        (raylet,) = [process for process in node.processes("raylet/raylet") if process.name() == "raylet"]
        (identifier,) = [part for part in raylet.cmdline() if part.startswith("--node_id=")]
        command = ["ray", "drain-node", "--address", self.environment["RAY_ADDRESS"]]
        command += ["--node-id", identifier.removeprefix("--node_id="), "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
        command += ["--reason-message", "taken away", "--deadline-remaining-seconds", "60"]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)

    def wait_for(self, condition: Callable[[], bool], program: subprocess.Popen, log: Path) -> None:
        """Waits for something that a program does while it runs."""

        def came_true() -> bool:
            assert program.poll() is None, log.read_text(errors="replace")
            return condition()

        wait_until(came_true, log)

    def end_of(self, program: subprocess.Popen, log: Path) -> str:
        """Waits until a program has ended well; what it said."""
        status = program.wait(PATIENCE_SECONDS)
        output = log.read_text(errors="replace")
        assert status == 0, output
        return output

    def start(self, *command: str, log: Path) -> subprocess.Popen:
        """Starts a program of the repository against the cluster; what it says goes to a file."""
        with log.open("wb") as output:
            program = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=output, stderr=subprocess.STDOUT)
        self.programs.append(program)
        return program

    def run(self, *command: str, log: Path) -> tuple[int, str]:
        """Runs a program to its end: its exit status and what it said."""
        status = self.start(*command, log=log).wait(PATIENCE_SECONDS)
        return status, log.read_text(errors="replace")

    def end(self) -> None:
        """Kills programs and nodes."""
        for program in self.programs:
            program.kill()
        for node in [*self.nodes, self.head]:
            node.kill()


def start_node(name: str, options: list[str], folder: Path, environment: dict[str, str]) -> Node:
    """Starts a node and waits until it has joined."""
    import psutil

    log = folder / f"{name.replace(' ', '-')}.log"
    common = [
        "--block",
        "--disable-usage-stats",
        "--node-ip-address=127.0.0.1",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
    ]
    # Nodes of one machine share its ports, so each takes free ones.
    common += ["--min-worker-port=0", "--max-worker-port=0", f"--dashboard-agent-listen-port={free_port()}"]
    with log.open("wb") as output:
        process = psutil.Popen(
            [str(PROGRAMS / "ray"), "start", *common, *options],
            env={name: value for name, value in environment.items() if name != "RAY_ADDRESS"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    node = Node(name, process)

    def joined() -> bool:
        assert process.poll() is None, f"{name} ended: {log.read_text()}"
        return "Ray runtime started" in log.read_text()

    try:
        wait_until(joined, log)
    except BaseException:
        node.kill()
        raise
    return node


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until(condition: Callable[[], bool], log: Path) -> None:
    """Looks again and again; fails with what a log says when the condition does not come true."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE_SECONDS} s: {log.read_text(errors='replace')}"
        time.sleep(LOOK_SECONDS)


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Cluster]:
    """A head without CPUs, as on Kubernetes, that asks for a token."""
    import ray  # noqa: F401  brings psutil along

    folder = Path(tempfile.mkdtemp(prefix="lexlip-"))  # short: Ray's sockets lie there, and their names may not be long
    port, dashboard_port = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {
        "RAY_ADDRESS": f"127.0.0.1:{port}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",  # jobs name `python`
    }
    options = ["--head", "--num-cpus=0", f"--port={port}", f"--dashboard-port={dashboard_port}"]
    options += [f"--ray-client-server-port={free_port()}", f"--temp-dir={folder}"]
    head = start_node("head", options, folder, environment)
    cluster = Cluster(folder, environment, f"http://127.0.0.1:{dashboard_port}", head)
    try:
        yield cluster
    finally:
        cluster.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def cluster(running_cluster: Cluster, request: pytest.FixtureRequest) -> Cluster:
    """The cluster with as many nodes besides the head as the test's parameter says (one without), or more."""
    while len(running_cluster.nodes) < getattr(request, "param", 1):
        running_cluster.add_node()
    return running_cluster


@pytest.fixture
def unused_port() -> int:
    """A port nobody listens on."""
    return free_port()


@pytest.fixture
def show(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Adds a line to the summary."""
    return lambda line: SHOWN.append(f"{request.node.name}: {line}")
