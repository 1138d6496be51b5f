// Each example runs against the built server, as a user would run it.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { PROJECT_DIR } from '../support/built.ts';
import { cleanUp, environment, type ServerProcess, startServer } from '../support/process.ts';

let server: ServerProcess;
beforeAll(async () => {
  server = await startServer();
});
afterAll(cleanUp);

const EXAMPLE = join(PROJECT_DIR, 'examples', 'support-agent.mjs');

interface Outcome {
  stdout: string;
  stderr: string;
  code: number | null;
}

function run(env: Record<string, string>, ...words: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { env: environment(env) };
    const child = execFile(process.execPath, [EXAMPLE, ...words], options, (_error, stdout, stderr) =>
      resolve({ stdout, stderr, code: child.exitCode }),
    );
  });
}

describe('the support agent', () => {
  const settings = () => ({ OPENCLAW_BASE_URL: server.url, OPENCLAW_API_KEY: server.api.key });

  it('looks up the orders that plain words ask for, and prints the simulated answer', async () => {
    const { stdout, stderr, code } = await run(settings());
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toContain('-> get_customer_orders {"customer_id":"cust_12345","limit":10}');
    expect(stdout).toContain('[simulated] Tool get_customer_orders said:');
    expect(stdout).toContain('A-1007');
  });

  it('looks up the orders of the tool call that a text spells out', async () => {
    const question = 'Where is it? use tool get_customer_orders {"customer_id":"cust_12345"}';
    expect((await run(settings(), question)).stdout).toContain('A-1007');
  });

  it.each([
    ['without a key', { OPENCLAW_API_KEY: '' }, /^Set OPENCLAW_API_KEY .*admin\.key\.\n$/],
    ['with a wrong key', { OPENCLAW_API_KEY: 'wrong' }, /^http.* answered 401: .*\n$/],
    [
      'without a server',
      { OPENCLAW_BASE_URL: 'http://127.0.0.1:1' },
      /^No server answers at http:\/\/127\.0\.0\.1:1 \(.+\)\. .*npm start.*\n$/,
    ],
  ])('%s says in one line what to do', async (_name, change, line) => {
    const { stdout, stderr, code } = await run({ ...settings(), ...change });
    expect(stderr).toMatch(line);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stdout).toBe('');
    expect(code).toBe(1);
  });
});
