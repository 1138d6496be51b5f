// What a provider can do wrong, and what its user is to see: the rows of docs/model-failures.md. The tests run each of
// them, and hold the document to them word by word.
import type { ServerResponse } from 'node:http';
import { block, event, MESSAGE_START, messageEnd, openStream, textBlock, whole } from '../models/support.ts';

/** Tokens that MESSAGE_START tells of, and a whole answer. */
export const TOLD_TOKENS = 24;
export const WHOLE_TOKENS = 65;

/** What a good try says. */
export const ANSWER = 'All is well';

/** @param heard resolves when the stream's readers have what was said. */
type Misbehaviour = (response: ServerResponse, heard: () => Promise<void>) => void | Promise<void>;

export interface FailureRow {
  provider: string;
  /** One such try; the others go to addresses where nobody listens. */
  answer: Misbehaviour | 'nobody listens' | 'nobody answers';
  isFinal?: boolean;
  code: string;
  /** Text that reaches the stream's readers before the try fails. */
  said?: string | 'endless';
  /** Whether such a try has told what it costs. */
  isBilled?: boolean;
  /** Whether later calls leave the message out, for they would fail with it. */
  isLeftOut?: boolean;
  /** How long the provider asks to wait. */
  waitsMs?: number;
}

const json = (status: number, type: string, message: string, headers: Record<string, string> = {}) => {
  const body = JSON.stringify({ type: 'error', error: { type, message } });
  return (response: ServerResponse) =>
    void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
};

const html = (status: number) => (response: ServerResponse) =>
  void response.writeHead(status, { 'content-type': 'text/html' }).end('<html><h1>Bad gateway</h1></html>');

/** The beginning of an answer, and then something else. */
const SAID = 'Half an ans';
const begun =
  MESSAGE_START +
  event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }) +
  event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: SAID } });

/** What comes with the first words in one packet would end the try before anybody had been sent them. */
const half =
  (then: (response: ServerResponse) => void | Promise<void>): Misbehaviour =>
  async (response, heard) => {
    openStream(response).write(begun);
    await heard();
    await then(response);
  };

const errorEvent = (type: string) => event('error', { error: { type, message: 'so it is' } });

async function forEver(response: ServerResponse, start: string, piece: string): Promise<void> {
  const gone = new Promise((resolve) => response.once('close', resolve));
  response.write(start);
  while (!response.destroyed)
    if (!response.write(piece))
      await Promise.race([gone, new Promise((resolve) => response.once('drain', resolve))]);
}

const delta = (text: string) =>
  event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } });

export const FAILURES: FailureRow[] = [
  {
    provider: '429, `retry-after` in seconds',
    answer: json(429, 'rate_limit_error', 'Slower', { 'retry-after': '2' }),
    ...{ code: 'model_overloaded', waitsMs: 2_000 },
  },
  {
    provider: '429, `retry-after` as a date',
    // A date has whole seconds, so it is up to one second less.
    answer: (response) =>
      json(429, 'rate_limit_error', 'Slower', {
        'retry-after': new Date(Date.now() + 3_000).toUTCString(),
      })(response),
    ...{ code: 'model_overloaded', waitsMs: 2_000 },
  },
  { provider: '529', answer: json(529, 'overloaded_error', 'Overloaded'), code: 'model_overloaded' },
  { provider: '500', answer: json(500, 'api_error', 'Internal error'), code: 'model_unavailable' },
  { provider: '502 with a page of HTML', answer: html(502), code: 'model_unavailable' },
  { provider: '503 with a page of HTML', answer: html(503), code: 'model_unavailable' },
  {
    provider: '500 whose page never ends',
    answer: (response) => forEver(response.writeHead(500), '', 'x'.repeat(65_536)),
    code: 'model_unavailable',
  },
  {
    provider: '400',
    answer: json(400, 'invalid_request_error', 'No such thing'),
    ...{ code: 'model_invalid_request', isFinal: true },
  },
  {
    provider: '400, the prompt is too long',
    answer: json(400, 'invalid_request_error', 'prompt is too long: 1000001 tokens > 1000000 maximum'),
    ...{ code: 'context_too_long', isFinal: true },
  },
  {
    provider: '401',
    answer: json(401, 'authentication_error', 'invalid x-api-key'),
    ...{ code: 'model_authentication', isFinal: true },
  },
  {
    provider: '403',
    answer: json(403, 'permission_error', 'Not yours'),
    ...{ code: 'model_authentication', isFinal: true },
  },
  {
    provider: '404, no such model',
    answer: json(404, 'not_found_error', 'model: claude-none'),
    ...{ code: 'model_invalid_request', isFinal: true },
  },
  {
    provider: '413',
    answer: json(413, 'request_too_large', 'Request exceeds the maximum size'),
    ...{ code: 'model_invalid_request', isFinal: true },
  },
  {
    provider: '307 or another redirect',
    answer: (response) => void response.writeHead(307, { location: 'http://127.0.0.1:1/v1/messages' }).end(),
    ...{ code: 'model_unavailable', isFinal: true },
  },
  {
    provider: '400 named `ThrottlingException`, as Bedrock sends it',
    answer: json(400, 'error', 'Too many tokens per day, please wait before trying again.', {
      'x-amzn-errortype': 'ThrottlingException',
    }),
    code: 'model_overloaded',
  },
  {
    provider: '429 named `budget_exceeded`, as LiteLLM sends it',
    answer: json(429, 'budget_exceeded', 'ExceededBudget: User crossed spend within 1d'),
    ...{ code: 'model_authentication', isFinal: true },
  },
  {
    provider: '400 with `x-should-retry: true`',
    answer: json(400, 'invalid_request_error', 'Once more', { 'x-should-retry': 'true' }),
    ...{ code: 'model_invalid_request' },
  },
  {
    provider: '529 with `x-should-retry: false`',
    answer: json(529, 'overloaded_error', 'Stay away', { 'x-should-retry': 'false' }),
    ...{ code: 'model_overloaded', isFinal: true },
  },
  { provider: 'refuses the connection', answer: 'nobody listens', code: 'model_unavailable' },
  { provider: 'gives no connection in time (10 s)', answer: 'nobody answers', code: 'model_unavailable' },
  {
    provider: 'is silent before the first byte (60 s)',
    answer: () => undefined,
    code: 'model_unavailable',
  },
  {
    provider: 'is silent in mid-stream (60 s)',
    answer: half(() => undefined),
    ...{ code: 'model_unavailable', said: SAID, isBilled: true },
  },
  {
    provider: 'cuts the stream',
    answer: half((response) => void response.destroy()),
    ...{ code: 'model_unavailable', said: SAID, isBilled: true },
  },
  {
    provider: 'ends the stream before `message_stop`',
    answer: half((response) => void response.end()),
    ...{ code: 'model_unavailable', said: SAID, isBilled: true },
  },
  {
    provider: 'sends an event that is not JSON',
    answer: half((response) => void response.end('event: content_block_delta\ndata: {"type":"co\n\n')),
    ...{ code: 'model_unavailable', said: SAID, isBilled: true },
  },
  {
    provider: 'sends an event that never ends',
    answer: half((response) => forEver(response, 'event: content_block_delta\ndata: "', 'x'.repeat(65_536))),
    ...{ code: 'model_unavailable', said: SAID, isBilled: true },
  },
  {
    provider: 'sends an `error` event, `overloaded_error`',
    answer: half((response) => void response.end(errorEvent('overloaded_error'))),
    ...{ code: 'model_overloaded', said: SAID, isBilled: true },
  },
  {
    provider: 'sends an `error` event, `api_error`',
    answer: half((response) => void response.end(errorEvent('api_error'))),
    ...{ code: 'model_unavailable', said: SAID, isBilled: true },
  },
  {
    provider: 'sends an `error` event with the code 402',
    answer: half(
      (response) =>
        void response.end('event: error\ndata: {"error":{"code":402,"message":"Insufficient credits"}}\n\n'),
    ),
    ...{ code: 'model_authentication', isFinal: true, said: SAID, isBilled: true },
  },
  {
    provider: '200 with JSON that tells of an error 402',
    answer: (response) =>
      void response
        .writeHead(200, { 'content-type': 'application/json' })
        .end('{"error":{"message":"Insufficient credits","code":402}}'),
    ...{ code: 'model_authentication', isFinal: true },
  },
  {
    provider: '200 with JSON that is no message',
    answer: (response) =>
      void response.writeHead(200, { 'content-type': 'application/json' }).end('{"ok":true}'),
    code: 'model_unavailable',
  },
  { provider: '200 with a page of HTML', answer: html(200), code: 'model_unavailable' },
  {
    provider: 'sends an event that is JSON and not the protocol',
    answer: half((response) => void response.end(event('content_block_delta', { index: 0, delta: 'more' }))),
    ...{ code: 'model_unavailable', isFinal: true, said: SAID, isBilled: true },
  },
  {
    provider: 'calls more than 256 tools in one answer',
    answer: half((response) => {
      const calls = Array.from({ length: 257 }, (_, index) =>
        block(index + 1, { type: 'tool_use', id: `toolu_${index}`, name: 'look_up', input: {} }, []),
      );
      response.end(calls.join('') + messageEnd('tool_use'));
    }),
    ...{ code: 'model_unavailable', isFinal: true, said: SAID, isBilled: true },
  },
  {
    provider: 'writes text without end',
    answer: (response) =>
      forEver(
        openStream(response),
        begun,
        Array(20)
          .fill(delta('word '.repeat(400)))
          .join(''),
      ),
    ...{ code: 'model_unavailable', isFinal: true, said: 'endless', isBilled: true },
  },
];

export interface OddRow {
  provider: string;
  wire: string;
  contentType?: string;
  stopReason: string | null;
  content: string;
  isLeftOut?: boolean;
}

const CALL = { type: 'tool_use', id: 'toolu_1', name: 'look_up', input: {} };

/** The answer, and a call that is whole. */
const withCall = (stopReason: string) =>
  MESSAGE_START + textBlock(0, ANSWER) + block(1, CALL, []) + messageEnd(stopReason);

/** The answer, and a call that ends in the middle of its input. */
const withCutCall = (stopReason: string) =>
  MESSAGE_START +
  textBlock(0, ANSWER) +
  block(1, CALL, []) +
  block(2, CALL, [{ type: 'input_json_delta', partial_json: '{"key":"a' }]) +
  messageEnd(stopReason);

const withStop = (stopReason: string) => MESSAGE_START + textBlock(0, ANSWER) + messageEnd(stopReason);

/** Answers that no good conversation has, and that are answers all the same. */
export const ODD_ANSWERS: OddRow[] = [
  { provider: 'an answer without content', wire: whole(), stopReason: 'end_turn', content: '' },
  {
    provider: 'a content block of an unknown type',
    wire: whole(block(0, { type: 'dream', of: 'sheep' }, []), textBlock(1, ANSWER)),
    ...{ stopReason: 'end_turn', content: ANSWER },
  },
  {
    provider: 'an unknown `stop_reason`',
    wire: withStop('went_home'),
    ...{ stopReason: 'went_home', content: ANSWER },
  },
  {
    provider: 'no `stop_reason` at all',
    wire: MESSAGE_START + textBlock(0, ANSWER) + event('message_stop'),
    ...{ stopReason: null, content: ANSWER },
  },
  { provider: '`max_tokens`', wire: withStop('max_tokens'), stopReason: 'max_tokens', content: ANSWER },
  {
    provider: '`model_context_window_exceeded`',
    wire: withStop('model_context_window_exceeded'),
    ...{ stopReason: 'model_context_window_exceeded', content: ANSWER },
  },
  { provider: '`pause_turn`', wire: withStop('pause_turn'), stopReason: 'pause_turn', content: ANSWER },
  {
    provider: '`refusal`, with the text before it',
    wire: withStop('refusal'),
    ...{ stopReason: 'refusal', content: ANSWER, isLeftOut: true },
  },
  {
    provider: '`max_tokens` in the middle of a call, behind one that is whole',
    wire: withCutCall('max_tokens'),
    ...{ stopReason: 'max_tokens', content: ANSWER },
  },
  {
    provider: '`model_context_window_exceeded` in the middle of a call',
    wire: withCutCall('model_context_window_exceeded'),
    ...{ stopReason: 'model_context_window_exceeded', content: ANSWER },
  },
  {
    provider: '`refusal` behind a call that is whole',
    wire: withCall('refusal'),
    ...{ stopReason: 'refusal', content: ANSWER, isLeftOut: true },
  },
  {
    provider: '`tool_use` without a call',
    wire: withStop('tool_use'),
    ...{ stopReason: 'tool_use', content: ANSWER },
  },
  {
    provider: 'a stream without `message_stop`',
    wire: withStop('end_turn').replace(event('message_stop'), ''),
    ...{ stopReason: 'end_turn', content: ANSWER },
  },
  {
    provider: 'a stream without `event:` lines, with `[DONE]` at its end',
    wire: `${withStop('end_turn').replaceAll(/^event: .*\n/gm, '')}data: [DONE]\n\n`,
    ...{ stopReason: 'end_turn', content: ANSWER },
  },
  {
    provider: 'a whole message as JSON instead of a stream',
    wire: JSON.stringify({
      type: 'message',
      model: 'claude-answering',
      content: [{ type: 'text', text: ANSWER }],
      stop_reason: 'end_turn',
    }),
    contentType: 'application/json',
    ...{ stopReason: 'end_turn', content: ANSWER },
  },
  {
    provider: 'the whole content, or the stop reason, in `message_start`',
    wire:
      event('message_start', {
        message: {
          model: 'claude-answering',
          content: [{ type: 'text', text: ANSWER }],
          stop_reason: 'end_turn',
        },
      }) + event('message_stop'),
    ...{ stopReason: 'end_turn', content: ANSWER },
  },
  {
    provider: 'a stream under another `content-type`',
    wire: withStop('end_turn'),
    contentType: 'text/plain',
    ...{ stopReason: 'end_turn', content: ANSWER },
  },
];

const table = (head: string[], rows: string[][]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

const shownLater = ({ isLeftOut }: { isLeftOut?: boolean }) => (isLeftOut ? 'no' : 'yes');

const streamOf = ({ said, isFinal }: FailureRow): string => {
  if (isFinal) return said ? 'the text so far, `error`, `message`' : '`error`, `message`';
  return said ? 'the text so far, `content_reset`, new text' : 'nothing of it';
};

export const failuresTable = (): string =>
  table(
    [
      'the provider',
      'tries',
      '`error.code`',
      'on streams',
      'billed for such a try',
      'shown to the model later',
    ],
    FAILURES.map((row) => [
      row.provider,
      row.isFinal ? '1' : 'up to 6',
      `\`${row.code}\``,
      streamOf(row),
      row.isBilled ? 'what it had told' : 'nothing',
      shownLater(row),
    ]),
  );

export const oddAnswersTable = (): string =>
  table(
    ['the answer', '`stop_reason`', '`content`', 'shown to the model later'],
    ODD_ANSWERS.map((row) => [
      row.provider,
      row.stopReason === null ? 'null' : `\`${row.stopReason}\``,
      row.content === '' ? "`''`" : 'the text',
      shownLater(row),
    ]),
  );
