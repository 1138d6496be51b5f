// A model double that replies immediately: an HTTP server with the Messages API, as JSON and as server-sent events. The
// simulated reply is `echo: ` and the last user text, padded to a number of words. `use tool NAME {json}` calls the tool
// instead, and `[[calls=20]]` in the same text makes 20 calls at once.
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const FILL = ['lorem', 'ipsum', 'dolor', 'sit', 'amet', 'consectetur', 'adipiscing', 'elit', 'sed', 'do'];

const textOf = (content) =>
  typeof content === 'string' ? content : content.map(({ text }) => text ?? '').join('');

function wordsOf(body, count) {
  const text = textOf(body.messages.at(-1).content);
  const words = `echo: ${text}`.split(' ');
  while (words.length < count) words.push(FILL[words.length % FILL.length]);
  return words.map((word, index) => (index === 0 ? word : ` ${word}`));
}

/** The tool call that the last user text asks for. A tool result asks for no further call. */
function toolCallOf(body) {
  const text = textOf(body.messages.at(-1).content);
  const asked = /use tool (\w+) (\{.*\})/.exec(text);
  const count = Number(/\[\[calls=(\d+)\]\]/.exec(text)?.[1] ?? 1);
  return asked && body.tools ? { name: asked[1], json: asked[2], count } : undefined;
}

const bringsResult = ({ messages }) =>
  Array.isArray(messages.at(-1).content) &&
  messages.at(-1).content.some(({ type }) => type === 'tool_result');

/** `[[ms=3000]]` in the text delays this reply only. */
const delayOf = (body) => Number(/\[\[ms=(\d+)\]\]/.exec(textOf(body.messages.at(-1).content))?.[1] ?? 0);

async function readJson(request) {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return JSON.parse(text);
}

/** Sends the deltas of one block and returns the stop reason. */
async function sendWords(send, words, { wordMs, said }) {
  send('content_block_start', { index: 0, content_block: { type: 'text', text: '' } });
  let length = 0;
  for (const text of words) {
    send('content_block_delta', { index: 0, delta: { type: 'text_delta', text } });
    length += text.length;
    said?.(length);
    if (wordMs > 0) await sleep(wordMs);
  }
  return 'end_turn';
}

function sendToolCalls(send, { name, json, count }, id) {
  for (let index = 0; index < count; index += 1) {
    if (index > 0) send('content_block_stop', { index: index - 1 });
    const call = { type: 'tool_use', id: `${id}_${index}`, name, input: {} };
    send('content_block_start', { index, content_block: call });
    send('content_block_delta', { index, delta: { type: 'input_json_delta', partial_json: json } });
  }
  return 'tool_use';
}

async function stream(response, message, { words, toolCall }, pace) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const send = (type, data) =>
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
  send('message_start', { message: { ...message, content: [], stop_reason: null } });
  const stopReason = toolCall
    ? sendToolCalls(send, toolCall, `toolu_${message.id}`)
    : await sendWords(send, words, pace);
  send('content_block_stop', { index: (toolCall?.count ?? 1) - 1 });
  send('message_delta', { delta: { stop_reason: stopReason }, usage: { output_tokens: words.length } });
  send('message_stop', {});
  response.end();
}

/** @returns the double, on a free port of this machine. `settings` may change while it runs. */
export async function startDouble() {
  /** `onWord` gets the question of each sent word, and the reply's length including the word. */
  const settings = { words: 20, wordMs: 0, onWord: undefined };
  const calls = { count: 0 };
  const tools = { askedAt: 0, roundTripMs: 0 };
  const server = createServer(async (request, response) => {
    const body = await readJson(request);
    calls.count += 1;
    if (bringsResult(body)) tools.roundTripMs = performance.now() - tools.askedAt;
    const words = wordsOf(body, settings.words);
    await sleep(delayOf(body));
    const usage = { input_tokens: body.messages.length, output_tokens: words.length };
    const message = {
      id: `msg_${calls.count}`,
      type: 'message',
      role: 'assistant',
      model: body.model,
      usage,
    };
    if (body.stream) {
      const toolCall = toolCallOf(body);
      const { wordMs, onWord } = settings;
      const said = onWord && ((length) => onWord(textOf(body.messages.at(-1).content), length));
      await stream(response, message, { words, toolCall }, { wordMs, said });
      if (toolCall) tools.askedAt = performance.now();
      return;
    }
    response.setHeader('content-type', 'application/json');
    const content = [{ type: 'text', text: words.join('') }];
    response.end(JSON.stringify({ ...message, content, stop_reason: 'end_turn' }));
  });
  server.keepAliveTimeout = 65_000;
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    settings,
    calls,
    /** `roundTripMs`: from the end of the last reply with a tool call to the request with its result. */
    tools,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
