// The benchmark runs to its end and prints every figure. With counts this small no figure means anything.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ensureBuilt, PROJECT_DIR } from '../support/built.ts';
import { cleanUp, environment, newDirectory } from '../support/process.ts';

const FIGURES = {
  turn: ['directP50', 'min', 'p50', 'p95'],
  ttft: ['directP50', 'min', 'p50', 'p95'],
  customTool: ['min', 'p50', 'p95'],
  calculator: ['min', 'p50', 'p95'],
  parallel1: ['perSecond', 'p50', 'cpuMs', 'ownCpuMs', 'temporalCpuMs'],
  parallel16: ['perSecond', 'p50', 'cpuMs', 'ownCpuMs', 'temporalCpuMs'],
  parallel64: ['perSecond', 'p50', 'cpuMs', 'ownCpuMs', 'temporalCpuMs'],
  disk: ['kibPerTurn'],
  age: ['youngAddedMs', 'oldAddedMs', 'latencyRatio', 'youngCpuMs', 'oldCpuMs', 'cpuRatio'],
  idle: ['beforeMiB', 'onceMiB', 'twiceMiB', 'kibPerFurtherSession'],
  paused: ['beforeMiB', 'onceMiB', 'twiceMiB', 'kibPerFurtherSession', 'takenMs', 'continuedMs'],
  webhooks: [
    ...['turnsWithout', 'turnsWith', 'perSecond', 'cpuMs', 'fullP50', 'fullP95', 'fullP99'],
    ...['aloneP50', 'aloneP95', 'aloneP99', 'besideP50', 'besideP95', 'besideP99'],
    ...['queued', 'backlogPerSecond'],
  ],
  recover: ['afterReadyMs', 'afterKillMs'],
};

afterAll(cleanUp);

it('measures everything that it promises', async () => {
  ensureBuilt();
  const file = join(newDirectory(), 'figures.json');
  const command = [join(PROJECT_DIR, 'bench', 'run.mjs'), '--tiny', '--json', file];
  const { stdout } = await promisify(execFile)(process.execPath, command, { env: environment({}) });
  const { results, conditions } = JSON.parse(readFileSync(file, 'utf8'));
  for (const [measure, names] of Object.entries(FIGURES)) {
    expect(Object.keys(results.openclaw[measure])).toEqual(names);
    expect(Object.values(results.openclaw[measure])).toEqual(names.map(() => expect.any(Number)));
  }
  expect(conditions).toMatchObject({ cores: expect.any(Number), node: process.version });
  expect(stdout).toContain('**Added latency of a synchronous turn**');
}, 180_000);
