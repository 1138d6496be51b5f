// After DELETE nothing that the session said is left: in no file of the database, and not in Temporal.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';
import { randomText } from '../../src/ids.ts';
import { eventually } from '../support/api-client.ts';
import { readRunFile } from '../support/run-file.ts';
import { startTestSystem, type TestSystem } from '../support/system.ts';

let system: TestSystem;
let connection: Connection;
let client: Client;
beforeAll(async () => {
  system = await startTestSystem();
  connection = await Connection.connect({ address: readRunFile().address });
  client = new Client({ connection, namespace: 'default' });
});
afterAll(async () => {
  await connection.close();
  await system.stop();
});

/** The database's files that hold the word. */
const filesWith = (word: string): string[] =>
  readdirSync(system.directory).filter((name) => readFileSync(join(system.directory, name)).includes(word));

async function runsOf(sessionId: string): Promise<string[]> {
  const runs: string[] = [];
  for await (const { runId } of client.workflow.list({ query: `WorkflowId = '${sessionId}'` }))
    runs.push(runId);
  return runs;
}

const isKnown = (sessionId: string): Promise<boolean> =>
  client.workflow
    .getHandle(sessionId)
    .describe()
    .then(
      () => true,
      (error: unknown) => {
        if (error instanceof WorkflowNotFoundError) return false;
        throw error;
      },
    );

/** Temporal retries the deletion of a run until it has noted the close, with growing pauses. */
const ERASED_WITHIN_MS = 90_000;

const untilErased = (sessionId: string, word: string) =>
  eventually(
    async () => ({ files: filesWith(word), runs: await runsOf(sessionId), known: await isKnown(sessionId) }),
    ({ files, runs, known }) => files.length === 0 && runs.length === 0 && !known,
    ERASED_WITHIN_MS,
  );

const tool = (word: string) => ({
  name: 'look_up',
  description: `Looks up ${word}`,
  parameters: { type: 'object', properties: { key: { type: 'string' } } },
});

/** A session that holds the word in every place where a client, or the model, can put it. */
async function fill(word: string): Promise<string> {
  const { id } = await system.api.session({
    title: `Title ${word}`,
    system_prompt: `Prompt ${word}`,
    metadata: { key: word, [word]: 'value' },
    tools: [tool(word)],
  });
  await system.api.send(id, `${word} begins. ${`${word} `.repeat(2_000)}`);
  const reply = await system.api.send(id, `${word} use tool look_up {"key":"${word}"}`);
  const [call] = reply.tool_calls;
  const result = { tool_call_id: call.id, result: `Result ${word} `.repeat(500), wait: true };
  expect((await system.api.post(`/v1/sessions/${id}/tool-results`, result)).status).toBe(200);
  return id;
}

test('DELETE erases every copy of the contents, for active and for ended sessions', async () => {
  const [words, kept] = [[randomText(24), randomText(24)], randomText(24)];
  const ids = await Promise.all(words.map(fill));
  const other = await fill(kept);
  for (const word of [...words, kept]) expect(filesWith(word)).not.toEqual([]);
  expect(await runsOf(ids[0]!)).toHaveLength(1);
  expect((await system.api.post(`/v1/sessions/${ids[1]}/complete`)).status).toBe(200);
  for (const id of ids) expect((await system.api.delete(`/v1/sessions/${id}`)).status).toBe(200);
  await Promise.all(ids.map((id, n) => untilErased(id, words[n]!)));
  expect(filesWith(kept)).not.toEqual([]);
  expect(await isKnown(other)).toBe(true);
  expect((await system.api.send(other, 'Still there?')).status).toBe('completed');
}, 120_000);
