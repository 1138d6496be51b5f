// A clock that jumps under running processes: libfaketime, whose offset is read again at each look. Monotonic time goes on.
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newDirectory } from './process.ts';

const LIBRARIES = '/usr/lib';

function findLibrary(): string {
  const places = readdirSync(LIBRARIES).map((each) =>
    join(LIBRARIES, each, 'faketime', 'libfaketimeMT.so.1'),
  );
  const library = places.find((each) => existsSync(each));
  if (!library) throw new Error('libfaketime is not there: apt-get install faketime');
  return library;
}

export function createClock() {
  const file = join(newDirectory(), 'offset');
  const set = (hours: number): void => writeFileSync(file, `${hours < 0 ? '' : '+'}${hours}h\n`);
  set(0);
  return {
    /** Of the processes that follow it. */
    env: {
      LD_PRELOAD: findLibrary(),
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    },
    /** So many hours beside the real time, from now on. */
    set,
  };
}
