// When a process is gone: not before the last of its threads, for until then it keeps its ports and its files.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs, { existsSync, readFileSync } from 'node:fs';
import { endProcess, identifyProcess, isRunning } from '../../src/temporal/process-identity.ts';

/** A process whose first thread has ended while another one lives. */
const FIRST_THREAD_ENDS = `
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)
`;

/** Linux shows it as a zombie from then on. */
const hasItsFirstThread = (pid: number): boolean =>
  existsSync('/proc/self/stat') && !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

it('a process lives as long as any of its threads, and has ended when endProcess says so', async () => {
  const child = spawn('python3', ['-c', FIRST_THREAD_ENDS]);
  const exit = once(child, 'exit');
  const pid = child.pid ?? 0;
  while (hasItsFirstThread(pid)) await new Promise(setImmediate);
  const identity = identifyProcess(pid);
  if (!identity) throw new Error('taken for gone');
  expect(isRunning(identity)).toBe(true);
  await endProcess(identity);
  expect(isRunning(identity)).toBe(false);
  expect(await exit).toEqual([null, 'SIGTERM']);
});

it('a pid that another process has now names nobody', async () => {
  const child = spawn('sleep', ['60']);
  const identity = identifyProcess(child.pid ?? 0);
  expect(identity && isRunning(identity)).toBe(true);
  expect(isRunning({ pid: child.pid ?? 0, startTime: 'another' })).toBe(false);
  child.kill();
  await once(child, 'exit');
  expect(identifyProcess(child.pid ?? 0)).toBeNull();
});

it('a process that can not be looked at, for want of descriptors, is not gone', async () => {
  const child = spawn('sleep', ['60']);
  const identity = identifyProcess(child.pid ?? 0);
  if (!identity) throw new Error('taken for gone');
  // Reading /proc takes a descriptor.
  const taken: number[] = [];
  const fail = Object.assign(new Error('EMFILE'), { code: 'EMFILE' });
  const read = jest.spyOn(fs, 'readFileSync').mockImplementation(() => {
    taken.push(0);
    throw fail;
  });
  const isThere = isRunning(identity);
  expect(() => identifyProcess(identity.pid)).toThrow('EMFILE');
  child.kill();
  await once(child, 'exit');
  const isThereStill = isRunning(identity);
  read.mockRestore();
  expect([isThere, isThereStill, taken.length]).toEqual([true, false, 3]);
});
