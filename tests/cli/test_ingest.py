from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from rec_platform.cli import main
from rec_platform.cli.ingest import ingest, parse_mapping
from rec_platform.data.formats import READERS
from rec_platform.errors import InputError

app = typer.Typer()
app.command("ingest")(ingest)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("uid,item_id,timestamp,stars\nu1,a,1,5\nu2,b,2,1\nu2,b,never,1\n")
    return path


def test_json_is_the_last_line(log, tmp_path):
    mapped = ("--map", "user_id=uid", "--map", "rating=stars")
    result = run(log, "--format", "csv", "--output", tmp_path / "d", *mapped, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout.strip().splitlines()[-1])
    assert answer == {
        "rows_read": 3, "rows_kept": 2, "rows_rejected": 1, "users": 2, "items": 2, "interactions": 2, "decisions": 0,
        "output": str(tmp_path / "d"), "rejected": {"bad_timestamp": 1},
    }  # fmt: skip


def test_the_summary_names_what_was_rejected(log, tmp_path):
    result = run(log, "--format", "csv", "--output", tmp_path / "d", "--map", "user_id=uid")
    assert result.exit_code == 0, result.output
    assert "bad_timestamp" in result.output
    assert "rejected_share" in result.output


def test_generator(tmp_path):
    sizes = ("--users", 20, "--items", 10, "--seed", 3)
    result = run("generator", "--format", "generator", "--output", tmp_path / "d", *sizes, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout.strip().splitlines()[-1])
    assert (answer["users"], answer["items"], answer["rows_rejected"]) == (20, 10, 0)
    assert answer["decisions"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("log.csv", "--format", "generator"), "generator --format generator"),
        (("log.csv", "--format", "csv", "--users", "3"), "only the generator"),
        (("generator", "--format", "generator", "--map", "a=b"), "no columns to map"),
        (("log.csv", "--format", "cvs"), "did you mean 'csv'"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, arguments, message):
    result = run(*arguments, "--output", tmp_path / "d")
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
    assert not (tmp_path / "d").exists()


def test_help_lists_every_format():
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    assert all(name in text for name in (*READERS, "generator"))


@pytest.mark.parametrize(
    ("format", "message"),
    [
        ("coat", "no train.ascii"),
        ("movielens-1m", "no ratings.dat"),
        ("online-retail", "no online_retail.csv"),
        ("open-bandit", "no all.csv, men.csv, women.csv"),
    ],
)
def test_a_folder_of_something_else_is_bad_input(tmp_path, capsys, format, message):
    code = main.run(["ingest", str(tmp_path), "--format", format, "--output", str(tmp_path / "d")])
    assert code == main.BAD_INPUT
    assert message in capsys.readouterr().err


def test_movielens_1m(tmp_path, capsys):
    (tmp_path / "ratings.dat").write_text("1::10::5::978300760\n2::10::3::978302109\n2::11::9::978302109\n")
    arguments = ["ingest", str(tmp_path), "--format", "movielens-1m", "--output", str(tmp_path / "d")]
    assert main.run([*arguments, "--map", "user_id=UserID"]) == main.BAD_INPUT
    message = capsys.readouterr().err
    assert "fixed columns" in message
    assert "leave --map out" in message
    assert main.run([*arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert (answer["rows_read"], answer["rows_kept"], answer["rejected"]) == (3, 2, {"bad_rating": 1})


def test_open_bandit(tmp_path, capsys):
    folder = tmp_path / "bts" / "women"
    folder.mkdir(parents=True)
    names = ["timestamp", "item_id", "position", "click", "propensity_score", *(f"user_feature_{n}" for n in range(4))]
    rows = [f"2019-11-24,{n % 2},3,{n % 2},0.5,a,b,c,{n}" for n in range(4)]
    (folder / "women.csv").write_text("\n".join([",".join(names), *rows, "2019-11-24,0,4,0,0.5,a,b,c,0"]) + "\n")
    features = ",".join(f"item_feature_{n}" for n in range(4))
    arguments = ["ingest", str(folder), "--format", "open-bandit", "--output", str(tmp_path / "d")]
    assert main.run(arguments) == main.BAD_INPUT
    assert "no item_context.csv" in capsys.readouterr().err
    (folder / "item_context.csv").write_text(f"item_id,{features}\n0,0.5,x,y,z\n1,0.5,x,y,w\n")
    assert main.run([*arguments, "--map", "user_id=user_feature_0"]) == main.BAD_INPUT
    assert "fixed columns" in capsys.readouterr().err
    assert main.run([*arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert answer["rejected"] == {"bad_position": 1}
    counts = ("rows_read", "rows_kept", "rows_rejected", "users", "items", "interactions", "decisions")
    assert [answer[name] for name in counts] == [5, 4, 1, 4, 2, 6, 4]


def test_mapping_pairs():
    assert parse_mapping(["user_id=uid", " value = a=b "]) == {"user_id": "uid", "value": "a=b"}
    for pairs in (["user_id"], ["=x"], ["user_id="], ["user_id=a", "user_id=b"]):
        with pytest.raises(InputError, match="map"):
            parse_mapping(pairs)
