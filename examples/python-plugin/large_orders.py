"""A transformer: a message about a large order, or nothing for a small one."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import config
from wit_world.imports.types import Body_Text, Event, Failure, Request


def settings() -> tuple[float, str]:
    given = json.loads(config.get())
    unknown = given.keys() - {"at_least", "channel"}
    if unknown:
        # The engine tries settings before it creates a hook, and shows this message.
        raise Err(Failure("bad-settings", f"unknown: {', '.join(sorted(unknown))}", False))
    return given.get("at_least", 0), given.get("channel", "orders")


class Transformer(exports.Transformer):
    def transform(self, event: Event, draft: Request) -> Request | None:
        at_least, channel = settings()
        order = json.loads(event.data)
        if order.get("total", 0) < at_least:
            return None
        print(f"order {order.get('number')} over {order.get('total')}")  # goes to the delivery's log
        text = f"Order {order.get('number')} over {order.get('total')}"
        draft.body = Body_Text(json.dumps({"channel": channel, "text": text}))
        return draft
