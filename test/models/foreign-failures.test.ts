// Answers of gateways that can't be read: each ends in one clear error.
import { gzipSync } from 'node:zlib';
import {
  closeAll,
  collect,
  event,
  failureOf,
  type Handler,
  MESSAGE_START,
  openStream,
  requestOf,
  serve,
  textBlock,
  whole,
} from './support.ts';

afterEach(closeAll);

const hello = textBlock(0, 'Hello');
const raw = (data: string, name?: string) => `${name ? `event: ${name}\n` : ''}data: ${data}\n\n`;
const deep = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

async function answer(body: string | Handler) {
  const handler: Handler =
    typeof body === 'function' ? body : (response) => void openStream(response).end(body);
  const { model } = await serve(handler);
  return collect(model, requestOf('hello'));
}

const status =
  (code: number, body: string, type = 'application/json'): Handler =>
  (response) =>
    void response.writeHead(code, { 'content-type': type }).end(body);

type Failed = [string, string | Handler, Record<string, unknown>];
const retried = (message: RegExp) => ({
  code: 'model_unavailable',
  retryable: true,
  message: expect.stringMatching(message),
});
const final = (message: RegExp) => ({
  code: 'model_unavailable',
  retryable: false,
  message: expect.stringMatching(message),
});
const chunk = (fields: object) => raw(JSON.stringify({ object: 'chat.completion.chunk', choices: [fields] }));

const FAILED: Failed[] = [
  [
    'gzip',
    (response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(whole(hello))),
    retried(/compressed/),
  ],
  [
    'br',
    (response) => void response.writeHead(200, { 'content-encoding': 'br' }).end('x'),
    retried(/compressed/),
  ],
  [
    'overloaded_error in mid stream',
    MESSAGE_START + event('error', { error: { type: 'overloaded_error', message: 'Overloaded' } }),
    { code: 'model_overloaded', retryable: true },
  ],
  [
    'an error that is a text',
    MESSAGE_START + raw('Overloaded', 'error'),
    { retryable: true, message: expect.stringContaining('Overloaded') },
  ],
  ['an error that is null', MESSAGE_START + raw('null', 'error'), { retryable: true }],
  [
    'an error nested without end',
    MESSAGE_START + raw(`{"error":${deep(100_000)}}`, 'error'),
    { retryable: true, message: expect.stringMatching(/in the middle of its stream error: .*nested/) },
  ],
  [
    'an error whose message is nested',
    MESSAGE_START + raw(`{"type":"error","error":{"type":"api_error","message":${deep(100_000)}}}`),
    { retryable: true, message: expect.stringMatching(/api_error.*nested/) },
  ],
  [
    'a 400 nested without end',
    status(400, `{"error":${deep(100_000)}}`),
    { code: 'model_invalid_request', retryable: false, status: 400 },
  ],
  [
    'a 400 whose message is nested',
    status(400, `{"type":"error","error":{"type":"invalid_request_error","message":${deep(100_000)}}}`),
    { code: 'model_invalid_request', retryable: false, status: 400 },
  ],
  [
    'a status that no standard has',
    status(999, '{"type":"error","error":{"type":"api_error","message":"Not today"}}'),
    {
      code: 'model_unavailable',
      retryable: true,
      status: 999,
      message: expect.stringMatching(/999 .*Not today/),
    },
  ],
  ['a page of HTML', status(200, '<!doctype html><p>hi', 'text/html'), retried(/text\/html/)],
  ['an empty 200', status(200, ''), retried(/ended before/)],
  ['204', (response) => void response.writeHead(204).end(), retried(/ended before/)],
  [
    '200 with a JSON error',
    status(200, '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'),
    { code: 'model_overloaded', retryable: true },
  ],
  [
    '200 with a JSON error of another API',
    status(200, '{"error":{"message":"Bad key","type":"authentication_error"}}'),
    { code: 'model_authentication', retryable: false },
  ],
  ['200 with a list', status(200, '[{"type":"message"}]'), retried(/ended before/)],
  [
    'chunks of chat completions',
    chunk({ delta: { content: 'Hi' } }) + chunk({ finish_reason: 'stop' }) + raw('[DONE]'),
    final(/chat completions/),
  ],
  [
    'a whole chat completion',
    status(200, '{"object":"chat.completion","choices":[{"message":{"content":"Hi"}}]}'),
    final(/chat completions/),
  ],
  ['a delta that is no object', MESSAGE_START + raw('1', 'content_block_delta'), final(/not a JSON object/)],
  [
    'text that is a number',
    MESSAGE_START + event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 5 } }),
    final(/something else/),
  ],
  [
    'torn JSON before the stop reason',
    MESSAGE_START + raw('{"type":"content', 'content_block_delta'),
    retried(/not JSON/),
  ],
  [
    'a whole message that is torn',
    status(200, '{"type":"message","content":[{"type":"text","te'),
    retried(/not JSON/),
  ],
];

test.each(FAILED)('%s is one error', async (_name, body, expected) => {
  expect(await failureOf(answer(body))).toMatchObject(expected);
});
