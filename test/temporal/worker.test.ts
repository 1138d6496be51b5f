// A worker of a process is replaced when it ends, and a stop ends the one that is just being started.
import { NativeConnection, Worker } from '@temporalio/worker';
import { eventually } from '../support/api-client.ts';
import { startTestEngine, type TestEngine } from '../support/engine.ts';

let engine: TestEngine;
let created: Worker[];
/** Whether a worker that is started now gets its connection. */
let gate: Promise<void>;
let waiting: number;

beforeEach(async () => {
  [created, gate, waiting] = [[], Promise.resolve(), 0];
  const [connect, create] = [NativeConnection.connect, Worker.create];
  jest.spyOn(NativeConnection, 'connect').mockImplementation(async (options) => {
    waiting += 1;
    await gate;
    return connect.call(NativeConnection, options);
  });
  jest.spyOn(Worker, 'create').mockImplementation(async (options) => {
    const worker = await create.call(Worker, options);
    created.push(worker);
    return worker;
  });
  engine = await startTestEngine();
  waiting = 0;
});

afterEach(async () => {
  await engine.stop();
  jest.restoreAllMocks();
});

/** As one of the SDK does that meets what it can't go on with. */
const endOne = () => created[0]?.shutdown();

it('another one takes its place', async () => {
  const before = created.length;
  endOne();
  const newest = await eventually(async () => created[before], Boolean);
  await eventually(
    async () => newest?.getState(),
    (state) => state === 'RUNNING',
  );
  const sent = await engine.send(await engine.createSession(), 'Are you there?');
  expect((await engine.settled(sent)).status).toBe('completed');
});

it('a stop ends one that is being started', async () => {
  const before = created.length;
  let open = () => {};
  gate = new Promise((resolve) => {
    open = resolve;
  });
  endOne();
  await eventually(
    async () => waiting,
    (count) => count > 0,
  );
  const stopped = engine.stopWorker();
  open();
  await stopped;
  expect(created.slice(before).map((worker) => worker.getState())).toEqual(['STOPPED']);
});
