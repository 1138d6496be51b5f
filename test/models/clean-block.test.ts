// After cleaning nothing of a content block is refused by a store, by a reader of JSON, or by the API.
import fc from 'fast-check';
import { CALL, delta, read, start, TEXT, THINKING, text, thinking } from './events.ts';

describe('a block is cleaned whole', () => {
  const DIRTY = 'a\0b\ud800c';
  const CLEAN = 'ab\ufffdc';

  /** Whether a store, a JSON reader or the API would refuse it. */
  const isClean = (value: unknown): boolean => {
    const written = JSON.stringify(value);
    return !/\\u0000|\\ud[89a-f]/i.test(written) && !written.includes('"__proto__":');
  };

  test('also in its keys, its names and what is not known of it', () => {
    const dirty = { [DIRTY]: [{ deep: DIRTY, [`x${DIRTY}`]: { y: DIRTY } }], n: 1 };
    const { reply } = read([
      start(0, { ...dirty, type: `dr\0eam${'\ud800'}` }),
      start(1, { type: 'web_search_tool_result', tool_use_id: DIRTY, content: dirty }),
      start(2, { ...CALL, id: DIRTY, name: DIRTY, input: dirty }),
      start(3, { type: 'server_tool_use', id: DIRTY, name: DIRTY, input: JSON.stringify(dirty) }),
      start(4, { type: 'text', text: DIRTY, citations: [dirty] }),
      start(5, { type: 'redacted_thinking', data: DIRTY }),
      { type: 'message_start', message: { model: DIRTY } },
      { type: 'message_delta', delta: { stop_reason: DIRTY } },
    ]);
    expect(isClean(reply)).toBe(true);
    expect(reply.blocks.map(({ type }) => type)).toEqual([
      'dream',
      'web_search_tool_result',
      'tool_use',
      'server_tool_use',
      'text',
    ]);
    expect(reply.blocks[2]).toMatchObject({ id: CLEAN, name: CLEAN, input: { [CLEAN]: [{ deep: CLEAN }] } });
    expect(reply).toMatchObject({ model: CLEAN, stopReason: CLEAN });
  });

  test('and a type that is cleaned is judged as it is then', () => {
    const got = read([start(0, { type: 'te\0xt', text: 'a' }), text(0, 'b')]);
    expect(got).toMatchObject({ streamed: 'ab', reply: { blocks: [{ type: 'text', text: 'ab' }] } });
  });

  test('thoughts that are changed by it lose their signature', () => {
    const signed = (words: string, signature = 'sig') => [
      start(0, THINKING),
      thinking(0, words),
      delta(0, { type: 'signature_delta', signature }),
    ];
    expect(read(signed('fine')).reply.blocks).toEqual([
      { type: 'thinking', thinking: 'fine', signature: 'sig' },
    ]);
    expect(read(signed(DIRTY)).reply.blocks).toEqual([{ type: 'thinking', thinking: CLEAN }]);
    expect(read(signed('fine', DIRTY)).reply.blocks).toEqual([{ type: 'thinking', thinking: 'fine' }]);
    expect(read(signed('')).reply.blocks).toEqual([{ type: 'thinking', thinking: '', signature: 'sig' }]);
  });

  test('and has no __proto__ keys, however they are spelled', () => {
    const { reply } = read([
      start(0, JSON.parse('{"type":"dream","__proto__":{"a":1},"__proto\\u0000__":{"b":1}}')),
    ]);
    expect(Object.getPrototypeOf(reply.blocks[0])).toBe(Object.prototype);
    expect(JSON.stringify(reply.blocks)).toBe('[{"type":"dream"}]');
  });

  test('and of the blocks that go back to the API only fields that it knows are kept', () => {
    const odd = { mood: 'good', citations: [] };
    const { reply } = read([
      start(0, { ...TEXT, ...odd, text: 'a' }),
      start(1, { ...THINKING, ...odd, thinking: 'hm' }),
      start(2, { ...CALL, ...odd }),
    ]);
    expect(reply.blocks).toEqual([{ type: 'text', text: 'a' }, { type: 'thinking', thinking: 'hm' }, CALL]);
  });

  test('for any JSON at all', () => {
    const dirtyKey = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 3 }),
      fc.constantFrom('__proto__', '\ud800', 'a\0'),
    );
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 4 },
        fc.string({ unit: 'binary', maxLength: 3 }),
        dirtyKey,
        fc.double(),
        tie('object'),
      ),
      object: fc.dictionary(dirtyKey, tie('any')),
    }));
    const blockType = fc.constantFrom(
      'text',
      'thinking',
      'tool_use',
      'server_tool_use',
      'redacted_thinking',
      'dream',
    );
    fc.assert(
      fc.property(blockType, value.object, (type, fields) => {
        const block = { ...(fields as object), type };
        expect(isClean(read([start(0, JSON.parse(JSON.stringify(block)))]).reply)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
