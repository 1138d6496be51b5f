// What the client's connection knows of Temporal's health.
import { pino } from 'pino';
import { connectTemporal, type TemporalConnection } from '../../src/temporal/connection.ts';
import { readRunFile } from '../support/run-file.ts';

let temporal: TemporalConnection;
beforeAll(async () => {
  temporal = await connectTemporal({ address: readRunFile().address }, pino({ level: 'silent' }));
});
afterAll(() => temporal.close());

function holdThisProcess(milliseconds: number): void {
  const until = Date.now() + milliseconds;
  while (Date.now() < until);
}

test('an answer that this process was too busy to hear in time does not make Temporal away', async () => {
  const checked = temporal.check();
  await new Promise(setImmediate);
  holdThisProcess(1_500);
  expect(await checked).toEqual({ ok: true, error: null });
});
