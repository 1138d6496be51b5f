// One reply from any events: whatever their order and indexes, what is stored is what was streamed.
import fc from 'fast-check';
import { parseJson, stringifyJson } from '../../src/contracts/json.ts';
import { MalformedEventError } from '../../src/models/reply-limits.ts';
import {
  CALL,
  delta,
  json,
  nested,
  read,
  shape,
  start,
  stop,
  TEXT,
  THINKING,
  text,
  textOf,
  thinking,
} from './events.ts';

describe('blocks', () => {
  test('stand in the order in which they arrive, whatever their indexes say', () => {
    const events = [
      start(7, TEXT),
      text(7, 'a'),
      stop(7),
      start(3, CALL),
      stop(3),
      start(0, TEXT),
      text(0, 'b'),
    ];
    expect(shape(read(events))).toEqual([
      ['text', 'a'],
      ['tool_use', {}],
      ['text', 'b'],
    ]);
  });

  test.each([
    ['the same index again', 0, 0],
    ['no index', undefined, undefined],
    ['indexes that are null', null, null],
    ['indexes in texts', '0', '1'],
    ['fractional and negative ones', -1, 0.5],
  ])('are kept with %s', (_name, first, second) => {
    const events = [
      start(first, TEXT),
      text(first, 'a'),
      stop(first),
      start(second, TEXT),
      text(second, 'b'),
    ];
    expect(shape(read([...events, stop(second)]))).toEqual([
      ['text', 'a'],
      ['text', 'b'],
    ]);
  });

  test('that have the same index without a stop between them are two', () => {
    const { reply } = read([
      start(0, CALL),
      json(0, '{"a":1}'),
      start(0, { ...CALL, id: 'b' }),
      json(0, '{"b":2}'),
    ]);
    expect(reply.blocks.map(({ input }) => input)).toEqual([{ a: 1 }, { b: 2 }]);
  });

  test('may be stopped twice, never, or without having started', () => {
    const events = [stop(4), start(0, TEXT), text(0, 'a'), stop(0), stop(0), stop(null), start(1, CALL)];
    expect(shape(read(events))).toEqual([
      ['text', 'a'],
      ['tool_use', {}],
    ]);
  });
});

describe('a delta that does not fit its block', () => {
  test('is a text block of its own when it is text', () => {
    const events = [
      start(0, CALL),
      text(0, 'Let me see'),
      json(0, '{"key":'),
      text(0, '.'),
      json(0, '"a"}'),
      stop(0),
    ];
    const got = read(events);
    expect(got.streamed).toBe('Let me see.');
    expect(shape(got)).toEqual([
      ['tool_use', { key: 'a' }],
      ['text', 'Let me see.'],
    ]);
  });

  test('on thoughts leaves them as they were signed', () => {
    const events = [
      start(0, THINKING),
      thinking(0, 'hm'),
      text(0, 'Hello'),
      delta(0, { type: 'signature_delta', signature: 's' }),
    ];
    expect(read(events).reply.blocks).toEqual([
      { type: 'thinking', thinking: 'hm', signature: 's' },
      { type: 'text', text: 'Hello' },
    ]);
  });

  test('is a block of thoughts when it is thoughts', () => {
    expect(shape(read([start(0, TEXT), text(0, 'a'), thinking(0, 'hm'), text(0, 'b')]))).toEqual([
      ['text', 'ab'],
      ['thinking', 'hm'],
    ]);
  });

  test('means nothing when it is an input, a citation or a signature', () => {
    const odd = [
      json(0, '{"a":1}'),
      delta(9, { type: 'citations_delta', citation: {} }),
      delta(0, { type: 'signature_delta', signature: 's' }),
    ];
    expect(read([start(0, TEXT), text(0, 'a'), ...odd]).reply.blocks).toEqual([{ type: 'text', text: 'a' }]);
  });

  test('opens a block when none has started, or when it comes after its stop', () => {
    const events = [text(5, 'a'), start(0, TEXT), text(0, 'b'), stop(0), text(0, 'c')];
    const got = read(events);
    expect(got.streamed).toBe('abc');
    expect(textOf(got.reply.blocks)).toBe('abc');
  });
});

describe('a piece of input that fits no open block', () => {
  const OTHER = { ...CALL, id: 'toolu_2' };
  const inputs = (events: unknown[]) =>
    read(events)
      .reply.blocks.filter(({ type }) => type === 'tool_use')
      .map(({ input, invalid_input_json }) => (invalid_input_json === undefined ? input : 'unreadable'));

  test.each<[string, unknown[]]>([
    ['without an index', [start(0, CALL), json(undefined, '{"a":'), json(undefined, '1}')]],
    ['for a call without an index', [start(undefined, CALL), json(0, '{"a":1}')]],
    ['for a call whose index is null', [start(null, CALL), json(0, '{"a":1}')]],
    ['at another index', [start(1, CALL), json(0, '{"a":1}'), stop(1)]],
    ['at the index of a text', [start(0, TEXT), text(0, 'x'), start(1, CALL), json(0, '{"a":1}'), stop(1)]],
    ['after the stop', [start(0, CALL), json(0, '{"a":'), stop(0), json(0, '1}')]],
    ['before the start', [json(0, '{"a":'), start(0, CALL), json(0, '1}'), stop(0)]],
  ])('%s belongs to the only call', (_name, events) => {
    expect(inputs(events)).toEqual([{ a: 1 }]);
  });

  test.each<[string, unknown, unknown]>([
    ['no index', undefined, undefined],
    ['an index that is one too low', 0, 1],
  ])('belongs to the latest call, one after the other, with %s', (_name, first, second) => {
    const events = [
      ...[start(1, CALL), json(first, '{"a":1}'), stop(1)],
      ...[start(2, OTHER), json(second, '{"b":2}'), stop(2)],
    ];
    expect(inputs(events)).toEqual([{ a: 1 }, { b: 2 }]);
  });

  test.each<[string, unknown[]]>([
    ['before the first', [json(0, '{"a":1}'), start(0, CALL), start(1, OTHER), json(1, '{"b":2}')]],
    ['behind all starts', [start(1, CALL), start(2, OTHER), json(0, '{"a":1}'), json(1, '{"b":2}')]],
    ['behind all stops', [start(0, CALL), stop(0), start(1, OTHER), stop(1), json(0, '{"a":1}')]],
    [
      'at the index of the call before',
      [start(1, CALL), json(0, '{"a":1}'), start(2, OTHER), json(1, '{"b":2}')],
    ],
  ])('%s makes several calls unreadable', (_name, events) => {
    expect(inputs(events)).toEqual(['unreadable', 'unreadable']);
  });
});

describe('a signature', () => {
  test('may come in pieces', () => {
    const piece = (signature: string) => delta(0, { type: 'signature_delta', signature });
    expect(read([start(0, THINKING), thinking(0, 'hm'), piece('si'), piece('g')]).reply.blocks).toEqual([
      { type: 'thinking', thinking: 'hm', signature: 'sig' },
    ]);
  });
});

describe('text', () => {
  test('of interleaved blocks is stored as it was streamed', () => {
    const got = read([
      start(1, TEXT),
      start(0, TEXT),
      text(0, 'a'),
      text(1, 'b'),
      text(0, 'c'),
      text(1, 'd'),
    ]);
    expect(got.streamed).toBe('abcd');
    expect(textOf(got.reply.blocks)).toBe('abcd');
  });

  test.each([null, undefined])('that is %s is empty', (nothing) => {
    const events = [
      start(0, { type: 'text', text: nothing }),
      text(0, nothing),
      thinking(1, nothing),
      text(0, 'a'),
    ];
    expect(read(events).reply.blocks).toEqual([{ type: 'text', text: 'a' }]);
  });

  test('that comes whole with its block is streamed', () => {
    expect(read([start(0, { type: 'text', text: 'all' }), stop(0)])).toMatchObject({ streamed: 'all' });
  });

  const piece = fc.oneof(
    { arbitrary: fc.string({ unit: 'binary', maxLength: 4 }), weight: 4 },
    fc.constantFrom('\ud83d', '\ude00', '\0', '', null, 'word '),
  );
  const index = fc.constantFrom<unknown>(0, 1, 2, -1, '0', null, undefined);
  const anyEvent = fc.oneof(
    fc.tuple(index, piece).map(([at, words]) => text(at, words)),
    fc.tuple(index, piece).map(([at, words]) => text(at, words)),
    fc.tuple(index, piece).map(([at, words]) => thinking(at, words)),
    fc.tuple(index, piece).map(([at, words]) => json(at, words)),
    fc.tuple(index, piece).map(([at, words]) => start(at, { type: 'text', text: words })),
    fc
      .tuple(index, fc.constantFrom(THINKING, CALL, { type: 'dream' }))
      .map(([at, block]) => start(at, block)),
    index.map(stop),
    fc.constantFrom({ type: 'ping' }, { type: 'mood' }, delta(0, { type: 'mood_delta' })),
  );

  test('is stored as it was streamed, for any events in any order', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
        const { reply, streamed } = read(events);
        expect(textOf(reply.blocks)).toBe(streamed);
        expect(streamed.isWellFormed() && !streamed.includes('\0')).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('events of any shape', () => {
  const odd = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom<unknown>(
      { toString: 1 },
      { toString: 1, valueOf: 1 },
      'constructor',
      '__proto__',
      nested(200),
    ),
  );
  const known = fc.constantFrom(
    ...['message_start', 'content_block_start', 'content_block_delta', 'content_block_stop', 'message_delta'],
    ...['text', 'thinking', 'tool_use', 'server_tool_use', 'redacted_thinking', 'dream'],
    ...['text_delta', 'thinking_delta', 'signature_delta', 'input_json_delta', 'citations_delta'],
  );
  const fields = (inner: fc.Arbitrary<unknown>) =>
    fc.record(
      {
        ...{
          type: fc.oneof({ arbitrary: known, weight: 9 }, odd),
          index: fc.oneof(fc.constantFrom(0, 1), odd),
        },
        ...{ message: inner, content_block: inner, delta: inner, usage: inner, input: inner, model: inner },
        ...{ text: odd, thinking: odd, signature: odd, partial_json: odd, citation: odd, citations: odd },
        ...{ id: odd, name: odd, stop_reason: odd, input_tokens: odd },
      },
      { requiredKeys: ['type', 'index'] },
    );
  const anyEvent = fields(fc.oneof({ arbitrary: fields(odd), weight: 4 }, odd));

  test('are an answer, or break the protocol: nothing else comes of them', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 12 }), (events) => {
        try {
          const { reply, streamed } = read(events);
          expect(textOf(reply.blocks)).toBe(streamed);
          expect(stringifyJson(reply)).toBe(stringifyJson(parseJson(stringifyJson(reply))));
        } catch (error) {
          if (!(error instanceof MalformedEventError)) throw error;
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('a call', () => {
  test.each([100, 20_000])('whose input comes whole, %d deep, has an unreadable input', (depth) => {
    const { reply } = read([start(0, { ...CALL, input: nested(depth) })]);
    expect(reply.blocks).toEqual([
      { ...CALL, input: {}, invalid_input_json: expect.stringMatching(/deeper than 64/) },
    ]);
  });

  test('whose pieces of input are objects has these', () => {
    expect(read([start(0, CALL), json(0, { a: 1 })]).reply.blocks[0]?.input).toEqual({ a: 1 });
  });

  test.each([undefined, null, '', ' ', 7, {}, '\0'])('whose name is %j is called unnamed', (name) => {
    expect(read([start(0, { ...CALL, name })]).reply.blocks[0]).toMatchObject({ name: '(unnamed)' });
  });

  test('has a name and an id of at most 200 characters', () => {
    const long = `${'n'.repeat(199)}😀${'n'.repeat(1_000)}`;
    const [call] = read([start(0, { ...CALL, name: long, id: long })]).reply.blocks;
    expect(call).toMatchObject({ name: 'n'.repeat(199), id: 'n'.repeat(199) });
  });

  test.each([undefined, null, 7, {}])('whose id is %j has an empty one', (id) => {
    expect(read([start(0, { ...CALL, id })]).reply.blocks[0]).toMatchObject({ id: '' });
  });
});

describe('counts of tokens', () => {
  const usageOf = (...usages: unknown[]) =>
    read([
      { type: 'message_start', message: { usage: usages[0] } },
      ...usages.slice(1).map((usage) => ({ type: 'message_delta', delta: {}, usage })),
    ]).reply.usage;

  test('never shrink', () => {
    const first = { input_tokens: 1_000, cache_read_input_tokens: 500, output_tokens: 1 };
    const zeros = {
      input_tokens: 0,
      cache_read_input_tokens: 0,
      cache_creation_input_tokens: 0,
      output_tokens: 9,
    };
    expect(usageOf(first, zeros, { output_tokens: 3 })).toEqual({
      inputTokens: 1_000,
      outputTokens: 9,
      cacheCreationInputTokens: 0,
      cacheReadInputTokens: 500,
    });
    expect(usageOf({ input_tokens: 0 }, { input_tokens: 12 }).inputTokens).toBe(12);
  });

  test.each(['1e3', '1000.0', '1000'])('may be spelled %s', (spelling) => {
    expect(usageOf(parseJson(`{"input_tokens":${spelling}}`)).inputTokens).toBe(1_000);
  });

  test.each([-1, 1.5, '20', 1e10, Number.NaN, null, {}, [20], true])('that are %j say nothing', (count) => {
    expect(usageOf({ input_tokens: 10 }, { input_tokens: count }).inputTokens).toBe(10);
  });
});

describe('more than one answer may hold ends it', () => {
  const many = (count: number, make: (n: number) => unknown): unknown[] =>
    Array.from({ length: count }, (_, n) => make(n));
  const citation = { type: 'char_location', cited_text: 'x' };
  const citations = (count: number) => many(count, () => delta(0, { type: 'citations_delta', citation }));

  test.each<[string, unknown[], RegExp]>([
    ['blocks', many(1_001, (n) => start(n, TEXT)), /more than 1000 content blocks/],
    ['blocks that no start has opened', many(1_001, (n) => text(n, 'a')), /more than 1000 content blocks/],
    ['calls', many(257, (n) => start(n, CALL)), /more than 256 tools/],
    ['citations', [start(0, TEXT), ...citations(10_001)], /more than 10000 citations/],
    ['citations in one block', [start(0, { ...TEXT, citations: Array(10_001).fill(citation) })], /citations/],
    ['text', [start(0, TEXT), ...many(5, () => text(0, 'x'.repeat(1_000_000)))], /longer than 4194304/],
    ['thoughts', [start(0, THINKING), ...many(5, () => thinking(0, 'x'.repeat(1_000_000)))], /longer than/],
    ['input', [start(0, CALL), ...many(5, () => json(0, 'x'.repeat(1_000_000)))], /longer than/],
  ])('%s', (_name, events, message) => {
    expect(() => read(events)).toThrow(message);
  });

  test('and up to that it is linear work', () => {
    const started = process.cpuUsage();
    const { reply } = read([
      start(0, TEXT),
      text(0, 'a'),
      ...citations(10_000),
      ...many(100_000, () => json(1, '1')),
    ]);
    expect(reply.blocks[0]?.citations).toHaveLength(10_000);
    expect(process.cpuUsage(started).user).toBeLessThan(2_000_000);
  });
});
