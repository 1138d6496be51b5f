// What the refusals of providers and gateways come to: their status first, then the names in their structure, then words.
import { isRequestRefused } from '../../src/models/failures.ts';
import type { ModelCallError } from '../../src/models/port.ts';
import {
  closeAll,
  collect,
  event,
  failureOf,
  MESSAGE_START,
  openStream,
  requestOf,
  serve,
  textBlock,
} from './support.ts';

afterEach(closeAll);

type Headers = Record<string, string>;

async function refusedWith(status: number, body: unknown, headers: Headers = {}): Promise<ModelCallError> {
  const { model } = await serve((response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(body));
  });
  return await failureOf(collect(model, requestOf('hello')));
}

async function streamedWith(data: unknown): Promise<ModelCallError> {
  const wire = `${MESSAGE_START}${textBlock(0, 'Well')}event: error\ndata: ${JSON.stringify(data)}\n\n`;
  const { model } = await serve((response) => void openStream(response).end(wire));
  return await failureOf(collect(model, requestOf('hello')));
}

const OPERATOR = 'operator has to settle';

/** What a gateway says, and what it means. */
type Row = [string, number, Headers, unknown];

const TOO_MANY = { message: 'Too many tokens per day, please wait before trying again.' };
const aws = (name: string): Headers => ({
  'x-amzn-errortype': `${name}:http://internal.amazon.com/coral/com.amazon.bedrock/`,
});

describe('passes by itself and is tried again', () => {
  test.each<Row>([
    ['Bedrock', 400, aws('ThrottlingException'), { __type: 'ThrottlingException', ...TOO_MANY }],
    ['Bedrock, by its header alone', 400, aws('ThrottlingException'), TOO_MANY],
    ['Bedrock, by its type alone', 400, {}, { __type: 'com.amazon#ThrottlingException', message: 'No' }],
    ['Bedrock behind a proxy that keeps the words', 400, {}, TOO_MANY],
    ['an AWS rate', 400, {}, { Message: 'Rate exceeded' }],
    ['Vertex', 429, {}, { error: { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'Check your quota' } }],
    ['Vertex, in a list', 429, {}, [{ error: { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'x' } }]],
    ['a name beside 400', 400, {}, { error: { code: 'rate_limit_exceeded', message: 'context budget' } }],
    ['a 200 with the status in its body', 200, {}, { error: { code: 429, message: 'Slow down' } }],
    ['a 200 with the status as a text', 200, {}, { error: { code: '529', message: 'Busy' } }],
  ])('%s', async (_name, status, headers, body) => {
    const error = await refusedWith(status, body, headers);
    expect(error).toMatchObject({ code: 'model_overloaded', retryable: true });
    // The same request is right a moment later, so nothing of it is left out.
    expect(isRequestRefused(error)).toBe(false);
  });

  test.each<Row>([
    ['a model that failed', 424, aws('ModelErrorException'), { message: 'The model failed' }],
    ['a service that is away', 400, aws('ServiceUnavailableException'), { message: 'No' }],
  ])('%s', async (_name, status, headers, body) => {
    const error = await refusedWith(status, body, headers);
    expect(error).toMatchObject({ code: 'model_unavailable', retryable: true });
    expect(isRequestRefused(error)).toBe(false);
  });
});

const NO_CREDIT = { message: 'Insufficient credits', code: 402 };

describe('is about the account, and fails at once with words to the operator', () => {
  test.each<Row>([
    ['a 200 with JSON', 200, {}, { error: NO_CREDIT }],
    ['a 200 with the words alone', 200, {}, { error: 'Insufficient credits' }],
    ['a code without such words', 200, {}, { error: { code: '402', message: 'No' } }],
    ['500 around 402', 500, {}, { error: NO_CREDIT }],
    ['500 with the words alone', 500, {}, { message: 'credit balance is too low' }],
    [
      'LiteLLM',
      429,
      {},
      {
        error: {
          message: 'ExceededBudget: User crossed spend within 1d',
          type: 'budget_exceeded',
          code: '429',
        },
      },
    ],
    [
      'LiteLLM, without its type',
      429,
      {},
      { error: { message: 'Budget has been exceeded! Current cost: 3' } },
    ],
    ['Moonshot', 429, {}, { error: { type: 'exceeded_current_quota_error', message: 'Check your balance' } }],
    ['an AWS key', 400, aws('UnrecognizedClientException'), { message: 'The token is invalid.' }],
    ['an AWS role', 403, aws('AccessDeniedException'), { Message: 'You have no access to this model.' }],
  ])('%s', async (_name, status, headers, body) => {
    const error = await refusedWith(status, body, headers);
    expect(error).toMatchObject({ code: 'model_authentication', retryable: false });
    expect(error.message).toContain(OPERATOR);
  });

  test.each([
    ['a code', { error: NO_CREDIT }],
    ['words', { type: 'error', error: { message: 'Insufficient credits' } }],
    ['words and the type of any failure', { error: { type: 'api_error', message: 'Insufficient credits' } }],
  ])('%s in the middle of a stream', async (_name, data) => {
    const error = await streamedWith(data);
    expect(error).toMatchObject({ code: 'model_authentication', retryable: false });
    expect(error.message).toContain(OPERATOR);
  });
});

const refused = (message: string, more = {}) => ({
  error: { type: 'invalid_request_error', message, ...more },
});

describe('is a context too long', () => {
  test.each<Row>([
    ['by a code', 400, {}, refused('Please reduce it', { code: 'context_length_exceeded' })],
    ['by a type', 400, {}, { error: { type: 'exceed_context_size_error', code: 400, message: 'Too big' } }],
    ['of Bedrock', 400, aws('ValidationException'), { message: 'Input is too long for requested model.' }],
    ['of a field that holds messages', 400, {}, refused('messages: prompt is too long: 3 tokens > 2')],
    [
      'with the room for an answer',
      400,
      {},
      refused('input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000'),
    ],
  ])('%s', async (_name, status, headers, body) => {
    const error = await refusedWith(status, body, headers);
    expect(error).toMatchObject({ code: 'context_too_long', retryable: false });
  });

  test('in the middle of a stream', async () => {
    const error = await streamedWith({ error: { message: 'prompt is too long: 3 tokens > 2' } });
    expect(error).toMatchObject({ code: 'context_too_long', retryable: false });
  });
});

describe('is about a field of the request, whatever else its words mention', () => {
  test.each([
    'The system prompt mentions billing; messages.0: unexpected role',
    'thinking.budget_tokens: must be less than max_tokens; the context window limit is 200000',
    "'max_tokens' is too large: 9000. This model's maximum context length is 4096 tokens",
    'Value error at body.messages[0].content: credits are exhausted',
    'temperature: insufficient balance between this and top_p',
    'tools.3.custom.description: input is too long',
  ])('%s', async (message) => {
    const error = await refusedWith(400, refused(message));
    expect(error).toMatchObject({ code: 'model_invalid_request', retryable: false });
    expect(error.message).not.toContain(OPERATOR);
    expect(isRequestRefused(error)).toBe(true);
  });

  test('413 with a limit per minute, which no later try keeps', async () => {
    const error = await refusedWith(413, { error: { code: 'rate_limit_exceeded', message: 'Too large' } });
    expect(error).toMatchObject({ code: 'model_invalid_request', retryable: false });
  });
});

test('the words stand once in the message, without the shape around them', async () => {
  for (const body of [
    { message: 'Not now' },
    { Message: 'Not now' },
    { detail: 'Not now' },
    { error: 'Not now' },
  ]) {
    const { message } = await refusedWith(500, body);
    expect(message).toBe('The model answered 500 error: Not now');
  }
  const { message } = await refusedWith(400, TOO_MANY, aws('ThrottlingException'));
  expect(message).toBe(`The model answered 400 ThrottlingException: ${TOO_MANY.message}`);
});

test('an event of the protocol with an error keeps its type', async () => {
  const { model } = await serve((response) => {
    openStream(response).end(event('error', { error: { type: 'overloaded_error', message: 'Busy' } }));
  });
  expect(await failureOf(collect(model, requestOf('hello')))).toMatchObject({ code: 'model_overloaded' });
});
