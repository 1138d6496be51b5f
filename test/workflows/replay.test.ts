// The present workflow code replays what earlier code has recorded (design section 6).
// `TEST_RECORD=1 npx jest test/workflows/replay` records the shapes that have no record yet.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { historyFiles, recordHistories } from '../support/record-histories.ts';
import { readRunFile } from '../support/run-file.ts';

const DIRECTORY = join(__dirname, '../histories');
const isRecording = process.env.TEST_RECORD === '1';

const names = () => readdirSync(DIRECTORY).filter((name) => name.endsWith('.json'));
const read = (name: string) => JSON.parse(readFileSync(join(DIRECTORY, name), 'utf8'));

beforeAll(async () => {
  if (isRecording) await recordHistories(DIRECTORY);
  else Runtime.install({ logger: new DefaultLogger('ERROR'), shutdownSignals: [] });
}, 120_000);

const replay = (history: unknown) =>
  Worker.runReplayHistory(
    { workflowBundle: { codePath: readRunFile().bundlePath } },
    history,
    'sess_replayed',
  );

test('every main shape has a record', () => {
  expect(names()).toEqual(expect.arrayContaining(historyFiles));
});

test.each([...new Set([...historyFiles, ...names()])])('%s is replayed', async (name) => {
  await replay(read(name));
});

describe('a history that this code would not have made is refused', () => {
  const NAME = '001-turns-and-an-idle-end.json';

  test('with another activity', async () => {
    const altered = JSON.parse(JSON.stringify(read(NAME)).replaceAll('modelStep', 'otherStep'));
    await expect(replay(altered)).rejects.toThrow(/TMPRL1100|[Nn]ondeterminism/);
  });

  test('with one signal less', async () => {
    const altered = read(NAME);
    const signal = altered.events.findIndex(
      (event: { eventType: string }) => event.eventType === 'EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED',
    );
    altered.events[signal].workflowExecutionSignaledEventAttributes.signalName = 'unknown';
    await expect(replay(altered)).rejects.toThrow(/TMPRL1100|[Nn]ondeterminism/);
  });
});

test('no record tells where it was made', () => {
  for (const name of names()) {
    const text = readFileSync(join(DIRECTORY, name), 'utf8');
    expect(text).not.toMatch(/@|\/home\/|\/root\/|\/work\/|\/tmp\//);
  }
});
