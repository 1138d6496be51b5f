// The built product on newer versions of Node, as an operator finds it after an upgrade: better-sqlite3 was built for the old
// one. Over PostgreSQL nothing needs it; over SQLite the start says what to do.
import { readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { PROJECT_DIR } from '../support/built.ts';
import { freePort } from '../support/ports.ts';
import { createDatabase, findPostgres, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { cleanUp, type ServerProcess, spawnServer, startServer } from '../support/process.ts';

const MAIN = join(PROJECT_DIR, 'dist', 'main.js');
const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'openclaw');
/** `npm run fetch-node` puts them there. */
const versions = readdirSync(cacheDir).flatMap((name) => /^node-(\d+\.\d+\.\d+)$/.exec(name)?.[1] ?? []);
const majors = ['24', '26'];

const WEATHER = {
  name: 'get_weather',
  description: 'The weather of a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
};

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres(findPostgres() as string);
});
afterAll(async () => {
  await cleanUp();
  await postgres.stop();
});

async function start(version: string, env: Record<string, string>): Promise<ServerProcess> {
  const command = [join(cacheDir, `node-${version}`), MAIN, 'dev'];
  // Without the tests' own preload, so that all that is on stderr is Node's or ours.
  return spawnServer({ command, env: { NODE_OPTIONS: '', ...env }, port: await freePort() });
}

const versionOf = (major: string): string =>
  versions.find((version) => version.startsWith(`${major}.`)) ?? '';

describe.each(majors)('Node %s', (major) => {
  it('streams an answer with a tool, over PostgreSQL, and stops cleanly', async () => {
    const env = { DATABASE_URL: await createDatabase(postgres.url, `node_${major}`) };
    const server = await start(versionOf(major), env);
    await server.ready();
    const session = await server.api.session({ tools: [WEATHER] });
    const events: string[] = [];
    let paused: any;
    for await (const { event, data } of server.api.stream(
      session.id,
      'use tool get_weather {"city":"Rome"}',
    )) {
      events.push(event);
      paused = data.message;
    }
    expect(events).toContain('tool_call');
    const result = { tool_call_id: paused.waiting_for[0], result: 'sunny', wait: true };
    const answer = await server.api.post(`/v1/sessions/${session.id}/tool-results`, result);
    expect(answer.body).toMatchObject({ status: 'completed', content: expect.stringContaining('sunny') });
    server.kill('SIGTERM');
    expect(await server.exit).toEqual({ code: 0, signal: null });
    // Warnings of Node, of removed and experimental functions, are no JSON.
    expect(
      server
        .stderr()
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('{')),
    ).toEqual([]);
  });

  const itBuiltForAnother = process.versions.node.startsWith(`${major}.`) ? it.skip : it;
  itBuiltForAnother(
    'says what to do over SQLite, when better-sqlite3 was built for another Node',
    async () => {
      const server = await start(versionOf(major), {});
      expect(await server.exit).toEqual({ code: 1, signal: null });
      expect(server.stderr()).toMatch(
        new RegExp(
          `SQLite can't be used: .*built for Node \\d+, and this is Node ${major}\\..*npm rebuild better-sqlite3`,
        ),
      );
      expect(server.temporal()).toBeUndefined();
    },
  );
});

it('respects the lock of a data directory that an older Node holds', async () => {
  const older = await startServer();
  const server = await start(versionOf('24'), {
    DATABASE_URL: postgres.url,
    OPENCLAW_DATA_DIR: older.dataDir,
  });
  expect(await server.exit).toEqual({ code: 1, signal: null });
  expect(server.stderr()).toContain(`The data directory ${older.dataDir} is in use`);
  await older.stop();
});
