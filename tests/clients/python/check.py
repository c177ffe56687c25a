"""Uses the generated Python client against a running engine: post, batch, upload, patch, list."""

import io
import json
import os

from hookwright_client import AuthenticatedClient
from hookwright_client.api.deliveries import list_deliveries
from hookwright_client.api.events import get_event, post_event, post_events
from hookwright_client.api.hooks import create_hook, list_hooks, patch_hook
from hookwright_client.api.keys import create_key
from hookwright_client.api.plugins import get_plugin, put_plugin
from hookwright_client.api.tenants import create_tenant
from hookwright_client.models import (
    Delivery,
    DeliveryState,
    EventInput,
    Hook,
    HookInput,
    HookPatch,
    KeyInput,
    Problem,
    Scope,
    TenantInput,
)
from hookwright_client.types import File

TENANT = "python.example"


def check(response, status, kind=None):
    """Check status and type of a response, and return its parsed body."""
    assert response.status_code == status, (response.status_code, response.content)
    assert kind is None or isinstance(response.parsed, kind), response.parsed
    return response.parsed


def client_of(key):
    return AuthenticatedClient(base_url=os.environ["HOOKWRIGHT_URL"], token=key)


def new_tenant():
    """Create a tenant and return its client."""
    operator = client_of(os.environ["HOOKWRIGHT_ADMIN_KEY"])
    check(create_tenant.sync_detailed(client=operator, body=TenantInput(name=TENANT)), 201)
    scopes = list(Scope)
    made = create_key.sync_detailed(
        client=operator, body=KeyInput(name="client", scopes=scopes), hookwright_tenant=TENANT
    )
    return client_of(check(made, 201).key)


def main():
    client = new_tenant()
    # Nothing listens on this port, so deliveries are retried and can be listed.
    body = HookInput(url="http://127.0.0.1:9/", types=["order.*"])
    hook = check(create_hook.sync_detailed(client=client, body=body), 201, Hook)

    # post
    event = EventInput(type_="order.paid", data={"order": 7}, id="py-40")
    receipt = check(post_event.sync_detailed(client=client, body=event), 202)
    assert (receipt.id, receipt.deliveries, receipt.duplicate) == ("py-40", 1, False), receipt
    assert check(get_event.sync_detailed(receipt.id, client=client), 200).data == {"order": 7}

    # batch
    lines = "".join(json.dumps({"type": "order.paid", "data": n}) + "\n" for n in range(3))
    batch = check(post_events.sync_detailed(client=client, body=File(payload=io.BytesIO(lines.encode()))), 202)
    assert batch.accepted == 3 and len(batch.ids) == 3, batch

    # upload: the bytes of a standard plugin under another name
    response = client.get_httpx_client().get("/api/v3/plugins/field-map/wasm")
    assert response.status_code == 200, response
    upload = File(payload=io.BytesIO(response.content))
    plugin = check(put_plugin.sync_detailed("my-map", client=client, body=upload), 201)
    assert (plugin.name, plugin.version) == ("my-map", 1), plugin
    assert check(get_plugin.sync_detailed("my-map", client=client), 200).digest == plugin.digest

    # patch
    patch = HookPatch(description="patched", timeout_ms=5_000)
    patched = check(patch_hook.sync_detailed(hook.id, client=client, body=patch), 200, Hook)
    assert (patched.description, patched.timeout_ms, patched.types) == ("patched", 5_000, ["order.*"]), patched
    back = check(patch_hook.sync_detailed(hook.id, client=client, body=HookPatch(timeout_ms=None)), 200, Hook)
    assert back.timeout_ms == 20_000, back
    refused = check(patch_hook.sync_detailed(hook.id, client=client, body=HookPatch(timeout_ms=1)), 400, Problem)
    assert refused.pointer == "/timeout_ms", refused

    # list
    hooks = check(list_hooks.sync_detailed(client=client, limit=1), 200)
    assert [one.id for one in hooks.data] == [hook.id], hooks
    found, cursor = [], None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        page = check(list_deliveries.sync_detailed(client=client, hook=hook.id, limit=3, **more), 200)
        assert all(isinstance(one, Delivery) for one in page.data), page
        found += page.data
        cursor = page.next_
        if not cursor:
            break
    assert len(found) == 4 and all(isinstance(one.state, DeliveryState) for one in found), found
    dropped = check(list_deliveries.sync_detailed(client=client, state=DeliveryState.DROPPED), 200)
    assert dropped.data == [], dropped


main()
