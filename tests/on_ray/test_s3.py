"""Results on S3, of a server of the tests' own on the loopback address: everything a run needs lies there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs as pafs

from tests.tools.real_ray import SMALL, Here
from tuner import compare, export, replay, report, results
from tuner.results.store import Store


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """host:port of an S3 server with an empty bucket `bucket`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"endpoint_override": f"{host}:{port}", "scheme": "http", "region": "us-east-1"}
    pafs.S3FileSystem(**options, allow_bucket_creation=True).create_dir("bucket")
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def root(server: str) -> str:
    """Where results go, told whole in the URI."""
    return f"s3://bucket/results?endpoint_override={server}&scheme=http&region=us-east-1"


class Story:
    """A run with its results on S3, gone on with by a machine that has nothing but the pairs and the URI.

    The second machine has the server from the environment, as other programs of S3 take it, by AWS_ENDPOINT_URL; the workers,
    which have none of their own, have it from the command.
    """

    def __init__(self, folder: Path, pairs: Path, root: str, address: str) -> None:
        where, _, options = root.partition("?")
        server = dict(option.split("=") for option in options.split("&"))
        common = ("--address", address, "--cache")
        small = (*SMALL, "--trials", 2, "--epochs", 2)
        begun = Here("--data", pairs, *small, "--results", root, *common, folder / "first cache")
        begun.expect(0)
        self.run, self.before = begun.run, results.trials(root)
        shutil.rmtree(folder / "first cache")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", f"{server['scheme']}://{server['endpoint_override']}")
            patch.setenv("AWS_DEFAULT_REGION", server["region"])
            again = Here("--resume", self.run, "--trials", 3, "--results", where, *common, folder / "empty cache")
        self.output = again.expect(0)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, pairs: Path, root: str, cluster: Any) -> Story:
    """The whole story, told once."""
    return Story(tmp_path_factory.mktemp("s3"), pairs, root, cluster.address)


def test_another_machine_goes_on_with_the_run(story: Story, root: str) -> None:
    """From study and options beside the tables: the next number, another configuration, what ended stays as it was."""
    trials = results.trials(root)
    assert sorted(trials.trial) == [0, 1, 2] and trials.temperature.is_unique
    kept = trials[trials.trial < 2].reset_index(drop=True)
    shares = ["win_share"]  # which are of all trials that there are
    pd.testing.assert_frame_equal(kept.drop(columns=shares), story.before.drop(columns=shares))
    assert results.runs(root).state.item() == "finished"
    below = Store.at(root)
    files = {info.base_name for info in below.fs.get_file_info(pafs.FileSelector(below.path("state", story.run)))}
    assert {"run.json", "study.log"} <= files and "alive.json" not in files


@pytest.mark.parametrize("verb", [compare, report, replay, export])
def test_every_verb_reads_it(verb: Any, story: Story, root: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Exit code 0, and what it is there for is done."""
    more = {
        compare: [],
        report: [story.run],
        replay: [story.run, "0"],
        export: [story.run, "--to", str(tmp_path / "model")],
    }
    code = verb.main([*more[verb], "--results", root])
    output = capsys.readouterr().out
    assert code == 0, output
    if verb is report:
        assert Store.at(root).exists(Store.at(root).path("reports", f"{story.run}.html"))
    elif verb is export:
        assert (tmp_path / "model" / "score.py").is_file()
    else:
        assert story.run in output or "bit for bit" in output
