// Deliveries that take hours, on a Temporal server whose clock can be moved: what fails twice is left to the endpoint's own
// workflow, which tries on by the schedule and ends when nothing is left.
import type * as Testing from '@temporalio/testing';
import { endpointWorkflowId, SEARCH_ATTRIBUTES } from '../../workflows/protocol.ts';
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';
import { type Receiver, startReceiver } from '../support/receiver.ts';
import { readRunFile } from '../support/run-file.ts';

/** Temporal's number for the type of a search attribute. */
const KEYWORD = 2;
const HOUR_MS = 60 * 60 * 1_000;

let environment: Testing.TestWorkflowEnvironment;
let engine: TestEngine;
let receiver: Receiver;
let nowMs = 0;
let isOver = false;
let clock: Promise<void>;

/** The store's clock follows the server's, also while time is skipped. */
async function follow(): Promise<void> {
  while (!isOver) {
    nowMs = await environment.currentTimeMs();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

beforeAll(async () => {
  const { testServerPath } = readRunFile();
  // In a registry of its own, for it installs a runtime, and our worker wants to install its own.
  let TestWorkflowEnvironment = null as unknown as typeof Testing.TestWorkflowEnvironment;
  jest.isolateModules(() => {
    ({ TestWorkflowEnvironment } = jest.requireActual<typeof Testing>('@temporalio/testing'));
  });
  environment = await TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path: testServerPath } },
  });
  await environment.connection.operatorService.addSearchAttributes({
    namespace: 'default',
    searchAttributes: Object.fromEntries(Object.values(SEARCH_ATTRIBUTES).map((name) => [name, KEYWORD])),
  });
  nowMs = await environment.currentTimeMs();
  clock = follow();
  engine = await startTestEngine({ address: environment.address, now: () => nowMs });
  receiver = await startReceiver();
});
afterAll(async () => {
  await engine?.stop();
  isOver = true;
  await clock;
  await receiver?.stop();
  await environment?.teardown();
});
afterEach(async () => {
  // Endpoints of one test hear of no other's sessions.
  await engine.db.deleteFrom('webhooks').execute();
  receiver.received.length = 0;
});

const run = async (webhook: string) =>
  (await engine.client.workflow.getHandle(endpointWorkflowId(webhook)).describe()).status.name;

const only = async (webhook: string) => {
  const [row] = await engine.db
    .selectFrom('deliveries')
    .selectAll()
    .where('webhook_id', '=', webhook)
    .execute();
  return { ...row!, tries: JSON.parse(row!.attempts) as { at: number; status_code: number }[] };
};

/** A webhook that hears of a session's beginning, and a session; its receiver fails so often. */
async function begin(failures: number): Promise<string> {
  receiver.answer((_request, response) => {
    response.writeHead(receiver.received.length > failures ? 200 : 500).end();
  });
  const { id } = await engine.createWebhook({ url: receiver.url, events: ['session.created'] });
  await engine.createSession();
  await receiver.until((all) => all.length > 0);
  return id;
}

/** Lets time pass until the delivery has been tried so often. */
async function tried(webhook: string, times: number): Promise<void> {
  for (let hour = 0; (await only(webhook)).attempt_count < times; hour += 1) {
    if (hour > 200)
      throw new Error(`Only ${(await only(webhook)).attempt_count} of ${times} tries were made`);
    await environment.sleep('1 hour');
  }
}

test('a receiver that fails three times is tried a fourth time, and the workflow ends', async () => {
  const webhook = await begin(3);
  await tried(webhook, 4);
  const { status, tries } = await only(webhook);
  expect(status).toBe('delivered');
  expect(tries.map(({ status_code }) => status_code)).toEqual([500, 500, 500, 200]);
  const gaps = tries.slice(1).map(({ at }, n) => (at - tries[n]!.at) / 1_000);
  for (const [n, wait] of [5, 300, 1_800].entries()) {
    expect(gaps[n]).toBeGreaterThanOrEqual(0.8 * wait);
    // A fifth more at most; the rest is how long it takes to be told that time has passed.
    expect(gaps[n]).toBeLessThan(1.2 * wait + 60);
  }
  const received = receiver.received.map(({ headers, body }) => [headers['webhook-id'], body].join(' '));
  expect(received).toHaveLength(4);
  expect(new Set(received).size).toBe(1);
  await eventually(
    () => run(webhook),
    (status) => status === 'COMPLETED',
  );
});

test('a receiver that never answers well is given up after ten tries in three days', async () => {
  const webhook = await begin(10);
  await tried(webhook, 10);
  const { status, tries } = await only(webhook);
  expect(status).toBe('failed');
  expect(receiver.received).toHaveLength(10);
  const hours = (tries[9]!.at - tries[0]!.at) / HOUR_MS;
  expect(hours).toBeGreaterThan(0.8 * 75.6);
  expect(hours).toBeLessThan(1.2 * 75.6 + 1);
  await eventually(
    () => run(webhook),
    (status) => status === 'COMPLETED',
  );
});

test('what is left to the endpoint after its workflow has ended starts another run', async () => {
  const webhook = await begin(2);
  await tried(webhook, 3);
  await eventually(
    () => run(webhook),
    (status) => status === 'COMPLETED',
  );
  const { id } = await only(webhook);
  await engine.db
    .updateTable('deliveries')
    .set({ status: 'pending', owner: 'endpoint', next_attempt_at: nowMs, attempt_count: 0 })
    .where('id', '=', id)
    .execute();
  await engine.gateway.endpoint(webhook);
  await eventually(
    () => only(webhook),
    ({ status }) => status === 'delivered',
  );
  expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
});
