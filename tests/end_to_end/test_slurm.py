"""The example for Slurm runs on a cluster of one node, made for the test from Debian's slurm-wlm."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from launch import lines
from small_cohort import small_cohort

from vmseg_auto.data.workspace import Workspace
from vmseg_auto.models.checkpoints import load_checkpoint
from vmseg_auto.models.final_checkpoint import load_final

EXAMPLE = Path(__file__).parents[2] / "examples" / "slurm"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
SETTINGS = ("epochs=6", "iterations_per_epoch=6", "validation_share=0.1", "mirror_axes=[]", "tile_step_size=1")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={control_port}
SlurmdPort={node_port}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
SchedulerParameters=sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@dataclass
class Cluster:
    """Munge, a controller and one node, all in one folder."""

    folder: Path
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": here, "OMP_NUM_THREADS": "1"}

    def start(self) -> None:
        """Raises OSError or subprocess.SubprocessError where it does not come up."""
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        host = socket.gethostname().split(".")[0]
        control_port, node_port = free_ports()
        configuration = CONFIGURATION.format(
            host=host, folder=self.folder, control_port=control_port, node_port=node_port
        )
        (self.folder / "slurm.conf").write_text(configuration)
        files = {f"--{name}": self.folder / f"munge.{name}" for name in ("socket", "seed-file", "pid-file", "log-file")}
        self.run_daemon("munged", "-F", "-f", f"--key-file={key}", *(f"{flag}={path}" for flag, path in files.items()))
        wait_for(lambda: (self.folder / "munge.socket").exists(), 30)
        self.run_daemon("slurmctld", "-D")
        self.run_daemon("slurmd", "-D")
        wait_for(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T", check=False), 60)

    def run_daemon(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.out").open("wb") as log:
            self.daemons.append(subprocess.Popen(command, stdout=log, stderr=log, env=self.environment))

    def stop(self) -> None:
        """Jobs first: they outlive the daemons."""
        if len(self.daemons) == 3:
            self.ask("scancel", "--me", check=False)
            with suppress(subprocess.SubprocessError):
                wait_for(lambda: not self.states(), 60)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            daemon.wait(60)

    def ask(self, *command: str, check: bool = True, cwd: Path | None = None, **more: str) -> str:
        done = subprocess.run(
            command, env={**self.environment, **more}, cwd=cwd, capture_output=True, text=True, timeout=120
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def states(self) -> dict[str, str]:
        """Job or array task -> its state and the reason, of those that are not over."""
        rows = self.ask("squeue", "-h", "-r", "-o", "%i %T %r", check=False).splitlines()
        return {row.split()[0]: row.split(maxsplit=1)[1] for row in rows}


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]


def wait_for(there: Callable[[], bool], seconds: float) -> None:
    for _ in range(int(seconds * 20)):
        if there():
            return
        time.sleep(0.05)
    raise subprocess.SubprocessError(f"not within {seconds:g} s")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        pytest.skip(f"no {', '.join(missing)} here: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("a cluster of one's own needs root")
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        try:
            made.start()
        except (OSError, subprocess.SubprocessError) as error:
            said = [f"{log.name}: {log.read_text(errors='replace')[-500:]}" for log in made.folder.glob("*.out")]
            pytest.skip(f"Slurm does not start here ({error}): {said}")
        yield made
    finally:
        made.stop()


def test_the_example_trains_all_folds_and_a_requeued_one_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    folder = small_cohort(tmp_path / "cohort", 5)
    run = Workspace(folder / "vmseg").run("default", "default")
    shown = cluster.ask(
        *(str(EXAMPLE / "submit.sh"), str(folder), "--device", "cpu", "--set", *SETTINGS),
        cwd=tmp_path,
        VMSEG_SBATCH="--cpus-per-task=1 --time=60",
    )
    train = shown.partition("jobs ")[2].partition("_")[0]
    fold = run.fold(0)
    wait_for(lambda: lines(fold.history) > 1, 300)
    cluster.ask("scontrol", "requeue", f"{train}_0")  # as for a job that has to make room
    wait_for(lambda: "BeginTime" in cluster.states().get(f"{train}_0", ""), 120)
    stopped = load_checkpoint(fold.latest)
    assert 1 <= stopped.epoch < 6
    cluster.ask("scontrol", "update", f"JobId={train}_0", "StartTime=now")

    wait_for(lambda: lines(run.fold(4).history) > 1, 600)
    cluster.ask("scancel", "--signal=USR1", f"{train}_4")  # as for one whose time is up
    wait_for(lambda: "BeginTime" in cluster.states().get(f"{train}_4", ""), 120)
    cluster.ask("scontrol", "update", f"JobId={train}_4", "StartTime=now")

    wait_for(lambda: not cluster.states(), 900)
    logs = {path.name: path.read_text() for path in tmp_path.glob("vmseg_*.log")}
    assert [fold.name for fold in run.finished_folds()] == [0, 1, 2, 3, 4], logs
    for number, name in ((0, signal.SIGTERM.name), (4, signal.SIGUSR1.name)):
        log = logs[f"vmseg_train_{train}_{number}.log"]
        assert f"stopped ({name})" in log, log
        assert f"Fold {number} goes on after epoch" in log, log
    for number in (1, 2, 3):  # the requeue of one fold leaves the others alone
        log = logs[f"vmseg_train_{train}_{number}.log"]
        assert log.count("Training default/default") == 1, log
        assert "stopped" not in log, log
    assert all(len(load_final(fold.final).history) == 6 for fold in run.finished_folds())
    assert Workspace(folder / "vmseg").selection.is_file()
    assert any(name.startswith("vmseg_select") for name in logs)
    assert not list(folder.rglob("*.lock"))
