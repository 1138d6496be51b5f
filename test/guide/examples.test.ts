// Each example runs against the built server, as a user would run it.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PROJECT_DIR } from '../support/built.ts';
import { cleanUp, environment, type ServerProcess, startServer } from '../support/process.ts';

let server: ServerProcess;
beforeAll(async () => {
  server = await startServer();
});
afterAll(cleanUp);

it('the support agent looks up the orders that the model asks for, and prints the answer', async () => {
  const env = environment({ OPENCLAW_BASE_URL: server.url, OPENCLAW_API_KEY: server.api.key });
  // The simulator calls a tool when its text says so; Claude needs no such word.
  const question = 'Where is it? use tool get_customer_orders {"customer_id":"cust_12345"}';
  const example = join(PROJECT_DIR, 'examples', 'support-agent.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, [example, question], { env });
  expect(stdout).toContain('-> get_customer_orders {"customer_id":"cust_12345","limit":10}');
  expect(stdout).toContain('A-1007');
});
