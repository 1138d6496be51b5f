// Schemathesis reads the OpenAPI document and sends the running product all that it allows, and all that it forbids.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createApiClient } from '../support/api-client.ts';
import { isLong } from '../support/long.ts';
import { cleanUp, newDirectory, openclaw, run, type ServerProcess, startServer } from '../support/process.ts';
import { pythonTool } from './python-tools.ts';

/** Of each operation and phase. 12 are more than CASES_MIN. */
const EXAMPLES_MAX = isLong ? 1_000 : 12;
const CASES_MIN = isLong ? 5_000 : 1_000;
const TIMEOUT_MS = isLong ? 25 * 60_000 : 150_000;
/** The short form always asks the same, so that it fails for a change and not for a coincidence. */
const SEED = isLong ? Math.floor(Math.random() * 1e9) : 1;
/** A run that was refused at the door has no findings either. */
const SUCCESSES_MIN = 300;

let server: ServerProcess;
let keys: string[];
beforeAll(async () => {
  server = await startServer({ env: { OPENCLAW_RATE_LIMIT_PER_MINUTE: '1000000' } });
  const made = await openclaw(['keys', 'create', '--account', 'other', '--level', 'admin'], {
    OPENCLAW_DATA_DIR: server.dataDir,
  });
  keys = [server.api.key, made.stdout.trim().split('\n').at(-1) ?? ''];
});
afterAll(cleanUp);

const clients = () => keys.map((key) => createApiClient(server.url, key));

async function ownKeyIds(): Promise<string> {
  const pages = await Promise.all(clients().map((client) => client.get('/v1/api-keys')));
  return pages.flatMap(({ body }) => body.data.map(({ id }: { id: string }) => id)).join(',');
}

/** Two accounts, in the format of Web Fuzzing Commons. */
function writeAuthFile(): string {
  const file = join(newDirectory(), 'auth.json');
  const auth = keys.map((key, index) => ({
    name: ['one', 'other'][index],
    fixedHeaders: [{ name: 'Authorization', value: `Bearer ${key}` }],
  }));
  writeFileSync(file, JSON.stringify({ auth }), { mode: 0o600 });
  return file;
}

const accessLog = (): { msg: string; status: number }[] =>
  server
    .stderr()
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));

test(
  'every check of every phase passes',
  async () => {
    const where = ['run', `${server.url}/openapi.json`, '--phases', 'examples,coverage,fuzzing,stateful'];
    const extent = ['--max-examples', String(EXAMPLES_MAX), '--seed', String(SEED), '--no-color'];
    const config = ['--config-file', join(__dirname, 'schemathesis.toml')];
    const report = await run(
      pythonTool('schemathesis'),
      [...config, ...where, ...extent],
      {
        SCHEMATHESIS_HOOKS_FILE: join(__dirname, 'hooks.py'),
        SCHEMATHESIS_AUTH_FILE: writeAuthFile(),
        OWN_KEY_IDS: await ownKeyIds(),
        PYTHONDONTWRITEBYTECODE: '1',
      },
      TIMEOUT_MS,
    );
    if (report.code !== 0) throw new Error(`Seed ${SEED}\n${report.stdout.slice(-20_000)}${report.stderr}`);
    const [, generated] = /^\s+(\d+) generated, \1 passed/m.exec(report.stdout) ?? [];
    expect(Number(generated)).toBeGreaterThanOrEqual(CASES_MIN);
  },
  TIMEOUT_MS + 5_000,
);

test('the calls went in: many succeeded, no call failed on our side, and both keys are still good', async () => {
  const calls = accessLog().filter(({ msg }) => msg === 'request');
  expect(calls.filter(({ status }) => status < 300).length).toBeGreaterThan(SUCCESSES_MIN);
  expect(calls.filter(({ status }) => status >= 500)).toEqual([]);
  expect(accessLog().filter(({ msg }) => msg === 'request failed')).toEqual([]);
  for (const client of clients()) expect((await client.get('/v1/models')).status).toBe(200);
});
