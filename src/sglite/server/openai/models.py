"""``/v1/models``: which model this is, and which names it answers to."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sglite.server.front import Front
from sglite.server.http.error_table import HttpError
from sglite.server.http.routes import ApiRoute, json_response
from sglite.validation.fields import shown, string

MAX_NAME_CHARACTERS = 1024


def is_known_name(front: Front, name: str) -> bool:
    """True where ``name`` is a name of the served model."""
    return name in (front.served_name, front.config.model_path, front.model_directory)


def model_name(front: Front, asked: object) -> str:
    """The name to echo. Any is served, unless ``--strict-model-name`` is set.

    Raises RequestError where it is no text, HttpError (404) where it is refused.
    """
    if asked is None or asked == "":
        return front.served_name
    name = string("model", asked, max_length=MAX_NAME_CHARACTERS)
    if front.config.strict_model_name and not is_known_name(front, name):
        raise unknown_model(front, name)
    return name


def unknown_model(front: Front, name: str) -> HttpError:
    """The error for a name that is not served."""
    return HttpError(
        f"the model {shown(name)} does not exist; this server has {front.served_name!r}",
        status=404,
        code="model_not_found",
        param="model",
    )


class ModelRoutes:
    """The handlers. ``created`` is when the server began."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._created = int(time.time())

    async def list_models(self, request: Request) -> Response:
        """All models: one."""
        return json_response({"object": "list", "data": [self._card(self._front.served_name)]})

    async def retrieve_model(self, request: Request) -> Response:
        """One model by its name. Raises HttpError (404)."""
        name = request.path_params["model_id"]
        if not is_known_name(self._front, name):
            raise unknown_model(self._front, name)
        return json_response(self._card(name))

    def _card(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": "sglite",
            "root": self._front.model_directory,
            "parent": None,
            "max_model_len": self._front.limits.context_length,
        }


def routes(front: Front) -> list[ApiRoute]:
    """``/v1/models`` and ``/v1/models/{id}``; ids are paths at times, so slashes belong to them."""
    handlers = ModelRoutes(front)
    return [
        ApiRoute(
            path="/v1/models",
            methods=("GET",),
            handler=handlers.list_models,
            access="user",
            summary="The served model",
        ),
        ApiRoute(
            path="/v1/models/{model_id:path}",
            methods=("GET",),
            handler=handlers.retrieve_model,
            access="user",
            summary="The served model by its name",
        ),
    ]
