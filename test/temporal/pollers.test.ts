// Whether any worker polls a queue, as a process that does not work itself learns it.
import { pino } from 'pino';
import { connectTemporal, type TemporalConnection } from '../../src/temporal/connection.ts';
import { createPollerCheck } from '../../src/temporal/pollers.ts';
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';
import { readRunFile } from '../support/run-file.ts';

let engine: TestEngine;
let temporal: TemporalConnection;
let aheadMs = 0;
beforeAll(async () => {
  engine = await startTestEngine();
  temporal = await connectTemporal({ address: readRunFile().address }, pino({ level: 'silent' }));
});
afterAll(async () => {
  await temporal.close();
  await engine.stop();
});

const checkOf = (taskQueue: string) =>
  createPollerCheck({ temporal, namespace: 'default', taskQueue, now: () => Date.now() + aheadMs });

test('a queue that a worker polls is served', async () => {
  const answer = await eventually(checkOf(engine.taskQueue), ({ ok }) => ok);
  expect(answer).toEqual({ ok: true, error: null });
});

test('a queue that nobody has polled is named', async () => {
  expect(await checkOf('nobody')()).toEqual({ ok: false, error: 'no worker polls nobody' });
});

test('who has not polled for longer than a poll lasts is gone', async () => {
  aheadMs = 80_000;
  expect((await checkOf(engine.taskQueue)()).ok).toBe(false);
});
