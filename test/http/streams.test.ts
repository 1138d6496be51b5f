// Streams, read with the guide's own code: it does not buffer, so every read must hold whole events.
import { addSession, iterate } from './support/fake-services.ts';
import { makeMessage, replyEvents } from './support/fixtures.ts';
import { type Harness, startHarness } from './support/server.ts';

let app: Harness;
let sessionId: string;
beforeAll(async () => {
  app = await startHarness();
  sessionId = addSession(app).id;
});
afterAll(() => app.close());
afterEach(() => {
  app.script.events = null;
});

const startStream = (headers: Record<string, string> = {}) =>
  app.fetch('POST', `/v1/sessions/${sessionId}/messages`, { body: { content: 'go', stream: true }, headers });

/** The guide's reader, word for word but for the collecting of text. */
async function guideReader(response: Response, pause: () => Promise<void>): Promise<string> {
  let text = '';
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  while (true) {
    const { done, value } = await reader.read();
    if (done) break;
    const chunk = decoder.decode(value);
    const lines = chunk.split('\n').filter((line) => line.startsWith('data: '));
    for (const line of lines) {
      const data = JSON.parse(line.slice(6));
      if (data.type === 'content_delta') {
        text += data.text;
      }
    }
    await pause();
  }
  return text;
}

const pieces = Array.from({ length: 1_000 }, (_, index) => `Wört ${index} 🙂 `);

describe('the guide reader on an answer of 1,000 events', () => {
  const pauses = {
    'reading at once': async () => {},
    'pausing 5 ms after each read': () => new Promise<void>((resolve) => setTimeout(resolve, 5)),
  };
  it.each(Object.entries(pauses))('loses nothing %s', async (_name, pause) => {
    app.script.events = () => iterate(replyEvents(pieces, makeMessage({ session_id: sessionId })));
    const t = Date.now();
    expect(await guideReader(await startStream(), pause)).toBe(pieces.join(''));
    console.log(_name, Date.now() - t);
  });
});
