// The checker against those who want to stop the event loop: hostile schemas, hostile inputs, and very many of them (test 60).
import { parseJson } from '../../src/contracts/json.ts';
import { createCache } from '../../src/tools/json-schema/cache.ts';
import { createSchemaChecker } from '../../src/tools/json-schema/checker.ts';
import { CACHE_BYTES_MAX, CACHE_ENTRIES_MAX } from '../../src/tools/json-schema/limits.ts';

type Json = Record<string, unknown>;

/**
 * The work is bounded by steps, so a slow machine takes longer without doing more. Unbounded, each of these would take
 * seconds to for ever. Of this process's own time: others share the cores.
 */
const HOSTILE_CPU_MS_MAX = 1_000;

const properties = (fields: Json, more: Json = {}): Json => ({ type: 'object', properties: fields, ...more });
const TOO_COMPLEX = /too complex/;
const list = (length: number, item: (index: number) => unknown): unknown[] =>
  Array.from({ length }, (_, index) => item(index));

function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

function timed<Result>(work: () => Result): Result {
  const before = process.cpuUsage();
  const result = work();
  expect(cpuMsSince(before)).toBeLessThan(HOSTILE_CPU_MS_MAX);
  return result;
}

function judge(schema: Json, input: Json): string {
  const checker = createSchemaChecker();
  return timed(() => {
    const fault = checker.faultOf(schema);
    if (fault) return `refused: ${fault.message}`;
    const applied = checker.apply(schema, input);
    return applied.ok ? 'fits' : applied.message;
  });
}

/** Each level tries both branches of the next: 2^30 checks of one value. */
function doubling(keyword: string): Json {
  const levels = list(30, (level) => [
    `L${level}`,
    { [keyword]: [{ $ref: `#/$defs/L${level + 1}` }, { $ref: `#/$defs/L${level + 1}` }] },
  ]);
  return properties(
    { x: { $ref: '#/$defs/L0' } },
    { $defs: { ...Object.fromEntries(levels as [string, Json][]), L30: { type: 'null' } } },
  );
}

const deep = (depth: number, wrap: (inner: unknown) => unknown): unknown => {
  let value: unknown = {};
  for (let level = 0; level < depth; level += 1) value = wrap(value);
  return value;
};

describe('hostile schemas and inputs end soon', () => {
  test.each(['anyOf', 'oneOf', 'allOf'])('%s that doubles at each level', (keyword) => {
    expect(judge(doubling(keyword), { x: 1 })).toMatch(/too complex|must be null/);
    expect(judge(doubling(keyword), { x: null })).toMatch(keyword === 'anyOf' ? /^fits$/ : TOO_COMPLEX);
  });

  test('a recursive schema that doubles at each level of the input', () => {
    const node = {
      anyOf: [
        properties({ n: { $ref: '#/$defs/N' } }, { required: ['z'] }),
        properties({ n: { $ref: '#/$defs/N' } }, { required: ['y'] }),
      ],
    };
    const input = { x: deep(40, (n) => ({ n })) };
    expect(judge(properties({ x: { $ref: '#/$defs/N' } }, { $defs: { N: node } }), input as Json)).toMatch(
      TOO_COMPLEX,
    );
  });

  test('references in a ring, and in a chain of thousands', () => {
    const ring = Object.fromEntries(
      list(500, (n) => [`R${n}`, { $ref: `#/$defs/R${(Number(n) + 1) % 500}` }]) as [string, Json][],
    );
    expect(judge(properties({}, { $defs: ring }), {})).toMatch(/^refused: refers to itself/);
    const chain = Object.fromEntries(
      list(2_000, (n) => [`${n}`, { $ref: `#/$defs/${Number(n) + 1}` }]) as [string, Json][],
    );
    const schema = properties({ x: { $ref: '#/$defs/0' } }, { $defs: { ...chain, 2000: {} } });
    expect(judge(schema, { x: 1 })).toMatch(TOO_COMPLEX);
  });

  test('an input nested a hundred thousand levels deep', () => {
    const tree = properties({ n: { $ref: '#' } });
    const unique = properties({ n: { uniqueItems: true } });
    const equal = properties({ n: { enum: [deep(40, (n) => [n])] } });
    const lists = { n: [deep(100_000, (n) => [n])] };
    expect(judge(tree, deep(100_000, (n) => ({ n })) as Json)).toMatch(TOO_COMPLEX);
    expect(judge(unique, lists)).toMatch(TOO_COMPLEX);
    expect(judge(equal, lists)).toMatch(/'n' must be/);
  });

  test('unique items: 100,000 numbers are checked, as many objects are too many', () => {
    const schema = properties({ x: { type: 'array', uniqueItems: true } });
    expect(judge(schema, { x: list(100_000, (index) => index) })).toBe('fits');
    expect(judge(schema, { x: list(100_000, (index) => ({ a: index, b: 'b' })) })).toMatch(TOO_COMPLEX);
  });

  test('a huge enum costs as much as a small one', () => {
    const schema = properties({ x: { items: { enum: list(10_000, (index) => index) } } });
    expect(judge(schema, { x: list(50_000, (index) => index % 10_000) })).toBe('fits');
    expect(judge(schema, { x: [-1] })).toMatch(/^'x\[0\]' must be one of 0, 1, 2/);
    const objects = properties({ x: { items: { enum: list(2_000, (index) => ({ a: index })) } } });
    expect(judge(objects, { x: list(50_000, () => ({ a: 1_999 })) })).toMatch(TOO_COMPLEX);
  });

  test.each([
    ['^(a+)+$', 'a'.repeat(28)],
    ['^(a+)+$', 'a'.repeat(50_000)],
    ['^(a|aa)*b', 'a'.repeat(50_000)],
    ['(x+x+)+y', 'x'.repeat(50_000)],
    ['([ab]*)*[ab]{12}c', 'ab'.repeat(20_000)],
    ['(\\p{L}{1,500}){1,2}$', 'é'.repeat(50_000)],
    ['a{1000}'.repeat(50), 'a'],
    ['((a{10}){10}){10}', 'a'],
    ['\\p{L}'.repeat(5_000), 'a'],
    [`${'('.repeat(2_000)}${')'.repeat(2_000)}`, 'a'],
  ])('the pattern %.30s', (pattern, text) => {
    expect(judge(properties({ x: { pattern } }), { x: `${text}!` })).not.toBe('');
    expect(judge({ patternProperties: { [pattern]: {} } }, { [`${text}!`]: 1 })).not.toBe('');
  });

  test('the notorious pattern still gives its right answer', () => {
    expect(judge(properties({ x: { pattern: '^(a+)+$' } }), { x: 'a'.repeat(28) })).toBe('fits');
    expect(judge(properties({ x: { pattern: '^(a+)+$' } }), { x: `${'a'.repeat(28)}!` })).toMatch(
      /must match the pattern/,
    );
  });

  test('format is never a pattern', () => {
    expect(judge(properties({ x: { format: 'regex' }, y: { format: '^(a+)+$' } }), { x: '(', y: 'a' })).toBe(
      'fits',
    );
  });

  test('a default copied a hundred thousand times', () => {
    const rows = properties({ x: { items: properties({ big: { default: list(1_000, () => 0) } }) } });
    expect(judge(rows, { x: list(100_000, () => ({})) })).toMatch(TOO_COMPLEX);
  });

  test('faults that are only tried, deep below names that are long to write', () => {
    const node = properties(
      { ['"'.repeat(60)]: { $ref: '#' } },
      { anyOf: list(400, (index) => ({ required: [`${index}`] })) },
    );
    expect(judge(node, deep(90, (n) => ({ ['"'.repeat(60)]: n })) as Json)).toMatch(
      /alternatives|too complex/,
    );
  });

  test.each([
    ['larger than 64 KiB', properties({ x: { description: 'd'.repeat(65_536) } }), /at most 65536 bytes/],
    [
      'larger in bytes than in characters',
      properties({ x: { description: 'é'.repeat(40_000) } }),
      /at most 65536 bytes/,
    ],
    ['deeper than 100 levels', properties({ x: deep(101, (not) => ({ not })) }), /at most 100 levels/],
    ['of twenty thousand schemas', { allOf: list(20_000, () => ({})) }, /more than 2500 schemas/],
    ['no JSON', { x: Number.NaN, y: () => 1 }, /must be JSON/],
  ])('a schema %s is refused', (_, schema, message) => {
    expect(judge(schema as Json, {})).toMatch(message);
  });

  test('a schema that contains itself as an object is refused', () => {
    const schema: Json = { type: 'object' };
    schema.not = schema;
    expect(judge(schema, {})).toMatch(/^refused: must be nested/);
  });
});

describe('numbers with very many digits end soon', () => {
  const long = parseJson(`0.${'1'.repeat(1_000_000)}`);

  test.each<[string, Json]>([
    ['many bounds', { allOf: list(1_000, (index) => ({ maximum: index + 1 })) }],
    ['many types', { anyOf: list(1_000, () => ({ type: 'integer' })) }],
    ['many steps', { allOf: list(1_000, (index) => ({ multipleOf: index + 1 })) }],
    ['many values', { allOf: list(1_000, (index) => ({ enum: [index] })) }],
    ['many lists', { allOf: list(1_000, () => ({ uniqueItems: true })) }],
  ])('%s', (_name, schema) => {
    expect(judge(properties({ x: schema }), { x: long })).not.toBe('');
    expect(judge(properties({ x: schema }), { x: [long, long] })).not.toBe('');
  });

  test('a schema with one', () => {
    expect(judge(properties({ x: { maximum: long } }), { x: 1 })).toMatch(/at most 65536 bytes/);
  });
});

describe('the largest honest ones are still checked', () => {
  test('ten thousand rows of eight fields', () => {
    const row = properties(
      {
        id: { type: 'integer', minimum: 0 },
        name: { type: 'string', maxLength: 80 },
        on: { type: 'boolean' },
        tags: { type: 'array', items: { type: 'string' } },
      },
      { required: ['id', 'name'], additionalProperties: false },
    );
    const rows = list(10_000, (id) => ({ id, name: `name ${id}`, on: true, tags: ['a', 'b', 'c', 'd'] }));
    expect(judge(properties({ rows: { type: 'array', items: row } }), { rows })).toBe('fits');
  });

  test('hundreds of dates and addresses with the patterns of zod', () => {
    const date =
      '^(?:(?:\\d\\d[2468][048]|\\d\\d[13579][26]|\\d\\d0[48]|[02468][048]00|[13579][26]00)-02-29|\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|(?:02)-(?:0[1-9]|1\\d|2[0-8])))T(?:(?:[01]\\d|2[0-3]):[0-5]\\d(?::[0-5]\\d(?:\\.\\d+)?)?(?:Z))$';
    const uuid =
      '^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$';
    const schema = properties({
      rows: { items: properties({ at: { pattern: date }, id: { pattern: uuid } }) },
    });
    const rows = list(100, () => ({
      at: '2024-02-29T12:00:00.000Z',
      id: '123e4567-e89b-12d3-a456-426614174000',
    }));
    expect(judge(schema, { rows })).toBe('fits');
  });
});

test('the cache keeps what was used last, by number and by weight', () => {
  const cache = createCache<number>();
  cache.set('first', 0, 1);
  for (let index = 1; index < CACHE_ENTRIES_MAX; index += 1) cache.set(`k${index}`, index, 1);
  expect(cache.get('first')).toBe(0);
  cache.set('one more', 1, 1);
  expect([cache.get('first'), cache.get('k1'), cache.get('k2')]).toEqual([0, undefined, 2]);
  cache.set('heavy', 2, CACHE_BYTES_MAX - 2);
  expect([cache.get('heavy'), cache.get('k2'), cache.get('k3'), cache.get('first')]).toEqual([
    2,
    2,
    undefined,
    0,
  ]);
  cache.set('too heavy', 3, CACHE_BYTES_MAX + 1);
  expect([cache.get('too heavy'), cache.get('heavy')]).toEqual([undefined, 2]);
});

test('five thousand schemas, one after the other, each end soon, and few are kept', () => {
  const checker = createSchemaChecker();
  const heapBefore = process.memoryUsage().heapUsed;
  let slowestMs = 0;
  let checked = 0;
  for (let index = 0; index < 5_000; index += 1) {
    const schema = properties({
      [`f${index}`]: { type: 'string', pattern: `^[a-z]{1,20}${index}$` },
      n: { enum: list(20, (n) => `${index}-${n}`) },
    });
    const before = process.cpuUsage();
    const fault = checker.faultOf(schema);
    const fits = checker.apply(schema, { [`f${index}`]: `abc${index}` }).ok;
    if (!fault && fits) checked += 1;
    slowestMs = Math.max(slowestMs, cpuMsSince(before));
  }
  expect(checked).toBe(5_000);
  expect(slowestMs).toBeLessThan(HOSTILE_CPU_MS_MAX);
  expect(process.memoryUsage().heapUsed - heapBefore).toBeLessThan(200 * 1024 * 1024);
});
