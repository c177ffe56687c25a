// Uses the generated TypeScript client against a running engine: post, batch, upload, patch, list.

import assert from 'node:assert/strict';

import { createClient, createConfig } from './generated/client';
import {
  createHook, createKey, createTenant, getEvent, getPlugin, getPluginWasm, listDeliveries, listHooks, patchHook,
  postEvent, postEvents, putPlugin,
} from './generated/sdk.gen';
import type { Delivery, DeliveryState, Hook, HookPatch, Problem, Scope } from './generated/types.gen';

const TENANT = 'typescript.example';

function environment(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

const clientOf = (key: string) => createClient(createConfig({ baseUrl: environment('HOOKWRIGHT_URL'), auth: key }));

/** Checks the status of a response and returns its body. */
function check<Data, Failure>(
  result: { data?: Data; error?: Failure; response?: Response },
  status: number,
): NonNullable<Data> {
  assert.equal(result.response?.status, status, JSON.stringify(result.error));
  assert.ok(result.data !== undefined && result.data !== null);
  return result.data;
}

async function newTenant() {
  const operator = clientOf(environment('HOOKWRIGHT_ADMIN_KEY'));
  check(await createTenant({ client: operator, body: { name: TENANT } }), 201);
  const scopes: Scope[] = [
    'events:write', 'events:read', 'hooks:write', 'hooks:read', 'plugins:write', 'plugins:read', 'deliveries:read',
  ];
  const made = await createKey({
    client: operator, body: { name: 'client', scopes }, headers: { 'Hookwright-Tenant': TENANT },
  });
  return clientOf(check(made, 201).key);
}

async function main() {
  const client = await newTenant();
  // Nothing listens on this port, so deliveries are retried and can be listed.
  const made = await createHook({ client, body: { url: 'http://127.0.0.1:9/', types: ['order.*'] } });
  const hook: Hook = check(made, 201);

  // post
  const receipt = check(await postEvent({ client, body: { type: 'order.paid', data: { order: 7 }, id: 'ts-40' } }), 202);
  assert.deepEqual([receipt.id, receipt.deliveries, receipt.duplicate], ['ts-40', 1, false]);
  assert.deepEqual(check(await getEvent({ client, path: { id: receipt.id } }), 200).data, { order: 7 });

  // batch
  const lines = [1, 2, 3].map((number) => `${JSON.stringify({ type: 'order.paid', data: number })}\n`);
  const batch = check(await postEvents({ client, body: new Blob(lines) }), 202);
  assert.deepEqual([batch.accepted, batch.ids.length], [3, 3]);

  // upload: the bytes of a standard plugin under another name
  const wasm = check(await getPluginWasm({ client, path: { name: 'field-map' }, parseAs: 'blob' }), 200);
  const plugin = check(await putPlugin({ client, path: { name: 'my-map' }, body: wasm }), 201);
  assert.deepEqual([plugin.name, plugin.version], ['my-map', 1]);
  assert.equal(check(await getPlugin({ client, path: { name: 'my-map' } }), 200).digest, plugin.digest);

  // patch
  const patch = async (body: HookPatch) => patchHook({ client, path: { id: hook.id }, body });
  const patched = check(await patch({ description: 'patched', timeout_ms: 5_000 }), 200);
  assert.deepEqual([patched.description, patched.timeout_ms, patched.types], ['patched', 5_000, ['order.*']]);
  assert.equal(check(await patch({ timeout_ms: null }), 200).timeout_ms, 20_000);
  const refused = await patch({ timeout_ms: 1 });
  const problem: Problem | undefined = refused.error;
  assert.deepEqual([refused.response?.status, problem?.pointer], [400, '/timeout_ms']);

  // list
  const hooks = check(await listHooks({ client, query: { limit: 1 } }), 200);
  assert.deepEqual(hooks.data.map((one) => one.id), [hook.id]);
  const found: Delivery[] = [];
  let cursor: string | undefined;
  do {
    const page = check(await listDeliveries({ client, query: { hook: hook.id, limit: 3, cursor } }), 200);
    found.push(...page.data);
    cursor = page.next ?? undefined;
  } while (cursor);
  assert.equal(found.length, 4);
  const unfinished: DeliveryState[] = ['pending', 'delivering', 'waiting', 'exhausted'];
  assert.ok(found.every((one) => unfinished.includes(one.state)), JSON.stringify(found));
  assert.deepEqual(check(await listDeliveries({ client, query: { state: 'dropped' } }), 200).data, []);
}

void main();
