"""Votes by a Ray cluster: the same as on one machine, also when a node is killed. Run by test_ray.py."""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

import job_factory
from job_factory import PLANS, OnNodes, load
from patience import HANG, wait_until
from radii.engine import Job, LocalExecutor, Parts, run
from radii.errors import InputError
from radii.storage.folders import LocalFolder

BLOCK = 700
# without waiting, which has a limit: a node is there when it is made
NODE = {
    "num_cpus": 1,
    "num_gpus": 0,
    "object_store_memory": 80_000_000,
    "include_dashboard": False,
    "wait": False,
}
LIMITS = {
    name: str(round(HANG * units))
    for name, units in {
        "RAY_gcs_server_port_wait_time_s": 1,
        "RAY_gcs_server_request_timeout_seconds": 1,
        "RAY_gcs_rpc_server_connect_timeout_s": 1,
        "RAY_py_gcs_connect_timeout_s": 1,
        "RAY_raylet_start_wait_time_s": 1,
        "RAY_raylet_client_num_connect_attempts": 1,  # one a second
        "RAY_worker_register_timeout_seconds": 1,
        "RAY_agent_register_timeout_ms": 1000,
        "RAY_health_check_timeout_ms": 1000,
    }.items()
}
"""Settings with which Ray does not give up a process that is only slow: `HANG` in the unit of each."""


def patient(ask: Callable[..., Any]) -> Callable[..., Any]:
    """A function of Ray that is called again where it has no answer yet."""

    def asked(*given: Any) -> Any:
        found: list[Any] = []

        def answered() -> bool:
            with suppress(RuntimeError):
                found.append(ask(*given))
            return bool(found)

        wait_until(answered)
        return found[0]

    return asked


@pytest.fixture(scope="module")
def nodes():
    """Two nodes on the loopback interface; Ray itself is kept quiet."""
    from radii.engine import ray

    folder = tempfile.mkdtemp(prefix="ray")
    with pytest.MonkeyPatch.context() as patch:
        own = {"RAY_AUTH_TOKEN": "0" * 64, "RAY_TMPDIR": folder}
        for name, value in {**ray.LOCAL_SETTINGS, **LIMITS, **own}.items():
            patch.setenv(name, value)
        import ray
        from ray._private import node, services, worker
        from ray.cluster_utils import Cluster

        patch.setattr(services, "get_node", patient(services.get_node))
        patch.setattr(node, "KILLED_PROCESS_REAP_TIMEOUT_SECONDS", HANG)
        # news of lost tasks would go to standard output
        patch.setattr(worker, "print_to_stdstream", lambda *_, **__: None)
        ray.cloudpickle.register_pickle_by_value(job_factory)
        both = Cluster(initialize_head=True, head_node_args={**NODE, "node_ip_address": "127.0.0.1"})
        second = both.add_node(**NODE, node_ip_address="127.0.0.1")
        ray.init(
            address=both.address,
            _node_ip_address="127.0.0.1",
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
        )
        yield both, second
        ray.shutdown()
        both.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_cluster_that_loses_a_node_draws_the_votes_of_one_machine(nodes, tmp_path) -> None:
    import ray

    from radii.engine.ray import Cluster

    both, second = nodes
    smoothed, examples = load()
    home, asking = ray.get_runtime_context().get_node_id(), tmp_path / "asking"
    there = replace(smoothed, model=OnNodes(smoothed.model, asking, home).eval())
    job = Job(load, PLANS["fixed"], 3)
    drawn = []

    class Struck(Cluster):
        def sample(self, units, report):
            for unit, content in super().sample(units, report):
                drawn.append(unit.number)
                if len(drawn) == 3:
                    both.remove_node(second, allow_graceful=False)
                yield unit, content

    executor = Struck(there, examples, job)
    assert executor._slots == 2
    asking.mkdir()
    votes = run(executor, Parts(LocalFolder(tmp_path / "ray")), block=BLOCK)
    assert len(list(asking.iterdir())) == 2
    shutil.rmtree(asking)
    here = LocalExecutor(replace(job, load=lambda: (there, examples)))
    assert votes.encode() == run(here, Parts(LocalFolder(tmp_path / "here")), block=BLOCK).encode()
    assert sorted(drawn) == list(range(12))


def test_what_a_task_refuses_is_one_sentence(nodes, tmp_path) -> None:
    from radii.engine.ray import Cluster

    smoothed, examples = job_factory.load_not_finite()
    executor = Cluster(smoothed, examples, Job(load, PLANS["fixed"], 3))
    with pytest.raises(InputError, match="NaN or infinite logits on a noise sample of image"):
        run(executor, Parts(LocalFolder(tmp_path)), block=BLOCK)


@pytest.mark.slow
def test_a_task_whose_process_dies_every_time_is_given_up(nodes, tmp_path, monkeypatch) -> None:
    from radii.engine import ray

    monkeypatch.setattr(ray, "RETRIES", 1)
    smoothed, examples = load()
    model, home, begun = smoothed.model, os.getpid(), tmp_path / "begun"

    def ask(images):
        if os.getpid() != home and begun.exists():  # not while the model is checked, before the first part
            os.kill(os.getpid(), 9)
        return model(images)

    executor = ray.Cluster(replace(smoothed, model=ask), examples, Job(load, PLANS["fixed"], 3))
    begun.touch()
    with pytest.raises(InputError, match=r"lost a part of the work again and again .* enough memory"):
        run(executor, Parts(LocalFolder(tmp_path / "parts")), block=BLOCK)
