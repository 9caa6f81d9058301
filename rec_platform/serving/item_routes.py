"""Items over HTTP: what is known of them beyond the model's catalogue, and which are alike."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from rec_platform.serving.api_models import Identifier
from rec_platform.serving.decision_service import DecisionService, rfc3339
from rec_platform.serving.hot_routes import read_body
from rec_platform.serving.item_intake import read_items
from rec_platform.serving.json_body import body_as
from rec_platform.serving.openapi import ERRORS, body_of
from rec_platform.serving.problems import Problem
from rec_platform.serving.record_models import Item, ItemAttributes, ItemsAccepted, SimilarRequest, SimilarResponse
from rec_platform.serving.runtime import ServiceRuntime
from rec_platform.serving.similar_items import SimilarItems
from rec_platform.serving.situation import dumps

ItemId = Annotated[Identifier, Path()]
_BODY = body_of("ItemAttributes")


def item_routes(runtime: ServiceRuntime) -> APIRouter:
    """The routes; never called where there is no runtime and they are only described."""
    router = APIRouter(responses=ERRORS)
    similar_items = SimilarItems()

    @router.put("/v1/items/{item_id}", response_model=Item, openapi_extra=_BODY)
    async def put_item(item_id: ItemId, request: Request) -> Response:
        """Replace what is known of an item; one that was deleted is there again."""
        body = await body_as(ItemAttributes, request, runtime.settings.max_body_bytes)
        bodies = {item_id: body.model_dump(mode="json", exclude_none=True)}
        await runtime.written(lambda: runtime.store.put_items(bodies))
        return await _item(item_id)

    @router.patch("/v1/items/{item_id}", response_model=Item, openapi_extra=_BODY)
    async def patch_item(item_id: ItemId, request: Request) -> Response:
        """Change the attributes that are named; null takes one away. An unknown item is a new one."""
        body = await body_as(ItemAttributes, request, runtime.settings.max_body_bytes)
        bodies = {item_id: body.model_dump(mode="json", exclude_unset=True)}
        await runtime.written(lambda: runtime.store.put_items(bodies, patch=True))
        return await _item(item_id)

    @router.get("/v1/items/{item_id}", response_model=Item)
    async def item(item_id: ItemId) -> Response:
        """What is known of an item, of the model's catalogue or put; 404 where neither knows it, or it was deleted."""
        return await _item(item_id)

    @router.delete("/v1/items/{item_id}", status_code=204, response_class=Response)
    async def delete_item(item_id: ItemId) -> Response:
        """Forget what was put of an item and mark it as deleted. Again, and nothing more happens."""
        if not _in_catalogue(item_id) and await asyncio.to_thread(runtime.store.item, item_id) is None:
            raise _unknown(item_id)
        await runtime.written(lambda: runtime.store.delete_items([item_id]))
        return Response(status_code=204)

    @router.post("/v1/items:batch", response_model=ItemsAccepted, openapi_extra=body_of("ItemBatch"))
    async def put_items(request: Request) -> Response:
        """Replace what is known of 1 to 500 items, each taken or refused for itself; on disk when answered."""
        intake = read_items(await read_body(request.scope, request.receive, runtime.settings.max_body_bytes))
        if intake.bodies:
            await runtime.written(lambda: runtime.store.put_items(intake.bodies))
        missing = [item_id for item_id in intake.bodies if not _in_catalogue(item_id)]
        return _json({"accepted": intake.accepted, "rejected": intake.rejections, "missing_ids": missing})

    @router.post("/v1/items/{item_id}/similar", response_model=SimilarResponse, openapi_extra=body_of("SimilarRequest"))
    async def similar(item_id: ItemId, request: Request) -> Response:
        """The items whose content features point the same way. Nobody is asked about, so nothing is logged."""
        asked = await body_as(SimilarRequest, request, runtime.settings.max_body_bytes)
        service = _service()
        found = await asyncio.to_thread(
            similar_items.of, service.bundle.catalog, item_id, asked.limit, asked.exclude_items
        )
        items = [{"item_id": name, "rank": rank, "score": score} for rank, (name, score) in enumerate(found, start=1)]
        model = {"name": service.bundle.manifest.name, "version": service.version}
        return _json({"item_id": item_id, "items": items, "model": model})

    def _service() -> DecisionService:
        service = runtime.fleet.service
        if service is None:
            runtime.readiness()  # says why
            raise Problem("not-ready", "no model is loaded", headers={"Retry-After": "1"})
        return service

    def _in_catalogue(item_id: str) -> bool:
        service = runtime.fleet.service
        return service is not None and int(service.bundle.catalog.index_of([item_id])[0]) >= 0

    async def _item(item_id: str) -> Response:
        stored = await asyncio.to_thread(runtime.store.item, item_id)
        known = _in_catalogue(item_id)
        if stored.deleted if stored is not None else not known:
            raise _unknown(item_id)
        said: dict[str, Any] = dict.fromkeys(ItemAttributes.model_fields)
        if stored is not None:
            said |= stored.body
        updated = None if stored is None else rfc3339(stored.updated_at)
        return _json(said | {"item_id": item_id, "updated_at": updated, "in_catalogue": known})

    return router


def _unknown(item_id: str) -> Problem:
    return Problem("not-found", f"there is no item '{item_id[:80]}'")


def _json(value: Any) -> Response:
    return Response(dumps(value), media_type="application/json")
