// A tool that answers after three minutes, behind an nginx with its defaults, which cuts what is silent for one.
import { createApiClient } from '../support/api-client.ts';
import { type Nginx, startNginx } from '../support/nginx.ts';
import { cleanUp, type ServerProcess, startServer } from '../support/process.ts';
import { openSocket } from '../support/socket-client.ts';

/** One each fifteen seconds: three minutes of silence. */
const COMMENTS = 12;
const TOOL = {
  name: 'look_up',
  description: 'Looks something up',
  parameters: { type: 'object' },
  timeout_seconds: 600,
};

let server: ServerProcess;
let nginx: Nginx;
/** Where the clients go. */
let url: string;
beforeAll(async () => {
  server = await startServer();
  nginx = await startNginx(server.url);
  url = nginx.url;
});
afterAll(async () => {
  await nginx?.stop();
  await cleanUp();
});

/** The text of a response as it comes, up to where it is satisfied. */
async function readUntil(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  satisfied: (text: string) => boolean,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  while (!satisfied(text)) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`The stream has ended: ${text}`);
    text += decoder.decode(value, { stream: true });
  }
  return text;
}

const commentsIn = (text: string): number => (text.match(/^:/gm) ?? []).length;

test(
  `neither a stream nor a WebSocket is cut while nothing is sent but ${COMMENTS} comments`,
  async () => {
    const api = createApiClient(url, server.api.key);
    const { id } = await api.session({ tools: [TOOL] });
    const socket = await openSocket(`${url}/v1/sessions/${id}/ws`, { key: api.key });
    const headers = { Authorization: `Bearer ${api.key}`, Accept: 'text/event-stream' };
    const response = await fetch(`${url}/v1/sessions/${id}/events`, { headers });
    const reader = response.body!.getReader();
    await api.send(id, `use tool ${TOOL.name} {"key":"a"}`);
    await readUntil(reader, (text) => text.includes('tool.called'));
    await readUntil(reader, (text) => commentsIn(text) >= COMMENTS);
    const { tool_call } = await socket.until(({ type }) => type === 'tool_call');
    const result = { tool_call_id: tool_call.id, result: 'found' };
    expect((await api.post(`/v1/sessions/${id}/tool-results`, result)).status).toBe(200);
    await readUntil(reader, (text) => text.includes('event: message.completed'));
    await socket.until(({ type, message }) => type === 'message' && message.status === 'completed');
    await reader.cancel();
    socket.socket.terminate();
  },
  COMMENTS * 20_000 + 60_000,
);
