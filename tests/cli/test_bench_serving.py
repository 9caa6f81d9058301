"""`rec-platform bench serving --url` and `bench events --url` against a service in this process, without Ray."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from rec_platform.cli.main import run
from rec_platform.serving.load import bench_model
from rec_platform.serving.routes import create_app
from rec_platform.serving.runtime import ServiceRuntime
from rec_platform.serving.settings import ServiceSettings

TOKEN = "a-token-of-some-length"
QUICK = ["--seconds", "0.3", "--rounds", "1", "--connections", "2", "--users", "5"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    (home / "token").write_text(TOKEN)
    bench_model.register_model(home, items=40, history=5)
    runtime = ServiceRuntime(ServiceSettings(home=home, token_file=home / "token"))
    runtime.fleet.configure({"model": "bench"})
    server = uvicorn.Server(uvicorn.Config(create_app(runtime), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=30)


def test_serving(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "serving", "--url", url, "--key", TOKEN, *QUICK, "--json"]) == 0
    out, err = capsys.readouterr()
    (row,) = json.loads(out.splitlines()[-1])["results"]
    assert (row["name"], row["connections"], row["errors"]) == ("recommend", 2, 0)
    assert row["requests_per_second"] > 0
    assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]
    assert row["cpu_us_per_request"] is None  # no Serve replica of this machine
    assert "recommend, 2 connections, round 1 of 1" in err


def test_events_in_an_open_loop(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "events", "--url", url, "--key", TOKEN, *QUICK, "--batch", "5", "--rate", "40"]
    assert run([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["results"]
    assert [row["name"] for row in rows] == ["events_batch5", "events_single"]
    assert all((row["loop"], row["rate"], row["errors"]) == ("open", 40.0, 0) for row in rows)
    assert rows[0]["events_per_second"] == pytest.approx(5 * rows[0]["requests_per_second"])


def test_nothing_succeeds(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "serving", "--url", url, "--key", TOKEN, *QUICK, "--limit", "41"]) == 1
    out, err = capsys.readouterr()
    assert "errors of recommend: 422:" in out
    assert "no request succeeded: recommend" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--key", "wrong"], "key: "),
        (["--connections", "0"], "connections"),
        (["--rate", "-1"], "rate"),
    ],
)
def test_bad_input(url: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "serving", "--url", url, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_nobody_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "events", "--url", "http://127.0.0.1:1"]) == 2
    assert "is it running?" in capsys.readouterr().err
    assert run(["bench", "serving", "--model", "nobody", "--home", str(tmp_path)]) == 2
    assert "there is no model 'nobody'" in capsys.readouterr().err
