"""The description of the API is committed, so that a change of the contract shows in review.

After a wanted change: ``python tests/serving/test_openapi.py`` writes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from jsonschema import Draft202012Validator

from rec_platform.serving.api_models import RecommendationRequest
from rec_platform.serving.routes import create_app

COMMITTED = Path(__file__).parents[2] / "rec_platform" / "serving" / "openapi.json"


def current() -> str:
    return json.dumps(create_app(None).openapi(), indent=1, sort_keys=True) + "\n"


def test_it_is_the_committed_one() -> None:
    assert current() == COMMITTED.read_text(), f"run python {Path(__file__).name} if this change is meant"


def test_every_reference_leads_somewhere() -> None:
    text = current()
    schemas = json.loads(text)["components"]["schemas"]
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.split('"')[0] in schemas
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_every_route_says_what_it_does_and_gives() -> None:
    document = json.loads(current())
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            given = {status: answer for status, answer in operation["responses"].items() if status < "300"}
            assert len(given) == 1
            for status, answer in given.items():
                assert status == "204" or "schema" in answer["content"]["application/json"]
            if path.startswith("/v1") and path != "/v1/info":
                for status in ("401", "403", "404", "422", "429", "503"):
                    assert "application/problem+json" in operation["responses"][status]["content"]
            if method in ("put", "patch"):
                assert operation["requestBody"]["required"]


def test_the_schema_takes_what_the_service_takes() -> None:
    document = json.loads(current())
    body = document["paths"]["/v1/recommendations"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = Draft202012Validator(body | {"components": document["components"]})
    validator.validate(RecommendationRequest(user_id="u").model_dump(mode="json"))
    assert not validator.is_valid({"user_id": "u", "surprise": 1})
    assert document["openapi"].startswith("3.1")


if __name__ == "__main__":
    COMMITTED.write_text(current())
