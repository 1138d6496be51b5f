// A disk of a few megabytes that can be filled and freed again.
import { execFileSync } from 'node:child_process';
import { chmodSync, closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { newDirectory } from '../../support/process.ts';

const BLOCK = Buffer.alloc(64 * 1024);

export interface SmallDisk {
  directory: string;
  /** Until not a byte is left. */
  fill(): void;
  free(): void;
  unmount(): void;
}

/** Why this machine can't have one; undefined when it can. */
export function smallDiskObstacle(): string | undefined {
  if (process.platform !== 'linux') return 'a small disk is mounted as a tmpfs, which is of Linux';
  if (process.getuid?.() !== 0) return 'only root may mount a tmpfs';
  try {
    mountSmallDisk(1).unmount();
    return undefined;
  } catch (error) {
    return `a tmpfs can't be mounted here: ${(error as Error).message}`;
  }
}

export function mountSmallDisk(megabytes: number): SmallDisk {
  const directory = newDirectory();
  const options = ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0711`, 'tmpfs', directory];
  execFileSync('mount', options, { stdio: ['ignore', 'ignore', 'pipe'] });
  // Another user's server has its own directory in it.
  chmodSync(directory, 0o711);
  const ballast = join(directory, 'ballast');
  return {
    directory,
    fill() {
      const file = openSync(ballast, 'a');
      try {
        for (;;) writeSync(file, BLOCK);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      } finally {
        closeSync(file);
      }
    },
    free: () => rmSync(ballast, { force: true }),
    // Lazily: a process that is being killed may hold it for a moment yet.
    unmount: () => execFileSync('umount', ['-l', directory]),
  };
}
