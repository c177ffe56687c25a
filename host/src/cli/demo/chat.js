// Turns events into messages for a chat. Drops events about idle agents.
const { type, data } = event;
if (type.startsWith("session.") && data.status === "idle") return null;

const who = (data.customer ?? data.agent ?? {}).name ?? data.sender?.login ?? "somebody";
const what = data.subject ?? data.id ?? data.repository?.full_name ?? "something";
console.log(`a message about ${type}`);
request.headers["x-channel"] = type.split(/[._]/)[0].toLowerCase();
request.body = { text: `${type}: ${who}, ${what}`, sent: new Date(event.occurredAt) };
