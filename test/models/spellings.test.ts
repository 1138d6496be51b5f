// The spellings in which gateways send an answer of the Messages API: each is read, or ends in one clear error.
import { stringifyJson } from '../../src/contracts/json.ts';
import type { ModelReply } from '../../src/models/port.ts';
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
  until,
  whole,
} from './support.ts';

afterEach(closeAll);

async function answerTo(body: string, contentType = 'text/event-stream'): Promise<Collected> {
  const { model } = await serve((response) => {
    response.writeHead(200, { 'content-type': contentType }).end(body);
  });
  return await collect(model, requestOf('hello'));
}

const CALL = { type: 'tool_use', id: 'toolu_1', name: 'calculator', input: {} };
const WIRE = whole(
  event('ping'),
  textBlock(0, 'Grüße ', '日本'),
  block(1, CALL, [{ type: 'input_json_delta', partial_json: '{"a":1}' }]),
);
const BLOCKS = [
  { type: 'text', text: 'Grüße 日本' },
  { ...CALL, input: { a: 1 } },
];

describe('a stream', () => {
  test.each<[string, (wire: string) => string]>([
    ['without event lines', (wire) => wire.replaceAll(/^event: .*\n/gm, '')],
    ['whose events are all called message', (wire) => wire.replaceAll(/^event: .*$/gm, 'event: message')],
    ['whose data have no type', (wire) => wire.replaceAll(/"type":"(message|content)_\w+",?/g, '')],
    ['without blanks behind the colons', (wire) => wire.replaceAll(/^(event|data): /gm, '$1:')],
    ['with carriage returns', (wire) => wire.replaceAll('\n', '\r')],
    ['with both ends of lines', (wire) => wire.replaceAll('\n', '\r\n')],
    ['with a byte order mark', (wire) => `\ufeff${wire}`],
    ['with blank lines first', (wire) => `\r\n\n \n${wire}`],
    ['with comments', (wire) => `: hello\n\n${wire.replaceAll('event: ', ': keep-alive\n\nevent: ')}`],
    ['with ids and retries', (wire) => wire.replaceAll('event: ', 'id: 7\nretry: 10\nnonsense\nevent: ')],
    ['with [DONE] at its end', (wire) => `${wire}data: [DONE]\n\n`],
    ['with [DONE] instead of its end', (wire) => wire.replace(event('message_stop'), 'data: [DONE]\n\n')],
    ['without message_stop', (wire) => wire.replace(event('message_stop'), '')],
    ['without its last blank line', (wire) => wire.trimEnd()],
    ['with data in several lines', (wire) => wire.replaceAll(',"', ',\ndata: "')],
    [
      'with empty events',
      (wire) => wire.replaceAll('event: ping\n', 'event: nothing\ndata:\n\ndata:\n\nevent: ping\n'),
    ],
    [
      'with pings that are no JSON',
      (wire) => wire.replace(event('ping'), 'event: ping\ndata: pong\n\nevent: x\ndata: y\n\n'),
    ],
    [
      'with stops for no block',
      (wire) => wire.replace(event('ping'), event('content_block_stop', { index: 9 })),
    ],
    ['with null in the place of text', (wire) => wire.replace('"text":""', '"text":null')],
    ['with usage that is null', (wire) => wire.replace(/"usage":\{"output_tokens":42\}/, '"usage":null')],
  ])('%s is read', async (_name, spell) => {
    const wire = spell(WIRE);
    expect(wire).not.toBe(WIRE);
    const { reply, pieces } = await answerTo(wire);
    expect(reply).toMatchObject({ blocks: BLOCKS, stopReason: 'end_turn', usage: { inputTokens: 11 } });
    expect(pieces.join('')).toBe('Grüße 日本');
  });

  test.each<[string, (wire: string) => string]>([
    ['without their types', (wire) => wire.replaceAll(/"type":"\w+_delta",/g, '')],
    ['with types that are null', (wire) => wire.replaceAll(/"type":"\w+_delta"/g, '"type":null')],
    ['without indexes of pieces of input', (wire) => wire.replace('"index":1,"delta"', '"delta"')],
    ['without an index of the call', (wire) => wire.replace('"index":1,"content_block"', '"content_block"')],
    ['with an index of its own for the call', (wire) => wire.replace('"index":1,"cont', '"index":2,"cont')],
    [
      'with pieces of input at another index',
      (wire) => wire.replace('"index":1,"delta"', '"index":7,"delta"'),
    ],
  ])('whose deltas come %s is read', async (_name, spell) => {
    const wire = spell(WIRE);
    expect(wire).not.toBe(WIRE);
    const { reply, pieces } = await answerTo(wire);
    expect(reply.blocks).toEqual(BLOCKS);
    expect(pieces.join('')).toBe('Grüße 日本');
  });

  test.each(['message', 'usage', 'metadata'])('with a deeply nested %s is read', async (field) => {
    const deep = `"${field}":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`;
    const odd = `event: message_delta\ndata: {"type":"message_delta","delta":{},${deep}}\n\n`;
    expect((await answerTo(WIRE.replace(event('ping'), odd))).reply.blocks).toEqual(BLOCKS);
  });

  test('that says tool_use and calls nothing is an answer', async () => {
    const { reply } = await answerTo(MESSAGE_START + textBlock(0, 'Well') + messageEnd('tool_use'));
    expect(reply).toMatchObject({ blocks: [{ type: 'text', text: 'Well' }], stopReason: 'tool_use' });
  });

  test('that ends without a stop reason is broken', async () => {
    const error = await failureOf(answerTo(`${MESSAGE_START}${textBlock(0, 'Hal')}data: [DONE]\n\n`));
    expect(error).toMatchObject({ code: 'model_unavailable', retryable: true });
  });
});

describe('a whole message as JSON', () => {
  const MESSAGE = {
    type: 'message',
    role: 'assistant',
    model: 'claude-answering',
    content: [{ type: 'thinking', thinking: 'hm', signature: 'sig' }, ...BLOCKS],
    stop_reason: 'tool_use',
    usage: { input_tokens: 11, output_tokens: 42 },
  };
  const READ: Partial<ModelReply> = {
    blocks: [{ type: 'thinking', thinking: 'hm', signature: 'sig' }, ...BLOCKS],
    stopReason: 'tool_use',
    model: 'claude-answering',
  };

  test.each([
    ['as application/json', JSON.stringify(MESSAGE), 'application/json'],
    ['indented', JSON.stringify(MESSAGE, null, 2), 'application/json; charset=utf-8'],
    ['under the content type of a stream', JSON.stringify(MESSAGE), 'text/event-stream'],
    ['after a byte order mark and blanks', `\ufeff \n\n${JSON.stringify(MESSAGE)}`, 'text/plain'],
  ])('%s is an answer', async (_name, body, contentType) => {
    const { reply, pieces } = await answerTo(body, contentType);
    expect(reply).toMatchObject(READ);
    expect(reply.usage).toMatchObject({ inputTokens: 11, outputTokens: 42 });
    expect(pieces.join('')).toBe('Grüße 日本');
  });

  test('keeps the digits of its numbers', async () => {
    const body = JSON.stringify(MESSAGE).replace('"a":1', '"a":12345678901234567890');
    const { reply } = await answerTo(body, 'application/json');
    expect(stringifyJson(reply.blocks[2]?.input)).toBe('{"a":12345678901234567890}');
  });

  test('whose content is a text is an answer', async () => {
    expect((await answerTo(JSON.stringify({ ...MESSAGE, content: 'Hi' }))).pieces).toEqual(['Hi']);
  });

  test('that is cut off may be tried again', async () => {
    const error = await failureOf(answerTo(JSON.stringify(MESSAGE).slice(0, 80), 'application/json'));
    expect(error).toMatchObject({ code: 'model_unavailable', retryable: true });
  });

  test('that never ends, for all its blank lines, is given up', async () => {
    const { model } = await serve(async (response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{');
      while (!response.destroyed) {
        response.write('\n\n'.repeat(32_768));
        await new Promise(setImmediate);
      }
    });
    expect((await failureOf(collect(model, requestOf('hello')))).message).toContain(
      'more than 8388608 bytes',
    );
  });
});

describe('an error that is told in the body', () => {
  const told = (body: string) => MESSAGE_START + body;
  test.each([
    [
      'in an event',
      told(event('error', { error: { type: 'overloaded_error', message: 'Busy' } })),
      'model_overloaded',
    ],
    [
      'in data alone',
      told('data: {"type":"error","error":{"type":"overloaded_error","message":"Busy"}}\n\n'),
      'model_overloaded',
    ],
    ['without a type', told('data: {"error":{"message":"Busy"}}\n\n'), 'model_unavailable'],
    [
      'of an unknown type',
      told(event('error', { error: { type: 'mood_error', message: 'Busy' } })),
      'model_unavailable',
    ],
    ['as a text', told('event: error\ndata: Busy\n\n'), 'model_unavailable'],
    ['as a text in JSON', told('event: error\ndata: {"error":"Busy"}\n\n'), 'model_unavailable'],
    ['with an odd type', told('data: {"error":{"type":{"a":1},"message":"Busy"}}\n\n'), 'model_unavailable'],
    ['with an odd message', told('data: {"error":{"message":["Busy"]}}\n\n'), 'model_unavailable'],
    [
      'with status 200',
      '{"type":"error","error":{"type":"api_error","message":"Busy"}}',
      'model_unavailable',
    ],
  ])('%s is that error', async (_name, body, code) => {
    const error = await failureOf(answerTo(body));
    expect(error).toMatchObject({ code, retryable: true });
    expect(error.message).toContain('Busy');
  });
});

describe('an answer that says nothing for too long', () => {
  const meaningless = event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: '' } });

  test.each([
    ['pings', event('ping')],
    ['comments', ': keep-alive\n\n'],
    ['unknown events', event('mood', { mood: 'good' })],
    ['empty pieces', meaningless],
    ['the same counts', event('message_delta', { delta: {}, usage: { output_tokens: 1 } })],
  ])('but for %s is given up, and may be tried again', async (_name, piece) => {
    let isClosed = false;
    const { model } = await serve(
      (response) => {
        openStream(response).write(MESSAGE_START);
        const timer = setInterval(() => response.write(piece), 20);
        response.once('close', () => {
          clearInterval(timer);
          isClosed = true;
        });
      },
      { meaningTimeoutMs: 300 },
    );
    const error = await failureOf(collect(model, requestOf('hello')));
    expect(error).toMatchObject({ code: 'model_unavailable', retryable: true, usage: { inputTokens: 11 } });
    expect(error.message).toContain('nothing but pings for 300 ms');
    await until(() => isClosed);
  });

  test('is not one that thinks slowly', async () => {
    const { model } = await serve(
      async (response) => {
        openStream(response).write(
          MESSAGE_START + event('content_block_start', { index: 0, content_block: { type: 'thinking' } }),
        );
        for (let at = 0; at < 8; at += 1) {
          await new Promise((resolve) => setTimeout(resolve, 80));
          response.write(
            event('content_block_delta', { index: 0, delta: { type: 'thinking_delta', thinking: '.' } }),
          );
        }
        response.end(messageEnd());
      },
      { meaningTimeoutMs: 400 },
    );
    expect((await collect(model, requestOf('hello'))).reply.blocks).toEqual([
      { type: 'thinking', thinking: '........' },
    ]);
  });
});
