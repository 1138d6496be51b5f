// Acceptance test 60: schemas of tools and inputs of the model that want the server's event loop for themselves, and what
// everybody else waits for meanwhile. Each in a server whose checker is cold at first.
import { Agent, request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { cleanUp, type ServerProcess, startServer } from '../support/process.ts';

/** On idle cores 50 ms; a machine under load gives the server less of its time. Unbounded, each of these would take seconds. */
const LAG_MS_MAX = 150;
/** The work is the same each time, what a busy machine adds is not: the best of these counts. */
const TRIES = 4;
const PROBE_EVERY_MS = 5;

type Json = Record<string, unknown>;
const list = (length: number, item: (index: number) => unknown): unknown[] =>
  Array.from({ length }, (_, index) => item(index));
const properties = (fields: Json, more: Json = {}): Json => ({ type: 'object', properties: fields, ...more });
const numbered = (count: number, name: string, make: (index: number) => unknown): Json =>
  Object.fromEntries(list(count, (index) => [`${name}${index}`, make(index)]) as [string, unknown][]);

/** Each level tries both branches of the next: 2^30 checks of one value. */
const doubling = (keyword: string): Json => {
  const next = (level: number) => ({ $ref: `#/$defs/L${level + 1}` });
  const levels = numbered(30, 'L', (level) => ({ [keyword]: [next(level), next(level)] }));
  return properties({ x: { $ref: '#/$defs/L0' } }, { $defs: { ...levels, L30: { type: 'null' } } });
};
const pattern = (text: string): Json => properties({ x: { pattern: text } });
const BOMB = '^(a+)+$';

/** A schema, and an input that the model may make up for it. */
const HOSTILE: Record<string, [Json, Json]> = {
  'any of doubled branches': [doubling('anyOf'), { x: 1 }],
  'one of doubled branches': [doubling('oneOf'), { x: 1 }],
  'all of doubled branches': [doubling('allOf'), { x: null }],
  'a pattern bomb': [pattern(BOMB), { x: `${'a'.repeat(50_000)}!` }],
  'a pattern with many states': [pattern('([ab]*)*[ab]{12}c'), { x: 'ab'.repeat(20_000) }],
  'a pattern of letters with counts': [pattern('(\\p{L}{1,500}){1,2}$'), { x: 'é'.repeat(20_000) }],
  'a pattern bomb of names': [
    { type: 'object', patternProperties: { [BOMB]: {} } },
    numbered(500, 'a'.repeat(50), () => 1),
  ],
  'a hundred patterns': [properties(numbered(100, 'f', (n) => ({ pattern: `^[a-z]{1,20}${n}$` }))), {}],
  'a format that looks like a pattern': [properties({ x: { format: BOMB } }), { x: `${'a'.repeat(40)}!` }],
  'references in a ring': [
    properties({}, { $defs: numbered(500, 'R', (n) => ({ $ref: `#/$defs/R${(n + 1) % 500}` })) }),
    {},
  ],
  'a reference to another host': [properties({ x: { $ref: 'http://127.0.0.1:9/schema.json' } }), { x: 1 }],
  'a schema that contains itself': [properties({ n: { $ref: '#' } }), { n: { n: { n: {} } } }],
  'as many schemas as are taken': [{ type: 'object', allOf: list(2_450, () => ({})) }, {}],
  'unique items': [
    properties({ x: { type: 'array', uniqueItems: true } }),
    { x: list(4_000, (a) => ({ a, b: 1 })) },
  ],
  'defaults for many rows': [
    properties({ x: { items: properties({ big: { default: list(1_000, () => 0) } }) } }),
    { x: list(5_000, () => ({})) },
  ],
};

let server: ServerProcess;
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
beforeAll(async () => {
  server = await startServer({ env: { OPENCLAW_RATE_LIMIT_PER_MINUTE: '1000000' } });
}, 60_000);
afterAll(async () => {
  agent.destroy();
  await cleanUp();
});

const ask = (): Promise<void> =>
  new Promise((resolve, reject) => {
    const call = request(`http://127.0.0.1:${server.port}/healthz`, { agent }, (response) =>
      response.resume().on('end', resolve),
    );
    call.on('error', reject).end();
  });

/** The longest that somebody else's smallest call took while `work` went on. */
async function slowestDuring(work: () => Promise<void>): Promise<number> {
  let isOver = false;
  let slowest = 0;
  const probe = async () => {
    while (!isOver) {
      const before = performance.now();
      await ask();
      slowest = Math.max(slowest, performance.now() - before);
      await new Promise((resolve) => setTimeout(resolve, PROBE_EVERY_MS));
    }
  };
  const probing = probe();
  await work().finally(() => {
    isOver = true;
  });
  await probing;
  return slowest;
}

/** Registers the schema anew, by another name for the checker, and lets the model call the tool. */
async function attack(schema: Json, input: Json, nonce: number): Promise<void> {
  const tool = { name: 'trap', description: 'A trap', parameters: { ...schema, $comment: `try ${nonce}` } };
  const { id } = await server.api.session();
  const { status } = await server.api.post(`/v1/sessions/${id}/tools`, tool);
  expect([201, 400]).toContain(status);
  if (status === 400) return;
  const reply = await server.api.send(id, `[[token_ms=0]] use tool trap ${JSON.stringify(input)}`);
  expect(['completed', 'requires_action']).toContain(reply.status);
  await server.api.delete(`/v1/sessions/${id}`);
}

const figures: string[] = [];
afterAll(() => process.stdout.write(`Slowest call of others beside:\n${figures.join('\n')}\n`));

describe('test 60: others are served while the server meets', () => {
  it.each(Object.entries(HOSTILE))(
    '%s',
    async (name, [schema, input]) => {
      const lags: number[] = [];
      for (let nonce = 0; nonce < TRIES; nonce += 1) {
        lags.push(await slowestDuring(() => attack(schema, input, nonce)));
        if (Math.min(...lags) < LAG_MS_MAX / 3) break;
      }
      figures.push(`${name}: ${lags.map(Math.round).join(', ')} ms`);
      expect(Math.min(...lags)).toBeLessThan(LAG_MS_MAX);
    },
    60_000,
  );
});
