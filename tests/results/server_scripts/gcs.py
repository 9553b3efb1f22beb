"""Serves Google's storage interface from memory: the emulator of PyPI with the conditions that commits depend on.

Called as `python gcs.py PORT`. What is mended here, because the emulator as published does it otherwise:

- "create only if absent" (`ifGenerationMatch=0`) is honoured, for each piece of an upload (gcsfs says it with each);
- an object can be moved and an upload given up, for which gcsfs would try half a minute and then do without;
- connections wait in line: with room for only five, the concurrent requests of gcsfs stall for minutes;
- nothing is written per request: the emulator saves all it knows after each change, which makes n changes cost n².

So what tests show on this server is true of Google's only as far as the patch is: the interface says what it does here.
"""

from __future__ import annotations

import http.server
import importlib
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

WAITING_CONNECTIONS = 1024
CONFLICT = {"error": {"code": 412, "message": "conditionNotMet", "errors": [{"reason": "conditionNotMet"}]}}

CANCELLED = SimpleNamespace(value=499, phrase="Client Closed Request")
"""What Google answers when an upload is given up; the standard library has no such number."""

BUCKET, OBJECT = r"(?P<bucket_name>[-.\w]+)", r"(?P<object_id>.*[^/]+)"


class ConditionNotMet(Exception):
    """The object is there already."""


def conditional_storage(base: Any) -> type[Any]:
    """The emulator's storage with `only_if_absent`, set by each request before it is handled (one at a time)."""

    class Storage(base):  # type: ignore[misc]
        only_if_absent = False

        def create_file(self, bucket: str, name: str, *rest: Any) -> None:
            self.check(bucket, name)
            super().create_file(bucket, name, *rest)

        def create_resumable_upload(self, bucket: str, name: str, resource: Any) -> Any:
            self.check(bucket, name)
            return super().create_resumable_upload(bucket, name, resource)

        def check(self, bucket: str, name: str) -> None:
            if self.only_if_absent and name in self.objects.get(bucket, {}):
                raise ConditionNotMet

        def _write_config_to_file(self) -> None:
            """All is in memory and ends with the process."""

    return Storage


def conditional_handling(server: Any, handle: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
    """The router's entry, which reads the condition and answers 412 where it is not met."""

    def handle_conditionally(router: Any, method: str) -> None:
        handler = router._request_handler
        query = parse_qs(urlsplit(handler.path).query)
        handler.storage.only_if_absent = query.get("ifGenerationMatch") == ["0"]
        try:
            handle(router, method)
        except ConditionNotMet:
            response = server.Response(handler)
            response.status = HTTPStatus.PRECONDITION_FAILED
            response.json(CONFLICT)
            response.close()

    return handle_conditionally


def more_routes(server: Any) -> list[tuple[str, dict[str, Callable[..., None]]]]:
    """Requests that the emulator does not know: moving an object, giving up an upload."""
    objects, path, upload_path = server.objects, server.settings.API_ENDPOINT, server.settings.UPLOAD_API_ENDPOINT

    def move(request: Any, response: Any, storage: Any) -> None:
        names = request.params
        names["dest_bucket_name"] = names["bucket_name"]
        objects.rewrite(request, response, storage)
        if response.status == HTTPStatus.OK:
            storage.delete_file(names["bucket_name"], names["object_id"])
            response.json(storage.get_file_obj(names["bucket_name"], names["dest_object_id"]))

    def give_up(request: Any, response: Any, storage: Any) -> None:
        storage.delete_resumable_file_obj(request.query["upload_id"][0])
        response.status = CANCELLED

    known = next(methods for pattern, methods in server.HANDLERS if pattern == rf"^{upload_path}/b/{BUCKET}/o$")
    return [
        (
            rf"^{path}/b/{BUCKET}/o/{OBJECT}/moveTo/o/(?P<dest_object_id>.*[^/]+)$",
            {"POST": move},
        ),
        (rf"^{upload_path}/b/{BUCKET}/o$", {**known, "DELETE": give_up}),
    ]


def main(port: int) -> None:
    """Serve until killed."""
    # Imported here, so that this file can be looked at where the emulator is not installed.
    server: Any = importlib.import_module("gcp_storage_emulator.server")
    http.server.HTTPServer.request_queue_size = WAITING_CONNECTIONS
    server.Storage = conditional_storage(server.Storage)
    server.Router.handle = conditional_handling(server, server.Router.handle)
    server.HANDLERS = (*more_routes(server), *server.HANDLERS)
    server.create_server("127.0.0.1", port, in_memory=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
