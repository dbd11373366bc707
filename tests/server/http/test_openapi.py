import asyncio

from sglite.server.app import build_app, load_protocols
from sglite.server.http.openapi import openapi
from sglite.server.http.routes import ApiRoute
from tests.server.asgi import client
from tests.server.fake_engine import make_front


async def handler(request):
    raise NotImplementedError


def route(path, methods=("GET",), **settings):
    return ApiRoute(
        path=path, methods=methods, handler=handler, access=settings.pop("access", "user"),
        summary="does it", **settings,
    )  # fmt: skip


def test_paths_parameters_and_bodies_are_described():
    schema = {"type": "object", "required": ["text"]}
    page = openapi(
        [
            route("/health", access="open"),
            route("/generate", ("POST", "PUT"), body=schema),
            route("/v1/models/{model:path}"),
        ]
    )
    assert page["openapi"].startswith("3.1")
    assert "security" not in page["paths"]["/health"]["get"]
    post = page["paths"]["/generate"]["post"]
    assert post["requestBody"]["content"]["application/json"]["schema"] == schema
    assert post["requestBody"]["required"] is True
    assert page["paths"]["/generate"]["put"]["summary"] == "does it"
    (parameter,) = page["paths"]["/v1/models/{model}"]["get"]["parameters"]
    assert (parameter["name"], parameter["in"]) == ("model", "path")


def test_page_describes_every_route_and_is_behind_the_key():
    async def main():
        front = make_front(api_key="k")
        async with client(build_app(front)) as http:
            assert (await http.get("/openapi.json")).status_code == 401
            page = (await http.get("/openapi.json", headers={"Authorization": "Bearer k"})).json()
        described = set(page["paths"])
        for module in load_protocols():
            for each in module.routes(front):
                assert each.path.replace(":path", "") in described

    asyncio.run(main())
