// A model that answers at once: an HTTP server that speaks the Messages API, as JSON and as server-sent events. It simulates:
// the answer is `echo: ` and the last user text, filled up to a number of words.
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

/** `[[ms=3000]]` in the text delays that one answer. */
const delayOf = (body) => Number(/\[\[ms=(\d+)\]\]/.exec(textOf(body.messages.at(-1).content))?.[1] ?? 0);

async function readJson(request) {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return JSON.parse(text);
}

async function stream(response, message, words, wordMs) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const send = (type, data) =>
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
  send('message_start', { message: { ...message, content: [], stop_reason: null } });
  send('content_block_start', { index: 0, content_block: { type: 'text', text: '' } });
  for (const text of words) {
    send('content_block_delta', { index: 0, delta: { type: 'text_delta', text } });
    if (wordMs > 0) await sleep(wordMs);
  }
  send('content_block_stop', { index: 0 });
  send('message_delta', { delta: { stop_reason: 'end_turn' }, usage: { output_tokens: words.length } });
  send('message_stop', {});
  response.end();
}

/** @returns the double, on a free port of this machine. `settings` may be changed while it runs. */
export async function startDouble() {
  const settings = { words: 20, wordMs: 0 };
  const calls = { count: 0 };
  const server = createServer(async (request, response) => {
    const body = await readJson(request);
    calls.count += 1;
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
    if (body.stream) return stream(response, message, words, settings.wordMs);
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
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
