// A running system before a provider that speaks any stream, and refuses what the Messages API refuses.
import {
  block,
  closeAll,
  event,
  MESSAGE_START,
  messageEnd,
  openStream,
  serve,
  textBlock,
  whole,
} from '../models/support.ts';
import { type Block, type Message, refusalOf } from '../support/messages-rules.ts';
import { createDatabase, findPostgres, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

export const DATABASES = findPostgres() === undefined ? ['SQLite'] : ['SQLite', 'PostgreSQL'];

const LOOK_UP = {
  name: 'look_up',
  description: 'Looks something up',
  parameters: { type: 'object', properties: { key: { type: 'string' } }, required: ['key'] },
};
export const CALL = { type: 'tool_use', id: 'toolu_1', name: 'look_up', input: { key: 'a' } };

export const json = (partial_json: string) => ({ type: 'input_json_delta', partial_json });
export const start = (index: number, content_block: object) =>
  event('content_block_start', { index, content_block });
export const text = (index: number, words: string) =>
  event('content_block_delta', { index, delta: { type: 'text_delta', text: words } });
export const calls = (...blocks: Block[]) =>
  MESSAGE_START + blocks.map((each, index) => block(index, each, [])).join('') + messageEnd('tool_use');

const DONE = whole(textBlock(0, 'Done.'));

export interface OddProvider {
  system: TestSystem;
  /** The wire of each answer in turn; then the provider says that it is done. */
  script: string[];
  /** What it answers when the script is used up. */
  always: string;
  asked: Message[][];
  /** The model that each request names. */
  models: string[];
  refused: string[];
  session(): Promise<string>;
  submit(id: string, reply: Block, result?: unknown, isError?: boolean): Promise<Block>;
  /** The session has its next turn. */
  expectUsable(id: string): Promise<void>;
}

/** Starts and stops with the suite that calls it. */
export function useOddProvider(database: string): OddProvider {
  let postgres: TestPostgres | undefined;
  const odd: OddProvider = {
    system: undefined as unknown as TestSystem,
    ...{ script: [], always: DONE, asked: [], models: [], refused: [] },
    session: async () => (await odd.system.api.session({ tools: [LOOK_UP] })).id,
    async submit(id, reply, result = 'found', is_error = false) {
      const results = reply.waiting_for.map((tool_call_id: string) => ({ tool_call_id, result, is_error }));
      return (await odd.system.api.post(`/v1/sessions/${id}/tool-results`, { results, wait: true })).body;
    },
    async expectUsable(id) {
      odd.always = DONE;
      expect(await odd.system.api.send(id, 'Go on')).toMatchObject({ status: 'completed', content: 'Done.' });
    },
  };

  beforeAll(async () => {
    const bin = database === 'PostgreSQL' ? findPostgres() : undefined;
    if (bin) postgres = await startPostgres(bin);
    const raw = await serve((response, count) => {
      const messages = raw.server.requests[count - 1]?.body.messages as Message[];
      odd.asked.push(messages);
      odd.models.push(String(raw.server.requests[count - 1]?.body.model));
      const message = refusalOf(messages);
      if (message === null) return void openStream(response).end(odd.script.shift() ?? odd.always);
      odd.refused.push(message);
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ type: 'error', error: { type: 'invalid_request_error', message } }));
    });
    odd.system = await startTestSystem({
      model: raw.model,
      ...(postgres && { database: await createDatabase(postgres.url, 'odd_answers') }),
    });
  });
  afterAll(async () => {
    await odd.system?.stop();
    await closeAll();
    await postgres?.stop();
  });
  beforeEach(() => Object.assign(odd, { script: [], always: DONE, asked: [], models: [], refused: [] }));
  afterEach(() => expect(odd.refused).toEqual([]));
  return odd;
}
