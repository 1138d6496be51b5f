// A server that this process can't keep track of must not stay.
import fs, { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { launchServer } from '../../src/temporal/embedded-process.ts';
import { readRecord, serverFiles } from '../../src/temporal/embedded-record.ts';

const itOnProc = fs.existsSync('/proc/self/stat') ? it : it.skip;

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'openclaw-temporal-'));
});
afterEach(() => {
  jest.restoreAllMocks();
  rmSync(dataDir, { recursive: true, force: true });
});

itOnProc(
  'a server that can not be identified, for want of descriptors, is ended with the reason',
  async () => {
    const binaryPath = join(dataDir, 'server');
    writeFileSync(binaryPath, '#!/bin/sh\nwhile :; do sleep 1; done\n', { mode: 0o700 });
    const files = serverFiles(dataDir, '1.0.0');
    mkdirSync(files.directory, { recursive: true });
    const real = fs.readFileSync;
    const started: number[] = [];
    jest.spyOn(fs, 'readFileSync').mockImplementation(((path: string, ...more: []) => {
      const [, pid] = /^\/proc\/(\d+)\/stat$/.exec(path) ?? [];
      if (pid === undefined) return real(path, ...more);
      started.push(Number(pid));
      throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
    }) as typeof real);
    const plan = { binaryPath, version: '1.0.0', files, uiHost: '127.0.0.1', searchAttributes: {} };
    const launched = launchServer(plan, { grpc: 1, http: 2, metrics: 3, uiBackend: 4 });
    await expect(launched).rejects.toThrow(
      /embedded Temporal server .*was ended.*can't be identified: EMFILE.*ulimit -n/,
    );
    expect(started).toHaveLength(1);
    expect(() => process.kill(started[0] ?? 0, 0)).toThrow('ESRCH');
    expect(readRecord(files)).toBeNull();
  },
);
