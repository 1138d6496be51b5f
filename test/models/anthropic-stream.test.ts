// The adapter against streams that no good server sends: torn bytes, unknown events, broken JSON, odd text.

import type { ModelBlock } from '../../src/models/port.ts';
import {
  block,
  type Collected,
  closeAll,
  collect,
  event,
  failureOf,
  MESSAGE_START,
  messageEnd,
  openStream,
  requestOf,
  serve,
  textBlock,
  whole,
} from './support.ts';

afterEach(closeAll);

async function answerTo(wire: string): Promise<Collected> {
  const { model } = await serve((response) => void openStream(response).end(wire));
  return await collect(model, requestOf('hello'));
}

describe('bytes', () => {
  const wire = whole(
    ': a comment\n\n',
    event('ping'),
    textBlock(0, 'Gr\u00fc\u00dfe ', '\u65e5\u672c ', '\ud83d\ude00 end'),
    block(1, { type: 'tool_use', id: 'toolu_1', name: 'calculator', input: {} }, [
      { type: 'input_json_delta', partial_json: '{"a":' },
      { type: 'input_json_delta', partial_json: '"\u00fc"}' },
    ]),
  );
  const expected = [
    { type: 'text', text: 'Gr\u00fc\u00dfe \u65e5\u672c \ud83d\ude00 end' },
    { type: 'tool_use', id: 'toolu_1', name: 'calculator', input: { a: '\u00fc' } },
  ];

  test('may be cut anywhere', async () => {
    const bytes = Buffer.from(wire);
    const { model } = await serve(async (response, count) => {
      openStream(response);
      // Each request cuts at other places, all of them together at every one.
      const pieces = [bytes.subarray(0, count), ...chunks(bytes.subarray(count), 97)];
      for (const piece of pieces) await new Promise((resolve) => response.write(piece, resolve));
      response.end();
    });
    for (let start = 1; start <= 97; start += 1) {
      const { reply, pieces } = await collect(model, requestOf('hello'));
      expect(reply.blocks).toEqual(expected);
      expect(pieces.join('')).toBe(expected[0]?.text);
    }
  });

  test('may lack the lines that name the events, since the data does so, too', async () => {
    const unnamed = (text: string) => text.replace(/^event: .*\n/gm, '');
    const { reply } = await answerTo(`${unnamed(wire)}data: [DONE]\n\n`);
    expect(reply.blocks).toEqual(expected);
    const failed = event('error', { error: { type: 'overloaded_error', message: 'Overloaded' } });
    const { model } = await serve(
      (response) => void openStream(response).end(MESSAGE_START + unnamed(failed)),
    );
    expect(await failureOf(collect(model, requestOf('hello')))).toMatchObject({ code: 'model_overloaded' });
  });

  test('may have counts and indexes as fractions', async () => {
    const fractions = wire.replace(/"(index|input_tokens|output_tokens)":(\d+)/g, '"$1":$2.0');
    const { reply } = await answerTo(fractions);
    expect(reply).toMatchObject({ blocks: expected, usage: { inputTokens: 11, outputTokens: 42 } });
  });

  test('may have carriage returns', async () => {
    const { reply } = await answerTo(wire.replaceAll('\n', '\r\n'));
    expect(reply.blocks).toEqual(expected);
  });

  function* chunks(bytes: Buffer, size: number): Generator<Buffer> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }
});

describe('text', () => {
  test('never shows half of a surrogate pair', async () => {
    const { reply, pieces } = await answerTo(whole(textBlock(0, 'a\ud83d', '\ude00b', '\ud83d', '\ude00')));
    expect(pieces).toEqual(['a', '\ud83d\ude00b', '\ud83d\ude00']);
    expect(reply.blocks).toEqual([{ type: 'text', text: 'a\ud83d\ude00b\ud83d\ude00' }]);
  });

  test('has lone surrogates replaced and NUL left out', async () => {
    const { reply, pieces } = await answerTo(whole(textBlock(0, '\0', 'x\ude00y\0', 'z\ud83d')));
    expect(pieces).toEqual(['x\ufffdy', 'z', '\ufffd']);
    expect(reply.blocks).toEqual([{ type: 'text', text: 'x\ufffdyz\ufffd' }]);
  });

  test('in empty blocks is left out, for the API would refuse it back', async () => {
    const { reply, pieces } = await answerTo(whole(textBlock(0, ''), textBlock(1, 'b')));
    expect(pieces).toEqual(['b']);
    expect(reply.blocks).toEqual([{ type: 'text', text: 'b' }]);
  });

  test('keeps its citations', async () => {
    const citation = { type: 'char_location', cited_text: 'x' };
    const deltas = [
      { type: 'text_delta', text: 'cited' },
      { type: 'citations_delta', citation },
    ];
    const { reply } = await answerTo(whole(block(0, { type: 'text', text: '', citations: null }, deltas)));
    expect(reply.blocks).toEqual([{ type: 'text', text: 'cited', citations: [citation] }]);
  });
});

describe('what is not known', () => {
  test('is ignored among events and deltas, kept among blocks and stop reasons', async () => {
    const wire = [
      MESSAGE_START,
      event('weather_report', { weather: 'fine' }),
      block(0, { type: 'thinking', thinking: '' }, [
        { type: 'thinking_delta', thinking: 'hm' },
        { type: 'mood_delta', mood: 'good' },
        { type: 'signature_delta', signature: 'sig' },
      ]),
      block(1, { type: 'redacted_thinking', data: 'xyz' }, []),
      block(2, { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} }, [
        { type: 'input_json_delta', partial_json: '{"query":"q"}' },
      ]),
      block(3, { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: [{ a: 1 }] }, []),
      block(4, { type: 'dream', vivid: true }, []),
      textBlock(5, 'done'),
      messageEnd('went_home'),
    ].join('');
    const { reply, pieces } = await answerTo(wire);
    expect(pieces).toEqual(['done']);
    expect(reply).toEqual({
      model: 'claude-answering',
      stopReason: 'went_home',
      usage: { inputTokens: 11, outputTokens: 42, cacheCreationInputTokens: 5, cacheReadInputTokens: 7 },
      blocks: [
        { type: 'thinking', thinking: 'hm', signature: 'sig' },
        { type: 'redacted_thinking', data: 'xyz' },
        { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: { query: 'q' } },
        { type: 'web_search_tool_result', tool_use_id: 'srvtoolu_1', content: [{ a: 1 }] },
        { type: 'dream', vivid: true },
        { type: 'text', text: 'done' },
      ],
    });
  });

  test('of the usage stays at what was said before', async () => {
    const wire = [
      MESSAGE_START,
      event('message_delta', {
        delta: {},
        usage: { output_tokens: 9, input_tokens: null, cache_read_input_tokens: -1 },
      }),
      event('message_stop'),
    ].join('');
    const { reply } = await answerTo(wire);
    expect(reply.stopReason).toBeNull();
    expect(reply.usage).toEqual({
      inputTokens: 11,
      outputTokens: 9,
      cacheCreationInputTokens: 5,
      cacheReadInputTokens: 7,
    });
  });
});

describe('a tool input', () => {
  const inputOf = async (...pieces: string[]) => {
    const deltas = pieces.map((partial_json) => ({ type: 'input_json_delta', partial_json }));
    const start = { type: 'tool_use', id: 'toolu_1', name: 'calculator', input: {} };
    const { reply } = await answerTo(whole(block(0, start, deltas)));
    const { input, invalid_input_json } = reply.blocks[0] as ModelBlock;
    return { input, invalid_input_json };
  };

  const wholeInput = async (input: unknown) => {
    const start = { type: 'tool_use', id: 'toolu_1', name: 'calculator', input };
    const { reply } = await answerTo(whole(block(0, start, [])));
    return { input: reply.blocks[0]?.input, invalid_input_json: reply.blocks[0]?.invalid_input_json };
  };

  test.each([
    ['cut off', '{"a":'],
    ['an array', '[1]'],
    ['a number', '7'],
    ['a boolean', 'true'],
    ['a text', '"a"'],
    ['JSON in a text in a text', JSON.stringify(JSON.stringify('{"a":1}'))],
    ['an array in a text', '"[]"'],
    ['followed by something else', '{"a":1}}'],
    ['sent twice', '{"a":1}{"a":1}'],
    ['in a code fence', '```json\n{"a":1}\n```'],
    ['in single quotes', "{'a':1}"],
    ['too deep', `{"a":${'['.repeat(100)}${']'.repeat(100)}}`],
    ['far too deep', `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`],
  ])('that is %s is empty, with its raw text beside it', async (_name, json) => {
    expect(await inputOf(json)).toEqual({ input: {}, invalid_input_json: json.slice(0, 4_000) });
  });

  test.each([
    ['an object', { a: [1] }, { a: [1] }],
    ['JSON in a text', '{"a":[1]}', { a: [1] }],
    ['JSON in a text with blanks around it', ' {"a":[1]}\n', { a: [1] }],
    ['an empty text', '', {}],
    ['a blank text', ' \n', {}],
    ['null', null, {}],
    ['nothing', undefined, {}],
  ])('that comes whole with its block as %s is taken', async (_name, input, taken) => {
    expect(await wholeInput(input)).toEqual({ input: taken, invalid_input_json: undefined });
  });

  test.each([
    ['an array', [1], '[1]'],
    ['an empty array', [], '[]'],
    ['a number', 7, '7'],
    ['a boolean', false, 'false'],
    ['a text that is no JSON', 'expression=1', 'expression=1'],
    ['an array in a text', '[1]', '[1]'],
    ['JSON that is cut off', '{"a":', '{"a":'],
    ['JSON in a text in a text', '"{}"', '"{}"'],
  ])('that comes whole with its block as %s is unreadable', async (_name, input, raw) => {
    expect(await wholeInput(input)).toEqual({ input: {}, invalid_input_json: raw });
  });

  test('in pieces goes before one that came with the block', async () => {
    const start = { type: 'tool_use', id: 'toolu_1', name: 'calculator', input: { a: 1 } };
    const deltas = [{ type: 'input_json_delta', partial_json: '"{\\"b\\":2}"' }];
    const { reply } = await answerTo(whole(block(0, start, deltas)));
    expect(reply.blocks[0]?.input).toEqual({ b: 2 });
  });

  test('without any piece is empty', async () => {
    expect(await inputOf()).toEqual({ input: {}, invalid_input_json: undefined });
    expect(await inputOf('')).toEqual({ input: {}, invalid_input_json: undefined });
  });

  test('loses __proto__ keys and what stores refuse', async () => {
    const { input } = await inputOf(
      '{"__proto__":{"admin":true},',
      '"a":[{"__proto__":1,"b":"x\\u0000\\ud800"}]}',
    );
    expect(Object.getPrototypeOf(input)).toBe(Object.prototype);
    expect(JSON.stringify(input)).toBe('{"a":[{"b":"x\ufffd"}]}');
  });
});

describe('a broken stream is retryable', () => {
  test.each([
    ['an end before message_stop', MESSAGE_START + textBlock(0, 'half')],
    ['no event at all', ''],
    ['an event that is not JSON', `${MESSAGE_START}event: content_block_delta\ndata: {"type":\n\n`],
    ['HTML instead of events', '<html>proxy says hello</html>'],
  ])('%s', async (_name, wire) => {
    const error = await failureOf(answerTo(wire));
    expect(error).toMatchObject({ code: 'model_unavailable', retryable: true });
    expect(error.usage.inputTokens).toBe(wire.startsWith(MESSAGE_START) ? 11 : 0);
  });

  test.each([
    ['an event that is no object', `${MESSAGE_START}event: content_block_delta\ndata: 5\n\n`],
    ['text that is no text', MESSAGE_START + block(0, { type: 'text' }, [{ type: 'text_delta', text: 5 }])],
    ['a block without a type', MESSAGE_START + event('content_block_start', { index: 0, content_block: {} })],
    ['a block without contents', MESSAGE_START + event('content_block_start', { index: 0 })],
    ['a delta that is a text', MESSAGE_START + event('content_block_delta', { index: 0, delta: 'x' })],
  ])('but %s would come again, and is not', async (_name, wire) => {
    const error = await failureOf(answerTo(wire));
    expect(error).toMatchObject({ code: 'model_unavailable', retryable: false, usage: { inputTokens: 11 } });
  });

  test('but a reply that is whole needs no end of the connection', async () => {
    const { model } = await serve((response) => void openStream(response).write(whole(textBlock(0, 'all'))));
    const { reply } = await collect(model, requestOf('hello'));
    expect(reply.blocks).toEqual([{ type: 'text', text: 'all' }]);
  });
});
