// The operations of the served OpenAPI document: attacks are made from it, so that a new route is attacked the day it comes.
import type { Level } from '../../../src/contracts/api-keys.ts';

export interface Operation {
  /** As in `GET /v1/sessions/{sessionId}`. */
  name: string;
  operationId: string;
  method: string;
  path: string;
  level: Level | 'none';
  /** Names of the ids in the path. */
  ids: string[];
  queryParameters: string[];
  takesBody: boolean;
  isList: boolean;
}

export async function operationsOf(url: string): Promise<Operation[]> {
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as any;
  return Object.entries<any>(document.paths).flatMap(([path, methods]) =>
    Object.entries<any>(methods).map(([method, operation]) => {
      const named = (place: string): string[] =>
        (operation.parameters ?? []).filter((each: any) => each.in === place).map((each: any) => each.name);
      return {
        name: `${method.toUpperCase()} ${path}`,
        operationId: operation.operationId,
        method: method.toUpperCase(),
        path,
        level: operation['x-level'],
        ids: named('path'),
        queryParameters: named('query'),
        takesBody: operation.requestBody !== undefined,
        isList: named('query').includes('cursor'),
      };
    }),
  );
}

/** The path with its ids. @throws for a kind of id that the test doesn't know yet: whoever adds one says how it is attacked. */
export const pathOf = ({ name, path }: Operation, ids: Record<string, string>): string =>
  path.replace(/\{(\w+)\}/g, (_, id: string) => {
    const value = ids[id];
    if (value === undefined) throw new Error(`${name} has ids of a new kind, '${id}': give this test one`);
    return value;
  });

/** A body that each call takes, by operation. */
const BODIES: Record<string, Record<string, unknown>> = {
  createSession: { model: 'claude-haiku' },
  updateSession: { metadata: { touched: 'yes' } },
  createMessage: { content: 'Hello', background: true },
  createTool: { name: 'look_up', description: 'Looks something up', parameters: { type: 'object' } },
  submitToolResults: { tool_call_id: 'call_000000000000000000000000', result: 'x' },
  createClientToken: { session_ids: ['sess_unknown'], scopes: ['read'] },
  createWebhook: { url: 'https://example.com/hook', events: ['*'] },
  rotateWebhookSecret: {},
  testWebhook: { type: 'session.created' },
  replayDeliveries: { from: '2026-01-01T00:00:00Z', to: '2100-01-01T00:00:00Z' },
  updateWebhook: { description: 'touched' },
  createApiKey: { name: 'made by a test', level: 'read-only' },
};

/** @throws for an operation with a body that the test doesn't know yet. */
export function bodyOf({ name, operationId, takesBody }: Operation): Record<string, unknown> | undefined {
  if (!takesBody) return undefined;
  const body = BODIES[operationId];
  if (!body) throw new Error(`${name} takes a body: give this test one that is accepted`);
  return body;
}
